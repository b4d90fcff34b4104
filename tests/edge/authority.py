# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ACME authority in this network: Pebble, and a name server to which every name leads here. It tells of itself at a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from native import answers

# Of Pebble 2.4 in Debian 12 as of 2.6 in Debian 13.
KEY = {"id": "kid-1", "key": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}


def programs() -> None:
    """The authority and a client of it, installed where they are missing and can be."""
    missing = [name for name in ("pebble", "lego") if not shutil.which(name)]
    if missing:
        done = subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{' and '.join(missing)} of Debian cannot be installed here: {done.stderr.strip()[-200:]}")


class Authority:
    """folder: of its files. seconds: how long its certificates last. bound: it gives them to those alone who have its key."""

    port, management = 14000, 15000
    url = f"https://127.0.0.1:{port}/dir"

    def __init__(self, folder: Path, seconds: int = 90 * 86400, bound: bool = False):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.own = folder / "own.pem"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=authority"]
        names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(folder / "own.key"), "-out", str(self.own)]
        subprocess.run([*words, *names], check=True, capture_output=True)
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.own),
            "privateKey": str(folder / "own.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bound,
            "externalAccountMACKeys": {KEY["id"]: KEY["key"]},
            "certificateValidityPeriod": seconds,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}), encoding="utf-8")
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> Authority:
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        names = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
        names += ["-dns01", "127.0.0.1:8053", "-management", "127.0.0.1:8055"]
        for words in (names, ["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", "127.0.0.1:8053"]):
            log = (self.folder / f"{words[0]}.log").open("ab")
            self.running.append(subprocess.Popen(words, stdout=log, stderr=log, env=environment))
        end = time.monotonic() + 30
        while not (answers(self.port) and answers(self.management) and answers(8055)):
            assert time.monotonic() < end, self.said()
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
            process.wait(10)
        self.running = []

    def said(self) -> str:
        return (self.folder / "pebble.log").read_text(encoding="utf-8")

    def root(self) -> Path:
        """What a client has to trust; another one after each start."""
        path, known = self.folder / "root.pem", ssl.create_default_context(cafile=str(self.own))
        with urllib.request.urlopen(f"https://127.0.0.1:{self.management}/roots/0", context=known, timeout=10) as answer:
            path.write_bytes(answer.read())
        return path

    def txt(self, name: str, value: str) -> None:
        """What the DNS says of it."""
        verb, body = ("set", {"host": name, "value": value}) if value else ("clear", {"host": name})
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:8055/{verb}-txt", json.dumps(body).encode()), timeout=10).close()

    def leads(self, name: str, address: str) -> None:
        """The name leads there from now on."""
        body = json.dumps({"host": name, "addresses": [address]}).encode()
        urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8055/add-a", body), timeout=10).close()


if __name__ == "__main__":
    Authority(Path(sys.argv[1])).start()
    time.sleep(3600)
