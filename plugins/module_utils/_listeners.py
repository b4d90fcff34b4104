# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets on which a process listens, stopped from outside while it hands over to others at the same ports.

A server that is about to end and the one that comes after it both accept connections for a while. What the old one accepts last it may never answer: Go's
closes a connection whose first request it has not read when it shuts down. So its sockets stop listening before that, by shutdown(2) on a copy of them; it
answers whom it has accepted, and the kernel gives those who still wait to the other sockets (net.ipv4.tcp_migrate_req=1, Linux 5.14).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator

# System calls that have the same number on every architecture; the copies need Linux 5.6 and the right to trace the process, which root has.
PIDFD_OPEN, PIDFD_GETFD = 434, 438
# Seconds. LOOK: between two looks. STEADY: so long the new sockets must be there; those of a configuration that fails at its start go at once.
LOOK, STEADY = 0.02, 0.5


def _call(number: int, *arguments: int) -> int:
    """The descriptor that a system call gives, or OSError."""
    found = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def _listens(one: socket.socket, ports: Collection[int]) -> bool:
    try:
        return (
            one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1 and one.getsockname()[1] in ports
        )
    except OSError:
        return False


@contextlib.contextmanager
def listening(pid: int, ports: Collection[int]) -> Iterator[dict[str, socket.socket]]:
    """Copies of the sockets on which the process listens at these ports, by the kernel's name for each; closed at the end of the block.

    Raises OSError where the process is gone, or its sockets cannot be had: no right to, an older kernel.
    """
    with contextlib.ExitStack() as stack:
        process = _call(PIDFD_OPEN, pid, 0)
        stack.callback(os.close, process)
        found: dict[str, socket.socket] = {}
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                name = os.readlink(f"/proc/{pid}/fd/{number}")
                if not name.startswith("socket:"):
                    continue
                one = stack.enter_context(socket.socket(fileno=_call(PIDFD_GETFD, process, int(number), 0)))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EBADF):
                    continue  # closed in the meantime
                raise
            if _listens(one, ports):
                found[name] = one
        yield found


class HandOver:
    """done: whether the sockets of before were stopped."""

    def __init__(self, pid: int, ports: Collection[int]):
        self.pid, self.ports, self.done, self._ended = pid, ports, False, threading.Event()

    def _others(self, before: dict[str, socket.socket]) -> bool:
        """Whether the process listens at every port of before with another socket, too."""
        with listening(self.pid, self.ports) as now:
            return {before[name].getsockname()[1] for name in before} <= {now[name].getsockname()[1] for name in now.keys() - before.keys()}

    def watch(self, before: dict[str, socket.socket]) -> None:
        since = None
        with contextlib.suppress(OSError):  # what cannot be seen is left alone
            while not self._ended.wait(LOOK):
                since = (since or time.monotonic()) if self._others(before) else None
                if since and time.monotonic() - since >= STEADY:
                    self.done = True
                    for one in before.values():
                        one.shutdown(socket.SHUT_RD)
                    return

    @contextlib.contextmanager
    def during(self) -> Iterator[HandOver]:
        """While the block runs, the sockets of now stop listening as soon as there are others for each of their ports."""
        with contextlib.ExitStack() as stack:
            try:
                before = stack.enter_context(listening(self.pid, self.ports))
            except OSError:
                before = {}
            watcher = threading.Thread(target=self.watch, args=(before,), daemon=True)
            if before:
                watcher.start()
                stack.callback(watcher.join)
                stack.callback(self._ended.set)
            yield self
