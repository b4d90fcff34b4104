# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a stack on one host at once: stopped, or gone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.longshore.stack.plugins.module_utils._compose import LABEL_STACK
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine


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
        for image in images:
            if self.engine.inspect("image", [image]):
                # An image that another stack uses stays; the engine knows.
                if self.check or self.engine.run(["image", "rm", image]).ok:
                    self.done.append(f"removed image {image}")

    def remove_paths(self, paths: Iterable[str]) -> None:
        for path in paths:
            if os.path.lexists(path):
                self.done.append(f"removed {path}")
                if self.check:
                    continue
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)


def recorded_images(path: str) -> list[str]:
    """The images that the stack brought to this host, from the file that the image module keeps."""
    try:
        with open(path, encoding="utf-8") as file:
            return sorted({entry["ref"] for entry in json.load(file).values() if entry.get("ref")})
    except (FileNotFoundError, ValueError):
        return []
