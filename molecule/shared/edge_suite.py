# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every proxy of the edge does alike. A scenario takes these tests over and brings the fixture `edge`; its inventory is in edge_vars."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from edge_client import APP, DOMAIN, Answer, Edge, Load, WebSocket, read_all

from ansible_collections.longshore.stack.plugins.module_utils import _routes

GUARDED = f"guarded.{DOMAIN}"
SITE = f"site.{DOMAIN}"
PASSWORD = "canary-of-the-edge"


def needs(edge: Edge, option: str) -> None:
    """The table of docs/edge.md says what a proxy has not got."""
    if reason := _routes.refusals(edge.proxy, [option]).get(option):
        pytest.skip(f"{edge.proxy} has no {option}: {reason}")


def login(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ops:{password}".encode()).decode()}


# -- where a request goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "process"), [("/", "web"), ("/hello?a=1", "web"), ("/docs", "docs"), ("/docs/start", "docs"), ("/docsy", "web"), ("/a%20b/c%2Fd", "web")]
)
def test_host_and_path_lead_to_their_process_which_sees_them_as_they_were_asked(edge: Edge, path, process):
    assert edge.ask(path).text == f"{process} {path}"


def test_http_leads_to_https_and_nowhere_else(edge: Edge):
    answer = edge.ask("/x?y=1", secure=False)
    port = "" if edge.https_port == 443 else f":{edge.https_port}"
    assert (answer.status, answer.headers["location"]) == (308, f"https://{APP}{port}/x?y=1")


def test_a_redirect_keeps_path_and_query_unless_it_has_a_path_of_its_own(edge: Edge):
    answers = [edge.ask("/a?b=1", f"www.{DOMAIN}"), edge.ask("/a?b=1", f"old.{DOMAIN}")]
    assert [(answer.status, answer.headers["location"]) for answer in answers] == [(308, f"https://{APP}/a?b=1"), (301, f"https://{APP}/new")]


def test_a_plain_upstream_is_asked_by_the_name_that_the_client_asked_for(edge: Edge):
    found = edge.ask("/headers", f"plain.{DOMAIN}").json
    assert (found["process"], found["headers"]["host"]) == ("plain", f"plain.{DOMAIN}")


def test_an_unknown_name_gets_no_certificate_and_no_answer_of_another_site(edge: Edge):
    with pytest.raises(ssl.SSLError):
        edge.connect(f"unknown.{DOMAIN}")
    for name in (f"unknown.{DOMAIN}", "", GUARDED):
        # The name of the connection is not that of the request.
        head = f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        answer = edge.raw(head.encode())[0]
        assert answer.status in (400, 404, 421) and b"web" not in answer.body, (name, answer)
    answer = edge.ask("/", f"unknown.{DOMAIN}", secure=False)
    assert answer.status in (404, 421) and b"web" not in answer.body


def test_a_site_without_a_route_for_the_path_answers_404(edge: Edge):
    assert edge.ask("/elsewhere", f"part.{DOMAIN}").status == 404


# -- who may ask -------------------------------------------------------------------------------------------------------------


def test_only_the_networks_of_a_route_may_ask_whatever_a_client_claims(edge: Edge):
    claims = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
    assert [edge.ask("/closed", GUARDED, headers=headers).status for headers in ({}, claims)] == [403, 403]
    assert edge.ask("/open", GUARDED).text == "docs /open"


def test_only_who_knows_the_password_may_ask(edge: Edge):
    assert [edge.ask("/login", GUARDED, headers=headers).status for headers in ({}, login("wrong"))] == [401, 401]
    assert "basic" in edge.ask("/login", GUARDED).headers["www-authenticate"].lower()
    assert edge.ask("/login/x", GUARDED, headers=login(PASSWORD)).text == "docs /login/x"


@pytest.mark.parametrize(
    "path",
    ["//login", "/./login", "/x/../login", "/x/..%2flogin", "/%6cogin", "/login%2f..%2flogin", "/login/", "/x%2f..%2f..%2flogin"],
)
def test_no_other_spelling_of_a_path_gets_past_its_guard(edge: Edge, path):
    """The whole host is the process docs, and what is behind reads a path in its own way: it must not be handed the guarded path."""
    answer = edge.ask(path, GUARDED)
    assert answer.status in (301, 307, 308, 400, 401, 403, 404), answer


