# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that belong to one stack alone: claimed with a marker before anything is written there, removed only with it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from glob import glob
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._names import (
    COMPOSE_FILE,
    IMAGES_FILE,
    LIVE,
    PREVIOUS,
    RELEASE_FILE,
    SCALE_FILE,
    SECRETS_FILE,
    STATE_FILE,
)

MARKER = ".longshore-stack"
# In the top folder of a file system of its own; nobody's.
LOST = "lost+found"


class RootError(Exception):
    """A directory is not the stack's; the text is fit for a user."""


def marked(path: str) -> str:
    """The stack whose marker the directory has, or nothing."""
    return (Folder(path).read(MARKER) or b"").decode(errors="replace").strip()


def entries(path: str) -> set[str]:
    try:
        return set(os.listdir(path)) - {MARKER, LOST}
    except FileNotFoundError:
        return set()


def services(root: str) -> set[str]:
    """Names of what compose_project wrote below a stack's root, the applications' too."""
    apps = os.path.join(root, "apps")
    made = {name for name in entries(root) if {COMPOSE_FILE, STATE_FILE} <= _inside(os.path.join(root, name))}
    return made | {name for name in _inside(apps) if "releases" in _inside(os.path.join(apps, name))}


def _inside(path: str) -> set[str]:
    return set(os.listdir(path)) if os.path.isdir(path) else set()


def has_images(root: str) -> bool:
    """Whether the file with the images is one that the module image wrote."""
    try:
        records = json.loads(Folder(root).read(IMAGES_FILE) or b"{}")
        return bool(records) and all({"ref", "source"} <= set(record) for record in records.values())
    except (ValueError, TypeError, AttributeError):
        return False


def images_of(engine: Engine, root: str) -> dict[str, Any]:
    """What the stack has chosen on this host, and what the engine has of that, so that the controller can tell when nothing is left to do."""
    content = Folder(root).read(IMAGES_FILE)
    if not content:
        return {}
    try:
        answers = engine.inspect("image", [record["ref"] for record in json.loads(content).values()])
    except EngineError:
        return {}
    return {"records": content.decode(), "here": [{"Id": one["Id"], **{key: one.get(key) or [] for key in ("RepoTags", "RepoDigests")}} for one in answers]}


def _json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


@dataclass(frozen=True)
class Roots:
    """root: the compose projects; data: what the services keep; secrets: readable by root alone."""

    stack: str
    root: str
    data: str
    secrets: str

    @property
    def paths(self) -> tuple[str, str, str]:
        return (self.root, self.data, self.secrets)

    def own(self, path: str) -> bool:
        """Whether the directory is the stack's: by its marker or, where an earlier version made it without one, by what is in it."""
        owner, inside = marked(path), entries(path)
        if owner or not inside:
            return owner == self.stack
        known = services(self.root)
        signs = {self.root: bool(known) or has_images(path), self.secrets: SECRETS_FILE in inside}
        return signs.get(path, False) or inside <= known

    def claim(self, check: bool) -> list[str]:
        """Mark the directories, and make those that are missing; answers those that had no marker. One that is somebody else's, and nothing is written."""
        for path in self.paths:
            if marked(path) not in ("", self.stack):
                raise RootError(f"{path} belongs to the stack {marked(path)}, as its file {MARKER} says; give {self.stack} a directory of its own")
            if entries(path) and not self.own(path):
                raise RootError(
                    f"{path} has files that are not the stack's, and removing the stack {self.stack} would remove them; allowed: a new or an empty "
                    f"directory, by another stack_name or path. If all in it is the stack's own, say so: echo {self.stack} > {path}/{MARKER}"
                )
        new = [path for path in self.paths if not marked(path)]
        for path in new:
            Folder(path, check, mode=0o700 if path == self.secrets else 0o755).write(MARKER, f"{self.stack}\n".encode(), 0o600)
        return new

    def served(self) -> list[dict[str, Any]]:
        """The web processes of what is live and of what was before it: the switch goes on knowing those that the inventory has no more.

        Of the two a process has the more places, and as many as it was scaled to by hand.
        """
        found: dict[str, dict[str, Any]] = {}
        for mark in (LIVE, PREVIOUS):
            for path in sorted(glob(os.path.join(self.root, "apps", "*", mark, RELEASE_FILE))):
                with contextlib.suppress(OSError, ValueError, TypeError, AttributeError), open(path, encoding="utf-8") as file:
                    scale = _json(os.path.join(os.path.dirname(os.path.dirname(path)), SCALE_FILE))
                    for process, backend in json.load(file).get("backends", {}).items():
                        one = found.setdefault(backend["name"], backend)
                        one["places"] = max(one.get("places", 0), backend.get("places", 0), int(scale.get(process) or 0))
        return list(found.values())

    def used(self) -> bool:
        """Whether the stack was on this host before: more is there than markers, and secrets of a run that ended right after making them."""
        return bool(entries(self.root) | entries(self.data) | (entries(self.secrets) - {SECRETS_FILE}))
