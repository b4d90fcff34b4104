# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from ansible_collections.longshore.stack.plugins.action.image import recipe_name
from ansible_collections.longshore.stack.plugins.plugin_utils import build_context as context


def tree(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return str(folder)


@pytest.mark.parametrize(
    ("rules", "path", "out"),
    [
        ("*.pyc", "a.pyc", True),
        ("*.pyc", "sub/a.pyc", False),
        ("**/*.pyc", "sub/deep/a.pyc", True),
        ("**/*.pyc", "a.pyc", True),
        (".venv", ".venv/lib/x.py", True),
        ("/docs/", "docs/index.md", True),
        ("docs", "other/docs/index.md", False),
        ("*\n!src", "src/main.py", False),
        ("*\n!src", "tests/main.py", True),
        ("*\n!src\nsrc/secret", "src/secret", True),
        ("a?c", "abc", True),
        ("[ab].txt", "b.txt", True),
        ("# a remark\n\n", "a", False),
        ("build/**", "build/x/y", True),
    ],
)
def test_the_rules_of_dockerignore(rules, path, out):
    assert context.ignored(path, context.ignore_rules(rules)) is out


def test_the_tar_has_what_is_not_ignored_and_always_the_dockerfile(tmp_path):
    folder = tree(tmp_path / "c", {"Dockerfile": "FROM x", "app/main.py": "", "app/__pycache__/m.pyc": "", ".dockerignore": "**/__pycache__\nDockerfile\n"})
    context.pack(folder, str(tmp_path / "c.tar"))
    with tarfile.open(tmp_path / "c.tar") as tar:
        assert tar.getnames() == ["Dockerfile", "app/main.py"]


def test_the_hash_changes_with_content_name_and_execute_bit_and_with_nothing_else(tmp_path):
    folder = tree(tmp_path / "c", {"Dockerfile": "FROM x", "run.sh": "true"})
    first = context.folder_hash(folder)
    os.utime(tmp_path / "c" / "run.sh", (1, 1))
    (tmp_path / "c" / "run.sh").chmod(0o600)
    assert context.folder_hash(folder) == first
    (tmp_path / "c" / "run.sh").chmod(0o755)
    executable = context.folder_hash(folder)
    (tmp_path / "c" / "run.sh").write_text("false")
    content = context.folder_hash(folder)
    (tmp_path / "c" / "run.sh").rename(tmp_path / "c" / "go.sh")
    assert len({first, executable, content, context.folder_hash(folder)}) == 4


def test_links_are_packed_as_links(tmp_path):
    folder = tree(tmp_path / "c", {"Dockerfile": "FROM x"})
    (tmp_path / "c" / "link").symlink_to("Dockerfile")
    context.pack(folder, str(tmp_path / "c.tar"))
    with tarfile.open(tmp_path / "c.tar") as tar:
        assert tar.getmember("link").linkname == "Dockerfile"


def archive(path, images, mode="w"):
    with tarfile.open(path, mode) as tar:
        text = json.dumps(images).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return str(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_tells_id_and_tag_of_its_image(tmp_path, mode):
    path = archive(tmp_path / "a.tar", [{"Config": "abc.json", "RepoTags": ["longshore/valkey:8.1.4-1"]}], mode)
    assert context.archived_image(path, "valkey/valkey:8.1.4") == {"id": "sha256:abc", "ref": "longshore/valkey:8.1.4-1"}


def test_of_several_images_the_one_with_the_name_is_taken(tmp_path):
    path = archive(tmp_path / "a.tar", [{"Config": "blobs/sha256/one", "RepoTags": ["a:1"]}, {"Config": "blobs/sha256/two", "RepoTags": ["b:1", "b:2"]}])
    assert context.archived_image(path, "b:2") == {"id": "sha256:two", "ref": "b:2"}
    with pytest.raises(ValueError, match="none is tagged c:1; it has a:1, b:1, b:2"):
        context.archived_image(path, "c:1")


def test_a_file_that_is_no_archive_says_how_to_make_one(tmp_path):
    (tmp_path / "a.tar").write_text("hello" * 300)
    with pytest.raises(ValueError, match="docker save"):
        context.archived_image(str(tmp_path / "a.tar"), "a:1")


@pytest.mark.parametrize(("folder", "name"), [("/x/roles/postgres/files/image", "postgres"), ("/x/roles/app/files/image/python", "python"), ("/x/own", "own")])
def test_a_recipe_is_called_after_its_role_or_its_folder(folder, name):
    assert recipe_name(folder) == name
