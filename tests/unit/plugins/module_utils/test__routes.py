# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.module_utils import _routes, _wiring
from ansible_collections.longshore.stack.plugins.module_utils._routes import SECURITY, Acme, Edge, Login, RateLimit, Route, Static
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View, WiringError

ROOT = Path(__file__).parents[4]
APART = {"rabbitmq": ["db1"], "minio": ["db1"], "proxy": ["web1"], "app": ["web1", "web2"]}
HOSTVARS = {"db1": {"stack_address": "10.0.0.5"}, "web1": {"stack_address": "10.0.0.1"}, "web2": {"stack_address": "10.0.0.2"}}


def view(host="web1", groups=None, **variables):
    shared = {"stack_name": "s", **variables}
    return View(host, groups or APART, lambda name, variable, default=None: HOSTVARS.get(name, {}).get(variable, shared.get(variable, default)))


def app(*routes, **process):
    return [{"name": "a", "processes": [{"name": "web", "port": 8000, "switch_port": 20001, "routes": list(routes), **process}]}]


def routes(view_):
    return _routes.routes(view_, lambda password, purpose: f"hash of {password} for {purpose}")


def test_a_route_leads_to_the_switch_beside_it_by_name_and_to_the_others_by_their_address():
    (route,) = routes(view(stack_apps=app({"host": "A.test", "path": "/x/"}, health={"path": "/health"})))
    assert route == Route("a.test", "/x", app="a", upstreams=("switch:20001", "10.0.0.2:20001"), health="/health")


def test_the_edge_asks_a_singleton_only_where_it_runs():
    assert routes(view(stack_apps=app({"host": "a.test"}, singleton=True)))[0].upstreams == ("switch:20001",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"service": "rabbitmq"}, {"kind": "service", "upstreams": ("10.0.0.5:15672",)}),
        ({"service": "minio"}, {"kind": "service", "upstreams": ("10.0.0.5:9001",)}),
        ({"service": "s3"}, {"kind": "service", "upstreams": ("10.0.0.5:9000",)}),
        ({"redirect": "https://b.test"}, {"kind": "redirect", "redirect": "https://b.test", "redirect_code": 308}),
        ({"redirect": "https://b.test/", "redirect_code": 301}, {"kind": "redirect", "redirect": "https://b.test/", "redirect_code": 301}),
        ({"upstream": "http://b.test"}, {"kind": "upstream", "upstreams": ("b.test:80",)}),
        ({"upstream": "https://[fd00::1]:8443"}, {"kind": "upstream", "upstreams": ("[fd00::1]:8443",), "secure": True}),
        ({"static": {"folder": "/srv/x/"}}, {"kind": "static", "static": Static("/srv/x")}),
        (
            {"static": {"folder": "/srv/x", "fallback": "/index.html", "max_age": "60", "immutable": ["/a/*"]}},
            {"kind": "static", "static": Static("/srv/x", "/index.html", 60, ("/a/*",))},
        ),
    ],
)
def test_what_a_route_of_the_stack_leads_to(given, expected):
    assert routes(view(stack_routes=[{"host": "r.test", **given}])) == (Route("r.test", **expected),)


def test_on_its_own_host_a_service_is_reached_by_name_over_the_network_of_the_services():
    groups = {**APART, "rabbitmq": ["web1"], "minio": ["web1"]}
    given = [{"host": "q.test", "service": "rabbitmq"}, {"host": "s.test", "service": "s3"}]
    alone = view(groups=groups, stack_routes=given)
    assert [route.upstreams for route in routes(alone)] == [("rabbitmq:15672",), ("minio:9000",)]
    assert _routes.beside_services(alone)
    assert not _routes.beside_services(view(stack_routes=given))
    assert not _routes.beside_services(view(groups=groups, stack_routes=[{"host": "q.test", "redirect": "https://b.test"}]))


def test_a_console_of_a_service_that_is_nowhere_is_an_error():
    with pytest.raises(WiringError, match="nothing has the console of minio: put a host into the group minio"):
        routes(view(groups={"proxy": ["web1"]}, stack_routes=[{"host": "c.test", "service": "minio"}]))


