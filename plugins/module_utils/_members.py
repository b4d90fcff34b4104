# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application has on one host: the containers of its releases, which release is live, and the plain things that are done to containers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._names import (
    LABEL_ONE_OFF,
    LABEL_PROCESS,
    LABEL_RELEASE,
    LABEL_RUN,
    LABEL_SERVICE,
    LABEL_STACK,
    LIVE,
    RELEASE_FILE,
)
from ansible_collections.longshore.stack.plugins.module_utils._parting import Parting, part
from ansible_collections.longshore.stack.plugins.module_utils._switch import Switch, Upstream

LOG_LINES = 40
# Seconds that containers have to become well which ran before and are started again.
AGAIN_SECONDS = 30.0


class ReleaseError(Exception):
    """A stage could not be done; the text is fit for a user."""


def record_of(folder: str) -> dict[str, Any]:
    """What a release was made of, by its directory; nothing where that cannot be read."""
    try:
        with open(os.path.join(folder, RELEASE_FILE), encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


@dataclass(frozen=True)
class App:
    """What a stage must know of the application. backends: by web process, its name at the switch and its port. run: the one that has the lease.

    elsewhere: what must not run twice and has its place on another host in this release, where it may run already.
    """

    stack: str
    name: str
    path: str
    release: str
    singletons: tuple[str, ...] = ()
    backends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    network: str = ""
    drain: float = 30
    keep: int = 5
    warm: bool = False
    secrets_path: str = ""
    static_path: str = ""
    root: str = ""
    run: str = ""
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Member:
    """A container of a release."""

    id: str
    name: str
    release: str
    process: str
    state: str
    health: str
    policy: str
    restarts: int
    exit_code: int
    address: str
    stop_signal: str
    grace: float
    number: int = 0

    @classmethod
    def of(cls, data: Mapping[str, Any], network: str) -> Member:
        labels, state = data["Config"].get("Labels") or {}, data["State"]
        networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
        return cls(
            id=data["Id"],
            name=data["Name"].lstrip("/"),
            release=labels.get(LABEL_RELEASE, ""),
            process=labels.get(LABEL_PROCESS, ""),
            state=state["Status"],
            health=(state.get("Health") or {}).get("Status", "none"),
            policy=((data.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
            restarts=data.get("RestartCount", 0),
            exit_code=state.get("ExitCode", 0),
            address=(networks.get(network) or {}).get("IPAddress", ""),
            stop_signal=data["Config"].get("StopSignal") or "SIGTERM",
            grace=float(data["Config"].get("StopTimeout") or 10),
            number=int(labels.get("com.docker.compose.container-number") or 0),
        )

    @property
    def running(self) -> bool:
        return self.state in ("running", "restarting", "paused")

    @property
    def well(self) -> bool:
        return self.state == "running" and self.health in ("healthy", "none")


@dataclass
class Members:
    """Engine, switch, clock and sleep are given, so that a test needs none of them. `done` says what was done, in order."""

    engine: Engine
    app: App
    switch: Switch | None
    check: bool
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    done: list[str] = field(default_factory=list)

    def observe(self) -> list[Member]:
        """Containers of every release, without the one-off ones of migrations and commands."""
        try:
            return [Member.of(data, self.app.network) for data in self._labelled({LABEL_RELEASE: None, LABEL_ONE_OFF: "False"})]
        except EngineError:
            if self.check:  # a bare host has no engine yet, and nothing runs on it
                return []
            raise

    def _labelled(self, more: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """What the engine knows of the application's containers that have these labels, or these values of them."""
        labels = {LABEL_STACK: self.app.stack, LABEL_SERVICE: self.app.name, **more}
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}" + (f"={value}" if value else ""))]
        return self.engine.inspect("container", self.engine.must(["ps", "--all", "--quiet", "--no-trunc", *filters]).stdout.split())

    def one_off_labels(self) -> dict[str, str]:
        """Of a container that this run makes for a moment."""
        return {LABEL_STACK: self.app.stack, LABEL_SERVICE: self.app.name, LABEL_RELEASE: self.app.release, LABEL_RUN: self.app.run, LABEL_ONE_OFF: "True"}

    def marked(self, mark: str = LIVE) -> str:
        try:
            return os.path.basename(os.readlink(os.path.join(self.app.path, mark)))
        except OSError:
            return ""

    def upstreams(self, there: Iterable[Member], release: str) -> dict[str, list[Upstream]]:
        """By backend, the containers of a release that take requests, at the port that they have in that release."""
        given = {} if release == self.app.release else record_of(os.path.join(self.app.path, "releases", release)).get("backends", {})
        ports = {process: given.get(process, backend)["port"] for process, backend in self.app.backends.items()}
        running = [member for member in there if member.release == release and member.state == "running"]
        return {
            backend["name"]: [Upstream(one.id[:12], one.address, ports[process]) for one in running if one.process == process]
            for process, backend in self.app.backends.items()
        }

    def in_flight(self) -> int:
        return self.switch.in_flight(self._backends()) if self.switch and self.app.backends else 0

    def _backends(self) -> list[str]:
        return [backend["name"] for backend in self.app.backends.values()]

    def _all_running(self, there: Iterable[Member], release: str) -> dict[str, list[Upstream]]:
        wanted = self.upstreams(there, release)
        missing = sorted(backend for backend, upstreams in wanted.items() if not upstreams)
        if missing:
            raise ReleaseError(f"no container of the release {release} runs for {', '.join(missing)}, so the switch is left alone")
        return wanted

    def _rest(self) -> int:
        if not self.switch or not self.app.backends or self.check:
            return 0
        return self.switch.rest(self._backends())

    def _policy(self, members: Sequence[Member], policy: str) -> None:
        if members and not self.check:
            self.engine.must(["update", "--restart", policy, *(member.id for member in members)])

    def _do(self, verb: str, members: Sequence[Member]) -> None:
        if members and not self.check:
            # Without --time each container has the grace of its own definition.
            self.engine.must([verb, *(member.id for member in members)])
        self.done += [f"{verb} {member.name}" for member in members]

    def _start(self, members: Sequence[Member], made: Collection[str] = ()) -> None:
        """They run, and have had their time to become well. made: processes that have just been started."""
        down = {member.id for member in members if not member.running}
        self._do("start", [member for member in members if member.id in down])
        down |= {member.id for member in members if member.process in made}
        end = self.clock() + AGAIN_SECONDS
        while down and self.clock() < end and any(member.id in down and member.running and not member.well for member in self.observe()):
            self.sleep(0.25)

    def part(self, members: Sequence[Member]) -> Parting:
        """They go. With what is still open there they may end by themselves first, and are cut off after the grace of the web processes."""
        running = [member for member in members if member.running]
        patience = max((member.grace for member in running if member.process in self.app.backends), default=0.0)
        if self.switch and patience and not self.check and self.in_flight():
            names, switch = [member.id[:12] for member in running], self.switch
            parting = part(self.engine, running, patience, lambda: switch.open_at(self._backends(), names), self._rest, self.clock, self.sleep)
            self.done += [f"stop {member.name}" for member in running]
        else:
            parting = Parting(cut=self._rest())
            self._do("stop", running)
        if members and not self.check:
            self.engine.must(["rm", "--force", *(member.id for member in members)])
        self.done += [f"rm {member.name}" for member in members]
        return parting

    def _mark(self, mark: str, release: str) -> None:
        if release == self.marked(mark):
            return
        self.done.append(f"{mark} {release}")
        if self.check:
            return
        temporary = os.path.join(self.app.path, f".{mark}-{os.getpid()}")
        os.symlink(os.path.join("releases", release), temporary)
        os.replace(temporary, os.path.join(self.app.path, mark))

    def logs(self, members: Iterable[Member]) -> str:
        parts = []
        for member in members:
            said = self.engine.run(["logs", "--tail", str(LOG_LINES), member.id])
            parts.append(f"--- last lines of {member.name}:\n{(said.stdout + said.stderr).strip() or '(it logged nothing)'}")
        return "\n".join(parts)

    def _condition(self, member: Member) -> str:
        if member.state != "running":
            return f"{member.name} is {member.state} (exit status {member.exit_code})"
        return f"{member.name} is {member.health}"
