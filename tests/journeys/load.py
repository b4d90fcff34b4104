# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Visitors of the example application: so many requests a second, each of them counted, none of them tried again.

    with Load("app.prod.test", "10.89.0.2", authority) as load:
        ...
    assert load.result.failures == []

Requests are due at fixed moments, whatever became of those before, and their time counts from that moment: a server that stalls is seen in the
figures. A visitor who is more than a second late leaves out what it missed, so that a slow machine is not run over; how many those are is counted, too.
Three of four visitors keep their connection, the fourth makes a new one for each request; one request of five is a POST. Beside them
there may be slow requests, always some in flight, and uploads that take their time; and streams (server-sent events) and sockets (WebSockets) that
are always open. The server may end those when it has to go, and they come again at once; one that breaks off instead is a failure like any other.
A load that did not come about is an error at the end of the block (`NoLoad`): visitors who are gone, or far fewer requests than were wanted.

On its own it prints what it counted: load.py --name app.prod.test --address 10.89.0.2 --authority root.crt --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import load_open

TIMEOUT = 40.0
UPLOAD_BYTES = 100_000
ITEMS = 20
# Seconds in which the wanted rate must be reached.
WINDOW = 5
# The share of the requests that were due which must have been answered, whatever the answer was: a busy machine comes to more than that.
LEAST = 0.5
# Seconds for the preparation, with all that it waits for.
PATIENCE = 60
# What a server that does not do as it should, or a broken connection, comes up as; a time-out is an OSError, and so is whatever is wrong with TLS.
ILL = (OSError, EOFError, ValueError, LookupError, TypeError, asyncio.LimitOverrunError)


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be. moment: seconds since the load began."""

    moment: float
    kind: str
    request: str
    reason: str


@dataclass
class Result:
    """What became of all requests. Statuses by kind of visitor; releases by the answers of /version; doors: answers by the address of the proxy.

    open: by `streams` and `sockets`, how many were opened, ended by the server as it should be, broken, and left by the visitor in the end.
    """

    began: float = 0.0
    seconds: float = 0.0
    statuses: dict[str, Counter] = field(default_factory=dict)
    open: dict[str, Counter] = field(default_factory=dict)
    releases: Counter = field(default_factory=Counter)
    doors: Counter = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    times: list[tuple[float, float]] = field(default_factory=list)
    left_out: int = 0

    @property
    def requests(self) -> int:
        return sum(counter.total() for counter in self.statuses.values())

    def count(self, kind: str) -> int:
        return self.statuses.get(kind, Counter()).total()

    def percentile(self, share: float, first: float = 0.0, last: float = float("inf")) -> float:
        """Milliseconds that this share of the short requests took at most, of those that were due between two moments."""
        times = sorted(took for due, took in self.times if first <= due <= last)
        return 1000 * times[min(len(times) - 1, int(share * len(times)))] if times else 0.0

    def least_rate(self) -> float:
        """Short requests a second, in those seconds in a row that had the fewest: whether the wanted rate was reached for the whole time."""
        seconds = Counter(int(due) for due, _took in self.times)
        # What the last second had is not whole.
        counts = [seconds[second] for second in range(max(seconds, default=0))]
        return min((sum(counts[at : at + WINDOW]) / WINDOW for at in range(len(counts) - WINDOW + 1)), default=0.0)

    def line(self) -> str:
        kinds = ", ".join(f"{counter.total()} {kind}" for kind, counter in self.statuses.items())
        times = f"p50 {self.percentile(0.5):.0f} ms, p99 {self.percentile(0.99):.0f} ms"
        left_out = f", {self.left_out} left out by visitors who were late" if self.left_out else ""
        kinds += "".join(f"; {kind}: " + ", ".join(f"{number} {what}" for what, number in counter.items()) for kind, counter in self.open.items())
        pace = f"{self.requests} requests in {self.seconds:.0f} s, {self.requests / max(1, self.seconds):.0f} a second"
        pace += f", of the short ones at least {self.least_rate():.0f} in any {WINDOW} s"
        return f"{pace} ({kinds}), {len(self.failures)} failed, {times}{left_out}"

    def first_failures(self, most: int = 10) -> str:
        return "\n".join(f"{one.moment:8.2f} s  {one.kind}: {one.request}: {one.reason}" for one in self.failures[:most])


class NoLoad(AssertionError):
    """There were no visitors, or too few of them, so that their having seen no failure says nothing."""


class Connection:
    """HTTP/1.1 on one TLS connection, as plain as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str):
        self.reader, self.writer, self.name = reader, writer, name

    @property
    def usable(self) -> bool:
        """Not closed by the server meanwhile, as far as a client can know before it sends."""
        return not (self.reader.at_eof() or self.writer.is_closing())

    async def ask(self, method: str, path: str, body: bytes, keep: bool, pieces: int = 1) -> tuple[int, bytes]:
        kept = "keep-alive" if keep else "close"
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.name}\r\nConnection: {kept}\r\nAccept: */*\r\n"
        if method != "GET":
            head += f"Content-Type: application/{'json' if method == 'POST' else 'octet-stream'}\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(head.encode() + b"\r\n")
        size = len(body) // pieces + 1
        for start in range(0, len(body), size):
            if start:
                await asyncio.sleep(0.25)
            self.writer.write(body[start : start + size])
            await self.writer.drain()
        return await self._answer()

    async def _answer(self) -> tuple[int, bytes]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split()[1]), body

    def close(self) -> None:
        self.writer.close()


class Load:
    """Visitors in a thread of their own, from the beginning of the block to its end."""

    def __init__(
        self,
        name: str,
        address: str,
        authority: Path | None,
        rate: float = 200,
        visitors: int = 20,
        slow: int = 0,
        uploads: int = 0,
        streams: int = 0,
        sockets: int = 0,
        port: int = 443,
        beside: Sequence[tuple[str, Path]] = (),
        least: float = LEAST,
    ):
        """beside: address and authority of further proxies; the visitors are spread over all of them. least: like LEAST, for what breaks on purpose."""
        self.name, self.port = name, port
        self.rate, self.visitors, self.slow, self.uploads, self.least = rate, visitors, slow, uploads, least
        self.open = {"streams": (streams, load_open.events), "sockets": (sockets, load_open.echoes)}
        # Without an authority it is plain HTTP.
        self.doors = [(at, ssl.create_default_context(cafile=str(trusted)) if trusted else None) for at, trusted in [(address, authority), *beside]]
        self.result = Result()
        self.items: list[int] = []
        self.over = threading.Event()
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self.thread.start()
        if not self.ready.wait(PATIENCE) or self.error:
            self.over.set()
            reason = repr(self.error) if self.error else f"the preparation is not over after {PATIENCE} s"
            raise NoLoad(f"no visitors: {reason}\n{self.result.first_failures()}") from self.error
        return self

    def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
        # In the first second all of them connect, and what was due in the last one may be on its way.
        due = self.rate * max(0.0, self.now - 2)
        gone = not self.thread.is_alive()
        self.over.set()
        self.thread.join(2 * TIMEOUT)
        answered = len(self.result.times)
        if gone or self.error:
            reason = f"the visitors were gone before the end: {self.error!r}"
        elif self.thread.is_alive():
            reason = f"visitors do not come to an end, {2 * TIMEOUT:.0f} s after they should have"
        elif answered < self.least * due:
            reason = f"{answered} of about {due:.0f} requests that were due were answered, and {self.least:.0%} must be: {self.result.line()}"
        else:
            return
        if raised is None:
            raise NoLoad(reason) from self.error
        # Why the block ended comes first.
        raised.add_note(f"And there was no load: {reason}")

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            # Told by the thread that waits for this one.
            self.error = error
        finally:
            self.ready.set()

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self.result.began

    async def _all(self) -> None:
        self.result.began = time.monotonic()
        for number in range(ITEMS):
            await self._request("first", "POST", "/items", json.dumps({"name": f"load {number}"}).encode())
        # Those were preparation; what is measured begins now.
        self.result.began = time.monotonic()
        self.ready.set()
        all_of_them = [self._visitor(number) for number in range(self.visitors)]
        all_of_them += [self._again("slow", one, lambda _number: ("GET", "/slow?seconds=5", b"")) for one in range(self.slow)]
        all_of_them += [self._again("upload", one, lambda number, one=one: _upload(one, number)) for one in range(self.uploads)]
        all_of_them += [self._open(kind, one) for kind, (number, _live) in self.open.items() for one in range(number)]
        await asyncio.gather(*all_of_them)
        self.result.seconds = self.now

    async def _visitor(self, number: int) -> None:
        """Requests at their moments, all visitors evenly spread."""
        kind = "new" if number % 4 == 3 else "kept"
        period = self.visitors / self.rate
        connection: Connection | None = None
        turn = -1
        while True:
            turn += 1
            due = self.result.began + (turn + number / self.visitors) * period
            if (late := time.monotonic() - due) > 1:
                turn += int(late / period)
                self.result.left_out += int(late / period)
                continue
            while (left := due - time.monotonic()) > 0 and not self.over.is_set():
                await asyncio.sleep(min(left, 0.2))
            if self.over.is_set():
                break
            if connection and not connection.usable:
                connection.close()
                connection = None
            # Four neighbours by the same proxy, so that each has visitors of both kinds.
            connection = await self._request(kind, *self._next(turn * self.visitors + number), number // 4, connection, due, kind == "kept")
        if connection:
            connection.close()

    def _next(self, number: int) -> tuple[str, str, bytes]:
        # A step of its own for each visitor, or all POSTs would come from one in five of them.
        turn = (number + number // self.visitors) % 5
        if turn == 0:
            return "POST", "/items", b'{"name": "load"}'
        if turn == 1 and self.items:
            return "GET", f"/items/{self.items[number % len(self.items)]}", b""
        return "GET", "/version", b""

    async def _again(self, kind: str, one: int, make: Callable[[int], tuple[str, str, bytes]]) -> None:
        for number in itertools.count():
            if self.over.is_set():
                return
            await self._request(kind, *make(number), one)
            await asyncio.sleep(0.05)

    async def _open(self, kind: str, one: int) -> None:
        """A connection that is always open; when the server has ended it, the next one."""
        live, counter = self.open[kind][1], self.result.open.setdefault(kind, Counter(opened=0, ended=0, broken=0, left=0))
        while not self.over.is_set():
            began, broken, connection = time.monotonic(), counter["broken"], None
            try:
                async with asyncio.timeout(TIMEOUT):
                    connection = await self._connect(one)
                counter["opened"] += 1
                async for release in live(connection.reader, connection.writer, self.name, self.over.is_set):
                    self.result.releases.update([release] if release else [])
            except ILL as error:
                counter["broken"] += 1
                self._failed(kind, f"open since {began - self.result.began:.1f} s", f"{type(error).__name__} {error}".strip(), time.monotonic())
            else:
                counter["left" if self.over.is_set() else "ended"] += 1
            if connection:
                connection.close()
            # Nobody is hammered who is ill.
            await asyncio.sleep(0.05 + (counter["broken"] > broken))

    async def _request(
        self, kind: str, method: str, path: str, body: bytes, door: int = 0, connection: Connection | None = None, due: float = 0.0, keep: bool = False
    ) -> Connection | None:
        """One request, counted; the connection if it may be used again."""
        due = due or time.monotonic()
        connections = [connection] if connection else []
        statuses = self.result.statuses.setdefault(kind, Counter())
        try:
            async with asyncio.timeout(TIMEOUT):
                if not connections:
                    connections.append(await self._connect(door))
                status, answer = await connections[0].ask(method, path, body, keep, pieces=4 if kind == "upload" else 1)
        except ILL as error:
            statuses["broken"] += 1
            self._failed(kind, f"{method} {path}", f"{type(error).__name__} {error}".strip(), due)
            keep = False
        else:
            statuses[status] += 1
            self.result.doors[self.doors[door % len(self.doors)][0]] += 1
            if status != (200 if method == "GET" else 201):
                self._failed(kind, f"{method} {path}", f"status {status} {answer[:80]!r}", due)
            elif not self._learn(kind, path, answer):
                self._failed(kind, f"{method} {path}", f"status {status}, but not what was asked for: {answer[:80]!r}", due)
            if kind in ("kept", "new"):
                self.result.times.append((due - self.result.began, time.monotonic() - due))
        if keep and connections[0].usable:
            return connections[0]
        for one in connections:
            one.close()
        return None

    def _learn(self, kind: str, path: str, answer: bytes) -> bool:
        """False where the answer does not say what it should."""
        try:
            if path == "/version":
                self.result.releases[json.loads(answer)["release"]] += 1
            elif kind == "first":
                self.items.append(json.loads(answer)["id"])
        except ILL:
            return False
        return True

    def _failed(self, kind: str, request: str, reason: str, due: float) -> None:
        self.result.failures.append(Failure(round(due - self.result.began, 2), kind, request, reason))

    async def _connect(self, door: int) -> Connection:
        address, context = self.doors[door % len(self.doors)]
        reader, writer = await asyncio.open_connection(address, self.port, ssl=context, server_hostname=self.name if context else None)
        return Connection(reader, writer, self.name)


def _upload(stream: int, number: int) -> tuple[str, str, bytes]:
    return "PUT", f"/files/load-{stream}-{number % 10}.bin", bytes([number % 256]) * UPLOAD_BYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--name", required=True, help="host name of the application")
    parser.add_argument("--address", required=True, help="where to connect to, whatever the name resolves to")
    parser.add_argument("--authority", type=Path, required=True, help="the certificate authority to trust, the only one")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200, help="requests per second of all visitors (default: %(default)s)")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--slow", type=int, default=0, help="requests of 5 seconds that are always in flight")
    parser.add_argument("--uploads", type=int, default=0, help="uploads that are always in flight")
    parser.add_argument("--streams", type=int, default=0, help="server-sent events that are always open")
    parser.add_argument("--sockets", type=int, default=0, help="WebSockets that are always open")
    parser.add_argument("--port", type=int, default=443)
    options = vars(parser.parse_args())
    seconds = options.pop("seconds")
    load, reason = Load(**options), ""
    try:
        with load, contextlib.suppress(KeyboardInterrupt):
            time.sleep(seconds)
    except NoLoad as error:
        reason = str(error)
    result = load.result
    print(result.line())
    facts = {"statuses": result.statuses, "releases": result.releases, "p50_ms": result.percentile(0.5), "p99_ms": result.percentile(0.99)}
    print(json.dumps(facts, default=str, indent=1))
    print(result.first_failures(50))
    print(reason, end="\n" if reason else "")
    return 1 if result.failures or reason else 0


if __name__ == "__main__":
    sys.exit(main())
