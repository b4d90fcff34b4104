# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images built from the recipes, run the way the stack runs them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import uuid
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.action.image import BASE_SCRIPT
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._image import Build, ImageError, base_ref
from ansible_collections.longshore.stack.plugins.module_utils._image_host import Slice
from ansible_collections.longshore.stack.plugins.plugin_utils import build_context

# With the import mode of this project a test does not see the files beside it.
sys.path.insert(0, str(Path(__file__).parent))
from image_support import RECIPES, Container, docker  # noqa: E402  # found by the line above

# What the command `go` says when it cannot load something, unlike the messages of its compiler.
NO_GO_MODULE = re.compile(r"^go: (?!downloading)", re.MULTILINE)


def upstream(recipe: str) -> str:
    """The reference that the recipe's role asks for: what is built here has the name that the roles look for."""
    folder = RECIPES[recipe]
    role = folder if folder.parent.name == "files" else folder.parent
    name = f"{role.parents[1].name}_{'image' if folder is role else 'base_image'}"
    return yaml.safe_load((role.parents[1] / "defaults/main.yml").read_text(encoding="utf-8"))[name]


class Images:
    """Finds the image of a recipe as it is now, and makes containers that are gone at the end."""

    # Why a recipe cannot be built on this machine; tried once in a session.
    missing: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path):
        self.folder, self.stack = folder, contextlib.ExitStack()

    def ref(self, recipe: str) -> str:
        folder = str(RECIPES[recipe])
        script = BASE_SCRIPT.read_text(encoding="utf-8")
        build = Build(recipe, build_context.folder_hash(folder), base_ref(script))
        suffix = build.ref("x").rpartition("-")[2]
        for ref in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"longshore/{recipe}").stdout.split():
            if ref.endswith(f"-{suffix}"):
                return ref
        if recipe in self.missing:
            pytest.skip(self.missing[recipe])
        if os.environ.get("LONGSHORE_BUILD_IMAGES"):
            return self._build(recipe, script)
        return pytest.skip(f"no image longshore/{recipe}:*-{suffix} here; set LONGSHORE_BUILD_IMAGES=1 to build it first")

    def _build(self, recipe: str, script: str) -> str:
        folder = str(RECIPES[recipe])
        build = {"name": recipe, "hash": build_context.folder_hash(folder)}
        params = {"name": upstream(recipe), "source": "build", "base": "", "args": {}, "target": "", "dockerfile": "Dockerfile", "timeout": 3600,
                  "state_path": str(self.folder / "images.json"), "resume": {}, "refresh": False,
                  "sent": {"build": build, "files": build_context.inline_files(folder), "base_script": script}}  # fmt: skip
        result = {"pending": True}
        try:
            while result.get("pending"):
                result = Slice(params, False, Engine(), print).run()
                params["resume"] = result.get("resume") or {}
        except ImageError as error:
            if NO_GO_MODULE.search(str(error)):
                self.missing[recipe] = f"the Go module of {recipe} cannot be had here: {error}"
                pytest.skip(self.missing[recipe])
            raise
        return result["ref"]

    def run(self, image: str, *command: str, **settings) -> Container:
        container = Container(image, *command, **settings)
        self.stack.callback(container.remove)
        return container

    def volume(self, uid: int) -> str:
        """A folder for data that belongs to the uid, as the stack makes it on a host."""
        folder = self.folder / f"data-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        os.chown(folder, uid, uid)
        return str(folder)

    def file(self, content: str, uid: int, mode: int = 0o400) -> str:
        path = self.folder / f"file-{uuid.uuid4().hex[:8]}"
        path.write_text(content, encoding="utf-8")
        os.chown(path, uid, uid)
        path.chmod(mode)
        return str(path)


@pytest.fixture(scope="module")
def images():
    if not shutil.which("docker") or docker("version", check=False).returncode:
        pytest.skip("no container engine answers here")
    if os.geteuid():
        pytest.skip("folders are given to the uids of the images, which needs root")
    # Below /var/tmp: everybody may enter it, and it is not a tmpfs.
    folder = Path("/var/tmp") / f"lsimg-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    made = Images(folder)
    with made.stack:
        yield made
    shutil.rmtree(folder, ignore_errors=True)