def test_options_are_read_whether_they_come_with_their_defaults_or_not():
    given = {
        "host": "a.test",
        "allow": ["10.0.0.0/8"],
        "basic_auth": [{"user": "ops", "password": "pw"}],
        "max_body": "10M",
        "timeout": 30,
        "compress": False,
        "sticky": True,
        "rate_limit": {"requests": 5},
        "request_id": True,
        "security": {"frame": "", "hsts": None},
    }
    (route,) = routes(view(stack_apps=app(given), groups={"proxy": ["web1"], "app": ["web1"]}))
    assert route == Route(
        "a.test",
        app="a",
        upstreams=("switch:20001",),
        allow=("10.0.0.0/8",),
        logins=(Login("ops", "hash of pw for a.test/ ops"),),
        max_body=10 * 1024**2,
        timeout=30,
        compress=False,
        sticky=True,
        rate_limit=RateLimit(5),
        request_id=True,
        security={**SECURITY, "frame": ""},
    )


def test_the_most_specific_path_of_a_host_comes_first():
    apps = app({"host": "b.test"}, {"host": "a.test", "path": "/"}, {"host": "a.test", "path": "/api/v1"}, {"host": "a.test", "path": "/api"})
    sites = Edge(routes(view(stack_apps=apps))).sites
    assert {host: [route.path for route in found] for host, found in sites.items()} == {"a.test": ["/api/v1", "/api", "/"], "b.test": ["/"]}


def test_the_edge_is_what_the_variables_of_the_stack_say():
    variables = {
        "stack_tls": "acme",
        "stack_http_port": "8080",
        "stack_https_port": 8443,
        "stack_acme_email": "ops@a.test",
        "stack_acme_directory": "https://ca.test/directory",
        "stack_acme_eab": {"id": "a", "key": "b"},
        "stack_trusted_proxies": ["10.0.0.0/8"],
        "stack_access_log": False,
        "stack_maintenance_allow": ["10.1.0.0/16"],
        "stack_maintenance_seconds": 60,
        "caddy_http3": True,
    }
    assert _routes.edge(view(**variables), str, [["a.test"]]) == Edge(
        (),
        "acme",
        8080,
        8443,
        Acme("https://ca.test/directory", "ops@a.test", account="a"),
        (("a.test",),),
        ("10.0.0.0/8",),
        access_log=False,
        maintenance_allow=("10.1.0.0/16",),
        maintenance_seconds=60,
        http3=True,
    )


@pytest.mark.parametrize(("target", "keeps"), [("https://b.test", True), ("https://b.test/", False), ("https://b.test/x", False)])
def test_a_redirect_without_a_path_goes_on_to_the_same_path(target, keeps):
    assert Route("a.test", kind="redirect", redirect=target).keeps_path == keeps


@pytest.mark.parametrize(
    ("name", "host", "covered"),
    [("a.test", "A.test", True), ("*.test", "a.test", True), ("*.test", "a.b.test", False), ("*.test", "test", False), ("b.test", "a.test", False)],
)
def test_a_certificate_covers_its_names_and_one_level_below_a_star(name, host, covered):
    assert _routes.covers(name, host) == covered
    assert Edge((), certificates=(("x.test",), (name,))).certificate_of(host) == (1 if covered else None)


def test_the_folders_of_static_files_are_known_once_each():
    given = [{"host": f"{name}.test", "static": {"folder": folder}} for name, folder in (("a", "/srv/b/"), ("b", "/srv/a"), ("c", "/srv/b"))]
    assert _routes.static_folders(view(stack_routes=given)) == ["/srv/a", "/srv/b"]


# -- certificates ------------------------------------------------------------------------------------------------------------

NAMED = {"stack_apps": app({"host": "a.test"}, {"host": "A.test", "path": "/x"}), "stack_routes": [{"host": "b.test", "redirect": "https://a.test"}]}


