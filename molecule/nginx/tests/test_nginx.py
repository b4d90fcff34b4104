# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

from pathlib import Path

import pytest
from edge_container import *  # noqa: F403, what only a container shows
from edge_host import edge_on
from edge_suite import *  # noqa: F403, the tests of all proxies

AUTHORITY = Path(__file__).parents[3] / ".cache/edge/shop.pem"
RELOAD = "nginx -t -q -c /etc/edge/nginx.conf && kill -HUP 1"


@pytest.fixture(scope="module")
def edge(host):
    yield from edge_on(host, "nginx", str(AUTHORITY), "nginx.conf", RELOAD)


def test_the_container_is_hardened(hardened, service):
    hardened(service("nginx").container)
    assert service("nginx").health == "healthy"
    assert service("nginx").inspect("{{.HostConfig.CapAdd}}") in ("[]", "<nil>")


def test_no_file_has_a_password(no_canary):
    no_canary()


def test_a_configuration_that_nginx_refuses_leaves_the_running_one(edge, converge, service, name):
    before = service("nginx").inspect("{{.Id}} {{.State.StartedAt}}")
    broken = converge(nginx_config="no_such_option on;")
    assert broken.rc != 0
    assert "no_such_option" in broken.output
    assert edge.ask("/hello").text == "web /hello"
    assert service("nginx").inspect("{{.Id}} {{.State.StartedAt}}") == before
    assert converge().changed(name) == 0


def test_a_limit_is_taken_over_without_a_new_container(edge, converge, service, name):
    before = service("nginx").inspect("{{.Id}} {{.State.StartedAt}}")
    limited = {"host": "limited.shop.test", "upstream": "http://switch:20003", "rate_limit": {"requests": 3, "seconds": 60}}
    site = {"host": "site.shop.test", "static": {"folder": "/srv/site"}}
    assert converge(stack_routes=[limited, site]).changed(name) == 1
    assert [edge.ask("/", "limited.shop.test").status for _request in range(5)] == [200, 200, 200, 429, 429]
    assert converge().changed(name) == 1
    assert service("nginx").inspect("{{.Id}} {{.State.StartedAt}}") == before
