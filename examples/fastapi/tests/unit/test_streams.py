"""Connections that stay open, also on the server that serves in production, when it is told to stop."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.main import create_app
from app.settings import settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client():
    with TestClient(create_app()) as client:
        yield client


def stop_soon(client, seconds):
    threading.Timer(seconds, client.portal.call, (client.app.state.stopping.set,)).start()


def test_events_tell_the_release_once_a_second_and_say_when_they_end(client):
    stop_soon(client, 1.5)
    answer = client.get("/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *events, last = answer.text.strip().split("\n\n")
    assert len(events) == 2
    assert {json.loads(event.removeprefix("data: "))["release"] for event in events} == {settings().release}
    assert last.startswith("event: end\n")


def test_an_echo_sends_back_what_it_got_until_the_server_stops(client):
    with client.websocket_connect("/echo") as socket_:
        for text in ("one", "two"):
            socket_.send_text(text)
            assert socket_.receive_text() == text
        stop_soon(client, 0)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket_.receive_text()
    assert closed.value.code == 1001


def test_an_echo_ends_with_its_visitor(client):
    with client.websocket_connect("/echo") as socket_:
        socket_.send_text("bye")
        socket_.close()
    assert client.get("/health").status_code == 200


@pytest.fixture
def server():
    """Gunicorn as the image runs it, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    process = subprocess.Popen([sys.executable, "-m", "gunicorn"], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
    process.port = port
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "gunicorn does not listen"
            time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def test_the_server_ends_both_properly_and_at_once_when_it_has_to_stop(server):
    visitor = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with closing(visitor), connect(f"ws://127.0.0.1:{server.port}/echo") as echo:
        visitor.request("GET", "/events")
        answer = visitor.getresponse()
        assert answer.readline().startswith(b"data: ")
        echo.send("still there?")
        assert echo.recv(timeout=10) == "still there?"

        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        # A body that is cut off is an error here: it has no last chunk.
        assert answer.read().decode().strip().split("\n\n")[-1].startswith("event: end\n")
        with pytest.raises(ConnectionClosed) as closed:
            echo.recv(timeout=10)
        # The server's own word, where it is quicker, is 1012: it restarts.
        assert closed.value.rcvd.code in (1001, 1012)
        assert server.wait(10) == 0
        assert time.monotonic() - began < 5
