# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import testinfra

SCENARIO = Path(__file__).parent.parent
TABLE = "nft --stateless --terse list table inet longshore"
RULES = "/etc/longshore/firewall.nft"
PUBLISHED = ["tcp:5432", "tcp:8080", "tcp:20001", "udp:8081"]
ON_THE_HOST = ["tcp:22", "tcp:9999", "udp:9998"]
FAMILIES = {"IPv4": "ansible_host", "IPv6": "host_ipv6"}
pytestmark = pytest.mark.hosts("firewall-data")
both = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def inventory(request, host):
    """The inventory of the scenario as data, as `ansible-inventory` shows it."""
    command = ["ansible-inventory", "-i", request.config.option.ansible_inventory, "--list"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, cwd=SCENARIO).stdout)


@pytest.fixture
def on(request, host):
    """Another host: on("firewall-edge")."""
    return lambda name: testinfra.get_host(f"ansible://{name}", ansible_inventory=request.config.option.ansible_inventory)


@pytest.fixture
def ask(inventory, on):
    """Which ports of a host answer another: ask("firewall-edge", "firewall-data", "IPv4", "tcp:22"); without ports all of TCP."""

    def look(of: str, asked: str, family: str, *ports: str) -> dict[str, list[str]]:
        address = inventory["_meta"]["hostvars"][asked][FAMILIES[family]]
        return json.loads(on(of).check_output("python3 /srv/scan.py %s " + " ".join(ports), address))

    return look


@pytest.fixture
def only(ask):
    """Asserts what answers to the proxy's and to the application's host, of all that is there to answer, on IPv4 and IPv6."""

    def check(to_edge=(), to_app=("tcp:5432",)) -> None:
        for family in FAMILIES:
            for of, more in (("firewall-edge", to_edge), ("firewall-app", to_app)):
                answer = ask(of, "firewall-data", family, *PUBLISHED, *ON_THE_HOST)
                assert answer == {"open": sorted(["tcp:22", *more]), "refused": []}, (family, of)

    return check


@pytest.fixture
def failing(converge, host):
    """A run with rules that would lock everybody out; answers it, after it was seen that the rules from before are in force."""

    def run(**variables):
        before, kept = host.check_output(TABLE), host.file(RULES).content_string
        done = converge(firewall_ssh_port=2222, **variables)
        assert done.rc != 0
        assert host.check_output(TABLE) == before
        assert host.file(RULES).content_string == kept
        return " ".join(done.output.split())

    return run


# -- what answers ------------------------------------------------------------------------------------------------------------


@both
def test_before_there_was_a_firewall_every_port_answered(on, family):
    found = [json.loads(line) for line in on("firewall-edge").file("/srv/before").content_string.splitlines()]
    tcp, udp = found[:2] if family == "IPv4" else found[2:]
    assert set(tcp["open"]) == {word for word in [*PUBLISHED, *ON_THE_HOST] if word.startswith("tcp:")}
    assert len(tcp["open"]) + len(tcp["refused"]) == 65535
    assert udp["open"] == ["udp:8081", "udp:9998"]


@both
@pytest.mark.parametrize(
    ("of", "asked", "opened"),
    [
        ("firewall-edge", "firewall-data", ["tcp:22"]),
        ("firewall-app", "firewall-data", ["tcp:22", "tcp:5432"]),
        ("firewall-edge", "firewall-app", ["tcp:20001", "tcp:22"]),
    ],
    ids=["proxy to data", "application to data", "proxy to application"],
)
def test_of_all_ports_only_those_answer_that_the_inventory_opens(ask, family, of, asked, opened):
    assert ask(of, asked, family) == {"open": opened, "refused": []}


@both
def test_to_the_data_host_the_application_hosts_are_closed_and_a_proxy_is_open(ask, family):
    # Not all ports: to who has just scanned this host, some of its questions would look like answers.
    ports = [*PUBLISHED, *ON_THE_HOST, "tcp:80", "tcp:443"]
    assert ask("firewall-data", "firewall-app", family, *ports) == {"open": ["tcp:22"], "refused": []}
    # What is open for something that does not run is refused by the host itself.
    assert ask("firewall-data", "firewall-edge", family, *ports) == {"open": ["tcp:22"], "refused": ["tcp:443", "tcp:80"]}


def test_published_udp_ports_and_those_of_the_host_are_closed_too(only):
    only()


