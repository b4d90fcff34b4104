# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _firewall
from ansible_collections.longshore.stack.plugins.module_utils._firewall import FirewallError, Opening, openings, resolved, ruleset, strangers, uplinks
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

APP = {"name": "shop", "needs": ["postgres", "s3"], "processes": [{"name": "web", "port": 8000, "switch_port": 20001}, {"name": "worker"}]}
GROUPS = {
    "all": ["db1", "app1", "app2", "edge1", "watch1"],
    "postgres": ["db1"],
    "valkey": ["db1"],
    "minio": ["db1"],
    "app": ["app1", "app2"],
    "proxy": ["edge1"],
    "monitoring": ["watch1"],
    "empty": [],
}
ADDRESSES = {"db1": "10.0.0.1", "app1": "10.0.0.11", "app2": "app2.internal", "edge1": "10.0.0.21", "watch1": "10.0.0.31"}
TRUSTED = ["docker0", "br-*"]


def view(host, groups=None, **variables):
    shared = {"stack_apps": [APP], **variables}

    def of(name, variable, default=None):
        own = {"stack_address": ADDRESSES.get(name), "firewall_addresses": ["fd00::11"] if name == "app1" else None}
        return shared.get(variable, own.get(variable) or default)

    return View(host, groups or GROUPS, of)


def opened(host, **variables):
    """What a host lets in beside SSH, as `protocol/ports: sources`."""
    found = openings(view(host, **variables))
    assert (found[0].why, found[0].ports) == ("SSH", "22")
    return {f"{one.protocol}/{one.ports}": list(one.sources) if one.sources is not None else None for one in found[1:]}


# -- from the inventory --------------------------------------------------------------------------------------------------


def test_a_service_is_open_for_the_hosts_whose_applications_use_it_and_no_other_service_is():
    users = ["10.0.0.11", "fd00::11", "app2.internal"]
    assert opened("db1", postgres_port=15432) == {"tcp/15432": users, "tcp/9000": users}


def test_an_application_host_is_open_for_the_proxies_at_the_ports_of_the_switch():
    assert opened("app1") == {"tcp/20001": ["10.0.0.21"]}


def test_a_process_that_a_live_release_still_has_keeps_its_opening():
    served = [{"name": "shop-old", "switch_port": 20007}]
    assert [one.ports for one in openings(view("app1"), served)] == ["22", "20001", "20007"]


@pytest.mark.parametrize(
    ("variables", "ports"),
    [
        ({"stack_tls": "acme", "caddy_http3": True}, {"tcp/80", "tcp/443", "udp/443"}),
        ({"stack_tls": "internal"}, {"tcp/80", "tcp/443"}),
        ({"stack_tls": "files", "stack_proxy": "nginx", "caddy_http3": True}, {"tcp/80", "tcp/443"}),
        ({"stack_tls": "off", "caddy_http3": True}, {"tcp/80"}),
    ],
)
def test_a_proxy_is_open_for_everybody(variables, ports):
    assert opened("edge1", **variables) == dict.fromkeys(ports)


def test_the_console_of_a_service_is_open_for_the_proxies_that_lead_to_it():
    assert "tcp/9001" not in opened("db1")
    assert set(opened("db1", stack_routes=[{"host": "c.test", "service": "minio"}])["tcp/9001"]) == set(opened("app1")["tcp/20001"])


def test_on_one_host_for_everything_only_the_edge_is_open():
    groups = {group: ["box"] for group in ("all", "postgres", "minio", "app", "proxy")}
    assert [one.why for one in openings(view("box", groups))] == ["SSH", "the edge", "the edge"]


def test_a_host_in_no_group_is_open_for_ssh_alone():
    assert opened("watch1") == {}


def test_a_service_that_is_managed_elsewhere_needs_no_opening():
    assert "tcp/5432" not in opened("db1", postgres_external_url="postgresql://db.test/x")


def test_ssh_may_have_another_port_a_limit_and_people_who_may_come_in():
    ssh = openings(view("watch1", firewall_ssh_port="2222", firewall_ssh_limit=30, firewall_ssh_allow=["10.0.0.0/8"]))
    assert ssh == [Opening("SSH", "tcp", "2222", ("10.0.0.0/8",), 30)]


def test_openings_of_ones_own_take_networks_hosts_and_groups():
    rules = [
        {"port": "9100", "from": ["monitoring", "app1", "192.168.0.0/16"], "comment": "node exporter"},
        {"port": "3000-3010", "protocol": "udp"},
    ]
    assert opened("db1", stack_apps=[], firewall_allow=rules) == {
        "tcp/9100": ["10.0.0.31", "10.0.0.11", "fd00::11", "192.168.0.0/16"],
        "udp/3000-3010": None,
    }


def test_an_opening_for_a_group_without_hosts_is_one_for_nobody_and_not_for_everybody():
    assert opened("db1", stack_apps=[], firewall_allow=[{"port": "9100", "from": ["empty"]}]) == {}


# -- to the rules --------------------------------------------------------------------------------------------------------


def rules_of(*allowed):
    text = ruleset("shop", allowed, TRUSTED)
    return [line.strip() for line in text.split("chain openings {")[1].split("}\n")[0].splitlines() if line.strip()]


def test_a_rule_is_about_the_port_that_was_asked_for_so_that_it_holds_for_published_ports():
    assert rules_of(Opening("the edge", "tcp", "443")) == ['meta l4proto tcp ct original proto-dst 443 accept comment "the edge"']


