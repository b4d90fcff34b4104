# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that a visitor keeps open: server-sent events and a WebSocket, byte by byte, so that a proper end is told from one that is cut off."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable

# Seconds in which something must come. The application sends an event a second, and answers a message at once.
SILENCE = 15.0
# What a server says that goes: it ends, goes away, restarts.
FAREWELLS = (1000, 1001, 1012)
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Broken(ValueError):
    """The server did not keep to the protocol, or ended without saying so."""


async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, over: Callable[[], bool]) -> AsyncIterator[str]:
    """The release in each event of GET /events until the server ends the stream as it should; an error where it ends otherwise."""
    writer.write(f"GET /events HTTP/1.1\r\nHost: {name}\r\nAccept: text/event-stream\r\n\r\n".encode())
    headers = await _head(reader, 200)
    if headers.get("transfer-encoding") != "chunked":
        raise Broken(f"a stream without chunks: {headers}")
    text, event = "", ""
    while not over():
        async with asyncio.timeout(SILENCE):
            size = int((await reader.readline()).split(b";")[0], 16)
            text += (await reader.readexactly(size + 2))[:-2].decode()
        if not size:
            if not event.startswith("event: end\n"):
                raise Broken(f"the stream ended after {event!r} instead of its last event")
            return
        while "\n\n" in text:
            event, _end, text = text.partition("\n\n")
            yield json.loads(event.rpartition("data: ")[2])["release"]


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, over: Callable[[], bool]) -> AsyncIterator[str]:
    """Something for each message that came back from the WebSocket /echo, until the server closes it as it should; an error where it ends otherwise."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    writer.write(f"GET /echo HTTP/1.1\r\nHost: {name}\r\n{upgrade}\r\n".encode())
    headers = await _head(reader, 101)
    if headers.get("sec-websocket-accept") != accept(key):
        raise Broken(f"another one's handshake: {headers}")
    for number in range(10**9):
        if over():
            writer.write(frame(CLOSE, (1000).to_bytes(2, "big")))
        else:
            writer.write(frame(PING, b"still there?") if number % 3 == 2 else frame(TEXT, f"message {number}".encode()))
        awaited = (CLOSE, b"") if over() else (PONG, b"still there?") if number % 3 == 2 else (TEXT, f"message {number}".encode())
        while True:
            async with asyncio.timeout(SILENCE):
                kind, payload = await _frame(reader)
            if kind == PING:
                writer.write(frame(PONG, payload))
            elif kind == CLOSE:
                code = int.from_bytes(payload[:2], "big")
                if code not in FAREWELLS:
                    raise Broken(f"closed with {code} {payload[2:]!r}")
                writer.write(frame(CLOSE, payload[:2]))
                return
            elif (kind, payload) == awaited:
                break
            else:
                raise Broken(f"frame {kind} {payload!r} instead of {awaited}")
        yield ""
        await asyncio.sleep(0.5)


async def _head(reader: asyncio.StreamReader, status: int) -> dict[str, str]:
    async with asyncio.timeout(SILENCE):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    if int(first.split()[1]) != status:
        raise Broken(f"status {first.split()[1]}")
    return {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


def accept(key: str) -> str:
    """What a server answers to this key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def frame(kind: int, payload: bytes) -> bytes:
    """A whole message of a client, masked as it must be; short ones only."""
    mask = secrets.token_bytes(4)
    return bytes([0x80 | kind, 0x80 | len(payload)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head, length = await reader.readexactly(2)
    if head & 0xF0 != 0x80 or length > 125:
        raise Broken(f"a frame that /echo does not send: {head:#x} {length}")
    return head & 0x0F, await reader.readexactly(length)
