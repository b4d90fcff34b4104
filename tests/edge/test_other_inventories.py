# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each proxy does with other inventories than the suite's: services, several application hosts, given certificates, no TLS, a load balancer before it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import edge_upstream
import pytest
from edge_client import APP, Edge, read_all
from native import INVENTORY, TRUSTED, answers, own_network, processes
from proxies import PROXIES

from ansible_collections.longshore.stack.plugins.module_utils import _routes

CONSOLE, S3 = "queues.shop.test", "s3.shop.test"
FIRST, SECOND = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module", autouse=True)
def network():
    own_network()


@pytest.fixture(params=PROXIES)
def kind(request):
    return request.param


@pytest.fixture
def run(kind, tmp_path):
    """Runs the proxy until the test ends: the edge."""
    running = []

    def start(**variables) -> Edge:
        running.append(PROXIES[kind](tmp_path, **variables))
        return running[0].__enter__()

    yield start
    for one in running:
        one.__exit__(None, None, None)


def until(good: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end
        time.sleep(0.1)


# -- services ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def services(run):
    """A console beside the proxy, and S3 on another host."""
    servers = [edge_upstream.serve(15672, "console", FIRST), edge_upstream.serve(9000, "s3", SECOND)]
    routes = [{"host": CONSOLE, "service": "rabbitmq", "allow": [f"{SECOND}/32"]}, {"host": S3, "service": "s3"}]
    with processes():
        yield run(stack_routes=routes, groups={"rabbitmq": ["box"], "minio": [SECOND]})
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_console_is_for_its_networks_alone_and_gets_what_its_pages_ask_for(services):
    team = dataclasses.replace(services, source=SECOND)
    assert services.ask("/", CONSOLE).status == 403
    # RabbitMQ's pages call the virtual host `/` so.
    assert team.ask("/api/queues/%2F/orders?page=1", CONSOLE).text == "console /api/queues/%2F/orders?page=1"
    assert team.ask("/api/headers", CONSOLE, headers={"Authorization": "Basic YTpi"}).json["headers"]["authorization"] == "Basic YTpi"


SIGNED = {"x-amz-date": "20260101T000000Z", "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "authorization": "AWS4-HMAC-SHA256 x", "range": "bytes=0-9"}
PATHS = ["/shop/a%2Fb", "/shop/a+b%20c", "/shop/%C3%A4", "/shop/~a'(b)*", "/shop?list-type=2&prefix=a%2Fb&delimiter=%2F", "/shop/x?uploads"]
ODD = ["/shop/a//b", "/shop/a/../b", "/shop/./b"]


def test_s3_sees_what_was_signed(services):
    for path in PATHS if (services.proxy, "service") in _routes.REMARKS else [*PATHS, *ODD]:
        assert services.ask(path, S3).text == f"s3 {path}"
    for encoding in ("identity", "deflate"):
        given = {**SIGNED, "accept-encoding": encoding}
        found = services.ask("/shop/headers", S3, headers=given).json["headers"]
        assert {name: found.get(name) for name in ("host", *given)} == {"host": S3, **given}


def test_s3_gets_a_large_object_while_it_is_sent_and_gives_its_size(services):
    part, count, digest = os.urandom(1048576), 30, hashlib.sha256()
    head = f"PUT /shop/large HTTP/1.1\r\nHost: {S3}\r\nContent-Length: {len(part) * count}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with services.connect(S3) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        for number in range(count):
            connection.sendall(part)
            digest.update(part)
            if number == 1:
                until(lambda: "s3 PUT /shop/large" in edge_upstream.SEEN, 5)
        answer = read_all(connection)[-1]
    assert answer.json == {"process": "s3", "length": len(part) * count, "sha256": digest.hexdigest()}
    assert services.ask("/shop/long", S3, "HEAD").headers["content-length"] == "100003"


# -- guarded files -----------------------------------------------------------------------------------------------------------

FILES, INSIDE, OPEN = "files.shop.test", "inside.shop.test", "open.shop.test"
PASSWORD = "canary-of-the-edge"


@pytest.fixture
def guarded(run):
    """Files behind a password and files for a network alone, each with an upstream beside them at the same name."""
    files = {"static": {"folder": "/srv/site", "fallback": "/index.html"}}
    guards = {FILES: {"basic_auth": [{"user": "ops", "password": PASSWORD}]}, INSIDE: {"allow": [f"{SECOND}/32"]}}
    routes = [{"host": host, **guard, **what} for host, guard in guards.items() for what in (files, {"path": "/api", "upstream": "http://switch:20003"})]
    routes.append({"host": FILES, "path": "/moved", "redirect": "https://secret.shop.test/", **guards[FILES]})
    # Beside files for everybody.
    routes += [{"host": OPEN, "static": {"folder": "/srv/site"}}, {"host": OPEN, "path": "/private", **files, **guards[FILES]}]
    routes += [{"host": OPEN, "path": "/gone", "redirect": "https://secret.shop.test/", **guards[FILES]}]
    with processes():
        yield run(stack_routes=routes)


SPELLINGS = [
    "/docs/index.html", "//docs/index.html", "/docs//index.html", "/docs%2findex.html", "/docs%2Findex.html", "/%2fdocs/index.html",
    "/x%2f..%2fdocs/index.html", "/api/../docs/index.html", "/api/..%2fdocs/index.html", "/api%2f..%2fdocs/index.html",
    "/api%2fx", "//api/x", "/api/x", "/moved%2fx", "/moved",
]  # fmt: skip
UPGRADES = [("h2c",), ("h2c", "websocket"), ("websocket", "h2c"), ("websocket",)]


@pytest.mark.parametrize("host", [FILES, INSIDE])
def test_nobody_gets_guarded_files_by_another_spelling_or_another_protocol(guarded, host):
    team = dataclasses.replace(guarded, source=SECOND)
    known = {"Authorization": "Basic " + base64.b64encode(f"ops:{PASSWORD}".encode()).decode()}
    assert [team.ask(path, host, headers=known).text for path in ("/docs/index.html", "/api/x")] == ["<p>docs</p>", "plain /api/x"]
    for path in SPELLINGS:
        for upgrades in ((), *UPGRADES):
            lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Connection: {'Upgrade, ' if upgrades else ''}close", *(f"Upgrade: {name}" for name in upgrades)]
            (answer,) = guarded.raw("\r\n".join([*lines, "", ""]).encode(), host)
            assert answer.status in (301, 307, 308, 400, 401, 403, 404), (path, upgrades, answer)
            said = answer.text + answer.headers.get("location", "")
            assert not re.search(r"<p>|plain /|secret", said), (path, upgrades, answer)


ELSEWHERE = ["/private/docs/index.html", "/PRIVATE/docs/index.html", "/Private/docs/", "/%50rivate/docs/index.html", "/gone", "/GONE", "/gone/x"]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_nobody_gets_guarded_files_beside_open_ones_by_another_spelling(guarded, path):
    answer = guarded.ask(path, OPEN)
    assert answer.status in (401, 404), answer
    assert not re.search(r"<p>|secret", answer.text + answer.headers.get("location", "")), answer


def test_files_below_a_path_begin_there(guarded):
    known = {"Authorization": "Basic " + base64.b64encode(f"ops:{PASSWORD}".encode()).decode()}
    for path in ("/private", "/private/", "/private/index.html"):
        assert guarded.ask(path, OPEN, headers=known).text == "<p>the start page</p>", path
    assert guarded.ask("/private/docs/index.html", OPEN, headers=known).text == "<p>docs</p>"
    assert guarded.ask("/index.html", OPEN).text == "<p>the start page</p>"


# -- several application hosts -----------------------------------------------------------------------------------------------


class Host:
    """What answers for the processes of an application host."""

    def __init__(self, address: str, name: str):
        self.address, self.words = address, [sys.executable, edge_upstream.__file__, f"{address}:20001={name}"]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.words)
        until(lambda: answers(20001, self.address), 10)

    def die(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing comes back any more, as from a host without power: what a client begins is dropped, for there are too many waiting."""
        self.die()
        with socket.create_server((self.address, 20001), backlog=0), ExitStack() as waiting:
            for _client in range(4):
                client = waiting.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex((self.address, 20001))
            yield

    @contextmanager
    def hanging_up(self) -> Iterator[None]:
        """As a switch with nothing left to lead to."""
        self.die()
        with HangsUp((self.address, 20001), socketserver.StreamRequestHandler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield
            server.shutdown()


class HangsUp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

    def finish_request(self, request, client_address):
        request.recv(65536)


@pytest.fixture
def hosts():
    found = [Host(FIRST, "first"), Host(SECOND, "second")]
    yield found
    for host in found:
        host.die()


def on_two_hosts(health: bool = True, **options) -> dict:
    process = {"name": "web", "port": 8000, "switch_port": 20001, "routes": [{"host": APP, **options}]}
    apps = [{**INVENTORY["stack_apps"][0], "processes": [{**process, **({"health": {"path": "/up"}} if health else {})}]}]
    return {"stack_apps": apps, "stack_routes": [], "groups": {"app": ["box", SECOND]}}


def may_go_without(kind: str, health: bool) -> None:
    """A proxy that needs a health path is refused without one."""
    if not health and (remark := _routes.REMARKS.get((kind, "app"))):
        pytest.skip(f"{kind} has it {remark}")


def who(edge: Edge, method: str = "GET", **headers: str) -> str:
    """The host that answered."""
    answer = edge.ask("/own", method=method, headers=headers)
    assert answer.status == 200, answer
    return answer.text


@pytest.mark.parametrize("health", [True, False], ids=["with a health path", "without"])
def test_two_hosts_share_the_requests_and_one_alone_has_all_of_them_until_the_other_is_back(kind, run, hosts, health):
    may_go_without(kind, health)
    edge = run(**on_two_hosts(health))
    assert min(Counter(who(edge) for _request in range(40))[name] for name in ("first", "second")) >= 5
    hosts[1].die()
    assert {who(edge, method) for _request in range(30) for method in ("GET", "POST")} == {"first"}
    hosts[1].start()
    until(lambda: who(edge) == "second", 10)
    hosts[0].die()
    assert {who(edge, method) for _request in range(30) for method in ("GET", "POST")} == {"second"}


def test_a_host_that_is_silent_costs_no_request_and_no_more_than_seconds(run, hosts):
    edge = run(**on_two_hosts())
    with hosts[1].silent():
        begin = time.monotonic()
        assert not answers(20001, SECOND)
        assert {who(edge, method) for _request in range(20) for method in ("GET", "POST")} == {"first"}
        assert time.monotonic() - begin < 20


def test_a_host_that_hangs_up_is_left_out_once_it_is_seen(run, hosts):
    edge = run(**on_two_hosts())
    with hosts[1].hanging_up():
        until(lambda: {edge.ask("/own").text for _request in range(10)} == {"first"}, 10)
        assert {who(edge) for _request in range(40)} == {"first"}


def test_an_application_that_says_503_has_no_host_left_out(run, hosts):
    edge = run(**on_two_hosts())
    busy = [edge.ask("/busy") for _request in range(20)]
    assert ({answer.status for answer in busy}, {answer.text for answer in busy}) == ({503}, {"first", "second"})
    assert {who(edge) for _request in range(40)} == {"first", "second"}


def test_when_all_hosts_were_away_the_first_that_is_back_has_all_requests(run, hosts):
    edge = run(**on_two_hosts())
    for host in hosts:
        host.die()
    time.sleep(5)
    hosts[0].start()
    until(lambda: edge.ask("/own").text == "first", 10)


def cookie(edge: Edge, **headers: str) -> tuple[str, str]:
    """Who answered, and the cookie that came with it."""
    answer = edge.ask("/own", headers=headers)
    return answer.text, answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("health", [True, False], ids=["with a health path", "without"])
def test_a_visitor_stays_on_a_host_for_as_long_as_it_is_there(kind, run, hosts, health):
    may_go_without(kind, health)
    edge = run(**on_two_hosts(health, sticky=True))
    visitors = dict(cookie(edge) for _visitor in range(40))
    assert set(visitors) == {"first", "second"}
    assert all("; secure" in text.lower() and "; httponly" in text.lower() for text in visitors.values()), visitors
    named = {name: text.partition(";")[0] for name, text in visitors.items()}
    for name, text in named.items():
        assert {who(edge, Cookie=f"a=b; {text}") for _request in range(20)} == {name}
    hosts[1].die()
    begin = time.monotonic()
    assert {who(edge, Cookie=named["second"]) for _request in range(10)} == {"first"}
    assert time.monotonic() - begin < 10
    moved = cookie(edge, Cookie=named["second"])
    assert moved[0] == "first"
    hosts[1].start()
    until(lambda: "second" in {who(edge) for _visitor in range(10)}, 10)
    assert {who(edge, Cookie=named["first"]) for _request in range(20)} == {"first"}


# -- TLS and what is before the edge -----------------------------------------------------------------------------------------


def test_each_host_gets_the_given_certificate_that_is_for_it(run, tmp_path):
    with processes():
        edge = run(stack_tls="files", certificates=((APP,), ("*.shop.test",)))
        other = dataclasses.replace(edge, authority=str(tmp_path / "1.pem"))
        assert edge.ask("/hello").text == "web /hello"
        assert other.ask("/docs", "part.shop.test").text == "docs /docs"
        with pytest.raises(ssl.SSLError):
            other.ask("/hello")
        with pytest.raises(ssl.SSLError):
            other.connect("unknown.other.test")


def test_without_tls_all_is_http_and_says_so(run):
    with processes():
        edge = run(stack_tls="off")
        answer = edge.ask("/headers", secure=False)
        assert (answer.json["process"], answer.headers.get("strict-transport-security")) == ("web", None)
        assert answer.json["headers"]["x-forwarded-proto"] == "http"
        assert edge.ask("/a?b=1", "www.shop.test", secure=False).headers["location"] == f"https://{APP}/a?b=1"
        assert [edge.ask("/closed/x", "guarded.shop.test", secure=False).status, edge.ask("/", "unknown.test", secure=False).status] == [403, 404]
        assert not answers(443)


def test_only_a_trusted_proxy_says_for_whom_it_asks(run):
    claims = {"X-Forwarded-For": "192.0.2.4, 203.0.113.9", "X-Forwarded-Proto": "http", "X-Real-IP": "192.0.2.4"}
    with processes():
        edge = run(stack_trusted_proxies=TRUSTED)
        for source, client, scheme, guarded in (("", FIRST, "https", 403), (SECOND, "203.0.113.9", "http", 200)):
            at = dataclasses.replace(edge, source=source)
            found = at.ask("/headers", headers=claims).json["headers"]
            told = [address for address in found["x-forwarded-for"].split(", ") if address != source]
            assert (told[-1], found["x-forwarded-proto"]) == (client, scheme), found
            assert found.get("x-real-ip", client if edge.proxy == "traefik" else "") == client, found
            assert at.ask("/closed/x", "guarded.shop.test", headers=claims).status == guarded
