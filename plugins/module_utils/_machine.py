# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed host as logic sees it: its files, commands and clock, all replaceable in tests."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

from ansible_collections.longshore.stack.plugins.module_utils._engine import Result, spawn
from ansible_collections.longshore.stack.plugins.module_utils._files import replace


def _fetch(url: str) -> bytes:
    # Imported where it is needed: it is large, and only an installation fetches something.
    from ansible.module_utils.urls import open_url

    return open_url(url, timeout=8).read()


class Machine:
    """The host: its files below `root`, its commands, its clock. Everything is replaceable in tests."""

    def __init__(self, root: str = "/", run: Callable[..., Result] = spawn, sleep: Callable[[float], None] = time.sleep,
                 monotonic: Callable[[], float] = time.monotonic, kill: Callable[[int, int], None] = os.kill,
                 fetch: Callable[[str], bytes] | None = None):  # fmt: skip
        self.root, self.runner, self.sleep, self.monotonic, self.kill = root, run, sleep, monotonic, kill
        self.fetch = fetch or _fetch
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}

    def path(self, name: str) -> str:
        return os.path.join(self.root, name.lstrip("/"))

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def read(self, name: str) -> str | None:
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None

    def modified(self, name: str) -> float:
        try:
            return os.stat(self.path(name)).st_mtime
        except FileNotFoundError:
            return 0.0

    def write(self, name: str, content: str, mode: int | None = None) -> None:
        """Replace the file; without a mode it keeps the one it has (0644 when it is new)."""
        full = self.path(name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if mode is None:
            mode = os.stat(full).st_mode & 0o777 if os.path.exists(full) else 0o644
        replace(full, content.encode(), mode, os.getuid(), os.getgid())

    def remove(self, name: str) -> None:
        if self.exists(name):
            os.unlink(self.path(name))

    def which(self, name: str) -> str | None:
        """The program, or None. Not all sessions have the directories of the administrator's programs in their PATH."""
        folders = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
        return shutil.which(name, path=os.pathsep.join(map(self.path, folders)))

    def run(self, args: Sequence[str], timeout: float = 120, stdin: str | None = None) -> Result:
        """Run it to its end; a program that is missing or hangs is a failed one."""
        try:
            return self.runner(args, stdin=stdin, timeout=timeout, env=self.env, cwd=None)
        except FileNotFoundError:
            return Result(tuple(args), 127, "", f"{args[0]}: command not found")
        except subprocess.TimeoutExpired:
            return Result(tuple(args), 124, "", f"{args[0]}: no answer within {timeout:g} s")

    @property
    def release(self) -> dict[str, str]:
        text = self.read("/etc/os-release") or ""
        return {key: value.strip("\"'") for key, _equals, value in (line.partition("=") for line in text.splitlines()) if value}

    @property
    def systemd(self) -> bool:
        return self.exists("/run/systemd/system")

    @property
    def apparmor(self) -> bool:
        return (self.read("/sys/module/apparmor/parameters/enabled") or "").strip() == "Y"

    def files_allowed(self) -> float:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return float("inf") if limit == resource.RLIM_INFINITY else limit
