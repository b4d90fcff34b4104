# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the edge that trusts one authority alone, and sends what no decent client would."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pycurl

DOMAIN = "shop.test"
APP = f"app.{DOMAIN}"


@dataclass(frozen=True)
class Answer:
    """Status 0: the connection ended without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Edge:
    """address: of the proxy. authority: PEM file. change: gives the proxy another configuration, with 0 the first one.
    maintenance: puts a page up (or, without, down).

    proxy: which it is. patience: seconds until a page of maintenance comes and goes; with 0, at once. source: the client's address, where it has several.
    """

    address: str
    http_port: int
    https_port: int
    authority: str
    change: Callable[[int], None]
    maintenance: Callable[[str], None]
    proxy: str = "caddy"
    patience: float = 0
    source: str = ""

    def connect(self, name: str = APP, secure: bool = True, timeout: float = 30, context: ssl.SSLContext | None = None) -> socket.socket:
        plain = socket.create_connection((self.address, self.https_port if secure else self.http_port), timeout, (self.source, 0) if self.source else None)
        if not secure:
            return plain
        try:
            return (context or ssl.create_default_context(cafile=self.authority)).wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def raw(self, request: bytes, name: str = APP, secure: bool = True, timeout: float = 30) -> list[Answer]:
        """All answers to whatever was sent."""
        with self.connect(name, secure, timeout) as connection:
            # Who is sent away in the middle of what he says may still be answered.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                connection.sendall(request)
            return list(read_all(connection))

    def ask(
        self,
        path: str,
        host: str = APP,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        secure: bool = True,
        timeout: float = 30,
    ) -> Answer:
        given = {"Host": host, "Connection": "close", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in given.items()) + "\r\n"
        return next(iter(self.raw(head.encode() + body, host.partition(":")[0], secure, timeout)), Answer(0))

    def curl(self, path: str, *options: str) -> str:
        words = ["curl", "-sS", "-m", "30", "--cacert", self.authority, "--connect-to", f"::{self.address}:{self.https_port}", *options]
        done = subprocess.run([*words, f"https://{APP}{path}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def http2(self) -> Http2:
        return Http2(self)

    def seen(self) -> list[str]:
        """What the processes were asked for."""
        return self.ask("/seen").json


class Http2:
    """A client of HTTP/2 alone that keeps one connection, and sends again on another one what the server says it has not begun with (GOAWAY)."""

    def __init__(self, edge: Edge):
        self.edge, self.handle = edge, pycurl.Curl()

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *_error: object) -> None:
        self.handle.close()

    def post(self, path: str, body: bytes) -> int:
        """The status of the answer; 0 where it came over another version."""
        self.handle.reset()
        options = {
            pycurl.URL: f"https://{APP}{path}",
            pycurl.CONNECT_TO: [f"::{self.edge.address}:{self.edge.https_port}"],
            pycurl.CAINFO: self.edge.authority,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS,
            pycurl.COPYPOSTFIELDS: body.decode(),
            pycurl.WRITEFUNCTION: len,
            pycurl.TIMEOUT: 30,
            pycurl.NOSIGNAL: 1,
            pycurl.PROXY: "",
        }
        for option, value in options.items():
            self.handle.setopt(option, value)
        self.handle.perform()
        return self.handle.getinfo(pycurl.RESPONSE_CODE) if self.handle.getinfo(pycurl.INFO_HTTP_VERSION) == pycurl.CURL_HTTP_VERSION_2_0 else 0


def read_all(connection: socket.socket) -> Sequence[Answer]:
    data, found = b"", []
    try:
        while part := connection.recv(65536):
            data += part
    except (ConnectionResetError, ssl.SSLError, TimeoutError):
        pass
    while b"\r\n\r\n" in data:
        head, _blank, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _colon, value in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split()[1])
        if "chunked" in headers.get("transfer-encoding", ""):
            body, data = chunked(data)
        else:
            size = int(headers.get("content-length", 0 if status < 200 or status in (204, 304) else len(data)))
            body, data = data[:size], data[size:]
        found.append(Answer(status, headers, body))
    return found


def chunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while match := re.match(rb"([0-9a-fA-F]+)[^\r\n]*\r\n", data):
        size, start = int(match[1], 16), match.end()
        body, data = body + data[start : start + size], data[start + size + 2 :]
        if not size:
            break
    return body, data


class WebSocket:
    def __init__(self, edge: Edge, path: str = "/ws"):
        self.connection = edge.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {APP}\r\n{upgrade}\r\n".encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head and (part := self.connection.recv(1)):
            self.head += part

    def says(self, text: str) -> str:
        """What comes back."""
        mask, data = os.urandom(4), text.encode()
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self.connection.sendall(struct.pack("BB", 0x81, 0x80 | len(data)) + mask + masked)
        got = b""
        while len(got) < 2 + len(data) and (part := self.connection.recv(4096)):
            got += part
        return got[2:].decode()

    def close(self) -> None:
        self.connection.close()


@dataclass
class Load:
    """Requests on fresh and on kept HTTP/1.1 connections and on those of HTTP/2 clients at the same time, counted."""

    edge: Edge
    kept: int = 0
    fresh: int = 0
    http2: int = 0
    lost_kept: int = 0
    lost_fresh: int = 0
    lost_http2: int = 0
    reasons: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def run(self, during: Callable[[], None], keepers: int = 8, clients: int = 2, rate: float = 20) -> Load:
        """keepers, clients: how many keep a connection, of HTTP/1.1 and of HTTP/2. rate: fresh connections in a second."""
        threads = [threading.Thread(target=self._keep) for _number in range(keepers)] + [threading.Thread(target=self._fresh, args=(rate,))]
        threads += [threading.Thread(target=self._http2) for _number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            during()
        finally:
            self._end.set()
            for thread in threads:
                thread.join()
        return self

    def _fresh(self, rate: float) -> None:
        while not self._end.wait(1 / rate):
            self.fresh += 1
            try:
                answer = self.edge.ask("/", method="POST", body=b"x")
                assert answer.status == 200, answer
            except Exception as error:
                self.lost_fresh += 1
                self.reasons.append(f"{time.time():.3f} fresh {error!r}")

    def _http2(self) -> None:
        with self.edge.http2() as client:
            while not self._end.wait(0.04):
                self.http2 += 1
                try:
                    status = client.post("/", b"x")
                    assert status == 200, status
                except Exception as error:
                    self.lost_http2 += 1
                    self.reasons.append(f"{time.time():.3f} http2 {error!r}")

    def _keep(self) -> None:
        connection = None
        while not self._end.wait(0.04):
            try:
                connection = connection or self.edge.connect()
            except Exception as error:
                self.lost_fresh += 1
                self.reasons.append(f"{time.time():.3f} connect {error!r}")
                continue
            self.kept += 1
            try:
                head = post(connection)
            except Exception as error:
                self.lost_kept += 1
                self.reasons.append(f"{time.time():.3f} kept {error!r}")
                head = b"connection: close"
            if b"connection: close" in head.lower():
                connection.close()
                connection = None
        if connection:
            connection.close()


def post(connection: socket.socket) -> bytes:
    """A request on a connection that goes on; the head of its answer."""
    connection.sendall(f"POST / HTTP/1.1\r\nHost: {APP}\r\nContent-Length: 1\r\n\r\nx".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, "closed without an answer"
        data += part
    head, _blank, body = data.partition(b"\r\n\r\n")
    assert head.split()[1] == b"200", head
    size = int(re.search(rb"content-length: (\d+)", head.lower())[1])
    while len(body) < size:
        part = connection.recv(65536)
        assert part, "closed in the middle of an answer"
        body += part
    return head
