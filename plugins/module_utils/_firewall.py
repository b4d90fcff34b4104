# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lets in: from the inventory to openings, from openings to the text of an nftables table. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._wiring import SERVICES, View

TABLE = "inet longshore"
SSH_PORT = 22
PORTS = re.compile(r"^(\d{1,5})(?:-(\d{1,5}))?$")
OWNER = re.compile(r'^# Firewall of the stack "([^"]*)"', re.MULTILINE)
# Before the chains of ufw, firewalld, iptables and the engine. The order decides nothing, for each of them can only refuse; it saves them work.
PRIORITY = "filter - 10"
# A comment of nftables has at most 127 characters.
COMMENT = re.compile(r"[^\w .,:/()+-]")
# Names that Docker gives; a bridge is called after the first digits of its network's id.
DOCKERS = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}|veth.*")


@dataclass(frozen=True)
class Opening:
    """Ports that may be reached, and by whom. sources: names and networks; None is everybody, an empty one nobody."""

    why: str
    protocol: str
    ports: str
    sources: tuple[str, ...] | None = None
    limit: int = 0  # new connections per minute and source address


class FirewallError(Exception):
    """The rules cannot be made, or not be loaded; the text is fit for a user."""


# -- from the inventory to openings ------------------------------------------------------------------------------------------


def openings(view: View, served: Sequence[Mapping[str, Any]] = ()) -> list[Opening]:
    """All that may come in to this host. served: web processes of releases that are there, which the inventory may not have any more."""
    allow = tuple(view.own("firewall_ssh_allow") or ())
    found = [Opening("SSH", "tcp", str(view.own("firewall_ssh_port", SSH_PORT)), allow or None, int(view.own("firewall_ssh_limit", 0)))]
    found += [*_edge(view), *_services(view), *_switch(view, served)]
    for rule in view.own("firewall_allow") or []:
        sources = tuple(address for name in rule.get("from") or [] for address in named(view, name))
        why = rule.get("comment") or "firewall_allow"
        found.append(Opening(why, rule.get("protocol") or "tcp", str(rule["port"]), sources if rule.get("from") else None))
    return [opening for opening in found if opening.sources is None or opening.sources]


def named(view: View, name: str) -> list[str]:
    """The addresses behind the name of a group or a host of the inventory; what is neither is an address itself."""
    hosts = view.hosts(name) if name in view.groups else [name] if name in view.hosts("all") else None
    return [name] if hosts is None else [address for host in hosts for address in addresses(view, host)]


def addresses(view: View, host: str) -> list[str]:
    """The addresses from which a host comes; none is needed for this host itself."""
    return [] if host == view.host else [view.address(host), *(view.of(host, "firewall_addresses", None) or [])]


def edge_ports(view: View) -> list[tuple[str, int]]:
    """Protocols and ports of the edge; HTTP/3, where it is wanted, is UDP."""
    found = [("tcp", int(view.own("stack_http_port", 80)))]
    if view.own("stack_tls", "internal") != "off":
        https = int(view.own("stack_https_port", 443))
        found += [("tcp", https)] + ([("udp", https)] if _wiring.http3(view) else [])
    return found


def _edge(view: View) -> list[Opening]:
    return [Opening("the edge", protocol, str(port)) for protocol, port in edge_ports(view)] if view.host in view.hosts("proxy") else []


def _services(view: View) -> list[Opening]:
    """The data services of this host, for the hosts that use them."""
    found = []
    for service in SERVICES:
        for door in _wiring.doors(view, service) if view.host in view.hosts(service) else []:
            sources = tuple(address for host in door.hosts for address in addresses(view, host))
            found.append(Opening(service, "tcp", str(door.port), sources))
    return found


def _switch(view: View, served: Sequence[Mapping[str, Any]]) -> list[Opening]:
    """The web processes of an application host, for the proxies."""
    if view.host not in view.hosts("app"):
        return []
    sources = tuple(address for host in view.hosts("proxy") for address in addresses(view, host))
    return [Opening(f"switch: {one['name']}", "tcp", str(one["switch_port"]), sources) for one in _wiring.backends(view, served)]


# -- from openings to the text of the table ----------------------------------------------------------------------------------


