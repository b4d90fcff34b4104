# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the text must say; that Nginx does so is tested with Nginx (tests/edge)."""

from __future__ import annotations

import re

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._edge_nginx import files
from ansible_collections.longshore.stack.plugins.module_utils._routes import Acme, Edge, Login, RateLimit, Route, Static

WEB = Route("a.test", app="shop", upstreams=("switch:20001",))


def flat(*routes: Route, extra: str = "", **edge) -> str:
    given = {"tls": "files", "certificates": (("*.test",),), **edge}
    return re.sub(r"\s+", " ", files(Edge(routes or (WEB,), **given), extra)["config/nginx.conf"])


def test_a_site_has_its_certificate_and_http_leads_to_it():
    found = flat(https_port=8443)
    assert "server_name a.test; ssl_certificate /etc/edge/certificates/0.pem; ssl_certificate_key /run/secrets/tls_0;" in found
    assert "listen 80; server_name a.test; return 308 https://a.test:8443$request_uri;" in found
    assert "if ($ssl_server_name != a.test) { return 421; }" in found


def test_without_tls_there_is_no_redirect_and_no_hsts():
    found = flat(tls="off")
    assert "ssl" not in found.partition("server {")[2] and "308" not in found and "Strict-Transport" not in found


def test_names_without_a_route_get_no_answer_of_a_site():
    found = flat()
    assert 'listen 80 default_server; server_name ""; return 404;' in found
    assert 'listen 443 ssl default_server; server_name ""; ssl_reject_handshake on; return 421;' in found


def test_it_listens_where_the_network_has_ipv6():
    assert "[::]" not in flat()
    found = flat(ipv6=True)
    for port, words in (("80", " default_server"), ("443", " ssl default_server"), ("80", ""), ("443", " ssl")):
        assert f"listen {port}{words}; listen [::]:{port}{words};" in found


@pytest.mark.parametrize(("path", "place"), [("/", '"^(?:/|$)"'), ("/api", '"^/api(?:/|$)"'), ("/a.b", '"^/a\\.b(?:/|$)"')])
def test_a_path_means_itself_and_what_is_below_it(path, place):
    found = flat(Route("a.test", path, app="shop", upstreams=("switch:1",)))
    assert f"location ~ {place} {{" in found
    assert ("location / { return 404; }" in found) == (path != "/")


def test_the_longest_path_is_looked_at_first():
    found = flat(WEB, Route("a.test", "/api", app="shop", upstreams=("switch:2",)))
    assert found.index('"^/api(?:/|$)"') < found.index('"^(?:/|$)"')
    assert found.index("proxy_pass http://edge_1;") < found.index("proxy_pass http://edge_2;")
    assert "upstream edge_1 { zone edge_1 128k; server switch:2" in found


def test_guards_are_there_and_passwords_are_files_of_their_own():
    route = Route("a.test", app="shop", upstreams=("switch:1",), allow=("10.0.0.0/8",), logins=(Login("ops", "$2b$x"), Login("dev", "$2b$y")))
    ((place, text),) = [one for one in files(Edge((route,), tls="off")).items() if one[0].startswith("config/users/")]
    assert text == "ops:$2b$x\ndev:$2b$y\n"
    found = flat(route)
    assert "allow 10.0.0.0/8; deny all; auth_basic" in found and f"auth_basic_user_file /etc/edge/{place.removeprefix('config/')};" in found
    assert "$2b$" not in found


def test_a_file_of_passwords_never_becomes_that_of_another_route():
    def kept(*routes: Route) -> dict[str, str]:
        return {place: text for place, text in files(Edge(routes, tls="off")).items() if "users" in place}

    ops = Route("m.test", "/admin", app="shop", upstreams=("switch:1",), logins=(Login("ops", "$2b$x"),))
    partner = Route("b.test", app="shop", upstreams=("switch:1",), logins=(Login("partner", "$2b$y"),))
    assert len(kept(ops, partner)) == 2 and kept(ops).items() < kept(partner, ops).items()


def test_a_limit_counts_by_client_and_lets_its_whole_number_through_at_once():
    found = flat(Route("a.test", app="shop", upstreams=("s:1",), rate_limit=RateLimit(10, 60, 5)))
    assert "limit_req_zone $binary_remote_addr zone=edge_limit_1:10m rate=10r/m;" in found
    assert "limit_req zone=edge_limit_1 burst=14 nodelay; limit_req_status 429;" in found
    assert "limit_req zone=edge_limit_1;" in flat(Route("a.test", app="shop", upstreams=("s:1",), rate_limit=RateLimit(1)))


