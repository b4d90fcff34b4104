# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the stack, its groups and its addresses: what is wrong although each variable has the right type."""

from __future__ import annotations

import difflib
import ipaddress
import posixpath

from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._inventory import SERVICES, Host, Report, Stack

GROUPS = (*SERVICES, "proxy", "app")
OTHER_GROUP_NAMES = {
    "postgresql": "postgres",
    "redis": "valkey",
    "caddy": "proxy",
    "traefik": "proxy",
    "nginx": "proxy",
    "haproxy": "proxy",
    "proxies": "proxy",
    "edge": "proxy",
    "apps": "app",
    "application": "app",
}
EXTERNAL = {
    "postgres_external_url": (("postgres",), ("postgresql", "postgres")),
    "valkey_external_url": (("valkey",), ("redis", "rediss", "valkey", "valkeys")),
    "rabbitmq_external_url": (("rabbitmq",), ("amqp", "amqps")),
    "s3_external_url": (("minio", "seaweedfs"), ("https", "http")),
}
ROOTS = {"stack_root": "/opt/shop", "stack_data_root": "/var/lib/shop", "stack_secrets_root": "/etc/longshore/secrets/shop"}
# Of the packages that a stack's host may have, those whose folder has a name that a stack could have too; the module stack_roots looks into any other.
PACKAGES = ("apt", "containerd", "dbus", "docker", "dpkg", "systemd", "mysql", "nginx", "postgresql", "rabbitmq", "redis", "valkey", "longshore")
SYSTEM_FOLDERS = frozenset(
    (
        "/", "/bin", "/boot", "/dev", "/etc", "/etc/longshore", "/etc/longshore/secrets", "/etc/ssl", "/home", "/lib", "/opt", "/proc", "/root", "/run",
        "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/local", "/var", "/var/lib", *(f"/var/lib/{package}" for package in PACKAGES),
    )
)  # fmt: skip


def check_stack(stack: Stack, report: Report) -> None:
    """Every rule of this file."""
    for host in stack.hosts.values():
        for rule in (names, keeper, folders, domain, external_urls, certificates, maintenance, addresses):
            rule(stack, host, report)
    for rule in (same_everywhere, group_names, one_host_groups, reachable_services):
        rule(stack, report)


# -- of each host ------------------------------------------------------------------------------------------------------------


def names(stack: Stack, host: Host, report: Report) -> None:
    name = host.values.get("stack_name")
    if name and (not values.NAME.match(name) or len(name) > 30):
        report.add(
            "stack_name",
            "cannot start the name of directories, networks and projects",
            value=name,
            allowed="lower case letters, digits, hyphens; a letter first; at most 30",
            example="stack_name: shop",
            host=host.name,
        )


def keeper(stack: Stack, host: Host, report: Report) -> None:
    name = host.values.get("stack_keeper")
    example = f"stack_keeper: {next(iter(stack.hosts))}"
    if len(stack.hosts) > 1 and "stack_keeper" not in host.given:
        # Worked out from the order of the hosts, it would be another one as soon as a host is put first.
        says = "is required where the inventory has more than one host"
        report.add("stack_keeper", says, allowed=f"the host that keeps the secrets: {', '.join(stack.hosts)}", example=example, host=host.name)
    elif name and name not in stack.hosts:
        report.add("stack_keeper", "is not a host of the inventory", value=name, allowed=", ".join(stack.hosts), example=example, host=host.name)


def folders(stack: Stack, host: Host, report: Report) -> None:
    right: dict[str, str] = {}
    for name, example in ROOTS.items():
        path = host.values.get(name)
        if not path:
            continue
        near = next((other for other, folder in right.items() if values.overlap(path, folder)), None)
        line = f"{name}: {example}"
        if not path.startswith("/") or ".." in path.split("/"):
            report.add(name, "is not an absolute path", value=path, allowed="a path that starts with /", example=line, host=host.name)
        elif posixpath.normpath(path) in SYSTEM_FOLDERS:
            report.add(name, "is a folder of the system", value=path, allowed="a folder of its own", example=line, host=host.name)
        elif near:
            says = f"overlaps with {near} ({right[near]})"
            report.add(name, says, value=path, allowed="folders that are not inside each other", example=line, host=host.name)
        else:
            right[name] = path


def domain(stack: Stack, host: Host, report: Report) -> None:
    name = host.values.get("stack_domain")
    if name is None:
        return
    if name and not values.is_dns_name(name):
        report.add(
            "stack_domain",
            "is not a domain name",
            value=name,
            allowed="a name without scheme, port and path",
            example="stack_domain: shop.mycompany.net",
            host=host.name,
        )
    elif host.prod and (not name or name == "localhost" or values.is_below(name, values.EXAMPLE_DOMAINS)):
        says = "is missing" if not name or "stack_domain" not in host.given else "is a placeholder"
        report.add(
            "stack_domain",
            f"{says}, and stack_environment is prod",
            value=name,
            allowed="a domain of yours",
            example="stack_domain: shop.mycompany.net",
            host=host.name,
        )


def external_urls(stack: Stack, host: Host, report: Report) -> None:
    for variable, (groups, schemes) in EXTERNAL.items():
        url = host.values.get(variable)
        if not url:
            continue
        parts = values.url_parts(url)
        example = f"{variable}: {schemes[0]}://host.mycompany.net"
        if parts is None or parts[0] not in schemes:
            allowed = ", ".join(f"{scheme}://" for scheme in schemes)
            report.add(variable, "is not a URL of this service", value=url, allowed=allowed, example=example, host=host.name)
        elif host.prod and values.is_example_address(parts[1]):
            report.add(variable, "is a placeholder, and stack_environment is prod", value=url, allowed="a real host", example=example, host=host.name)
        for group in groups:
            if stack.groups.get(group):
                report.add(
                    variable,
                    f"is given although the group {group} has hosts",
                    value=url,
                    allowed=f"either the URL or hosts in {group}",
                    example=f'{variable}: ""',
                    host=host.name,
                )