def test_an_absolute_address_and_another_host_are_not_mixed(edge: Edge):
    head = f"GET https://{GUARDED}/login HTTP/1.1\r\nHost: {APP}\r\nConnection: close\r\n\r\n"
    answers = edge.raw(head.encode())
    assert answers[0].status in (400, 401, 404, 421), answers


def test_what_a_client_says_about_itself_is_not_believed(edge: Edge):
    claims = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix"), "203.0.113.7")
    found = edge.ask("/headers", headers={**claims, "X-Forwarded-Proto": "ftp", "X-Forwarded-Host": "evil.test"}).json["headers"]
    assert "203.0.113.7" not in " ".join(found.values()), found
    assert found["x-real-ip"] == found["x-forwarded-for"]
    assert (found["x-forwarded-proto"], found.get("x-forwarded-host", APP)) == ("https", APP)
    assert found["host"] == APP


def test_no_other_protocol_leads_past_the_guards_of_a_route(edge: Edge):
    settings = {"Connection": "Upgrade, HTTP2-Settings, close", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}
    for host in (APP, f"plain.{DOMAIN}"):
        for upgrade in ("h2c", "h2c, websocket", "h2c\r\nUpgrade: websocket", "websocket\r\nUpgrade: h2c"):
            answer = edge.ask("/headers", host, headers={**settings, "Upgrade": upgrade})
            if answer.status not in (400, 404):
                told = answer.json["headers"]
                assert told.get("upgrade") in ((None, "websocket") if "\r" in upgrade else (None,)) and "http2-settings" not in told, (host, upgrade, answer)


# -- what is sent and what comes back ----------------------------------------------------------------------------------------


def test_security_headers_are_there_unless_the_application_says_otherwise(edge: Edge):
    plain, own, off = edge.ask("/").headers, edge.ask("/own").headers, edge.ask("/", f"plain.{DOMAIN}").headers
    names = ("strict-transport-security", "x-content-type-options", "x-frame-options", "referrer-policy")
    assert [plain.get(name) for name in names] == ["max-age=31536000", "nosniff", "SAMEORIGIN", "strict-origin-when-cross-origin"]
    theirs = {"x-frame-options": "DENY", "referrer-policy": "no-referrer"} if (edge.proxy, "security") not in _routes.REMARKS else {}
    assert {name: own[name] for name in theirs} == theirs
    assert [off.get(name) for name in names] == [None, "nosniff", None, "strict-origin-when-cross-origin"]


def test_the_edge_does_not_say_what_it_is(edge: Edge):
    said = [edge.ask("/").headers.get("server", ""), edge.ask("/", f"unknown.{DOMAIN}", secure=False).headers.get("server", "")]
    assert not any(re.search(r"\d|caddy|traefik", one, re.IGNORECASE) for one in said), said


def test_an_answer_is_compressed_for_who_wants_it_unless_the_route_says_otherwise(edge: Edge):
    wants = {"Accept-Encoding": "gzip"}
    assert edge.ask("/long", headers=wants).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in edge.ask("/long").headers
    assert "content-encoding" not in edge.ask("/long", f"plain.{DOMAIN}", headers=wants).headers


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "gzip, deflate, br, zstd", ""])
def test_what_is_a_part_or_packed_already_passes_as_it_is(edge: Edge, encoding):
    headers = {"Range": "bytes=0-4999", **({"Accept-Encoding": encoding} if encoding else {})}
    part = edge.ask("/part", headers=headers)
    assert (part.status, part.headers.get("content-encoding"), part.text) == (206, None, "part " * 1000)
    if encoding or (edge.proxy, "compress") not in _routes.REMARKS:
        del headers["Range"]
        packed = edge.ask("/packed", headers=headers)
        assert (packed.headers["content-encoding"], packed.text) == ("gzip", "as it is stored")


def test_a_body_that_is_too_large_is_refused_and_one_at_the_limit_is_not(edge: Edge):
    needs(edge, "max_body")
    assert edge.ask("/upload", f"plain.{DOMAIN}", "POST", body=b"x" * 1048576).json["length"] == 1048576
    assert edge.ask("/upload", f"plain.{DOMAIN}", "POST", body=b"x" * 1048577).status == 413