def test_names_of_upstreams_are_looked_up_again_and_addresses_are_not():
    found = flat(Route("a.test", app="shop", upstreams=("switch:1", "10.0.0.2:1")))
    assert "least_conn; server switch:1 max_fails=1 fail_timeout=5s resolve; server 10.0.0.2:1 max_fails=1 fail_timeout=5s;" in found
    sticky = Route("a.test", app="shop", upstreams=("switch:1", "10.0.0.2:1"), sticky=True)
    assert "sticky cookie stack_host path=/ httponly secure;" in flat(sticky)
    assert "sticky cookie stack_host path=/ httponly;" in flat(sticky, tls="off")


def test_a_secure_upstream_is_verified_by_its_name():
    found = flat(Route("a.test", kind="upstream", upstreams=("b.test:443",), secure=True))
    assert "proxy_pass https://edge_1; proxy_ssl_server_name on; proxy_ssl_name b.test; proxy_ssl_verify on;" in found


def test_each_value_of_a_header_is_given_where_the_application_gives_none():
    other = Route("b.test", app="shop", upstreams=("s:1",), security={"hsts": "", "nosniff": "nosniff", "frame": "DENY", "referrer": ""})
    found = flat(WEB, other)
    assert 'map $upstream_http_x_frame_options $edge_frame_0 { "" "SAMEORIGIN"; default ""; }' in found
    assert 'map $upstream_http_x_frame_options $edge_frame_1 { "" "DENY"; default ""; }' in found
    assert "add_header X-Frame-Options $edge_frame_1 always;" in found.partition("server_name b.test; ssl_cert")[2]


def test_a_redirect_is_told_only_behind_its_guards():
    found = flat(Route("a.test", kind="redirect", redirect="https://b.test", redirect_code=301, allow=("10.0.0.0/8",)))
    assert "deny all; gzip on; try_files /.longshore-none @moved_1; }" in found
    assert "return 301 https://b.test$request_uri; }" in found


def test_files_below_a_path_are_found_without_it_and_hidden_ones_never():
    found = flat(Route("a.test", "/docs", kind="static", static=Static("/srv/site", "/index.html", 60, ("/assets/*", "/x.js"))))
    assert 'location ~ "^/docs/(?:.*/)?\\.(?:git|env|ht)" { return 404; }' in found
    assert 'root /srv/static/srv/site; rewrite "^/docs/?(.*)$" /$1 break;' in found
    assert 'location ~ "^/docs/assets/"' in found and 'location ~ "^/docs/x\\.js$"' in found
    assert 'add_header Cache-Control "public, max-age=60"; try_files $uri $uri/index.html /index.html =404;' in found


def test_the_team_and_proxies_before_the_edge_are_known():
    found = flat(maintenance_allow=("10.0.0.0/8",), trusted_proxies=("10.9.0.1",))
    assert 'geo $remote_addr $edge_visitor { default 1; 10.0.0.0/8 ""; }' in found
    assert "set_real_ip_from 10.9.0.1; real_ip_header X-Forwarded-For; real_ip_recursive on;" in found
    assert "real_ip_header" not in flat()


def test_the_access_log_can_be_off_and_lines_of_the_user_are_there():
    assert "access_log off;" in flat(access_log=False).partition("server {")[0]
    assert "client_body_timeout 30s; server {" in flat(extra="client_body_timeout 30s;\n")


def test_a_certificate_that_lego_gets_is_read_for_each_connection_and_its_challenges_are_answered():
    found = flat(tls="acme", certificates=(), acme=Acme("u", "m"))
    assert "ssl_certificate /srv/certificates$edge_when_asked/a.test.pem; ssl_certificate_key /srv/certificates$edge_when_asked/a.test.pem;" in found
    challenges = "location ^~ /.well-known/acme-challenge/ { root /srv/challenges; default_type text/plain; try_files $uri =404; }"
    assert f"{challenges} location / {{ return 308 https://a.test$request_uri; }}" in found
    assert "acme-challenge" not in flat(tls="acme", certificates=(), acme=Acme("u", "m", "dns", dns="hetzner"))


def test_a_challenge_that_another_proxy_began_is_handed_to_each_of_them_and_by_none_of_them_again():
    found = flat(tls="acme", certificates=(), acme=Acme("u", "m", peers=("10.0.0.2:80", "10.0.0.3:80")))
    assert 'map $http_edge_challenge $edge_asks_on { "" @edge_peer_0; default @edge_nobody; }' in found
    assert "try_files $uri $edge_asks_on;" in found
    first, second = re.findall(r"location @edge_peer_\d { (.*?) }", found)
    assert "proxy_pass http://10.0.0.2:80;" in first and "= @edge_peer_1;" in first
    assert "proxy_pass http://10.0.0.3:80;" in second and "error_page" not in second