def test_each_host_name_has_its_certificate_looked_at_once():
    found = _routes.certificate_probes(view(stack_tls="acme", stack_tls_min_days=7, stack_https_port=8443, **NAMED))
    assert [(probe["name"], probe["host"], probe["port"], probe["min_days"]) for probe in found] == [
        ("certificate of a.test", "a.test", 8443, 7),
        ("certificate of b.test", "b.test", 8443, 7),
    ]
    assert found[0]["log_container"] == "s-caddy-caddy-1"


def test_an_own_authority_is_taken_as_it_is_and_without_tls_there_is_nothing_to_look_at():
    for proxy in _routes.PROXIES:
        assert len(_routes.certificate_probes(view(stack_tls="internal", stack_proxy=proxy, **NAMED))) == 2
    (probe, _other) = _routes.certificate_probes(view(stack_tls="internal", stack_tls_min_days=7, **NAMED), "/root.crt")
    assert (probe["min_days"], probe["ca_path"], "log_container" in probe) == (0, "/root.crt", False)
    assert _routes.certificate_probes(view(stack_tls="off", **NAMED)) == []


def test_an_authority_is_known_by_a_word_or_its_address_and_each_proxy_by_the_others():
    groups = {"proxy": ["web1", "web2"], "app": ["web1"]}
    assert _routes.acme(view(groups=groups, stack_http_port=8080)).peers == ("10.0.0.2:8080",)
    other = View("web1", groups, lambda name, variable, default=None: {"web2": {"stack_address": "2001:db8::2"}}.get(name, {}).get(variable, default))
    assert _routes.acme(other).peers == ("[2001:db8::2]:80",)
    urls = [_routes.acme(view(stack_acme_directory=given)).url for given in ("", "production", "staging", "https://ca.test/d")]
    assert urls[0] == urls[1] == "https://acme-v02.api.letsencrypt.org/directory"
    assert urls[2:] == ["https://acme-staging-v02.api.letsencrypt.org/directory", "https://ca.test/d"]


# -- what a proxy can --------------------------------------------------------------------------------------------------------


def test_what_a_proxy_has_not_got_is_named_with_its_reason():
    assert _routes.refusals("caddy", ["app", "allow", "rate_limit"]) == {"rate_limit": "its standard build has no rate limit"}


def test_every_refusal_is_about_a_proxy_and_an_option_that_exist():
    assert all(proxy in _routes.PROXIES and option in {**_routes.OPTIONS, **_routes.EDGE_OPTIONS} for proxy, option in _routes.REFUSED)


def test_every_option_of_a_route_in_the_inventory_is_in_the_table():
    spec = yaml.safe_load((ROOT / "roles/stack/meta/argument_specs.yml").read_text(encoding="utf-8"))
    given = spec["argument_specs"]["main"]["options"]["stack_routes"]["options"]
    assert set(given) - {"host", "path", "redirect_code"} == set(_routes.OPTIONS) - {"app"}
    assert given["service"]["choices"] == list(_routes.ROUTED_SERVICES)
    assert given["redirect_code"]["choices"] == list(_routes.REDIRECTS)
    assert {name: option["default"] for name, option in given["security"]["options"].items()} == SECURITY
    of_process = spec["argument_specs"]["main"]["options"]["stack_apps"]["options"]["processes"]["options"]["routes"]["options"]
    assert set(of_process) == set(given) - set(_routes.TARGETS) - {"redirect_code"}


def test_the_documentation_has_the_table_as_it_is():
    text = (ROOT / "docs/edge.md").read_text(encoding="utf-8")
    found = re.search(r"^\| option \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    assert found and found[0] == _routes.table()


def test_the_services_with_a_route_are_those_that_have_something_to_show():
    assert {name for name, facts in _wiring.SERVICES.items() if facts.get("console")} | {"s3"} == set(_routes.ROUTED_SERVICES)


def test_the_edge_is_published_on_ipv6_only_where_its_network_has_that():
    assert _routes.ports(view()) == ["0.0.0.0:80:80", "0.0.0.0:443:443"]
    assert _routes.ports(view(stack_tls="off", stack_http_port=8080)) == ["0.0.0.0:8080:8080"]
    assert _routes.ports(view(stack_edge_ipv6=True, caddy_http3=True)) == ["80:80", "443:443", "443:443/udp"]
