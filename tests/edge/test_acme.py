# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates from a real ACME authority, as a client sees them who trusts it alone."""

from __future__ import annotations

import http.server
import json
import os
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authority import KEY, Authority, programs
from edge_client import APP, Edge
from edge_upstream import serve
from native import Program, answers, edge_of, own_network, program, role_variable

from ansible_collections.longshore.stack.plugins.module_utils import _routes
from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile

SOAK = os.environ.get("STACK_SOAK") == "1"
# As the role of the stack has it on a host that trusts the authority.
GIVEN = {"stack_tls": "acme", "stack_acme_email": "ops@shop.test", "stack_acme_directory": Authority.url}


@pytest.fixture(scope="module", autouse=True)
def network():
    programs()
    program("caddy")
    own_network()
    server = serve(20001, "web")
    yield
    server.shutdown()


@pytest.fixture
def authority(tmp_path, request):
    """One of its own for each test; `authority` in its parameters is what it is made of."""
    found = Authority(tmp_path / "authority", **getattr(request, "param", {})).start()
    yield found
    found.stop()


class Proxy:
    """A Caddy with the routes of names, all to the same process. address: where it listens, and its number among several."""

    def __init__(self, folder: Path, authority: Authority, number: int = 1, extra: str = "", **variables):
        self.folder, self.authority, self.extra = folder / f"proxy{number}", authority, extra
        self.address, self.admin = f"127.0.0.{number}", 2018 + number
        self.variables = {**GIVEN, **variables}
        self.folder.mkdir(exist_ok=True)
        self.environment = {"XDG_DATA_HOME": str(self.folder / "data"), "XDG_CONFIG_HOME": str(self.folder / "config"), "SSL_CERT_FILE": str(authority.own)}
        self.environment["EDGE_BIND"] = f"default_bind {self.address}"
        self.running: Program | None = None

    def write(self, *names: str, peers: tuple[str, ...] = ()) -> None:
        apps = [{"name": "shop", "processes": [{"name": "web", "port": 8000, "switch_port": 20001, "routes": [{"host": name} for name in names]}]}]
        groups = {"stack_apps": apps, "stack_routes": []}
        text = caddyfile(edge_of(None, peers=peers, **self.variables, **groups), self.extra).replace("127.0.0.1:2019", f"127.0.0.1:{self.admin}")
        (self.folder / "Caddyfile").write_text(text.replace("/run/secrets", str(self.folder)), encoding="utf-8")

    def start(self, *names: str, **others) -> Proxy:
        self.write(*names, **others)
        self.again()
        return self

    def again(self) -> None:
        words = [program("caddy"), "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]
        self.running = Program(words, self.folder, lambda: answers(443, self.address), self.environment)

    def change(self, *names: str) -> None:
        self.write(*names)
        command = role_variable("caddy", "__caddy_reload").replace("/etc/caddy/Caddyfile", str(self.folder / "Caddyfile"))
        command = command.replace("exec caddy", f"exec {program('caddy')}")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ, **self.environment}, check=False)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        if self.running:
            self.running.stop()
            self.running = None

    def client(self) -> Edge:
        return Edge(self.address, 80, 443, str(self.authority.root()), lambda _number: None, lambda _text: None)

    def serial(self, name: str = APP) -> str:
        """The number of its certificate for a name, which a client has looked at."""
        with self.client().connect(name) as connection:
            return connection.getpeercert()["serialNumber"]

    def why(self, name: str) -> str:
        """What the stack would say of a name that has no certificate."""
        found = re.findall(_routes.CERTIFICATE_LOGS["caddy"].format(name=re.escape(name)), self.running.log.read_text(encoding="utf-8"))
        return found[-1] if found else ""


@pytest.fixture
def proxy(tmp_path, authority):
    """Makes proxies, which end with the test."""
    made: list[Proxy] = []

    def make(**others) -> Proxy:
        made.append(Proxy(tmp_path, authority, **others))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def until(good: Callable[[], object], seconds: float = 30) -> float:
    """Seconds until it is so."""
    begin = time.monotonic()
    while True:
        try:
            if good():
                return time.monotonic() - begin
            reason = "it is not"
        except OSError as error:
            reason = str(error)
        assert time.monotonic() - begin < seconds, reason
        time.sleep(0.1)


def serves(proxy: Proxy, name: str = APP) -> bool:
    return proxy.client().ask("/hello", name).text == "web /hello"


@pytest.mark.parametrize("challenge", ["auto", "http", "tls"])
def test_a_name_gets_a_certificate_that_outlives_its_proxy(proxy, authority, challenge):
    begin = time.monotonic()
    caddy = proxy(stack_acme_challenge=challenge).start(APP)
    until(lambda: serves(caddy))
    print(f"from nothing to an answer with a valid certificate: {time.monotonic() - begin:.1f} s")
    serial, orders, accounts = caddy.serial(), authority.said().count("Added order"), authority.said().count("accounts in memory")
    used = set(re.findall(r'"challenge_type":"(.+?)"', caddy.running.log.read_text(encoding="utf-8")))
    assert used == {"http": {"http-01"}, "tls": {"tls-alpn-01"}}.get(challenge, used)
    caddy.stop()
    caddy.again()
    until(lambda: serves(caddy))
    assert caddy.serial() == serial
    assert (authority.said().count("Added order"), authority.said().count("accounts in memory")) == (orders, accounts)