def test_containers_reach_other_hosts_each_other_and_the_internet_side_of_the_host(host, inventory):
    other = inventory["_meta"]["hostvars"]["firewall-edge"]
    run = "docker run --rm --network %s -v /usr:/usr:ro -v /srv:/srv:ro programs /usr/bin/python3 /srv/scan.py %s tcp:22 tcp:5432"
    host.check_output("docker network create inner && docker network connect inner answer")
    try:
        assert json.loads(host.check_output(run, "bridge", other["ansible_host"]))["open"] == ["tcp:22"]
        assert json.loads(host.check_output(run, "bridge", other["host_ipv6"]))["open"] == ["tcp:22"]
        address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.inner.IPAddress}}' answer")
        assert json.loads(host.check_output(run, "inner", address))["open"] == ["tcp:5432"]
    finally:
        host.check_output("docker network disconnect inner answer && docker network rm inner")


def test_who_knows_the_address_of_a_container_does_not_reach_it(host, on, inventory):
    address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' answer")
    edge, way = on("firewall-edge"), inventory["_meta"]["hostvars"]["firewall-data"]["ansible_host"]
    # The engine itself would let this one in: it has opened the published port for whoever asks the container.
    edge.check_output("ip route add %s via %s", address, way)
    try:
        found = json.loads(edge.check_output("python3 /srv/scan.py %s tcp:5432", address))
    finally:
        edge.check_output("ip route del %s", address)
    assert found == {"open": [], "refused": []}


# -- what it outlives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "systemctl restart docker",
        # As after a new installation: the engine begins with nothing.
        "systemctl stop docker.socket docker && for of in ip ip6; do nft delete table $of nat; nft delete table $of filter; done; systemctl start docker",
        # What Debian's unit loads begins with `flush ruleset`.
        "systemctl restart nftables && systemctl restart docker",
        "systemctl reload nftables && systemctl restart docker",
        "systemctl stop nftables && systemctl start nftables && systemctl restart docker",
    ],
    ids=["engine restarted", "engine begins anew", "nftables restarted", "nftables reloaded", "nftables stopped and started"],
)
def test_it_outlives(host, only, command):
    host.check_output(command)
    for _attempt in range(50):
        if host.run("docker inspect -f '{{.State.Running}}' answer").stdout.strip() == "true":
            break
        time.sleep(0.2)
    only()


def test_after_a_reboot_it_is_there_and_nothing_is_left_to_do(host, only, reboot, converge, name):
    reboot()
    only()
    run = converge()
    assert (run.rc, run.changed(name)) == (0, 0), run.output


def test_rules_that_somebody_changed_by_hand_are_mended(host, only, converge, name):
    host.check_output("nft add rule inet longshore openings tcp dport 9999 accept")
    assert converge("--check").changed(name) == 1
    assert converge().changed(name) == 1
    only()


# -- what the inventory changes ----------------------------------------------------------------------------------------------


