# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images built from the recipes, run the way the stack runs them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from ansible_collections.longshore.stack.plugins.action.image import BASE_SCRIPT, recipe_name
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._image import Build, base_ref
from ansible_collections.longshore.stack.plugins.module_utils._image_host import Slice
from ansible_collections.longshore.stack.plugins.plugin_utils import build_context

ROLES = Path(__file__).parents[2] / "roles"
RECIPES = {
    recipe_name(dockerfile.parent): dockerfile.parent for dockerfile in [*ROLES.glob("*/files/image/Dockerfile"), *ROLES.glob("*/files/image/*/Dockerfile")]
}


def docker(*args: str, check: bool = True, timeout: float = 60, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=timeout, check=False, input=stdin)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(args)}: {done.stderr or done.stdout}")
    return done


def until(condition, seconds: float = 20, pause: float = 0.2):
    """The first true answer of the condition; the last answer if there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(pause)
    return answer


class Container:
    """A container with the stack's hardening, unless told otherwise."""

    def __init__(self, image: str, *command: str, user: str = "", hardened: bool = True, options: tuple[str, ...] = ()):
        self.name = f"lsimg-{uuid.uuid4().hex[:8]}"
        hardening = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--memory", "768m") if hardened else ()
        as_user = ("--user", user) if user else ()
        docker("run", "--detach", "--name", self.name, *hardening, *as_user, *options, image, *command)

    def exec(self, *command: str, options: tuple[str, ...] = (), check: bool = False, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return docker("exec", *options, self.name, *command, check=check, timeout=timeout)

    def logs(self) -> str:
        done = docker("logs", self.name, check=False)
        return done.stdout + done.stderr

    def inspect(self, template: str) -> str:
        return docker("inspect", "--format", template, self.name).stdout.strip()

    @property
    def address(self) -> str:
        return self.inspect("{{.NetworkSettings.IPAddress}}")

    def exit_code(self, seconds: float = 15) -> int:
        """The exit code of a container that ends by itself."""
        return int(docker("wait", self.name, timeout=seconds).stdout)

    def stop(self, grace: int) -> tuple[int, float]:
        """Exit code and seconds of a stop with the image's own signal."""
        start = time.monotonic()
        docker("stop", "--time", str(grace), self.name, timeout=grace + 10)
        return int(self.inspect("{{.State.ExitCode}}")), time.monotonic() - start

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name, check=False)


class Images:
    """Finds the image of a recipe as it is now, and makes containers that are gone at the end."""

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
        if os.environ.get("LONGSHORE_BUILD_IMAGES"):
            return self._build(recipe, script)
        return pytest.skip(f"no image longshore/{recipe}:*-{suffix} here; set LONGSHORE_BUILD_IMAGES=1 to build it first")

    def _build(self, recipe: str, script: str) -> str:
        folder = str(RECIPES[recipe])
        build = {"name": recipe, "hash": build_context.folder_hash(folder)}
        params = {"name": f"{recipe}:test", "source": "build", "base": "", "args": {}, "target": "", "dockerfile": "Dockerfile", "timeout": 3600,
                  "state_path": str(self.folder / "images.json"), "resume": {},
                  "sent": {"build": build, "files": build_context.inline_files(folder), "base_script": script}}  # fmt: skip
        result = {"pending": True}
        while result.get("pending"):
            result = Slice(params, False, Engine(), print).run()
            params["resume"] = result.get("resume") or {}
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
