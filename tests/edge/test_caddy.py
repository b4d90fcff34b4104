# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

import os
import ssl
import subprocess

import pytest
from edge_client import Edge
from edge_suite import *  # noqa: F403, the tests of all proxies
from edge_upstream import serve, write_site
from native import TRUSTED, Program, answers, believes_trusted_proxies, certificate_of, edge_of, own_network, page_at, program, role_variable, speaks

from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile
from ansible_collections.longshore.stack.plugins.module_utils._listeners import HandOver


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    caddy = program("caddy")
    own_network()
    folder = tmp_path_factory.mktemp("caddy")
    servers = [serve(port, name) for port, name in ((20001, "web"), (20002, "docs"), (20003, "plain"))]
    write_site(str(folder / "static/srv/site"))
    (folder / "maintenance").mkdir()
    config, page = folder / "Caddyfile", folder / "maintenance/shop.html"
    environment = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}

    def write(number: int = 0) -> None:
        text = caddyfile(edge_of(number, stack_trusted_proxies=TRUSTED))
        config.write_text(text.replace("/srv/static", f"{folder}/static").replace("/srv/maintenance", f"{folder}/maintenance"), encoding="utf-8")

    def change(number: int) -> None:
        write(number)
        command = role_variable("caddy", "__caddy_reload").replace("/etc/caddy/Caddyfile", str(config)).replace("exec caddy", f"exec {caddy}")
        with HandOver(running.process.pid, (80, 443)).during():
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ, **environment}, check=False)
        assert done.returncode == 0, done.stderr

    write()
    root = folder / "data/caddy/pki/authorities/local/root.crt"
    run = [caddy, "run", "--config", str(config), "--adapter", "caddyfile"]
    made = Edge("127.0.0.1", 80, 443, str(root), change, page_at(page))
    running = Program(run, folder, lambda: root.exists() and speaks(made), environment)
    yield made
    running.stop()
    for server in servers:
        server.shutdown()


@pytest.fixture
def files(tmp_path):
    """Runs Caddy with given certificates, those of the suite's names and one of another name: the edge."""
    certificates = [certificate_of(tmp_path, number, names) for number, names in enumerate((("app.shop.test",), ("*.shop.test",)))]
    text = caddyfile(edge_of(stack_tls="files", certificates=(("app.shop.test",), ("*.shop.test",)), stack_http_port=8080, stack_https_port=8443))
    text = text.replace("127.0.0.1:2019", "127.0.0.1:2020")
    (tmp_path / "Caddyfile").write_text(text.replace("/etc/caddy/certificates", str(tmp_path)).replace("/run/secrets/", f"{tmp_path}/"), encoding="utf-8")
    run = [program("caddy"), "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    running = Program(run, tmp_path, lambda: answers(8443), {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    yield lambda number: Edge("127.0.0.1", 8080, 8443, str(certificates[number]), lambda _number: None, lambda _text: None)
    running.stop()


def test_only_a_trusted_proxy_says_for_whom_it_asks(edge):
    believes_trusted_proxies(edge)


def test_each_host_gets_the_given_certificate_that_is_for_it(edge, files):
    assert files(0).ask("/hello").text == "web /hello"
    assert files(1).ask("/docs", "part.shop.test").text == "docs /docs"
    with pytest.raises(ssl.SSLError):
        files(1).ask("/hello")
    with pytest.raises(ssl.SSLError):
        files(1).connect("unknown.other.test")


def test_without_tls_all_is_http_and_says_so(edge, tmp_path):
    text = caddyfile(edge_of(stack_tls="off", stack_http_port=8081)).replace("127.0.0.1:2019", "127.0.0.1:2021")
    (tmp_path / "Caddyfile").write_text(text, encoding="utf-8")
    run = [program("caddy"), "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    running = Program(run, tmp_path, lambda: answers(8081), {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    try:
        plain = Edge("127.0.0.1", 8081, 0, "", lambda _number: None, lambda _text: None)
        answer = plain.ask("/hello", secure=False)
        assert (answer.text, answer.headers.get("strict-transport-security")) == ("web /hello", None)
        assert plain.ask("/", "unknown.test", secure=False).status == 404
    finally:
        running.stop()
