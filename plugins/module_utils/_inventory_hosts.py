# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the hosts themselves: what the firewall opens, and the settings of the role base."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _base, _firewall, _wiring
from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils._inventory import SERVICES, Host, Path, Report, Stack
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import memory_size

# What the kernel takes as a name, and a star at its end.
INTERFACE = re.compile(r"^[^\s/\"*]{1,15}$|^[^\s/\"*]{1,14}\*$")
TRIAL_SECONDS = (15, 600)
KERNEL_KEY = re.compile(r"^[a-z0-9_-]+(\.[A-Za-z0-9_-]+)+$")
# A reboot takes minutes; hosts that reboot at the same time are an outage.
REBOOT_MINUTES = 10


def check_hosts(stack: Stack, report: Report) -> None:
    """Every rule of this file."""
    for host in stack.hosts.values():
        for rule in (ssh, own_addresses, openings, container_interfaces, trial, reboots, kernel, journal, time_servers):
            rule(stack, host, report)


# -- firewall ----------------------------------------------------------------------------------------------------------------


def ssh(stack: Stack, host: Host, report: Report) -> None:
    port, limit = _ssh_port(host), host.values.get("firewall_ssh_limit")
    if port is None and "firewall_ssh_port" in host.given:
        value = host.values.get("firewall_ssh_port")
        report.add("firewall_ssh_port", "is not a port", value=value, allowed="1 to 65535", example="firewall_ssh_port: 22", host=host.name)
    if limit is not None and limit < 0:
        report.add("firewall_ssh_limit", "is out of range", value=limit, allowed="0 or more", example="firewall_ssh_limit: 60", host=host.name)
    if "proxy" in host.groups and port is not None and ("tcp", port) in _firewall.edge_ports(stack.view(host)):
        report.add(
            "firewall_ssh_port",
            "is a port of the edge on the same host",
            value=port,
            allowed="a port that nothing else has",
            example="firewall_ssh_port: 22",
            host=host.name,
        )
    for index, text in enumerate(host.values.get("firewall_ssh_allow") or []):
        _network(("firewall_ssh_allow", index), text, "firewall_ssh_allow: [203.0.113.7, 10.0.0.0/8]", host, report)


def own_addresses(stack: Stack, host: Host, report: Report) -> None:
    for index, text in enumerate(host.values.get("firewall_addresses") or []):
        if not values.is_ip(text):
            report.add(
                ("firewall_addresses", index),
                "is not an address",
                value=text,
                allowed="addresses of this host",
                example="firewall_addresses: ['fd12:3456::11']",
                host=host.name,
            )


def openings(stack: Stack, host: Host, report: Report) -> None:
    for index, rule in enumerate(host.values.get("firewall_allow") or []):
        path, ports = ("firewall_allow", index), _firewall.port_range(rule.get("port"))
        if rule.get("port") is not None and ports is None:
            report.add((*path, "port"), "is neither a port nor a range", value=rule["port"], allowed="1 to 65535", example="port: 3000-3010", host=host.name)
        sources = rule.get("from") or []
        for number, name in enumerate(sources):
            if name not in stack.hosts and name not in stack.groups:
                _network((*path, "from", number), name, "from: [monitoring, 10.20.0.0/16]", host, report, "networks, and hosts and groups of the inventory")
        if ports and rule.get("protocol") != "udp":
            _open_to_all(path, range(ports[0], ports[1] + 1), rule, stack, host, report)


def _open_to_all(path: Path, ports: range, rule: dict[str, Any], stack: Stack, host: Host, report: Report) -> None:
    """An opening must not undo what another variable closes."""
    sources = rule.get("from") or []
    if sources and not any((net := _firewall.network(name)) and net.prefixlen == 0 for name in sources):
        return
    if host.values.get("firewall_ssh_allow") and _ssh_port(host) in ports:
        says = "opens SSH to everybody, and firewall_ssh_allow names who may come in"
        report.add(path, says, value=rule, allowed="another port", example="port: '8080'", host=host.name)
    for service in SERVICES:
        if service in host.groups and host.prod and int(stack.view(host).own(*_wiring.SERVICES[service]["port"])) in ports:
            says = f"opens {service} to everybody, and stack_environment is prod"
            report.add(path, says, value=rule, allowed="those who need it", example="from: [10.20.0.0/16]", host=host.name)


