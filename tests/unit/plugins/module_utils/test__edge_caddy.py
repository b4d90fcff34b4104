# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the text must say; that Caddy does so is tested with Caddy (tests/edge)."""

from __future__ import annotations

import re

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile
from ansible_collections.longshore.stack.plugins.module_utils._routes import Acme, Edge, Login, Route, Static

WEB = Route("a.test", app="shop", upstreams=("switch:20001",))


def text(*routes: Route, extra: str = "", **edge) -> str:
    return caddyfile(Edge(routes or (WEB,), **edge), extra)


def flat(*routes: Route, **edge) -> str:
    return re.sub(r"\s+", " ", text(*routes, **edge))


def test_blocks_are_closed_and_indented():
    lines = text(WEB, Route("a.test", "/x", app="shop", upstreams=("switch:20002",))).splitlines()
    depth = 0
    for line in lines:
        depth -= line.strip() == "}"
        assert len(line) - len(line.lstrip("\t")) == depth or not line, line
        depth += line.endswith("{")
    assert depth == 0


@pytest.mark.parametrize(
    ("tls", "site", "certificate"),
    [
        ("internal", "a.test { tls internal log route", "tls internal"),
        ("acme", "a.test { log route", ""),
        ("files", "a.test { tls /etc/caddy/certificates/0.pem /run/secrets/tls_0 log route", ""),
        ("off", "http://a.test { log route", ""),
    ],
)
def test_each_way_of_tls_has_its_site(tls, site, certificate):
    found = flat(tls=tls, certificates=(("*.test",),), acme=Acme("https://ca.test/d", "ops@a.test"))
    assert site in found
    assert ("http://a.test { log header -Server route { redir https://a.test{uri} 308 } }" in found) == (tls != "off")
    assert ("cert_issuer acme { dir https://ca.test/d email ops@a.test }" in found) == (tls == "acme")
    assert ("auto_https off" in found) == (tls == "off")
    assert ("max-age=31536000" in found) == (tls != "off")


@pytest.mark.parametrize(
    ("acme", "said"),
    [
        (Acme("u", "m", "auto"), ""),
        (Acme("u", "m", "http"), "disable_tlsalpn_challenge "),
        (Acme("u", "m", "tls"), "disable_http_challenge "),
        (Acme("u", "m", "auto", peers=("10.0.0.2:80",)), "disable_tlsalpn_challenge "),
        (Acme("u", "m", account="kid"), "import /run/secrets/acme_eab "),
    ],
)
def test_an_authority_is_asked_as_it_can_be_answered(acme, said):
    assert f"cert_issuer acme {{ dir u email m {said}}}" in flat(tls="acme", acme=acme)


def test_a_certificate_that_lego_gets_in_the_dns_is_loaded_and_nobody_is_asked_for_one():
    found = flat(tls="acme", acme=Acme("u", "m", "dns", dns="hetzner", peers=("10.0.0.2:80",)))
    assert "auto_https disable_redirects disable_certs" in found
    assert "a.test { tls { load /srv/certificates } log route" in found
    assert "cert_issuer" not in found and "10.0.0.2" not in found


def test_a_challenge_that_another_proxy_began_is_handed_to_each_of_them_and_by_none_of_them_again():
    found = flat(tls="acme", acme=Acme("u", "m", peers=("10.0.0.2:80", "10.0.0.3:80")))
    assert "@challenge { path /.well-known/acme-challenge/* not header Edge-Challenge * }" in found
    first, then = re.findall(r"reverse_proxy (10[^{]+) {", found)
    assert (first, then) == ("10.0.0.2:80 10.0.0.3:80", "10.0.0.3:80")
    assert found.count("header_up Edge-Challenge 1") == 2
    assert "Edge-Challenge" not in flat(tls="acme", acme=Acme("u", "m")) + flat(tls="files", acme=Acme(peers=("10.0.0.2:80",)))


def test_names_without_a_route_get_no_answer_of_a_site():
    assert flat().endswith("http:// { log header -Server respond 404 } https:// { log header -Server respond 421 } ")
    assert flat(tls="off").endswith("http:// { log header -Server respond 404 } ")