def test_sources_are_merged_and_told_apart_by_version():
    rules = rules_of(Opening("x", "tcp", "5432", ("10.0.0.0/8", "10.1.1.1", "10.0.0.0/8", "fd00::1", "192.168.1.1/32")))
    assert rules == [
        'meta l4proto tcp ct original proto-dst 5432 ip saddr { 10.0.0.0/8, 192.168.1.1 } accept comment "x"',
        'meta l4proto tcp ct original proto-dst 5432 ip6 saddr { fd00::1 } accept comment "x"',
    ]


def test_an_opening_for_nobody_makes_no_rule():
    assert rules_of(Opening("x", "tcp", "5432", ())) == []


def test_a_limit_comes_before_the_opening_and_counts_each_address():
    rules = rules_of(Opening("SSH", "tcp", "22", limit=60))
    assert [("limit rate over 60/minute" in rule, rule.rpartition(" ")[2] == "drop") for rule in rules] == [(True, True), (True, True), (False, False)]


def test_the_words_of_a_user_cannot_end_the_comment():
    assert rules_of(Opening('x" ; drop #' + "y" * 200, "tcp", "1"))[0].count('"') == 2


def test_the_file_says_whose_it_is():
    assert _firewall.owner(ruleset("shop", [], TRUSTED)) == "shop"
    assert _firewall.owner("table inet x {}") == ""
    assert _firewall.owner(None) == ""


def test_no_other_table_is_touched():
    text = ruleset("shop", [], TRUSTED)
    assert "flush" not in text
    assert {line for line in text.splitlines() if line.startswith(("table", "delete"))} == {
        "table inet longshore",
        "delete table inet longshore",
        "table inet longshore {",
    }


@pytest.mark.skipif(not shutil.which("nft") or not shutil.which("unshare"), reason="there is no nft here")
def test_nftables_takes_the_rules():
    everything = [
        Opening("SSH", "tcp", "22", ("10.0.0.0/8", "fd00::/8"), 60),
        Opening("a range", "udp", "3000-3010"),
        Opening("one", "tcp", "1", ("10.0.0.1", "10.0.0.2", "fd00::1")),
    ]
    command = ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", "--file", "-"]
    done = subprocess.run(command, input=ruleset("shop", everything, TRUSTED), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_are_looked_up_where_the_rules_are_loaded():
    names = {"app2.internal": ["10.0.0.12", "fd00::12"]}
    opening = resolved(Opening("postgres", "tcp", "5432", ("10.0.0.0/8", "app2.internal")), lambda name: names.get(name, []))
    assert opening.sources == ("10.0.0.0/8", "10.0.0.12", "fd00::12")
    assert resolved(Opening("SSH", "tcp", "22"), lambda name: []).sources is None


def test_a_name_without_an_address_is_an_error_that_says_what_to_set():
    with pytest.raises(FirewallError, match=r"app9 has no address here, and postgres is opened for it; set stack_address"):
        resolved(Opening("postgres", "tcp", "5432", ("app9",)), lambda name: [])


@pytest.mark.parametrize(
    ("text", "ports"),
    [("80", (80, 80)), ("3000-3010", (3000, 3010)), (22, (22, 22)), ("0", None), ("70000", None), ("9-8", None), ("http", None), ("80,81", None)],
)
def test_ports(text, ports):
    assert _firewall.port_range(text) == ports


IPV4 = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
br-lan 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0
br-0a1b 0000A8C0 00000000 0001 0 0 0 0000FFFF 0 0 0
"""
IPV6 = f"""{"0" * 32} 00 {"0" * 32} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 br-six
{"0" * 32} 00 {"0" * 32} 00 {"0" * 32} ffffffff 00000001 00000000 00200200 lo
"""


def test_a_bridge_that_leads_to_the_network_is_told_from_one_of_containers():
    assert uplinks(IPV4, IPV6, ["docker0", "br-*"]) == ["br-lan", "br-six"]
    assert uplinks(IPV4, IPV6, ["docker0", "br-0*"]) == []
    assert uplinks("", "", ["docker0"]) == []


def devices(*names):
    return "\n".join(["Inter-| Receive", " face |bytes", *(f"{name:>6}: 0 0 0" for name in names)])


@pytest.mark.parametrize("name", ["br-priv", "br-ex", "br-0123456789a", "br-0123456789abc", "br-0123456789AB", "br-0123456789ab.7"])
def test_a_bridge_that_docker_has_not_named_is_told_from_its_own(name):
    assert strangers(devices("lo", "eth0", name), TRUSTED) == [name]


def test_what_is_on_every_host_and_what_docker_names_is_no_stranger():
    found = devices("lo", "eth0", "wg0", "virbr0", "docker0", "docker_gwbridge", "br-0123456789ab", "veth0a1b2c3")
    assert strangers(found, ["docker0", "docker_gwbridge", "br-*"]) == []
    assert strangers(found, ["docker*", "br-*", "veth*", "l*"]) == []
    assert strangers("", TRUSTED) == []


def test_an_interface_that_is_listed_by_its_name_is_no_stranger_and_one_that_no_pattern_matches_neither():
    assert strangers(devices("br-priv", "br-mine"), [*TRUSTED, "br-mine"]) == ["br-priv"]
    assert strangers(devices("br-priv"), ["docker0", "br-0*", "br-f*"]) == []
