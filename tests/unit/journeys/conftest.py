# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that the visitors of the journeys can ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "journeys"))
from load import Load  # noqa: E402  # found by the line above

GOOD = {"GET /version": {"release": "one"}, "POST /items": {"id": 7}, "GET /items/7": {"id": 7}}


class Server:
    """Answers as it is told by method and path; `wait` seconds later, if it is told so."""

    def __init__(self):
        self.answers: dict[str, object] = dict(GOOD)
        self.wait = 0.0
        self.port = 0
        self.up, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.up.set()
        while not self.over.is_set():
            await asyncio.sleep(0.02)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = head.lower().partition("content-length:")[2].split("\r\n")[0]
                await reader.readexactly(int(length or 0))
                await asyncio.sleep(self.wait)
                what = " ".join(head.split()[:2])
                body = json.dumps(self.answers[what]).encode()
                writer.write(f"HTTP/1.1 {201 if what.startswith('POST') else 200} ok\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    def load(self, **options: object) -> Load:
        """On a machine that has other work few of the requests are answered in time, and most tests are content with them."""
        return Load("shop.test", "127.0.0.1", None, port=self.port, **{"rate": 200, "least": 0.05, **options})


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.thread.start()
    assert made.up.wait(10)
    yield made
    made.over.set()
    made.thread.join(10)