def port_range(text: Any) -> tuple[int, int] | None:
    """First and last port of `8080` or `3000-3010`, or nothing where it is neither."""
    match = PORTS.match(str(text))
    if not match:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if 1 <= first <= last <= 65535 else None


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """An address or a network without bits beyond its mask, or nothing."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def resolved(opening: Opening, resolve: Callable[[str], Iterable[str]]) -> Opening:
    """The opening with addresses for names. resolve: the addresses of a name as this host knows them."""
    if opening.sources is None:
        return opening
    found: list[str] = []
    for source in opening.sources:
        known = [source] if network(source) else list(resolve(source))
        if not known:
            raise FirewallError(
                f"{source} has no address here, and {opening.why} is opened for it; set stack_address of that host to its address, for example 10.20.0.11"
            )
        found += known
    return replace(opening, sources=tuple(found))


def uplinks(routes: str, routes6: str, trusted: Sequence[str]) -> list[str]:
    """Interfaces that lead to the network by a default route and that the patterns for containers match. routes: /proc/net/route, /proc/net/ipv6_route."""
    lines = [line.split() for line in routes.splitlines()[1:]]
    found = {words[0] for words in lines if len(words) > 7 and words[1] == words[7] == "00000000"}
    lines = [line.split() for line in routes6.splitlines()]
    found |= {words[9] for words in lines if len(words) > 9 and set(words[0]) == {"0"} and words[1] == "00" and words[9] != "lo"}
    return sorted(name for name in found if any(fnmatchcase(name, pattern) for pattern in trusted))


def strangers(devices: str, trusted: Sequence[str]) -> list[str]:
    """Interfaces that the patterns for containers match, that Docker has not named and that are not listed by name. devices: /proc/net/dev."""
    found = {line.partition(":")[0].strip() for line in devices.splitlines()[2:]} - {"lo", *trusted}
    return sorted(name for name in found if not DOCKERS.fullmatch(name) and any(fnmatchcase(name, pattern) for pattern in trusted))


def owner(text: str | None) -> str:
    """The stack that wrote the file, or nothing."""
    match = OWNER.search(text or "")
    return match[1] if match else ""


def ruleset(stack: str, allowed: Sequence[Opening], trusted: Sequence[str]) -> str:
    """The whole table as nftables reads it: loaded in one step, it replaces the one that is there and touches no other.

    A rule looks at the port that the other side asked for (ct original), so it means the same for a program of the host and for a published port,
    which the engine has led to a container by then.
    """
    rules = [line for opening in allowed for line in _rules(opening)]
    body = [
        *(line for version in (4, 6) if any(opening.limit for opening in allowed) for line in _meter(version)),
        "chain openings {",
        *_indented(rules),
        "}",
        "",
        "chain input {",
        *_indented(_INPUT),
        "}",
        "",
        "# What goes through this host: to published ports, from containers, and between them.",
        "chain forward {",
        *_indented(
            [
                f"type filter hook forward priority {PRIORITY}; policy drop;",
                "ct state established,related accept",
                *(f'iifname "{name}" accept' for name in trusted),
                *_REFUSE,
            ]
        ),
        "}",
    ]
    return "\n".join([_HEAD % stack, f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *_indented(body), "}", ""])


def restoring(listing: str) -> str:
    """Text that brings back a table as `nft list table` showed it; nothing shown is no table."""
    return "\n".join([f"table {TABLE}", f"delete table {TABLE}", listing])


_HEAD = """# Firewall of the stack "%s", written by longshore.stack.firewall from the inventory; the next run replaces what is changed here.
# To switch it off: systemctl disable --now longshore-firewall"""
_REFUSE = ("jump openings", 'counter comment "refused"')
_ERRORS = "destination-unreachable, time-exceeded, parameter-problem, echo-request"
_INPUT = (
    f"type filter hook input priority {PRIORITY}; policy drop;",
    "ct state established,related accept",
    "ct state invalid drop",
    'iif "lo" accept',
    f"icmp type {{ {_ERRORS} }} accept",
    "# Without these there are no neighbours, no router and no way to learn how large a packet may be.",
    f"icmpv6 type {{ {_ERRORS}, packet-too-big, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query }} accept",
    "# Answers of DHCP: the question went to everybody, so that the answer belongs to no known connection.",
    "udp sport 67 udp dport 68 accept",
    "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
    *_REFUSE,
)


def _meter(version: int) -> list[str]:
    """Who came lately, for openings with a limit."""
    return [f"set lately{version} {{", *_indented((f"type ipv{version}_addr", "size 65535", "flags dynamic,timeout", "timeout 5m")), "}", ""]


def _rules(opening: Opening) -> list[str]:
    match = f"meta l4proto {opening.protocol} ct original proto-dst {opening.ports}"
    comment = f'comment "{COMMENT.sub(" ", opening.why)[:100]}"'
    found = []
    if opening.limit:
        rate = f"limit rate over {opening.limit}/minute burst {opening.limit} packets"
        found += [f"{match} update @lately{version} {{ {family} saddr {rate} }} drop" for version, family in ((4, "ip"), (6, "ip6"))]
    if opening.sources is None:
        return [*found, f"{match} accept {comment}"]
    nets = [net for net in map(network, opening.sources) if net]
    for version, family in ((4, "ip"), (6, "ip6")):
        of_version = [net for net in nets if net.version == version]
        shown = ", ".join(_short(net) for net in ipaddress.collapse_addresses(of_version))
        found += [f"{match} {family} saddr {{ {shown} }} accept {comment}"] if shown else []
    return found


def _short(net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"\t{line}" if line else "" for line in lines]
