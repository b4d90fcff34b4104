# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def get(host):
    """Asks the edge by name, trusting only what the host trusts: headers and body."""

    def ask(url, *arguments):
        name = url.split("/")[2].split(":")[0]
        resolve = f"--resolve {name}:443:127.0.0.1 --resolve {name}:80:127.0.0.1 --resolve {name}:8443:127.0.0.1"
        return host.run(f"curl -sS -i -m 15 {resolve} {' '.join(arguments)} {url}")

    return ask


def test_the_container_is_hardened(host, hardened, service):
    hardened(service("caddy").container)
    assert service("caddy").health == "healthy"
    assert service("caddy").inspect("{{.HostConfig.CapAdd}}") in ("[NET_BIND_SERVICE]", "[CAP_NET_BIND_SERVICE]")


def test_the_host_trusts_the_certificate_and_the_routes_lead_to_their_processes(get):
    assert get("https://app.shop.test/hello").stdout.endswith("web /hello")
    assert get("https://app.shop.test/docs/start").stdout.endswith("docs /docs/start")


def test_http_leads_to_https_and_headers_are_safe(get):
    redirect = get("http://app.shop.test/x").stdout.lower()
    assert redirect.startswith("http/1.1 308")
    assert "location: https://app.shop.test/x" in redirect
    answer = get("https://app.shop.test/").stdout.lower()
    assert "strict-transport-security: max-age=31536000" in answer
    assert "x-content-type-options: nosniff" in answer


def test_a_name_that_is_not_in_the_inventory_gets_no_certificate(get):
    assert get("https://other.shop.test/").rc == 35


def test_the_administration_is_not_reachable_from_outside_of_the_container(host, service):
    address = service("caddy").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    assert host.run(f"curl -s -m 2 http://{address}:2019/config/").rc == 7


def test_a_new_route_is_taken_over_without_a_new_container(get, service, converge, name):
    before = service("caddy").inspect("{{.Id}} {{.State.StartedAt}}")
    assert converge(stack_domain="other.test").changed(name) == 1
    assert get("https://app.other.test/").stdout.endswith("web /")
    assert get("https://app.shop.test/").rc == 35
    assert service("caddy").inspect("{{.Id}} {{.State.StartedAt}}") == before
    assert converge().changed(name) == 1


def test_a_configuration_that_caddy_refuses_leaves_the_running_one_also_over_a_restart(host, get, converge, service, name):
    broken = converge(caddy_config="no_such_option")
    assert broken.rc != 0
    assert "no_such_option" in broken.output
    assert get("https://app.shop.test/hello").stdout.endswith("web /hello")
    assert converge(caddy_config="no_such_option").rc != 0
    host.check_output("docker restart " + service("caddy").container)
    assert get("https://app.shop.test/hello", "--retry 20 --retry-delay 1 --retry-all-errors").stdout.endswith("web /hello")
    assert converge().changed(name) == 0


def test_a_switch_that_is_away_for_a_moment_costs_no_request(host, get):
    host.check_output("docker stop -t 0 switch")
    assert host.check_output("docker inspect -f '{{.State.Running}}' switch") == "false"
    host.check_output("setsid -f sh -c 'sleep 2; docker start switch' >/dev/null 2>&1")
    assert get("https://app.shop.test/late").stdout.endswith("web /late")


def test_under_maintenance_visitors_get_the_page_and_the_team_the_application_without_a_reload(host, get, service, converge, name):
    page = "/var/lib/molecule/caddy/maintenance/shop.html"
    before = service("caddy").inspect("{{.Id}} {{.State.StartedAt}}")
    host.check_output(f"echo '<p>back soon' > {page}")
    for url in ("https://app.shop.test/hello", "https://app.shop.test/docs/start"):
        answer = get(url, "-X POST -d x").stdout
        assert "503" in answer.splitlines()[0] and "retry-after: 300" in answer.lower() and answer.endswith("<p>back soon\n")
    host.check_output("docker restart " + service("caddy").container)
    # Not by curl's own retries: it would take 503 for a reason to come again, after the 300 seconds that it is told.
    for _try in range(40):
        lines = get("https://app.shop.test/hello").stdout.splitlines()
        if lines:
            break
        host.run("sleep 0.5")
    assert "503" in lines[0]
    assert converge(stack_maintenance_allow=["0.0.0.0/0", "::/0"]).changed(name) == 1
    assert get("https://app.shop.test/hello").stdout.endswith("web /hello")
    assert converge().changed(name) == 1
    assert "503" in get("https://app.shop.test/hello").stdout.splitlines()[0]
    host.check_output(f"rm {page}")
    assert get("https://app.shop.test/hello").stdout.endswith("web /hello")
    assert service("caddy").inspect("{{.Id}}") == before.split()[0]