def test_a_hundred_megabytes_arrive_unchanged_and_are_not_held_back(edge: Edge):
    part, count, digest = os.urandom(1048576), 100, hashlib.sha256()
    with edge.connect(timeout=120) as connection:
        connection.sendall(f"POST /upload HTTP/1.1\r\nHost: {APP}\r\nContent-Length: {len(part) * count}\r\nConnection: close\r\n\r\n".encode())
        for _number in range(count):
            connection.sendall(part)
            digest.update(part)
        answer = read_all(connection)[-1]
    assert answer.json == {"process": "web", "length": len(part) * count, "sha256": digest.hexdigest()}


def test_an_answer_that_does_not_begin_in_time_is_504(edge: Edge):
    begin = time.monotonic()
    assert edge.ask("/slow?seconds=10", f"plain.{DOMAIN}").status == 504
    assert time.monotonic() - begin < 8
    assert edge.ask("/slow?seconds=4").text == "web /slow?seconds=4"


def test_an_event_is_seen_when_it_happens(edge: Edge):
    begin = time.monotonic()
    with edge.connect() as connection:
        connection.sendall(f"GET /events?count=3 HTTP/1.1\r\nHost: {APP}\r\nAccept-Encoding: gzip\r\nAccept: text/event-stream\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data or not data.partition(b"\r\n\r\n")[2]:
            data += connection.recv(4096)
        first = time.monotonic() - begin
    assert first < 1.5, data


def test_a_websocket_talks_both_ways(edge: Edge):
    socket = WebSocket(edge)
    assert socket.head.split()[1] == b"101"
    assert [socket.says("one"), socket.says("two")] == ["one", "two"]
    socket.close()


def test_http_2_is_spoken(edge: Edge):
    assert edge.curl("/hello", "--http2", "-w", " %{http_version}") == "web /hello 2"


def test_large_headers_pass_and_endless_ones_are_refused(edge: Edge):
    assert edge.ask("/", headers={"Cookie": "a" * 16000}).text == "web /"
    assert edge.ask("/", headers={f"X-{number}": "a" * 8000 for number in range(400)}).status in (0, 400, 413, 431)


def test_a_client_that_takes_forever_to_ask_is_sent_away_and_a_slow_sender_is_not(edge: Edge):
    with edge.connect() as lazy, edge.connect() as slow:
        lazy.sendall(b"GET / HTTP/1.1\r\n")
        slow.sendall(f"POST /upload HTTP/1.1\r\nHost: {APP}\r\nContent-Length: 20\r\nConnection: close\r\n\r\n".encode())
        begin = time.monotonic()
        for _second in range(20):
            slow.sendall(b"x")
            time.sleep(1)
        assert read_all(slow)[-1].json["length"] == 20
        if remark := _routes.REMARKS.get((edge.proxy, "slow clients")):
            pytest.skip(f"the slow sender was answered; {edge.proxy} sends the other client away {remark}")
        lazy.settimeout(15)
        lazy.sendall(b"")
        assert read_all(lazy) == [] or read_all(lazy)[0].status in (400, 408)
        assert time.monotonic() - begin < 35


def test_request_and_answer_share_an_id_that_the_edge_made(edge: Edge):
    needs(edge, "request_id")
    answer = edge.ask("/docs/headers", headers={"X-Request-Id": "mine"})
    assert answer.headers["x-request-id"] == answer.json["headers"]["x-request-id"]
    assert len(answer.headers["x-request-id"]) >= 16
    assert answer.headers["x-request-id"] != edge.ask("/docs/headers").headers["x-request-id"]


# -- what no decent client sends ---------------------------------------------------------------------------------------------

SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: app.shop.test\r\n\r\n"
CHUNKED = f"1\r\nx\r\n0\r\n\r\n{SMUGGLED}"
CRAFTED = {
    "length and chunks": f"Content-Length: {len(CHUNKED)}\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "chunks and a short length": f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{CHUNKED}",
    "two codings": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{CHUNKED}",
    "a coding that is none": f"Transfer-Encoding: xchunked\r\n\r\n{CHUNKED}",
    "a coding with a space": f"Transfer-Encoding : chunked\r\n\r\n{CHUNKED}",
    "two lengths": f"Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "a list of lengths": f"Content-Length: 0, {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "a length beyond all": f"Content-Length: 99999999999999999999\r\n\r\n{SMUGGLED}",
    "a length below zero": f"Content-Length: -1\r\n\r\n{SMUGGLED}",
    "a folded header": f"Content-Length: 0\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n{SMUGGLED}",
    "a bare line feed": f"Content-Length: 0\r\nX-A: b\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "a bare carriage return": f"Content-Length: 0\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "a zero byte": f"Content-Length: 0\r\nX-A: b\0c\r\n\r\n{SMUGGLED}",
}


@pytest.mark.parametrize("crafted", CRAFTED.values(), ids=CRAFTED)
def test_a_request_that_two_servers_could_read_in_two_ways_is_never_read_in_two_ways(edge: Edge, crafted):
    """Either it is refused, or what is behind sees just those requests that the edge has answered."""
    before = len(edge.seen())
    answers = edge.raw(f"POST /crafted HTTP/1.1\r\nHost: {APP}\r\n{crafted}".encode("latin-1"), timeout=3)
    seen = [line for line in edge.seen()[before:] if not line.endswith("/seen")]
    assert len(seen) <= len([answer for answer in answers if answer.status == 200]), (answers, seen)
    assert answers == [] or answers[0].status in (400, 411, 413, 414, 501) or seen[0].endswith("/crafted"), answers


CONFUSED = [
    "/open/../closed/x", "/open/..%2fclosed/x", "/open/..%2Fclosed/x", "/open/%2e%2e/closed/x", "/open/.%2e/closed/x", "/open//..//closed/x",
    "//closed/x", "/./closed/x", "/%63losed/x", "/closed%2fx", "/closed/%2e/x",
]  # fmt: skip


@pytest.mark.parametrize("path", CONFUSED)
def test_no_spelling_of_a_path_leads_past_a_guard(edge: Edge, path):
    """Whatever could be read as a guarded path is guarded, or refused."""
    answer = edge.ask(path, GUARDED)
    assert answer.status in (400, 403, 404, 421), (answer.status, answer.text)


@pytest.mark.parametrize(
    "target", [f"https://{GUARDED}/login", f"http://{GUARDED}/login", f"https://unknown.{DOMAIN}/", f"https://{APP}:1/hello", "hello", "*"]
)
def test_the_name_in_a_target_does_not_lead_to_another_site(edge: Edge, target):
    """The name of the connection, that of the header and that of the target are one name, or nobody answers."""
    (answer,) = edge.raw(f"GET {target} HTTP/1.1\r\nHost: {APP}\r\nConnection: close\r\n\r\n".encode()) or [Answer(0)]
    assert answer.status in (0, 400, 404, 421) or answer.text.startswith("web"), (answer.status, answer.text)


def test_a_process_hears_the_name_by_which_its_route_was_chosen(edge: Edge):
    request = f"GET https://{APP}/headers HTTP/1.1\r\nHost: {GUARDED}\r\nConnection: close\r\n\r\n"
    (answer,) = edge.raw(request.encode()) or [Answer(0)]
    if answer.status == 200:
        found = answer.json["headers"]
        assert (answer.json["process"], found["host"], found.get("x-forwarded-host", APP)) == ("web", APP, APP)
    else:
        assert answer.status in (0, 400, 404, 421), answer


def test_two_names_or_none_are_refused(edge: Edge):
    for hosts in (f"Host: {APP}\r\nHost: {GUARDED}\r\n", f"Host: {GUARDED}\r\nHost: {APP}\r\n", ""):
        answers = edge.raw(f"GET /hello HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
        assert [answer.status for answer in answers] in ([400], [421], [404], []), (hosts, answers)


# -- files -------------------------------------------------------------------------------------------------------------------


def test_static_files_have_their_fallback_and_their_age(edge: Edge):
    def get(path: str) -> Answer:
        return edge.ask(path, SITE)

    assert (get("/").text, get("/some/page").text, get("/docs/").text) == ("<p>the start page</p>", "<p>the start page</p>", "<p>docs</p>")
    assert get("/").headers["cache-control"] == "no-cache"
    script = get("/assets/app.js")
    assert (script.text, script.headers["cache-control"]) == ("run()", "public, max-age=31536000, immutable")
    missing = get("/assets/missing.js")
    assert missing.status == 404 and "immutable" not in missing.headers.get("cache-control", "")


@pytest.mark.parametrize("path", ["/.git/config", "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/assets/..%2f..%2f..%2fetc%2fpasswd", "/assets//etc/passwd"])
def test_only_files_of_the_folder_are_served(edge: Edge, path):
    answer = edge.ask(path, SITE)
    assert b"root:" not in answer.body and b"secret" not in answer.body, answer


# -- TLS ---------------------------------------------------------------------------------------------------------------------


def test_old_protocols_and_weak_ciphers_are_refused(edge: Edge):
    def refused(setting) -> bool:
        context = ssl.create_default_context(cafile=edge.authority)
        setting(context)
        try:
            edge.connect(context=context).close()
        except (ssl.SSLError, ConnectionResetError):
            return True
        return False

    def old(context):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def weak(context):
        context.set_ciphers("AES128-SHA:AES256-SHA:AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    def good(context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    assert (refused(old), refused(weak), refused(good)) == (True, True, False)


# https://wiki.mozilla.org/Security/Server_Side_TLS, intermediate, without what is only for RSA keys or finite fields.
INTERMEDIATE = {
    *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
    *(f"ECDHE-{key}-{cipher}" for key in ("ECDSA", "RSA") for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")),
}


def test_a_scanner_finds_nothing_beyond_the_intermediate_profile(edge: Edge):
    found = scan(edge)
    assert {(one.get("type"), one.get("version")) for one in found.iter("protocol") if one.get("enabled") == "1"} == {("tls", "1.2"), ("tls", "1.3")}
    assert {one.get("cipher") for one in found.iter("cipher")} <= INTERMEDIATE
    assert {one.get("vulnerable") for one in found.iter("heartbleed")} == {"0"}
    assert {(one.get("supported"), one.get("secure")) for one in found.iter("compression")} <= {("0", None)}


def scan(edge: Edge) -> ElementTree.Element:
    """What sslscan sees, which is installed where it is missing and can be."""
    if not shutil.which("sslscan"):
        done = subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "sslscan"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"there is no sslscan here, and it cannot be installed: {done.stderr.strip()[-200:]}")
    words = ["sslscan", "--no-colour", "--xml=-", f"--sni-name={APP}", f"{edge.address}:{edge.https_port}"]
    return ElementTree.fromstring(subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout)


# -- operations --------------------------------------------------------------------------------------------------------------


def in_time(edge: Edge, good: Callable[[], bool]) -> None:
    """Waits as long as the documentation says that it may take."""
    end = time.monotonic() + edge.patience
    while time.monotonic() < end and not good():
        time.sleep(0.1)


def test_under_maintenance_everybody_gets_the_page(edge: Edge):
    edge.maintenance("<p>back soon</p>")
    try:
        in_time(edge, lambda: edge.ask("/hello").status == 503)
        for path in ("/hello", "/docs/start"):
            answer = edge.ask(path, method="POST", body=b"x")
            assert (answer.status, answer.headers["retry-after"], answer.text) == (503, "300", "<p>back soon</p>")
        assert edge.ask("/", f"plain.{DOMAIN}").status == 200
    finally:
        edge.maintenance("")
    in_time(edge, lambda: edge.ask("/hello").status == 200)
    assert edge.ask("/hello").text == "web /hello"


def test_changes_of_routes_lose_no_request_and_no_websocket(edge: Edge):
    changes, sockets = int(os.environ.get("EDGE_CHANGES", "200" if os.environ.get("STACK_SOAK") else "6")), []

    def change() -> None:
        for number in range(1, changes + 1):
            if number == max(1, changes - 5):
                # It outlives a change for five minutes.
                sockets.append(WebSocket(edge))
            edge.change(number)
            time.sleep(0.5)
        edge.change(0)

    load = Load(edge).run(change)
    print(f"{changes} changes, requests lost: {load.lost_fresh} of {load.fresh} on fresh connections, {load.lost_kept} of {load.kept} on kept ones,")
    print(f"{load.lost_http2} of {load.http2} over HTTP/2", *load.reasons, sep="\n")
    assert sockets[0].says("still") == "still"
    sockets[0].close()
    assert load.fresh and min(load.kept, load.http2) > 100
    assert load.lost_kept * 10000 <= load.kept, load.reasons
    assert not load.lost_fresh + load.lost_http2, load.reasons
