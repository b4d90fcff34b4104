# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

from pathlib import Path

import pytest
from edge_container import *  # noqa: F403, what only a container shows
from edge_host import edge_on
from edge_suite import *  # noqa: F403, the tests of all proxies

AUTHORITY = Path(__file__).parents[3] / ".cache/edge/sites.pem"


@pytest.fixture(scope="module")
def edge(host):
    # The mark of the file has a value that means nothing.
    edit = 's#"X-Edge": "[0-9]*"#"X-Edge": "{number}"#'
    yield from edge_on(host, "traefik", str(AUTHORITY), "traefik/dynamic/edge.yml", "sleep 2", edit, patience=2)


def test_the_containers_are_hardened(hardened, service):
    for name in ("traefik", "traefik-pages"):
        hardened(service("traefik", name).container)
        assert service("traefik", name).health == "healthy"
    assert service("traefik").inspect("{{.HostConfig.CapAdd}}") in ("[]", "<nil>")


def test_no_file_has_a_password(no_canary):
    no_canary()


def test_a_change_of_routes_is_in_force_at_the_end_of_the_run_without_a_new_container(edge, converge, service, name):
    before = service("traefik").inspect("{{.Id}} {{.State.StartedAt}}")
    limited = {"host": "plain.shop.test", "upstream": "http://switch:20003", "rate_limit": {"requests": 3, "seconds": 60}}
    site = {"host": "site.shop.test", "static": {"folder": "/srv/site"}}
    assert converge(stack_routes=[limited, site]).changed(name) == 1
    assert [edge.ask("/", "plain.shop.test").status for _request in range(5)] == [200, 200, 200, 429, 429]
    assert edge.ask("/", "www.shop.test", secure=False).status == 404
    assert converge().changed(name) == 1
    assert service("traefik").inspect("{{.Id}} {{.State.StartedAt}}") == before
    assert converge().changed(name) == 0