def test_an_added_name_gets_one_of_its_own_from_the_same_account_and_a_wrong_one_is_named_and_harms_nobody(proxy, authority):
    caddy = proxy().start(APP)
    until(lambda: serves(caddy))
    serial = caddy.serial()
    authority.leads("wrong.shop.test", "192.0.2.1")
    caddy.change(APP, "more.shop.test", "wrong.shop.test")
    until(lambda: serves(caddy, "more.shop.test"))
    assert caddy.serial() == serial != caddy.serial("more.shop.test")
    assert authority.said().count("accounts in memory") == 1
    until(lambda: caddy.why("wrong.shop.test"))
    assert re.search(r"urn:ietf:params:acme:error:\w+", caddy.why("wrong.shop.test")), caddy.why("wrong.shop.test")
    with pytest.raises(ssl.SSLError):
        caddy.client().connect("wrong.shop.test")
    assert serves(caddy) and caddy.why(APP) == ""


@pytest.mark.parametrize("authority", [{"seconds": 24}], indirect=True)
def test_a_certificate_is_renewed_in_time_and_the_old_one_stays_while_the_authority_is_down(proxy, authority):
    caddy = proxy(extra="renew_interval 1s").start(APP)
    until(lambda: serves(caddy))
    first = caddy.serial()
    until(lambda: caddy.serial() != first, 25)
    second = caddy.serial()
    # The client goes on to trust what it knows of the authority.
    root = caddy.authority.root().read_bytes()
    authority.stop()
    until(lambda: caddy.why(APP), 25)
    (authority.folder / "kept.pem").write_bytes(root)
    client = Edge(caddy.address, 80, 443, str(authority.folder / "kept.pem"), lambda _number: None, lambda _text: None)
    with client.connect() as connection:
        assert connection.getpeercert()["serialNumber"] == second
    assert "connection refused" in caddy.why(APP)


def test_an_authority_that_is_down_at_the_start_is_asked_again(proxy, authority):
    authority.stop()
    caddy = proxy().start(APP)
    until(lambda: caddy.why(APP))
    assert "connection refused" in caddy.why(APP)
    # It answers over HTTP, and what is running goes on.
    assert answers(80, caddy.address)
    authority.start()
    if not SOAK:
        caddy.stop()
        caddy.again()
    # By itself Caddy tries again after a minute.
    until(lambda: serves(caddy), 100)


class Limited(http.server.BaseHTTPRequestHandler):
    """An authority that takes no more orders; all else is the real one's."""

    authority: Authority

    def _answer(self, status: int, body: dict, kind: str = "application/json") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), ("Replay-Nonce", "x"), ("Retry-After", "3600")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        real = f"https://127.0.0.1:{Authority.port}"
        found = {"newNonce": "/nonce-plz", "newAccount": "/sign-me-up", "revokeCert": "/revoke-cert", "keyChange": "/rollover-account-key"}
        self._answer(200, {**{name: real + path for name, path in found.items()}, "newOrder": "https://127.0.0.1:14001/order", "meta": {}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already issued for this name", "status": 429}
        self._answer(429, problem, "application/problem+json")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def limited(authority):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 14001), Limited)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.own, authority.folder / "own.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "https://127.0.0.1:14001/dir"
    server.shutdown()
    server.server_close()


def test_an_authority_that_gives_no_more_says_so(proxy, limited):
    caddy = proxy(stack_acme_directory=limited).start(APP)
    until(lambda: caddy.why(APP))
    assert "rateLimited" in caddy.why(APP) and "too many certificates" in caddy.why(APP)


@pytest.mark.parametrize("authority", [{"bound": True}], indirect=True)
def test_an_authority_that_wants_to_know_its_customers_gets_their_key(proxy, authority):
    stranger = proxy(number=1).start(APP)
    until(lambda: stranger.why(APP))
    assert "externalAccountRequired" in stranger.why(APP)
    stranger.stop()
    known = proxy(number=2, stack_acme_eab=KEY)
    (known.folder / "acme_eab").write_text(f"eab {KEY['id']} {KEY['key']}\n", encoding="ascii")
    authority.leads(APP, known.address)
    known.start(APP)
    until(lambda: serves(known))
    assert KEY["key"] not in (known.folder / "Caddyfile").read_text(encoding="utf-8") + known.running.log.read_text(encoding="utf-8")


def test_each_of_several_proxies_gets_a_certificate_whichever_of_them_the_authority_asks(proxy, authority):
    several = [proxy(number=number) for number in (1, 2, 3)]
    for one in several:
        one.start(APP, peers=tuple(f"{other.address}:80" for other in several if other is not one))
    # The third one alone is asked.
    authority.leads(APP, several[2].address)
    for one in several:
        until(lambda one=one: serves(one))
    assert len({one.serial() for one in several}) == 3
    # What nobody has begun is nobody's.
    answer = several[0].client().ask("/.well-known/acme-challenge/unknown", secure=False)
    assert answer.status == 308
