# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that can do one thing: registry.py USER PASSWORD lets this user in, over TLS."""

from __future__ import annotations

import base64
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXPECTED = "Basic " + base64.b64encode(":".join(sys.argv[1:3]).encode()).decode()


class Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.headers.get("Authorization") == EXPECTED else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", "0")
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", 5000), Registry)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/registry.pem", "/srv/registry.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
