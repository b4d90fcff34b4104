# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of an application on one host: which containers belong to which, and which of them is live."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import LABEL_SERVICE, LABEL_STACK
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._release import LABEL_PROCESS, LABEL_RELEASE

LIVE = "live"


@dataclass(frozen=True)
class Member:
    """A container of a release."""

    id: str
    name: str
    release: str
    process: str
    running: bool


@dataclass(frozen=True)
class Plan:
    """What to do with which containers, in this order."""

    start: tuple[Member, ...] = ()
    stop: tuple[Member, ...] = ()
    remove: tuple[Member, ...] = ()
    live: str = ""


def members(containers: Iterable[Mapping[str, Any]]) -> list[Member]:
    found = []
    for data in containers:
        labels = data["Config"].get("Labels") or {}
        found.append(
            Member(data["Id"], data["Name"].lstrip("/"), labels.get(LABEL_RELEASE, ""), labels.get(LABEL_PROCESS, ""), data["State"]["Status"] != "exited")
        )
    return found


def decide(state: str, keep: str, processes: Iterable[str], there: list[Member], live: str) -> Plan:
    """stopped: processes of the other releases stop. live: `keep` is live, the others go. taken_back: `keep` goes, the live one is whole again."""
    wanted = set(processes)
    if state == "stopped":
        return Plan(stop=tuple(m for m in there if m.release != keep and m.process in wanted and m.running), live=live)
    if state == "live":
        others = tuple(m for m in there if m.release != keep)
        return Plan(stop=tuple(m for m in others if m.running), remove=others, live=keep)
    if keep == live:
        # The live release itself could not be brought back; nothing else could serve in its place.
        return Plan(live=live)
    gone = tuple(m for m in there if m.release == keep)
    back = tuple(m for m in there if m.release == live and not m.running)
    return Plan(start=back, stop=tuple(m for m in gone if m.running), remove=gone, live=live)


def must_serve(state: str, keep: str, there: list[Member]) -> None:
    """The last look before others go: what is to replace them has to be there."""
    if state == "live" and any(m.release != keep for m in there) and not any(m.release == keep and m.running for m in there):
        raise EngineError(f"no container of the release {keep} runs, so the others are left alone")


@dataclass
class Releases:
    """Carries out a plan. path is the application's directory; its link `live` names the live release."""

    engine: Engine
    stack: str
    app: str
    path: str
    check: bool = False
    done: list[str] = field(default_factory=list)

    def observe(self) -> list[Member]:
        filters = ["--filter", f"label={LABEL_STACK}={self.stack}", "--filter", f"label={LABEL_SERVICE}={self.app}", "--filter", f"label={LABEL_RELEASE}"]
        try:
            ids = self.engine.must(["ps", "--all", "--quiet", "--no-trunc", *filters]).stdout.split()
            return members(self.engine.inspect("container", ids))
        except EngineError:
            if self.check:  # a bare host has no engine yet, and nothing runs on it
                return []
            raise

    def live(self) -> str:
        try:
            return os.path.basename(os.readlink(os.path.join(self.path, LIVE)))
        except OSError:
            return ""

    def run(self, plan: Plan) -> None:
        if plan.live and self.path and plan.live != self.live():
            self._mark(plan.live)
        for verb, chosen in (("stop", plan.stop), ("rm", plan.remove), ("start", plan.start)):
            if chosen and not self.check:
                # Without --time each container has the grace of its own definition.
                self.engine.must([verb, *(member.id for member in chosen)])
            self.done += [f"{verb} {member.name}" for member in chosen]

    def _mark(self, release: str) -> None:
        self.done.append(f"live {release}")
        if self.check:
            return
        temporary = os.path.join(self.path, f".{LIVE}-{os.getpid()}")
        os.symlink(os.path.join("releases", release), temporary)
        os.replace(temporary, os.path.join(self.path, LIVE))