def certificates(stack: Stack, host: Host, report: Report) -> None:
    owners: dict[str, str] = {}
    for index, path in enumerate(host.values.get("stack_ca_certificates") or []):
        # The trust store has a flat folder of files that all end in .crt.
        stem = posixpath.splitext(posixpath.basename(path))[0]
        where, example = ("stack_ca_certificates", index), "stack_ca_certificates: [files/company-ca.pem]"
        if not stack.files.is_file(path):
            report.add(where, "this file is not on the controller", value=path, allowed="PEM files", example=example, host=host.name)
        elif stem in owners:
            report.add(
                where,
                f"would take the place of {owners[stem]} on the host",
                value=path,
                allowed="files with different names, endings aside",
                example=f"stack_ca_certificates: [{owners[stem]}, files/{stem}-2.pem]",
                host=host.name,
            )
        owners.setdefault(stem, path)


def maintenance(stack: Stack, host: Host, report: Report) -> None:
    for index, text in enumerate(host.values.get("stack_maintenance_allow") or []):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            report.add(
                ("stack_maintenance_allow", index),
                "is not a network",
                value=text,
                allowed="addresses and networks, without bits beyond the mask",
                example="stack_maintenance_allow: [203.0.113.7, 10.0.0.0/8]",
                host=host.name,
            )
    seconds = host.values.get("stack_maintenance_seconds")
    if seconds is not None and not 1 <= seconds <= 86400:
        report.add(
            "stack_maintenance_seconds", "is out of range", value=seconds, allowed="1 to 86400", example="stack_maintenance_seconds: 300", host=host.name
        )
    page = host.values.get("stack_maintenance_page")
    if page and not stack.files.is_file(page):
        report.add(
            "stack_maintenance_page",
            "this file is not on the controller",
            value=page,
            allowed="an HTML file",
            example="stack_maintenance_page: files/maintenance.html",
            host=host.name,
        )


def addresses(stack: Stack, host: Host, report: Report) -> None:
    for variable in ("ansible_host", "stack_address"):
        address = host.values.get(variable)
        if not isinstance(address, str) or variable not in host.given:
            continue
        example = f"{variable}: 10.20.0.11"
        if host.prod and values.is_example_address(address):
            report.add(
                variable,
                "is an address for documentation, and stack_environment is prod",
                value=address,
                allowed="the address of the host",
                example=example,
                host=host.name,
                name=f"{variable} of {host.name}",
            )
        elif variable == "stack_address" and not (values.is_ip(address) or values.is_dns_name(address)):
            report.add(
                variable,
                "is neither an IP address nor a host name",
                value=address,
                allowed="an address without port",
                example=example,
                host=host.name,
                name=f"{variable} of {host.name}",
            )


# -- of the whole stack ------------------------------------------------------------------------------------------------------


def same_everywhere(stack: Stack, report: Report) -> None:
    for variable in ("stack_name", "stack_environment", "stack_keeper"):
        by_value: dict[str, str] = {}
        for host in stack.hosts.values():
            if host.values.get(variable):
                by_value.setdefault(host.values[variable], host.name)
        if len(by_value) > 1:
            seen = ", ".join(f"{value!r} on {host}" for value, host in by_value.items())
            report.add(variable, f"differs between hosts: {seen}", allowed="one value: an inventory is one stack", example=f"{variable} in group_vars/all.yml")


def group_names(stack: Stack, report: Report) -> None:
    for group, members in stack.groups.items():
        if group in GROUPS or group in ("all", "ungrouped") or not members:
            continue
        near = OTHER_GROUP_NAMES.get(group) or next(iter(difflib.get_close_matches(group, GROUPS, n=1, cutoff=0.8)), "")
        if near and not set(members) <= set(stack.groups.get(near, [])):
            report.add(
                f"group {group}",
                f"no role uses this group; did you mean {near}?",
                allowed=", ".join(GROUPS),
                example=f"[{near}]",
                host=members[0],
            )


def one_host_groups(stack: Stack, report: Report) -> None:
    for group in SERVICES:
        members = stack.groups.get(group, [])
        if len(members) > 1:
            report.add(f"group {group}", f"has {len(members)} hosts ({', '.join(members)})", allowed="one host", example=f"only {members[0]} in {group}")
    both = [group for group in _wiring.S3_SERVICES if stack.groups.get(group)]
    if len(both) > 1:
        report.add(f"groups {' and '.join(both)}", "both have hosts, and the stack has one S3", allowed="hosts in one of them", example=f"no host in {both[1]}")


def reachable_services(stack: Stack, report: Report) -> None:
    """A service that another host uses must listen at an address which that host can reach."""
    for host in stack.hosts.values():
        if not values.is_loopback(host.values.get("stack_address") or ""):
            continue
        users: dict[str, str] = {}
        for service in SERVICES:
            others = [name for name in _wiring.consumers(stack.view(host), service) if name != host.name]
            if service in host.groups and others:
                users[service] = others[0]
        if users:
            report.add(
                "stack_address",
                f"{next(iter(users.values()))} cannot reach {', '.join(users)} there",
                value=host.values["stack_address"],
                allowed="an address of the host in your private network",
                example="stack_address: 10.20.0.11",
                host=host.name,
                name=f"stack_address of {host.name}",
            )
