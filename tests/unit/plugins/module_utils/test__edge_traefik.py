# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files must say; that Traefik does so is tested with Traefik (tests/edge)."""

from __future__ import annotations

import json

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._edge_traefik import files
from ansible_collections.longshore.stack.plugins.module_utils._routes import Acme, Edge, Login, RateLimit, Route, Static

WEB = Route("a.test", app="shop", upstreams=("switch:20001",))


def given(*routes: Route, file: str = "dynamic/edge.yml", **edge) -> dict:
    """What a file says."""
    text = files(Edge(routes or (WEB,), **{"tls": "files", "certificates": (("*.test",),), **edge}))[f"config/traefik/{file}"]
    first, _newline, rest = text.partition("\n")
    assert first.startswith("# Written by longshore.stack")
    return json.loads(rest)


def http(*routes: Route, **edge) -> dict:
    return given(*routes, **edge)["http"]


def test_each_route_has_a_router_whose_path_means_itself_and_what_is_below_it():
    found = http(WEB, Route("a.test", "/api", app="shop", upstreams=("switch:2",)))["routers"]
    assert found["route-1"]["rule"] == "Host(`a.test`) && (Path(`/api`) || PathPrefix(`/api/`))"
    assert found["route-2"]["rule"] == "Host(`a.test`)"
    assert found["route-1"]["priority"] > found["route-2"]["priority"]


def test_what_the_caddy_beside_it_serves_is_found_in_every_case_as_that_one_finds_it():
    site = Route("a.test", "/app.v1", kind="static", static=Static("/srv/site"))
    assert http(WEB, site)["routers"]["route-1"]["rule"] == r"Host(`a.test`) && PathRegexp(`(?i)^/app\.v1(/|$)`)"


def test_a_name_is_served_over_the_connection_that_was_made_for_it_alone():
    found = given(WEB, Route("b.test", app="shop", upstreams=("switch:2",)))
    assert [found["http"]["routers"][name]["tls"]["options"] for name in ("route-1", "route-2")] == ["site-1", "site-2"]
    assert all(options["sniStrict"] and options["minVersion"] == "VersionTLS12" for options in found["tls"]["options"].values())
    assert found["tls"]["certificates"] == [{"certFile": "/etc/edge/certificates/0.pem", "keyFile": "/run/secrets/tls_0"}]


def test_without_tls_all_is_at_one_entry_point_and_nothing_says_hsts():
    found = given(tls="off")
    assert "tls" not in found and found["http"]["routers"]["route-1"]["entryPoints"] == ["web"]
    assert "Strict-Transport-Security" not in json.dumps(found)
    assert set(given(tls="off", file="traefik.yml")["entryPoints"]) == {"web", "traefik"}


def test_guards_stand_in_their_order_and_a_spelling_that_hides_a_slash_leads_nowhere():
    route = Route("a.test", app="shop", upstreams=("switch:1",), allow=("10.0.0.0/8",), logins=(Login("ops", "$2b$x"),), rate_limit=RateLimit(3, 60, 2))
    found = http(route, WEB)
    assert found["routers"]["route-1"]["middlewares"] == [f"route-1-{name}" for name in ("headers", "allow", "login", "limit", "compress", "retry")]
    assert found["middlewares"]["route-1-login"]["basicAuth"]["users"] == ["ops:$2b$x"]
    assert found["middlewares"]["route-1-limit"]["rateLimit"] == {"average": 3, "period": "60s", "burst": 5}
    assert found["routers"]["hidden-1"]["rule"] == "Host(`a.test`) && PathRegexp(`(?i)%2f`)"
    assert "hidden-1" not in http()["routers"]
    assert "hidden-1" not in http(route)["routers"], "nothing else on this name could be meant"


def test_behind_a_load_balancer_the_client_is_the_last_address_that_is_none_of_them():
    route = Route("a.test", app="shop", upstreams=("switch:1",), allow=("10.0.0.0/8",), rate_limit=RateLimit(3))
    found = http(route, trusted_proxies=("192.0.2.1",))["middlewares"]
    assert found["route-1-allow"]["ipAllowList"]["ipStrategy"] == {"excludedIPs": ["192.0.2.1"]}
    assert found["route-1-limit"]["rateLimit"]["sourceCriterion"]["ipStrategy"] == {"excludedIPs": ["192.0.2.1"]}
    assert given(trusted_proxies=("192.0.2.1",), file="traefik.yml")["entryPoints"]["web"]["forwardedHeaders"] == {"trustedIPs": ["192.0.2.1"]}


