# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static files of releases: each release has a directory of its own with what its image brings, and with what only the releases before it had.

So a page that was loaded before a switch finds its scripts after it, whichever way the switch went. Files are only ever added to a directory that serves.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._files import make_directories, replace


class AssetsError(Exception):
    """The static files could not be collected; the text is fit for a user."""


@dataclass(frozen=True)
class Static:
    """path: the files' directory in the container. keep: of so many releases before it, the files are there, too. command: writes them, in `service`."""

    path: str
    number: int
    keep: int = 1
    command: tuple[str, ...] = ()
    service: str = ""


class Assets:
    """root: the directory that has one for each release. run: does the command of a Static, with a directory of the host at its path.

    number: that of the files of another release at a path in its containers, None where it has none there.
    labels: of containers that files are copied from, so that one is found whose run was killed.
    """

    def __init__(
        self,
        engine: Engine,
        root: str,
        image: str,
        uid: int,
        gid: int,
        run: Callable[[Static, str], None],
        number: Callable[[str, str], int | None],
        labels: Mapping[str, str] | None = None,
    ):
        self.engine, self.root, self.image, self.uid, self.gid, self.run, self.number = engine, root, image, uid, gid, run, number
        self.labels = [word for name, value in (labels or {}).items() for word in ("--label", f"{name}={value}")]

    def ensure(self, release: str, statics: Sequence[Static], older: Sequence[str], live: str = "") -> list[str]:
        """What the release serves is there, and what the releases before it served; answers what was done. older: the newest first.

        live: the release that serves, which gets what only the new one has: while both do, a page of the one asks the other for its scripts.
        """
        done = []
        for static in statics:
            folder = self.folder(release, static.number)
            if not os.path.isdir(folder):
                self._collect(release, static)
                done.append(f"collect {static.path} of {release}")
            added = sum(self._add(self._of(other, static), folder) for other in older[: static.keep])
            done += [f"add {added} older files to {static.path} of {release}"] if added else []
            beside = self._of(live, static) if live not in ("", release) else ""
            if os.path.isdir(beside):
                self._add(folder, beside)
        return done

    def folder(self, release: str, number: int) -> str:
        return os.path.join(self.root, release, str(number))

    def _of(self, other: str, static: Static) -> str:
        """Where another release has its files of the same path, '' for nowhere."""
        number = self.number(other, static.path)
        return "" if number is None else self.folder(other, number)

    def _collect(self, release: str, static: Static) -> None:
        """Whole or not at all: the directory has its name when all is in it."""
        folder = self.folder(release, static.number)
        making = f"{folder}.new"
        shutil.rmtree(making, ignore_errors=True)
        make_directories(making)
        self._copy(static, making)
        if static.command:
            # The command writes as the application's user does.
            for path in (making, *(path for path, _is_file in _below(making))):
                os.lchown(path, self.uid, self.gid)
            self.run(static, making)
        names = []
        for path, is_file in _below(making):
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & 0o7777 | (0o444 if is_file else 0o555))
            names += [os.path.relpath(path, making)] if is_file else []
        os.chmod(making, 0o755)
        replace(f"{folder}.json", json.dumps(sorted(names)).encode() + b"\n", 0o644, os.geteuid(), os.getegid())
        os.rename(making, folder)

    def _copy(self, static: Static, target: str) -> None:
        """What the image has at the path. The engine reads it from a container that never runs, so the image needs no program for it."""
        # A command is needed where the image has none; it is not run.
        container = self.engine.must(["create", "--network", "none", *self.labels, self.image, "-"]).stdout.strip()
        try:
            copied = self.engine.run(["cp", f"{container}:{static.path}/.", target])
        finally:
            self.engine.run(["rm", "--force", container])
        missing = "Could not find the file" in copied.stderr or "no such file" in copied.stderr.lower()
        if not copied.ok and not (missing and static.command):
            reason = f"the image has no directory {static.path}" if missing else copied.reason()
            raise AssetsError(f"static files: {reason}; allowed for path: a directory of the image, or give the command that makes it")

    def _add(self, source: str, target: str) -> int:
        """Files of an older release that this one has not; how many. What that one had from others before it is too old."""
        try:
            with open(f"{source}.json", encoding="utf-8") as file:
                names = json.load(file)
        except (OSError, ValueError):
            return 0
        added = 0
        for name in names:
            path = os.path.join(target, name)
            if os.path.lexists(path) or not os.path.isfile(os.path.join(source, name)) or os.path.islink(os.path.join(source, name)):
                continue
            # Where an older release had a directory this one may have a file, which wins.
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
                os.link(os.path.join(source, name), path)
                added += 1
        return added


def withdraw(root: str, release: str, live: str) -> None:
    """Takes away from the live release's directories the files that `ensure` has added there of another one."""
    own = os.path.join(root, release)
    for entry in os.listdir(own) if os.path.isdir(own) and os.path.isdir(os.path.join(root, live)) else []:
        number, dot, kind = entry.partition(".")
        if (dot, kind) != (".", "json"):
            continue
        with open(os.path.join(own, entry), encoding="utf-8") as file:
            names = json.load(file)
        for folder in (found.path for found in os.scandir(os.path.join(root, live)) if found.is_dir()):
            for name in names:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    if os.path.samefile(os.path.join(folder, name), os.path.join(own, number, name)):
                        os.unlink(os.path.join(folder, name))


def statics_of(entries: Sequence[Mapping[str, Any]]) -> list[Static]:
    return [Static(entry["path"], entry["number"], entry["keep"], tuple(entry["command"]), entry["service"]) for entry in entries]


def _below(folder: str) -> Iterator[tuple[str, bool]]:
    """Everything in the folder, and whether it is no directory; links are not followed."""
    for parent, folders, files in os.walk(folder):
        for name in folders:
            path = os.path.join(parent, name)
            yield path, os.path.islink(path)
        for name in files:
            yield os.path.join(parent, name), True