def _ssh_port(host: Host) -> int | None:
    first, last = _firewall.port_range(host.values.get("firewall_ssh_port")) or (0, -1)
    return first if first == last else None


def container_interfaces(stack: Stack, host: Host, report: Report) -> None:
    for index, name in enumerate(host.values.get("firewall_container_interfaces") or []):
        if not INTERFACE.match(name) or name == "lo":
            report.add(
                ("firewall_container_interfaces", index),
                "is no name of interfaces of containers",
                value=name,
                allowed="at most 15 characters; the last may be a star",
                example='firewall_container_interfaces: [docker0, "br-*"]',
                host=host.name,
            )


def trial(stack: Stack, host: Host, report: Report) -> None:
    seconds, (least, most) = host.values.get("firewall_trial_seconds"), TRIAL_SECONDS
    if seconds is not None and not least <= seconds <= most:
        allowed = f"{least} to {most}: time enough for a new connection"
        report.add("firewall_trial_seconds", "is out of range", value=seconds, allowed=allowed, example="firewall_trial_seconds: 60", host=host.name)


def _network(path: Path, text: str, example: str, host: Host, report: Report, allowed: str = "addresses and networks, without bits beyond the mask") -> None:
    if _firewall.network(text) is None:
        report.add(path, "is not a network", value=text, allowed=allowed, example=example, host=host.name)


# -- base --------------------------------------------------------------------------------------------------------------------


def reboots(stack: Stack, host: Host, report: Report) -> None:
    window = host.values.get("base_reboot_window")
    if not window:
        return
    found, example = _base.window_minutes(window), "base_reboot_window: 03:00-05:00"
    if found is None:
        report.add("base_reboot_window", "is not a window", value=window, allowed="two times of a day", example=example, host=host.name)
    elif found[1] < REBOOT_MINUTES * len(stack.hosts):
        says = f"is too short for {len(stack.hosts)} hosts, which would reboot at the same time"
        allowed = f"{REBOOT_MINUTES} minutes for each host"
        report.add("base_reboot_window", says, value=window, allowed=allowed, example=example, host=host.name)
    if not host.values.get("base_upgrades"):
        report.add("base_reboot_window", "needs base_upgrades, which is off", value=window, allowed="empty", example='base_reboot_window: ""', host=host.name)


def kernel(stack: Stack, host: Host, report: Report) -> None:
    swappiness, given = host.values.get("base_swappiness"), host.values.get("base_sysctl") or {}
    if swappiness is not None and not -1 <= swappiness <= 200:
        report.add("base_swappiness", "is out of range", value=swappiness, allowed="-1 to 200", example="base_swappiness: 10", host=host.name)
    for key, value in given.items():
        if not KERNEL_KEY.match(str(key)):
            allowed, example = "names with dots, as sysctl shows them", "base_sysctl: {net.ipv4.tcp_keepalive_time: 300}"
            report.add(("base_sysctl", str(key)), "is no name of a setting", value=str(key), allowed=allowed, example=example, host=host.name)
        elif not isinstance(value, (str, int)) or "\n" in str(value):
            example = f"{key}: 1"
            report.add(("base_sysctl", str(key)), "is not a single value", value=value, allowed="a number or a text", example=example, host=host.name)
    overcommit = given.get("vm.overcommit_memory")
    if "valkey" in host.groups and overcommit is not None and str(overcommit) != "1":
        says = "Valkey cannot save where memory is short, and this host is in the group valkey"
        example = "vm.overcommit_memory: 1"
        report.add(("base_sysctl", "vm.overcommit_memory"), says, value=overcommit, allowed="1", example=example, host=host.name)


def journal(stack: Stack, host: Host, report: Report) -> None:
    memory_size("base_journal_size", host.values.get("base_journal_size"), "16M", host.name, report)
    days = host.values.get("base_journal_days")
    if days is not None and days < 1:
        report.add("base_journal_days", "is out of range", value=days, allowed="1 or more", example="base_journal_days: 30", host=host.name)


def time_servers(stack: Stack, host: Host, report: Report) -> None:
    for index, name in enumerate(host.values.get("base_time_servers") or []):
        if not (values.is_ip(name) or values.is_dns_name(name)):
            report.add(
                ("base_time_servers", index),
                "is neither an address nor a host name",
                value=name,
                allowed="names without port",
                example="base_time_servers: [ntp1.mycompany.net]",
                host=host.name,
            )
