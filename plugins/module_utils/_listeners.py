# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets on which a process listens, stopped from outside while it hands over to others at the same ports.

A server that is about to end and the one that comes after it both accept connections for a while. What the old one accepts last it may never answer: Go's
closes a connection whose first request it has not read when it shuts down. So its sockets stop listening before that, by shutdown(2) on a copy of them; it
answers whom it has accepted, and the kernel gives those who still wait to the other sockets (net.ipv4.tcp_migrate_req=1, Linux 5.14). A copy lives for a
moment only: while it does, what the process closes stays open.
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
# Seconds. LOOK: between two looks. STEADY: so long the new sockets must be there before the old ones are stopped.
LOOK, STEADY = 0.05, 0.5


def _call(number: int, *arguments: int) -> int:
    """The descriptor that a system call gives, or OSError."""
    found = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def _copy(process: int, number: int) -> socket.socket | None:
    """A copy of the socket that a process (a pidfd) has at this number; None where there is no socket any more."""
    try:
        taken = _call(PIDFD_GETFD, process, number, 0)
    except OSError as error:
        if error.errno == errno.EBADF:
            return None
        raise
    try:
        return socket.socket(fileno=taken)
    except OSError:  # a file has the number by now
        os.close(taken)
        return None


def _listens(one: socket.socket, ports: Collection[int]) -> bool:
    try:
        listens = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(listens) and one.getsockname()[1] in ports
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
            with contextlib.suppress(FileNotFoundError):
                name = os.readlink(f"/proc/{pid}/fd/{number}")
                one = _copy(process, int(number)) if name.startswith("socket:") and name not in found else None
                if one and _listens(one, ports):
                    found[name] = stack.enter_context(one)
                elif one:
                    one.close()
        yield found


class HandOver:
    """done: whether the sockets of before were stopped. reason: why it could not be seen to, '' where it could."""

    def __init__(self, pid: int, ports: Collection[int]):
        self.pid, self.ports, self.done, self.reason, self._ended = pid, ports, False, "", threading.Event()

    def _watch(self, before: dict[str, int]) -> None:
        """before: the port of each socket. They are stopped when each of these ports has had another one for a while."""
        since = None
        while not self._ended.wait(LOOK):
            with listening(self.pid, self.ports) as now:
                others = {one.getsockname()[1] for name, one in now.items() if name not in before}
                since = (since or time.monotonic()) if others >= set(before.values()) else None
                if since and time.monotonic() - since >= STEADY:
                    self.done = True
                    for name in before.keys() & now.keys():
                        with contextlib.suppress(OSError):  # the process was quicker
                            now[name].shutdown(socket.SHUT_RD)
                    return

    def _watched(self, before: dict[str, int]) -> None:
        try:
            self._watch(before)
        except OSError as error:  # what cannot be seen is left alone
            self.reason = str(error)

    @contextlib.contextmanager
    def during(self) -> Iterator[HandOver]:
        """While the block runs, the sockets of now stop listening as soon as there are others for each of their ports."""
        before: dict[str, int] = {}
        if self.ports:
            try:
                with listening(self.pid, self.ports) as now:
                    before = {name: one.getsockname()[1] for name, one in now.items()}
            except OSError as error:
                self.reason = str(error)
        watcher = threading.Thread(target=self._watched, args=(before,), daemon=True)
        if before:
            watcher.start()
        try:
            yield self
        finally:
            self._ended.set()
            if before:
                watcher.join()
