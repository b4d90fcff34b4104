# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command in a container of its own, with the image, environment, secrets and networks of a release; what it says, and nothing secret of it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._masking import files_of, masked, secrets_of
from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_RUN

LABEL_RELEASE = "stack.longshore.migration.release"
LABEL_STEP = "stack.longshore.migration.step"
TAIL_LINES = 40
# Time for a command to stop what it does and say so, after the limit.
STOP_SECONDS = 3


class OneOffError(Exception):
    """It was not done; the text is fit for a user, `facts` go with it."""

    def __init__(self, message: str, **facts: Any):
        super().__init__(message)
        self.facts = facts


class Busy(OneOffError):
    """The container of another run came first."""


def tail(text: str, lines: int = TAIL_LINES) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])


def merge_streams(*streams: str) -> str:
    """Log lines with the engine's time in front, from several streams, in the order in which they were written and without the times."""
    lines = sorted((line.partition(" ")[::2] for stream in streams for line in stream.splitlines()), key=lambda pair: pair[0])
    return "\n".join(text for _time, text in lines)


def untimed(stream: str) -> str:
    return "\n".join(line.partition(" ")[2] for line in stream.splitlines())


def seconds_of(moment: str) -> float:
    """Epoch seconds of the engine's time, which has more digits than Python reads."""
    return datetime.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Found:
    """A one-off container that is there."""

    id: str
    running: bool
    release: str
    step: str
    started: float
    run: str = ""


class OneOff:
    """The one container of this name. The engine lets a name exist once, so two never run at the same time.

    What was started is called by its id: the name may already belong to the container of another run. what: in words, what runs in it.
    """

    def __init__(self, engine: Engine, name: str, what: str, project: str, path: str, service: str, release: str, working_dir: str | None = None):
        self.engine, self.name, self.what, self.path, self.service, self.release = engine, name, what, path, service, release
        self.working_dir = working_dir
        # Directories of the host beside or in place of the service's, as `source:target`.
        self.mounts: list[str] = []
        # The run under whose lease it works; whoever has the lease after a run that died ends what that one left.
        self.run = ""
        self.compose_file = os.path.join(path, "compose.yaml")
        self.compose = ["compose", "--project-directory", path, "-f", self.compose_file, "-p", project]

    def environment(self) -> dict[str, str]:
        """The environment that the service would get."""
        services = self.engine.json([*self.compose, "--profile", "*", "config", "--format", "json"], timeout=60).get("services", {})
        if self.service not in services:
            raise OneOffError(f"{self.path}/compose.yaml has no service {self.service}; it has {', '.join(sorted(services)) or 'none'}")
        given = services[self.service].get("environment") or {}
        return {name: str(value).replace("$$", "$") for name, value in given.items() if value is not None}

    def secrets(self, environment: Mapping[str, str]) -> list[str]:
        """What must not be shown of what it says."""
        return secrets_of(environment, files_of(self.compose_file))

    def find(self) -> Found | None:
        for info in self.engine.inspect("container", [self.name], timeout=60):
            labels, state = info["Config"]["Labels"], info["State"]
            named = (labels.get(LABEL_RELEASE, "?"), labels.get(LABEL_STEP, "?"))
            return Found(info["Id"], state["Running"], *named, seconds_of(state["StartedAt"]), labels.get(LABEL_RUN, ""))
        return None

    def start(self, step: str, command: Sequence[str], environment: Mapping[str, str], timeout: float) -> str:
        """The id of a detached container: it goes on when the connection to this host is cut, and its exit status is kept."""
        options = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        options += ["-w", self.working_dir] if self.working_dir else []
        options += [word for mount in self.mounts for word in ("-v", mount)]
        labels = ["-l", f"{LABEL_RELEASE}={self.release}", "-l", f"{LABEL_STEP}={step}"]
        labels += ["-l", f"{LABEL_RUN}={self.run}"] if self.run else []
        run = ["run", "--detach", "--no-deps", "-T", "--name", self.name, *labels, *options, self.service, *command]
        result = self.engine.run([*self.compose, *run], timeout=timeout)
        if result.ok:
            return result.stdout.split()[-1]
        said = "\n".join(line for line in result.reason().splitlines() if not re.match(r"\s*(Container|Network|Volume) \S+ +\w+ ?$", line))
        if "is already in use" in said:
            raise Busy(f"another {self.what} has just started in container {self.name}; run again when it has ended")
        self.remove(self.name)
        said = masked(said, self.secrets({}))
        raise OneOffError(f"cannot start {shlex.join(command[:2])} in service {self.service}: {said}", rc=result.rc)

    def wait(self, container: str, seconds: float) -> int | None:
        """The exit status, or None when it still runs after that time."""
        try:
            result = self.engine.run(["wait", container], timeout=seconds)
        except EngineError as error:
            if isinstance(error.__cause__, subprocess.TimeoutExpired):
                return None
            raise
        if not result.ok and "No such container" not in result.stderr:
            raise EngineError(f"docker wait {self.name}: {result.reason()}", result)
        if not result.ok:
            raise OneOffError(f"container {self.name} was removed by somebody else while the {self.what} ran; run again to see where it stands")
        return int(result.stdout)

    def output(self, container: str, lines: str = "all") -> tuple[str, str]:
        """Standard output, and both streams as one; nothing where another run has cleared the container away."""
        result = self.engine.run(["logs", "--timestamps", "--tail", lines, container], timeout=60)
        if not result.ok:
            return "", ""
        return untimed(result.stdout), merge_streams(result.stdout, result.stderr)

    def stop(self, container: str) -> None:
        self.engine.run(["stop", "-t", str(STOP_SECONDS), container], timeout=STOP_SECONDS + 30)

    def remove(self, container: str) -> None:
        self.engine.run(["rm", "--force", container], timeout=60)


