# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands behind the edge in its tests: `edge_upstream.py [ADDRESS:]PORT=NAME…` answers for processes, `edge_upstream.py --site FOLDER` writes files.

Each answer begins with the name of its process, so a test sees which route it got. Standard library alone: it runs on a test host, too.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

SEEN: list[str] = []
SITE = {"index.html": "<p>the start page</p>", "assets/app.js": "run()", "docs/index.html": "<p>docs</p>", ".git/config": "secret"}
WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Process(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""

    def answer(self) -> None:
        SEEN.append(f"{self.name} {self.command} {self.path}")
        where, length, digest = urlsplit(self.path), 0, hashlib.sha256()
        for part in self.body():
            length += len(part)
            digest.update(part)
        query = {key: values[0] for key, values in parse_qs(where.query).items()}
        last = where.path.rsplit("/", 1)[-1]
        if last == "ws" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
        elif last == "events":
            self.events(int(query.get("count", 3)))
        elif last == "slow":
            time.sleep(float(query["seconds"]))
            self.say(f"{self.name} {self.path}")
        elif last == "headers":
            self.say(json.dumps({"process": self.name, "headers": {key.lower(): value for key, value in self.headers.items()}}), "application/json")
        elif last == "seen":
            self.say(json.dumps(SEEN), "application/json")
        elif last == "long":
            self.say(f"{self.name} " + "text " * 20000)
        elif last == "part":
            self.say("part " * 1000, extra={"Content-Range": "bytes 0-4999/9000"}, status=206)
        elif last == "packed":
            self.say("as it is stored", extra={"Content-Encoding": "gzip"})
        elif last == "busy":
            self.say(self.name, status=503)
        elif last == "own":
            self.say(self.name, extra={"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"})
        elif length:
            self.say(json.dumps({"process": self.name, "length": length, "sha256": digest.hexdigest()}), "application/json")
        else:
            self.say(f"{self.name} {self.path}")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (part := self.rfile.read(min(left, 65536))):
            left -= len(part)
            yield part

    def say(self, text: str, kind: str = "text/plain", extra: dict[str, str] | None = None, status: int = 200) -> None:
        body = text.encode()
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(extra or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def events(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        # As the switch says it of what has no length.
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(count):
            self.wfile.write(f"data: {self.name} {number}\n\n".encode())
            self.wfile.flush()
            time.sleep(1)
        self.close_connection = True

    def websocket(self) -> None:
        """Says back what it gets, until the client goes."""
        key = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + WEBSOCKET).digest()).decode()
        self.send_response(101)
        for name, value in {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": key}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2 and head[0] & 15 != 8:
            mask, size = self.rfile.read(4), head[1] & 127
            text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(size)))
            self.wfile.write(struct.pack("BB", 0x81, size) + text)
            self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        """Says nothing: what was asked is in SEEN."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_args: object) -> None:
        """A client that goes away is no error."""


def serve(port: int, name: str, address: str = "") -> Server:
    server = Server((address, port), type(name, (Process,), {"name": name}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def write_site(folder: str) -> None:
    for path, text in SITE.items():
        place = os.path.join(folder, path)
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    if sys.argv[1] == "--site":
        write_site(sys.argv[2])
    else:
        for entry in sys.argv[1:]:
            where, name = entry.split("=")
            address, _colon, port = where.rpartition(":")
            serve(int(port), name, address)
        threading.Event().wait()