def test_another_port_is_in_the_redirect():
    assert "redir https://a.test:8443{uri} 308" in flat(https_port=8443)


def test_a_path_means_itself_and_what_is_below_it():
    found = flat(Route("a.test", "/api", app="shop", upstreams=("switch:1",)))
    assert "@path1 path /api /api/*" in found
    assert found.count("respond 404") == 2, "what is not below it is nobody's"


def test_a_guard_comes_before_what_it_guards():
    route = Route("a.test", app="shop", upstreams=("switch:1",), allow=("10.0.0.0/8", "fd00::/8"), logins=(Login("ops", "$2b$x"),), max_body=10)
    found = text(route)
    order = ["@denied1 not client_ip 10.0.0.0/8 fd00::/8", "respond @denied1 403", "handle @closed1", "ops $2b$x", "max_size 10", "reverse_proxy switch:1"]
    places = [found.index(words) for words in order]
    assert places == sorted(places)


def test_only_an_application_has_a_maintenance_page():
    assert "try_files /shop.html" in flat()
    assert "not client_ip 10.0.0.0/8" in flat(maintenance_allow=("10.0.0.0/8",))
    assert "maintenance" not in flat(Route("a.test", kind="upstream", upstreams=("b.test:80",)))


def test_several_upstreams_are_looked_at_by_themselves():
    route = Route("a.test", app="shop", upstreams=("switch:1", "10.0.0.2:1"), health="/health")
    assert "lb_policy least_conn fail_duration 5s health_uri /health health_headers { Host a.test }" in flat(route)
    sticky = Route("a.test", app="shop", upstreams=("switch:1", "10.0.0.2:1"), sticky=True)
    assert "lb_policy cookie stack_host" in flat(sticky) and "health_uri" not in flat(sticky)
    assert "lb_policy" not in flat()


def test_an_upstream_may_be_secure_and_slow():
    found = flat(Route("a.test", kind="upstream", upstreams=("b.test:443",), secure=True, timeout=7))
    assert "transport http { keepalive 5s compression off response_header_timeout 7s tls }" in found


def test_files_below_a_path_are_found_without_it():
    found = flat(Route("a.test", "/docs", kind="static", static=Static("/srv/site", max_age=60)))
    assert "root * /srv/static/srv/site uri strip_prefix /docs" in found
    assert '?Cache-Control "public, max-age=60"' in found
    assert "rewrite" not in found.partition("uri strip_prefix")[2]


def test_a_header_that_is_switched_off_is_not_there():
    off = dict.fromkeys(("hsts", "nosniff", "frame", "referrer"), "")
    assert not re.search(r"Strict|X-Content|X-Frame|Referrer", flat(Route("a.test", app="shop", upstreams=("s:1",), security=off)))


def test_http_3_is_an_offer_that_has_its_price():
    assert "protocols h1 h2 h3" in flat(http3=True) and "EDGE_BIND" not in flat(http3=True)
    assert "protocols h1 h2 " in flat() and "{$EDGE_BIND}" in flat()


def test_proxies_before_the_edge_are_believed_only_where_they_are_named():
    assert "trusted_proxies static 10.0.0.5 10.30.0.0/16 trusted_proxies_strict" in flat(trusted_proxies=("10.0.0.5", "10.30.0.0/16"))
    assert "trusted_proxies" not in flat()


def test_the_access_log_can_be_off():
    assert "{ log" not in flat(access_log=False).partition("format json }")[2]


def test_global_options_of_the_user_are_among_those_of_the_collection():
    assert "\n\tocsp_stapling off\n}\n" in text(extra="ocsp_stapling off\n")


def test_an_upstream_hears_of_no_other_protocol_than_websockets():
    steps = ["header_regexp Upgrade (?i)^websocket$ }", "request_header @other1 -Upgrade", "request_header @websocket1 Upgrade websocket", "reverse_proxy"]
    places = [flat().index(step) for step in steps]
    assert places == sorted(places)
