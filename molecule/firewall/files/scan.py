# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports of a host answer, with a connection or with a refusal: scan.py ADDRESS [tcp:PORT udp:PORT ...]; without ports all of TCP. Prints JSON."""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import sys
import time

AT_ONCE = 15000
SECONDS = 1.0

ADDRESS, WANTED = sys.argv[1], sys.argv[2:] or [f"tcp:{port}" for port in range(1, 65536)]
FAMILY = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
ANSWERS: dict[str, str] = {}


def ask(batch: list[str]) -> None:
    poll, waiting = select.poll(), {}
    for word in batch:
        protocol, port = word.split(":")
        sock = socket.socket(FAMILY, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect_ex((ADDRESS, int(port)))
        if protocol == "udp":
            sock.send(b"?")
        waiting[sock.fileno()] = (sock, word)
        poll.register(sock, select.POLLOUT if protocol == "tcp" else select.POLLIN)
    end = time.monotonic() + SECONDS
    while waiting and (left := end - time.monotonic()) > 0:
        for handle, _event in poll.poll(left * 1000):
            sock, word = waiting.pop(handle)
            poll.unregister(handle)
            problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem in (0, errno.ECONNREFUSED):
                ANSWERS[word] = "refused" if problem else "open"
            sock.close()
    for sock, _word in waiting.values():
        sock.close()


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, AT_ONCE + 100), hard))
# A port that was silent is asked once more: a busy machine may need longer.
for _round in range(2):
    silent = [word for word in WANTED if word not in ANSWERS]
    for start in range(0, len(silent), AT_ONCE):
        ask(silent[start : start + AT_ONCE])
print(json.dumps({kind: sorted(word for word, answer in ANSWERS.items() if answer == kind) for kind in ("open", "refused")}))