def test_several_hosts_are_looked_at_and_a_visitor_may_stay_on_one():
    route = Route("a.test", app="shop", upstreams=("10.0.0.1:1", "10.0.0.2:1"), health="/ready", sticky=True)
    balancer = http(route)["services"]["route-1"]["loadBalancer"]
    assert [server["url"] for server in balancer["servers"]] == ["http://10.0.0.1:1", "http://10.0.0.2:1"]
    assert (balancer["healthCheck"]["path"], balancer["sticky"]["cookie"]["name"]) == ("/ready", "stack_host")
    assert [given(route, tls=tls)["http"]["services"]["route-1"]["loadBalancer"]["sticky"]["cookie"]["secure"] for tls in ("files", "off")] == [True, False]
    assert "healthCheck" not in http()["services"]["route-1"]["loadBalancer"]


def test_an_upstream_over_tls_is_asked_by_its_name_and_a_time_out_is_the_routes_own():
    found = http(Route("a.test", kind="upstream", upstreams=("old.test:8443",), secure=True, timeout=9))
    assert found["services"]["route-1"]["loadBalancer"]["servers"] == [{"url": "https://old.test:8443"}]
    transport = found["serversTransports"]["route-1"]
    assert (transport["serverName"], transport["forwardingTimeouts"]["responseHeaderTimeout"]) == ("old.test", "9s")


def test_files_and_redirects_are_the_other_containers_and_their_guards_are_here():
    site = Route("s.test", kind="static", static=Static("/srv/site"), logins=(Login("ops", "$2b$x"),))
    moved = Route("m.test", kind="redirect", redirect="https://a.test")
    found = http(site, moved)
    assert {found["routers"][name]["service"] for name in ("route-1", "route-2")} == {"pages"}
    beside = files(Edge((site, moved), tls="files", certificates=(("*.test",),)))["config/pages/Caddyfile"]
    assert "root * /srv/static/srv/site" in beside and "redir https://a.test{uri} 308" in beside and "$2b$" not in beside
    assert "http://:8081" in beside and "redir https://{host}{uri} 308" in beside


@pytest.mark.parametrize(("allow", "rule"), [((), "Host(`a.test`)"), (("10.0.0.0/8",), "Host(`a.test`) && !ClientIP(`10.0.0.0/8`)")])
def test_maintenance_comes_before_all_else_for_all_but_the_team(allow, rule):
    found = given(WEB, file="maintenance/shop.yml", maintenance_allow=allow)["http"]
    (router,) = found["routers"].values()
    assert router["rule"] == rule and router["priority"] > 100_000
    assert found["middlewares"]["closed-shop"]["replacePath"]["path"] == "/shop.html"


def test_another_content_has_another_mark():
    def mark(**edge) -> str:
        (found,) = [name for name in http(**edge)["middlewares"] if name.startswith("edge-")]
        return found

    assert mark() == mark() != mark(tls="off")


def test_challenges_are_answered_beside_it_and_handed_on():
    found = files(Edge((WEB,), tls="acme", acme=Acme("u", "m", peers=("10.0.0.2:80",))))["config/pages/Caddyfile"]
    assert "root /srv/challenges" in found and "reverse_proxy 10.0.0.2:80" in found
    proven = files(Edge((WEB,), tls="acme", acme=Acme("u", "m", "dns", dns="hetzner", peers=("10.0.0.2:80",))))["config/pages/Caddyfile"]
    assert "/srv/challenges" not in proven and "10.0.0.2" not in proven
    assert "certificates" not in given(tls="acme", acme=Acme("u", "m"))["tls"]


def test_another_content_of_a_certificate_is_another_mark():
    edge = Edge((WEB,), tls="files", certificates=(("*.test",),))
    assert files(edge, ["one"]) == files(edge, ["one"]) != files(edge, ["two"])


def test_no_other_protocol_comes_to_an_upstream_that_no_switch_guards():
    found = http(WEB, Route("l.test", kind="upstream", upstreams=("legacy:80",)))["routers"]
    assert found["other-2"]["rule"] == "Host(`l.test`) && HeaderRegexp(`Upgrade`, `(?i)h2c`)" and found["other-2"]["service"] == "pages"
    assert "other-1" not in found and found["other-2"]["priority"] > found["route-2"]["priority"]


def test_what_leads_nowhere_ends_before_the_files_which_have_no_guards_where_they_are():
    logins = (Login("ops", "$2b$x"),)
    site = Route("a.test", kind="static", static=Static("/srv/site", "/index.html"), logins=logins)
    found = http(site, Route("a.test", "/api", kind="upstream", upstreams=("legacy:80",), logins=logins))
    assert {found["routers"][name]["middlewares"][0] for name in ("hidden-1", "other-1")} == {"nobody"}
    assert found["middlewares"]["nobody"]["ipAllowList"] == {"sourceRange": ["255.255.255.255/32"], "rejectStatusCode": 404}
    assert "basicAuth" not in files(Edge((site,)))["config/pages/Caddyfile"]