def test_a_host_that_leaves_its_group_loses_its_opening(request, inventory, converge, only, name, tmp_path):
    left = json.loads(json.dumps(inventory))
    left["app"]["hosts"] = ["firewall-edge"]
    hosts = {host: left["_meta"]["hostvars"][host] for host in left["_meta"]["hostvars"]}
    groups = {group: {"hosts": dict.fromkeys(left[group].get("hosts", []))} for group in ("postgres", "app", "proxy")}
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}))
    command = ["ansible-playbook", "-i", file, "--limit", name, "converge.yml"]
    done = subprocess.run(command, cwd=SCENARIO, env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    only(to_edge=["tcp:5432"], to_app=[])
    assert converge().rc == 0
    only()


def test_an_opening_of_ones_own_is_shown_first_and_then_made_for_those_that_it_names(host, converge, only):
    own = {"firewall_allow": [{"port": "9990-9999", "from": ["proxy"]}, {"port": "8081", "protocol": "udp", "from": ["firewall-app"], "comment": 'a "name"'}]}
    before = host.check_output(TABLE)
    shown = converge("--check", "--diff", **own).output
    assert "proto-dst 9990-9999 ip saddr" in shown
    assert host.check_output(TABLE) == before
    assert converge(**own).rc == 0
    only(to_edge=["tcp:9999"], to_app=["tcp:5432", "udp:8081"])
    assert converge().rc == 0
    only()


def test_who_opens_too_many_connections_has_to_wait_and_others_need_not(ask, converge):
    assert converge(firewall_ssh_limit=5).rc == 0
    try:
        burst = [ask("firewall-edge", "firewall-data", "IPv6", "tcp:22")["open"] for _time in range(8)]
        assert burst[0] == ["tcp:22"]
        assert [] in burst
        assert ask("firewall-app", "firewall-data", "IPv6", "tcp:22")["open"] == ["tcp:22"]
    finally:
        assert converge(firewall_ssh_limit=0).rc == 0


# -- nobody is locked out ----------------------------------------------------------------------------------------------------


def test_rules_that_would_lock_everybody_out_are_taken_back(failing, only, host):
    said = failing()
    assert "No new connection was possible with the new rules" in said
    assert "firewall_ssh_port" in said
    assert "the rules from before are in force" in said
    assert host.run("systemctl is-active longshore-firewall-revert.timer").stdout.strip() == "inactive"
    only()


def test_they_are_taken_back_too_when_the_controller_dies(request, host, only, name):
    before = host.check_output(TABLE)
    command = ["ansible-playbook", "-i", request.config.option.ansible_inventory, "--limit", name, "-e", "firewall_ssh_port=2222", "converge.yml"]
    run = subprocess.Popen(command, cwd=SCENARIO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        for line in run.stdout:
            if "on trial" in line:
                break
        else:
            pytest.fail("there was no trial")
    finally:
        os.killpg(run.pid, 9)
        run.wait()
    # Twenty seconds, and this connection waits for their end.
    for _attempt in range(20):
        if host.run(TABLE).stdout.strip() == before.strip():
            break
        time.sleep(2)
    assert host.check_output(TABLE) == before
    only()


def test_a_trial_that_a_dead_run_left_does_not_keep_the_next_one_waiting(host, converge, name):
    """The trial's rules would let us in, so only its end would show that it was never confirmed."""
    host.check_output("mkdir -p /run/longshore/firewall && echo gone >/run/longshore/firewall/token && (echo 'table inet longshore'; "
                      "echo 'delete table inet longshore'; " + TABLE + ") >/run/longshore/firewall/before.nft")  # fmt: skip
    host.check_output("printf 'nft -f /run/longshore/firewall/before.nft; rm /run/longshore/firewall/token' >/run/longshore/firewall/revert")
    host.check_output("nft add rule inet longshore openings tcp dport 7777 accept")
    run = converge(firewall_allow=[{"port": "7778"}])
    assert run.rc == 0, run.output
    assert not host.file("/run/longshore/firewall/token").exists
    assert "7777" not in host.check_output(TABLE)
    assert converge().changed(name) == 1


# -- beside others -----------------------------------------------------------------------------------------------------------


def test_other_tables_and_files_are_left_alone(host, converge):
    host.check_output("nft add table inet mine; nft add chain inet mine one '{ type filter hook input priority 5; }'")
    before = host.check_output("nft list table inet mine; md5sum /etc/nftables.conf")
    converge(firewall_allow=[{"port": "7777"}])
    assert converge().rc == 0
    assert host.check_output("nft list table inet mine; md5sum /etc/nftables.conf") == before
    host.check_output("nft delete table inet mine")


def test_beside_ufw_both_must_let_a_connection_in_and_published_ports_stay_closed(host, converge, only, ask):
    def answers(port: str) -> bool:
        return ask("firewall-edge", "firewall-data", "IPv4", port)["open"] == [port]

    host.check_output("apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends ufw")
    host.check_output("ufw allow 22/tcp && ufw --force enable")
    try:
        run = converge(firewall_allow=[{"port": "9999", "from": ["proxy"]}])
        assert run.rc == 0
        assert "ufw is active on this host, too" in " ".join(run.output.split())
        only()
        assert not answers("tcp:9999")
        host.check_output("ufw allow 9999/tcp && ufw reload")
        assert answers("tcp:9999")
        assert converge().rc == 0
        assert not answers("tcp:9999")
    finally:
        host.check_output("ufw disable && apt-get purge -qy ufw && rm -rf /etc/ufw && systemctl restart docker")
    only()


def test_a_second_stack_is_refused_and_told_where_its_ports_belong(converge):
    run = converge(stack_name="other")
    assert run.rc != 0
    assert "the firewall of this host belongs to the stack molecule" in " ".join(run.output.split())


def test_the_way_to_the_network_is_not_taken_for_containers(failing):
    assert "eth0 leads to the network, and firewall_container_interfaces (docker0, eth*) takes it" in failing(firewall_container_interfaces=["docker0", "eth*"])


def test_taken_away_it_leaves_nothing(host, converge, ask, name):
    assert converge(firewall_state="absent").changed(name) == 1
    assert host.run(TABLE).rc != 0
    assert not host.file(RULES).exists
    assert host.run("systemctl is-enabled longshore-firewall").rc != 0
    assert "tcp:9999" in ask("firewall-edge", "firewall-data", "IPv4", "tcp:9999")["open"]
    assert converge(firewall_state="absent").changed(name) == 0
    assert converge().changed(name) == 1
