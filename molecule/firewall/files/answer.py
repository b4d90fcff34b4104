# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program with open ports, on IPv4 and IPv6: answer.py tcp:9999 udp:9998 ..."""

from __future__ import annotations

import socketserver
import sys
import threading
from socket import AF_INET6


class Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if isinstance(self.request, tuple):
            self.request[1].sendto(b"here", self.client_address)
        else:
            self.request.sendall(b"here")


class TCP(socketserver.ThreadingTCPServer):
    address_family, allow_reuse_address, daemon_threads = AF_INET6, True, True


class UDP(socketserver.ThreadingUDPServer):
    address_family, allow_reuse_address = AF_INET6, True


servers = [(TCP if protocol == "tcp" else UDP)(("::", int(port)), Answer) for protocol, port in (word.split(":") for word in sys.argv[1:])]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
