# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a stack on one host at once: stopped, or gone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from glob import glob

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._image import Record, read_records
from ansible_collections.longshore.stack.plugins.module_utils._job import Job
from ansible_collections.longshore.stack.plugins.module_utils._names import IMAGES_FILE, LABEL_STACK, RELEASE_FILE
from ansible_collections.longshore.stack.plugins.module_utils._stack_roots import LOST, Roots

OWN_SECRETS = "/etc/longshore/secrets"


@dataclass
class StackContainers:
    """Names what it does in `done`, in order; in check mode it only names it."""

    engine: Engine
    stack: str
    check: bool = False
    done: list[str] = field(default_factory=list)

    def _listed(self, *args: str) -> list[str]:
        return self.engine.must([*args, "--filter", f"label={LABEL_STACK}={self.stack}"]).stdout.split()

    def _do(self, said: str, *args: str) -> None:
        self.done.append(said)
        if not self.check:
            self.engine.must(list(args))

    def stop(self) -> None:
        """Each container has the stop grace of its own definition."""
        running = self._listed("ps", "--format", "{{.Names}}")
        if running:
            self._do("stopped " + ", ".join(sorted(running)), "stop", *running)

    def remove(self, images: Iterable[str]) -> None:
        """Containers, networks, and those of the images that nothing else uses."""
        self.stop()
        containers = self._listed("ps", "--all", "--format", "{{.Names}}")
        if containers:
            self._do("removed " + ", ".join(sorted(containers)), "rm", "--force", "--volumes", *containers)
        networks = self._listed("network", "ls", "--format", "{{.Name}}")
        if networks:
            self._do("removed network " + ", ".join(sorted(networks)), "network", "rm", *networks)
        self._remove_images(list(images))

    def _remove_images(self, images: list[str]) -> None:
        """An image that something else uses stays; the engine knows. What another is made of goes only after that, so they are tried until none went."""
        gone = [""]
        while gone:
            there = [image for image in images if self.engine.inspect("image", [image])]
            gone = [image for image in there if self.check or self.engine.run(["image", "rm", image]).ok]
            self.done += [f"removed image {image}" for image in gone]
            images = [image for image in there if image not in gone]

    def remove_paths(self, paths: Iterable[str]) -> None:
        for path in paths:
            if os.path.lexists(path):
                self.done.append(f"removed {path}")
                if self.check:
                    continue
                _remove(path)

    def remove_roots(self, roots: Roots) -> list[str]:
        """The stack's directories, and the collection's own above them that are empty then; answers those that are not the stack's and stay."""
        # Decided for all of them first: one that has no marker is known by another.
        there = {path: roots.own(path) for path in roots.paths if os.path.lexists(path)}
        # Behind a link is what the marker was found in.
        self.remove_paths(place for path, own in there.items() if own for place in dict.fromkeys((os.path.realpath(path), path)))
        for path in () if self.check else (OWN_SECRETS, os.path.dirname(OWN_SECRETS)):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        return [path for path, own in there.items() if not own]

    def remove_work(self, work: str, root: str) -> None:
        """What builds left goes with the last stack beside the root, unless one runs."""
        jobs = os.path.join(work, "jobs")
        if os.path.isdir(jobs) and not _others(root) and not any(Job(path).running() for path in glob(os.path.join(jobs, "*", ""))):
            self.remove_paths([work])


def _remove(path: str) -> None:
    if os.path.ismount(path):
        # The file system itself stays, empty.
        for name in os.listdir(path):
            if name != LOST:
                _remove(os.path.join(path, name))
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def brought_images(root: str) -> list[str]:
    """The images that the stack brought to this host, without those that another stack beside it has too."""
    others = {ref for path in _others(root) for ref in _records(path)}
    brought = [ref for ref, record in _records(os.path.join(root, IMAGES_FILE)).items() if record.brought and ref not in others]
    return [*_release_images(root), *brought]


def _release_images(root: str) -> list[str]:
    """The names that the releases of the stack have given to their images; they keep an image from going."""
    found = []
    for path in sorted(glob(os.path.join(root, "apps", "*", "releases", "*", RELEASE_FILE))):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError), open(path, encoding="utf-8") as file:
            found.append(json.load(file)["image"]["name"])
    return found


def _others(root: str) -> list[str]:
    """The records of the images of the stacks beside this one."""
    root = os.path.normpath(root)
    return [path for path in glob(os.path.join(os.path.dirname(root), "*", IMAGES_FILE)) if os.path.dirname(path) != root and _records(path)]


def _records(path: str) -> dict[str, Record]:
    try:
        with open(path, "rb") as file:
            return read_records(file.read())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
