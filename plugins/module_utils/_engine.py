# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way to the container engine: its command line."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a finished command said."""

    args: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.rc == 0

    def reason(self) -> str:
        """The engine's own words, or the exit status when it had none."""
        return self.stderr.strip() or self.stdout.strip() or f"exit status {self.rc}"


class EngineError(Exception):
    """A command of the engine failed; the text is fit for a user."""

    def __init__(self, message: str, result: Result | None = None):
        super().__init__(message)
        self.result = result


Runner = Callable[..., Result]


def spawn(args: Sequence[str], stdin: str | bytes | None, timeout: float | None, env: dict[str, str], cwd: str | None) -> Result:
    """Run a command to its end; output that is not UTF-8 is kept readable."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    source = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    # pylint: disable-next=ansible-bad-function  # Without an AnsibleModule, so that it is used and tested without one.
    done = subprocess.run(list(args), capture_output=True, timeout=timeout, env=env, cwd=cwd, check=False, **source)
    return Result(tuple(args), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Engine:
    """The `docker` command line. `runner` stands in for it in tests."""

    def __init__(self, binary: str = "docker", env: dict[str, str] | None = None, runner: Runner = spawn):
        self.binary = binary
        self.runner = runner
        # Plain C messages: they are shown to users and searched by callers.
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}

    def run(self, args: Sequence[str], stdin: str | bytes | None = None, timeout: float | None = None, cwd: str | None = None) -> Result:
        """Run `docker ARGS`. A command that fails is a Result; one that cannot be run at all is an EngineError."""
        try:
            return self.runner([self.binary, *args], stdin=stdin, timeout=timeout, env=self.env, cwd=cwd)
        except FileNotFoundError as error:
            raise EngineError(f"{self.binary}: command not found; install the engine first (role longshore.stack.docker)") from error
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"docker {' '.join(args[:2])}: no answer within {timeout:g} s") from error

    def must(self, args: Sequence[str], stdin: str | bytes | None = None, timeout: float | None = None, cwd: str | None = None) -> Result:
        """Like run, but a failure is an EngineError with the engine's own words."""
        result = self.run(args, stdin=stdin, timeout=timeout, cwd=cwd)
        if not result.ok:
            raise EngineError(f"docker {' '.join(args[:2])}: {result.reason()}", result)
        return result

    def json(self, args: Sequence[str], timeout: float | None = None) -> Any:
        """The one JSON document that the command prints."""
        result = self.must(args, timeout=timeout)
        try:
            return json.loads(result.stdout)
        except ValueError as error:
            raise EngineError(f"docker {' '.join(args[:2])}: answer is not JSON: {result.stdout[:200]!r}", result) from error

    def json_lines(self, args: Sequence[str], timeout: float | None = None) -> list[Any]:
        """One JSON document for each line, as `--format '{{json .}}'` prints."""
        result = self.must(args, timeout=timeout)
        return [json.loads(line) for line in result.stdout.splitlines() if line.strip()]

    def api_version(self) -> tuple[int, ...]:
        """The newest that the engine speaks, such as (1, 45)."""
        return tuple(int(part) for part in self.must(["version", "--format", "{{.Server.APIVersion}}"]).stdout.strip().split("."))

    def inspect(self, kind: str, names: Sequence[str], timeout: float | None = None) -> list[dict[str, Any]]:
        """`docker KIND inspect` of what is there; missing names are left out."""
        if not names:
            return []
        result = self.run([kind, "inspect", *names], timeout=timeout)
        missing = "No such" in result.stderr or "not found" in result.stderr
        if not result.ok and not missing:
            raise EngineError(f"docker {kind} inspect: {result.reason()}", result)
        return json.loads(result.stdout or "[]")


# Between the polite signal to a command that has had its time, and the one that it cannot refuse.
KILL_SECONDS = 5
# What `timeout` answers for a command that it ended: coreutils 124, or 137 for the second signal; busybox what the command died of.
_ENDED = (124, 137, 143)
# No `timeout` in the image, or one without -k, such as that of an old busybox. Then the command has not begun.
_NO_TIMEOUT = re.compile(r'exec: "timeout"|^timeout: (?:unrecognized|invalid) option', re.MULTILINE)


def exec_within(execute: Callable[[list[str], float], Result], command: Sequence[str], seconds: float, clock: Callable[[], float] = time.monotonic) -> Result:
    """Run a command in a container and end it there at its limit: to end the client alone would let it go on.

    A script goes no further then; coreutils end what it had just started as well, busybox does not.
    execute: calls the engine with the words of the command and the seconds that it may take. An image without `timeout` has the client's limit alone.
    """
    limit, began = math.ceil(seconds), clock()
    result = execute(["timeout", "-k", str(KILL_SECONDS), str(limit), *command], limit + 2 * KILL_SECONDS)
    if not result.ok and _NO_TIMEOUT.search(result.stdout + result.stderr):
        return execute(list(command), seconds)
    if result.rc in _ENDED and clock() - began >= limit:
        raise EngineError(f"{command[0]} was ended after {limit} s") from subprocess.TimeoutExpired(list(command), seconds)
    return result
