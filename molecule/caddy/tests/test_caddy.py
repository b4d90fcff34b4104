# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# pylint: disable=wildcard-import,unused-wildcard-import  # the suite of all proxies is one file
from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from edge_client import Load
from edge_container import *  # noqa: F403, what only a container shows
from edge_host import edge_on
from edge_suite import *  # noqa: F403, the tests of all proxies

SHARED = Path(__file__).parents[2] / "shared"
ROLE = Path(__file__).parents[3] / "roles/caddy"
CONTAINER = "molecule-caddy-caddy-1"
ROUTES = yaml.safe_load((SHARED / "edge_vars/all.yml").read_text(encoding="utf-8"))["stack_routes"]
HAND_OVER = f"""
import subprocess, sys
found = subprocess.run(["docker", "inspect", "-f", "{{{{.State.Pid}}}}", "{CONTAINER}"], stdout=subprocess.PIPE, check=True)
handing = HandOver(int(found.stdout), (80, 443))
with handing.during():
    status = subprocess.run(sys.argv[1:], check=False).returncode
sys.exit(status or (0 if handing.done else 99))
"""


@pytest.fixture(scope="module")
def edge(host, tmp_path_factory):
    authority = tmp_path_factory.mktemp("edge") / "root.crt"
    authority.write_text(host.file("/var/lib/molecule/caddy/data/caddy/pki/authorities/local/root.crt").content_string, encoding="utf-8")
    reload = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__caddy_reload"]
    # As the module compose_project does it on the host.
    listeners = (SHARED.parents[1] / "plugins/module_utils/_listeners.py").read_text(encoding="utf-8")
    host.check_output("printf %%s %s > /run/hand-over.py", listeners + HAND_OVER)
    yield from edge_on(host, "caddy", str(authority), "Caddyfile", reload, around="python3 /run/hand-over.py")


@pytest.fixture
def get(host):
    """Asks the edge by name, trusting only what the host trusts: headers and body."""

    def ask(url, *arguments):
        name = url.split("/")[2].split(":")[0]
        resolve = f"--resolve {name}:443:127.0.0.1 --resolve {name}:80:127.0.0.1"
        return host.run(f"curl -sS -i -m 15 {resolve} {' '.join(arguments)} {url}")

    return ask


def test_the_container_is_hardened(host, hardened, service):
    hardened(service("caddy").container)
    assert service("caddy").health == "healthy"
    assert service("caddy").inspect("{{.HostConfig.CapAdd}}") in ("[NET_BIND_SERVICE]", "[CAP_NET_BIND_SERVICE]")


def test_no_file_has_a_password(no_canary):
    no_canary()


def test_the_host_trusts_the_certificate(get):
    assert get("https://app.shop.test/hello").stdout.endswith("web /hello")


def test_the_administration_is_not_reachable_from_outside_of_the_container(host, service):
    address = service("caddy").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    assert host.run(f"curl -s -m 2 http://{address}:2019/config/").rc == 7


def test_http_3_is_closed_unless_it_is_asked_for(host):
    assert "udp" not in host.check_output(f"docker port {CONTAINER}")


def test_a_new_route_is_taken_over_without_a_new_container(get, service, converge, name):
    before = service("caddy").inspect("{{.Id}} {{.State.StartedAt}}")
    assert converge(stack_routes=[*ROUTES, {"host": "new.shop.test", "upstream": "http://switch:20003"}]).changed(name) == 1
    assert get("https://new.shop.test/").stdout.endswith("plain /")
    assert service("caddy").inspect("{{.Id}} {{.State.StartedAt}}") == before
    assert converge().changed(name) == 1
    assert get("https://new.shop.test/").rc == 35


def test_runs_that_change_routes_lose_no_request(edge, converge, name):
    def change():
        for number in range(3):
            changed = converge("-v", stack_routes=[*ROUTES, {"host": f"n{number}.shop.test", "upstream": "http://switch:20003"}])
            assert changed.changed(name) == 1 and re.search(r'handed_over"?:[\s\["-]+caddy', changed.output), changed.output
        assert converge().changed(name) == 1

    load = Load(edge).run(change)
    assert (load.lost_fresh, load.lost_kept, load.lost_http2) == (0, 0, 0), load.reasons
    assert min(load.fresh, load.kept, load.http2) > 100


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


def test_maintenance_outlives_a_restart_and_lets_the_team_in_without_one(host, get, service, converge, name):
    page = "/var/lib/molecule/caddy/maintenance/shop.html"
    before = service("caddy").inspect("{{.Id}}")
    host.check_output(f"echo '<p>back soon' > {page}")
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
    assert service("caddy").inspect("{{.Id}}") == before
