# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _listeners
from ansible_collections.longshore.stack.plugins.module_utils._listeners import HandOver, listening

# Listens at two ports; then it does what it is told: a number is to listen once more at that one of them.
SERVER = """
import socket, sys
def listener(port):
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    found.listen()
    return found
there = [listener(0), listener(0)]
ports = [one.getsockname()[1] for one in there]
print(*ports, flush=True)
for line in map(str.strip, sys.stdin):
    if line == "take":
        client = there[0].accept()[0]
    elif line == "drop":
        client.close()
    elif line == "close":
        there[0].close()
    else:
        there.append(listener(ports[int(line)]))
    print("done", flush=True)
"""


class Server:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = [int(port) for port in self.process.stdout.readline().split()]

    def listens_once_more(self, number):
        self.tell(number)

    def tell(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def sockets(self):
        with listening(self.process.pid, self.ports) as found:
            return {name: one.getsockname()[1] for name, one in found.items()}


@pytest.fixture
def server():
    made = Server()
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_listeners, "STEADY", 0.1)


def until(fact):
    end = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


def can_be_had(server):
    try:
        server.sockets()
    except OSError as error:
        pytest.skip(f"the sockets of another process cannot be had here: {error}")


def test_the_old_sockets_stop_when_there_are_new_ones_at_every_port(server):
    can_be_had(server)
    old = server.sockets()
    assert sorted(old.values()) == sorted(server.ports)
    handing = HandOver(server.process.pid, server.ports)
    with handing.during():
        server.listens_once_more(0)
        time.sleep(0.3)
        assert old.items() <= server.sockets().items(), "one port is not all of them"
        server.listens_once_more(1)
        until(lambda: not old.keys() & server.sockets().keys())
    assert handing.done
    assert sorted(server.sockets().values()) == sorted(server.ports)
    for port in server.ports:
        socket.create_connection(("127.0.0.1", port), 5).close()


def test_without_new_sockets_all_stays_as_it_is(server):
    can_be_had(server)
    old, handing = server.sockets(), HandOver(server.process.pid, server.ports)
    with handing.during():
        time.sleep(0.3)
    assert (handing.done, server.sockets()) == (False, old)


def test_other_ports_are_left_alone(server):
    can_be_had(server)
    old = server.sockets()
    with HandOver(server.process.pid, server.ports[:1]).during():
        server.listens_once_more(0)
        until(lambda: sorted(server.sockets().values()) == sorted(server.ports))
    assert [name for name, port in old.items() if port == server.ports[1]] == [name for name, port in server.sockets().items() if port == server.ports[1]]


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_where_there_is_no_such_process_the_block_runs_all_the_same(pid):
    handing = HandOver(pid, [80])
    with handing.during():
        pass
    assert not handing.done


def test_what_the_process_closes_meanwhile_is_closed(server):
    """Also what does not listen: a copy that lived on would keep its client from seeing the end."""
    can_be_had(server)
    client = socket.create_connection(("127.0.0.1", server.ports[0]), 5)
    with HandOver(server.process.pid, server.ports).during():
        server.tell("take")
        time.sleep(0.2)
        server.tell("drop")
        client.settimeout(1)
        assert client.recv(1) == b""
        server.tell("close")
        time.sleep(0.2)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.ports[0]), 5)
    client.close()


def test_why_it_could_not_be_seen_to_is_said(monkeypatch):
    def refused(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_listeners, "_call", refused)
    with HandOver(1, [80]).during() as handing:
        pass
    assert (handing.done, handing.reason) == (False, "[Errno 1] Operation not permitted")
    with HandOver(1, []).during() as handing:
        pass
    assert handing.reason == "", "nobody asked for it"


def test_a_number_that_another_file_has_got_meanwhile_is_passed_over_and_closed(server, monkeypatch):
    can_be_had(server)
    real, before, taken = _listeners._call, len(os.listdir("/proc/self/fd")), []

    def stale(number, *arguments):
        if number != _listeners.PIDFD_GETFD:
            return real(number, *arguments)
        taken.append(os.open(os.devnull, os.O_RDONLY))
        return taken[-1]

    monkeypatch.setattr(_listeners, "_call", stale)
    with listening(server.process.pid, server.ports) as found:
        assert found == {}
    assert taken and len(os.listdir("/proc/self/fd")) == before


def test_nothing_of_the_copies_stays_open(server):
    can_be_had(server)
    before = len(os.listdir("/proc/self/fd"))
    with HandOver(server.process.pid, server.ports).during():
        server.listens_once_more(0)
        server.listens_once_more(1)
    assert len(os.listdir("/proc/self/fd")) == before
