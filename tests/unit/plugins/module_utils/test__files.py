# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _files
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder, current_generation, ensure_directory


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_file_is_written_once_and_then_left_alone(tmp_path, me):
    folder = Folder(str(tmp_path / "p"))
    assert folder.write("config/a.conf", b"x", 0o640)
    before = os.stat(tmp_path / "p/config/a.conf")
    assert not folder.write("config/a.conf", b"x", 0o640)
    assert os.stat(tmp_path / "p/config/a.conf") == before
    assert mode(tmp_path / "p/config/a.conf") == 0o640


@pytest.mark.parametrize(("content", "wanted"), [(b"y", 0o644), (b"x", 0o600)])
def test_another_content_or_mode_is_a_change(tmp_path, me, content, wanted):
    folder = Folder(str(tmp_path))
    folder.write("a", b"x", 0o644)
    assert folder.write("a", content, wanted)
    assert ((tmp_path / "a").read_bytes(), mode(tmp_path / "a")) == (content, wanted)


def test_a_link_is_replaced_by_a_file_and_its_target_kept(tmp_path, me):
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "a").symlink_to("target")
    assert Folder(str(tmp_path)).write("a", b"x", 0o644)
    assert ((tmp_path / "target").read_bytes(), (tmp_path / "a").is_symlink()) == (b"kept", False)


def test_the_old_content_stays_when_the_new_cannot_be_completed(tmp_path, me, monkeypatch):
    folder = Folder(str(tmp_path))
    folder.write("a", b"old", 0o644)

    def full_disk(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.write("a", b"new", 0o644)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ".", ""])
def test_nothing_outside_the_folder_is_touched(tmp_path, path):
    with pytest.raises(ValueError, match="give a relative path"):
        Folder(str(tmp_path)).write(path, b"x", 0o644)


def test_check_mode_answers_without_writing(tmp_path, me):
    folder = Folder(str(tmp_path / "p"), check=True)
    assert folder.write("a", b"x", 0o644)
    assert ensure_directory(str(tmp_path / "d"), *me, 0o700, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_gets_its_mode_and_keeps_its_content(tmp_path, me):
    path = tmp_path / "deep" / "d"
    assert ensure_directory(str(path), *me, 0o700, check=False)
    (path / "data").write_text("x")
    os.chmod(path, 0o755)
    assert ensure_directory(str(path), *me, 0o700, check=False)
    assert not ensure_directory(str(path), *me, 0o700, check=False)
    assert ((path / "data").read_text(), mode(path)) == ("x", 0o700)


@pytest.fixture(params=[0o027, 0o077])
def umask(request):
    """The session of a hardened host."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_folders_are_open_to_containers_whatever_the_umask_is(tmp_path, me, umask):
    Folder(str(tmp_path / "stack/p")).write("config/conf.d/a.conf", b"x", 0o644)
    Folder(str(tmp_path / "keys/p"), mode=0o700).write("a.1", b"x", 0o400, *me)
    ensure_directory(str(tmp_path / "data/p"), *me, 0o700, check=False)
    modes = {str(path.relative_to(tmp_path)): oct(mode(path)) for path in sorted(tmp_path.rglob("*")) if path.is_dir()}
    assert modes == {
        **dict.fromkeys(("stack", "stack/p", "stack/p/config", "stack/p/config/conf.d", "keys", "data"), "0o755"),
        **dict.fromkeys(("keys/p", "data/p"), "0o700"),
    }


@pytest.mark.parametrize("closed", ["p", "p/config", "p/config/conf.d"])
def test_a_folder_that_an_earlier_run_left_closed_is_opened(tmp_path, me, closed):
    folder = Folder(str(tmp_path / "p"))
    folder.write("config/conf.d/a.conf", b"x", 0o644)
    os.chmod(tmp_path / closed, 0o700)
    assert Folder(folder.path, check=True).write("config/conf.d/a.conf", b"x", 0o644)
    assert folder.write("config/conf.d/a.conf", b"x", 0o644)
    assert mode(tmp_path / closed) == 0o755
    assert not folder.write("config/conf.d/a.conf", b"x", 0o644)


def test_a_folder_that_gives_more_is_left_alone(tmp_path, me):
    os.chmod(tmp_path, 0o2775)
    Folder(str(tmp_path)).write("a", b"x", 0o644)
    assert mode(tmp_path) == 0o2775


def test_the_same_secret_keeps_its_file_and_another_gets_the_next_number(tmp_path):
    folder = str(tmp_path / "s")
    assert current_generation(folder, "p", "A") == (f"{folder}/p.1", False)
    os.mkdir(folder)
    for name in ("p.1", "p.9", "p.10", "p.11.bak", "other.30"):
        (tmp_path / "s" / name).write_text(name)
    assert current_generation(folder, "p", "p.10") == (f"{folder}/p.10", True)
    assert current_generation(folder, "p", "p.9") == (f"{folder}/p.11", False)


def test_a_secret_without_a_value_is_the_newest_that_was_kept(tmp_path):
    for number in (1, 9, 10):
        (tmp_path / f"p.{number}").write_text("x")
    assert current_generation(str(tmp_path), "p", None) == (f"{tmp_path}/p.10", True)
    with pytest.raises(FileNotFoundError, match=f"there is no secret q in {tmp_path}"):
        current_generation(str(tmp_path), "q", None)