def keep_output(path: str, when: float, what: str, rc: int | None, text: str) -> None:
    """Add the output of a command to a file that only root reads. rc: None where it was stopped at its time limit."""
    end = "stopped at the time limit" if rc is None else f"exit status {rc}"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        os.fchmod(handle, 0o600)
        file.write(f"== {datetime.fromtimestamp(round(when), UTC).isoformat()} {what}: {end}\n{text}\n")


class Command:
    """One command in slices: started, followed, ended at its limit, its output kept."""

    def __init__(self, container: OneOff, command: Sequence[str], timeout: float, environment: Mapping[str, str], output_path: str, clock: Callable[[], float]):
        self.container, self.command, self.timeout, self.environment = container, tuple(command), timeout, environment
        self.output_path, self.clock = output_path, clock

    def run(self, slice_seconds: float, resume: Mapping[str, Any]) -> dict[str, Any]:
        """The result, with `pending` when the slice was too short. A command that fails or hangs is a OneOffError with its last lines."""
        end, secrets = self.clock() + slice_seconds, self.container.secrets(self.container.environment())
        began, started = resume.get("began") or self.clock(), resume.get("container") or self._start()
        rc = self.container.wait(started, max(0.1, min(end - self.clock(), began + self.timeout - self.clock())))
        said = masked(self.container.output(started)[1], secrets)
        if rc is None and self.clock() < began + self.timeout:
            last = tail(said, 1).strip()[-160:]
            progress = f"{shlex.join(self.command)}, at most {self.timeout:g} s" + (f": {last}" if last else "")
            return {"changed": False, "pending": True, "progress": progress, "resume": {"began": began, "container": started}}
        if rc is None:
            self.container.stop(started)
            said = masked(self.container.output(started)[1], secrets)
        self.container.remove(started)
        if self.output_path:
            keep_output(self.output_path, self.clock(), shlex.join(self.command), rc, said)
        facts = {"output": tail(said), "duration": round(self.clock() - began, 2)}
        if rc is None:
            last = f"Its last output: {tail(said, 5)}" if said.strip() else "It had no output"
            raise OneOffError(f"{shlex.join(self.command)} did not end within {self.timeout:g} s and was stopped. {last}", **facts)
        if rc:
            raise OneOffError(f"{shlex.join(self.command)} exited {rc}\n{tail(said)}".rstrip(), rc=rc, **facts)
        return {"changed": True, "rc": 0, **facts}

    def _start(self) -> str:
        """Whoever may start it now has taken over from a run that died."""
        left = self.container.find()
        if left:
            self.container.remove(left.id)
        return self.container.start("command", self.command, self.environment, self.timeout)
