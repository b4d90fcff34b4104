# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that outlives the call, and the connection, that started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

# The exit status is the last thing written, so who sees it sees the whole log.
_RUN = "sh ./job.sh >log 2>&1 </dev/null; echo $? >rc.new; mv rc.new rc"


class Job:
    """One folder, readable by root alone: the script, its log, its exit status. Whoever comes second attaches to the first."""

    def __init__(self, path: str):
        self.path = path

    def start(self, script: str, prepare: Callable[[str], None] = lambda path: None) -> bool:
        """Start the script in its folder, detached; False if it runs already. `prepare` fills the folder."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        lock = os.open(self.file("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        try:
            self._empty()
            prepare(self.path)
            self._write("job.sh", script)
            # The lock goes with the process: it is free again the moment the last of the job's processes ends, however it ends.
            # pylint: disable-next=ansible-bad-function  # It must outlive the module, which AnsibleModule.run_command does not do.
            process = subprocess.Popen(["/bin/sh", "-c", _RUN], cwd=self.path, start_new_session=True, pass_fds=(lock,), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
            self._write("pid", str(process.pid))
        finally:
            os.close(lock)
        return True

    def running(self) -> bool:
        """True from the start until the exit status is there, or the processes are gone."""
        if self.rc() is not None:
            return False
        try:
            lock = os.open(self.file("lock"), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def wait(self, seconds: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> bool:
        """True if the job ended within that time."""
        end = clock() + seconds
        while self.running():
            if clock() >= end:
                return False
            sleep(0.2)
        return True

    def started(self) -> bool:
        return os.path.exists(self.file("job.sh"))

    def age(self, now: Callable[[], float] = time.time) -> float:
        return now() - os.stat(self.file("job.sh")).st_mtime

    def rc(self) -> int | None:
        text = self.read("rc").strip()
        return int(text) if text else None

    def kill(self) -> None:
        """End the job with all its processes."""
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.killpg(int(self.read("pid")), signal.SIGTERM)

    def clear(self) -> None:
        """Remove the folder, in one step for everybody who looks."""
        gone = f"{self.path}.gone-{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, gone)
            shutil.rmtree(gone, ignore_errors=True)

    def read(self, name: str) -> str:
        """A file of the job as text; empty if it is not there."""
        try:
            with open(self.file(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _write(self, name: str, text: str) -> None:
        with open(self.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    def _empty(self) -> None:
        for name in os.listdir(self.path):
            if name != "lock":
                os.unlink(self.file(name))
