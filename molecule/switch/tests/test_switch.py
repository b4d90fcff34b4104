# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

SWITCH = "molecule-switch-switch-1"
SOCKET = "/var/lib/molecule/switch/run/admin.sock"
STATE = "/var/lib/molecule/switch/state/servers"
ASK = """
import socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
line.sendall((sys.argv[2] + "\\n").encode())
print(b"".join(iter(lambda: line.recv(65536), b"")).decode())
"""
SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", self.command, self.path, flush=True)
        if "DIES" in os.environ and self.path == "/work":
            return
        self.send_response(200)
        if self.path != "/stream":
            self.send_header("Content-Length", "0")
        self.end_headers()
    do_POST = do_GET
http.server.HTTPServer(("", 8000), Answer).serve_forever()
"""


@pytest.fixture
def ask(host):
    """What the runtime socket answers."""
    return lambda *commands: host.check_output("python3 -c %s %s %s", ASK, SOCKET, "; ".join(commands))


@pytest.fixture
def get(host):
    """Status code at a port of the switch."""

    def look(port):
        address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.molecule_edge.IPAddress}}' " + SWITCH)
        return host.run(f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' http://{address}:{port}/").stdout

    return look


def test_it_is_hardened_and_healthy(hardened, service):
    hardened(SWITCH)
    assert service("switch").health == "healthy"


def test_nobody_but_root_reaches_the_socket(host):
    assert host.run(f"runuser -u nobody -- ls {SOCKET}").rc != 0
    assert host.file("/var/lib/molecule/switch/run").mode == 0o700


def test_a_process_without_a_release_answers_that_nobody_serves(get):
    assert get(20001) == "503"
    assert get(20002) == "503"


def test_where_other_hosts_have_the_process_it_hangs_up_instead(get, converge, host):
    assert converge("-e", "__switch_has_peers=true").rc == 0
    assert get(20001) == "000"
    assert host.run("docker inspect -f '{{.State.Health.Status}}' " + SWITCH).stdout.strip() == "healthy"
    assert converge().rc == 0
    assert get(20001) == "503"


def test_no_port_is_published_while_the_proxy_is_on_the_same_host(host):
    assert json.loads(host.check_output("docker inspect %s", SWITCH))[0]["HostConfig"]["PortBindings"] in ({}, None)


@pytest.fixture
def until_it_serves(host, get):
    """The status codes until the first 200, ten seconds at most."""

    def look(port):
        codes = []
        while len(codes) < 50 and "200" not in codes:
            codes.append(get(port))
            host.run("sleep 0.2")
        return codes

    return look


def test_what_the_socket_was_told_and_kept_outlives_a_restart(host, ask, until_it_serves):
    python = host.check_output("docker images --format '{{.Repository}}:{{.Tag}}' | grep -m 1 longshore/python")
    container = host.check_output("docker run -d --name shop-web --network molecule_edge " + python + " python3 -c %s", SERVER)
    ask(f"set server shop-web/a1 fqdn {container[:12]}", "set server shop-web/a1 state ready")
    assert until_it_serves(20001)[-1] == "200"
    host.check_output("echo %s > " + STATE, ask("show servers state"))
    host.check_output(f"docker restart {SWITCH}")
    assert until_it_serves(20001)[-1] == "200"


def test_before_nginx_it_says_which_answer_must_not_be_held_back(host, converge, until_it_serves):
    address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.molecule_edge.IPAddress}}' " + SWITCH)

    def of(path):
        return host.check_output(f"curl -s -m 5 -o /dev/null -D - http://{address}:20001{path}").lower()

    try:
        assert converge("-e", "stack_proxy=nginx").rc == 0
        assert until_it_serves(20001)[-1] == "200"
        assert "x-accel-buffering: no" in of("/stream")
        assert "x-accel-buffering" not in of("/whole")
    finally:
        assert converge().rc == 0
    assert until_it_serves(20001)[-1] == "200"
    assert "x-accel-buffering" not in of("/stream"), "no other proxy has use for it"


def test_a_container_that_dies_before_it_answers_costs_no_reader_and_nothing_is_sent_twice(host, ask):
    python = host.check_output("docker images --format '{{.Repository}}:{{.Tag}}' | grep -m 1 longshore/python")
    container = host.check_output("docker run -d --name shop-dies --network molecule_edge -e DIES=1 " + python + " python3 -c %s", SERVER)
    ask(f"set server shop-web/a2 fqdn {container[:12]}", "set server shop-web/a2 state ready")
    for _look in range(50):
        (place,) = [line for line in ask("show stat").splitlines() if line.startswith("shop-web,a2,")]
        if ",UP," in place:
            break
        host.run("sleep 0.2")
    assert ",UP," in place
    address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.molecule_edge.IPAddress}}' " + SWITCH)
    codes = {}
    for method in ("GET", "POST"):
        # A body, so that the request is one that changes something.
        more = "-d x" if method == "POST" else ""
        script = f"for i in $(seq 30); do curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' {more} http://{address}:20001/work; done"
        codes[method] = host.check_output(script).split()
    seen = host.check_output("for one in shop-web shop-dies; do docker logs $one; done")
    host.check_output("docker rm -f shop-dies")
    ask("set server shop-web/a2 state maint", "set server shop-web/a2 fqdn switch")
    assert set(codes["GET"]) == {"200"} and seen.count("asked GET /work") > 30, "some were tried at the one that dies, and again at the other"
    assert set(codes["POST"]) == {"200", "502"} and seen.count("asked POST /work") == 30, codes["POST"]


def test_a_new_process_reloads_it_and_what_serves_serves_on(host, service, converge, get, name):
    before = service("switch").id
    apps = [{"name": "shop", "image": "registry.example.org/shop", "version": "1", "processes": [
        {"name": "web", "port": 8000, "switch_port": 20001, "command": ["web"], "health": {"path": "/"}},
        {"name": "api", "port": 8000, "switch_port": 20002, "command": ["api"]},
        {"name": "admin", "port": 9000, "switch_port": 20003, "command": ["admin"]},
    ]}]  # fmt: skip
    assert converge(stack_apps=apps).changed(name) == 1
    assert service("switch").id == before
    assert get(20001) == "200"
    assert get(20003) == "503"


def test_a_configuration_that_is_not_good_is_refused_and_a_restart_serves_on(host, converge, until_it_serves):
    assert "keeps the old one" in converge(switch_tunnel_timeout=99999999999).output
    host.check_output(f"docker restart {SWITCH}")
    assert until_it_serves(20001)[-1] == "200"
    assert converge().rc == 0
