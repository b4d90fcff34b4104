# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

import os
import subprocess

import pytest
from edge_client import Edge
from edge_suite import *  # noqa: F403, the tests of all proxies
from edge_upstream import serve, write_site
from native import ROOT, Program, answers, certificate_of, edge_of, own_network, page_at, program, replaced, speaks

from ansible_collections.longshore.stack.plugins.module_utils._edge_traefik import files

# Not *.shop.test: with that, Traefik has a certificate for a name that nothing has a route for, and answers 404.
NAMES = tuple(f"{name}.shop.test" for name in ("app", "part", "guarded", "www", "old", "plain", "site"))


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    traefik, caddy = program("traefik"), program("caddy")
    own_network()
    folder = tmp_path_factory.mktemp("traefik")
    servers = [serve(port, name) for port, name in ((20001, "web"), (20002, "docs"), (20003, "plain"))]
    write_site(str(folder / "static/srv/site"))
    for name in ("dynamic", "maintenance", "pages", "closed", "watched", "beside"):
        (folder / name).mkdir()
    authority, page = certificate_of(folder, 0, NAMES), folder / "closed/shop.html"
    places = {"/etc/edge/certificates": folder, "/run/secrets": folder, '"/edge"': f'"{folder}/watched"', "http://traefik-pages:": "http://127.0.0.1:"}
    places |= {"/srv/static": folder / "static", "/srv/maintenance": folder / "closed"}
    environment = {"EDGE_CONFIG": str(folder), "EDGE_WATCHED": str(folder / "watched"), "EDGE_PAGES": str(folder / "closed"), "EDGE_LIVE": "/nowhere"}
    follow = ["sh", str(ROOT / "roles/traefik/files/follow.sh")]

    def write(number: int = 0) -> None:
        for path, text in files(edge_of(number, stack_proxy="traefik", stack_tls="files", certificates=(NAMES,))).items():
            (folder / path.removeprefix("config/").removeprefix("traefik/")).write_text(replaced(text, places), encoding="utf-8")

    def change(number: int) -> None:
        write(number)
        beside = subprocess.run([caddy, "reload", "--config", str(folder / "pages/Caddyfile"), "--adapter", "caddyfile"], capture_output=True, check=False)
        assert beside.returncode == 0, beside.stderr
        done = subprocess.run([*follow, "wait"], capture_output=True, text=True, check=False, env={**os.environ, **environment})
        assert done.returncode == 0, done.stderr

    write()
    made = Edge("127.0.0.1", 80, 443, str(authority), change, page_at(page), proxy="traefik", patience=2)
    running = []
    try:
        home = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "home")}
        words = [caddy, "run", "--config", str(folder / "pages/Caddyfile"), "--adapter", "caddyfile"]
        running.append(Program(words, folder / "beside", lambda: answers(8080), home))
        running.append(Program(follow, folder / "watched", lambda: True, environment))
        running.append(Program([traefik, f"--configfile={folder}/traefik.yml"], folder, lambda: speaks(made)))
        yield made
    finally:
        for one in reversed(running):
            one.stop()
        for server in servers:
            server.shutdown()
