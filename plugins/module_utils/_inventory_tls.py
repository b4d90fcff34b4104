# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about where the certificates of the edge come from."""

from __future__ import annotations

import re

from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils._inventory import Host, Report, Stack
from ansible_collections.longshore.stack.plugins.module_utils._routes import ASK_THEMSELVES, DIRECTORIES

DIRECTORY = re.compile(r"^https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~!&+,=:@%/?-]*)?$")
PROVIDER = re.compile(r"^[a-z0-9-]+$")
VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*$")
# RFC 8555, 7.3.4: the key in base64url, which has no padding there.
EAB = {"id": re.compile(r"^[A-Za-z0-9._~:/+=@-]+$"), "key": re.compile(r"^[A-Za-z0-9_-]+$")}


def check_tls(stack: Stack, report: Report) -> None:
    """Every rule of this file, for the proxy hosts."""
    for host in stack.hosts.values():
        if "proxy" in host.groups:
            tls(host, report)
            if host.values.get("stack_tls") == "acme":
                acme(stack, host, report)


def tls(host: Host, report: Report) -> None:
    get = host.values.get
    mode = get("stack_tls")
    if mode == "internal" and host.prod and not get("stack_tls_internal_in_prod"):
        report.add(
            "stack_tls",
            "browsers do not trust an internal authority, and stack_environment is prod",
            value=mode,
            allowed="acme, files, off, or internal together with stack_tls_internal_in_prod: true",
            example="stack_tls: acme",
            host=host.name,
        )
    days = get("stack_tls_min_days")
    if days is not None and not 0 <= days <= 365:
        report.add("stack_tls_min_days", "is out of range", value=days, allowed="0 to 365 days", example="stack_tls_min_days: 7", host=host.name)


def acme(stack: Stack, host: Host, report: Report) -> None:
    get = host.values.get
    email, example = get("stack_acme_email") or "", "stack_acme_email: ops@mycompany.net"
    found = values.EMAIL.match(email)
    if not email:
        report.add("stack_acme_email", "is required by stack_tls: acme", allowed="an e-mail address", example=example, host=host.name)
    elif not found or values.is_below(found.group(1), values.EXAMPLE_DOMAINS):
        report.add("stack_acme_email", "is not an address that an authority accepts", value=email, allowed="an e-mail address", example=example, host=host.name)
    directory = get("stack_acme_directory") or ""
    if directory not in ("", *DIRECTORIES) and not DIRECTORY.match(directory):
        allowed, example = f"{', '.join(DIRECTORIES)} or the URL of a directory, with https", "stack_acme_directory: https://acme.mycompany.net/directory"
        report.add("stack_acme_directory", "is no authority", value=directory, allowed=allowed, example=example, host=host.name)
    for key, value in (get("stack_acme_eab") or {}).items():
        if value and not EAB[key].match(value):
            allowed, example = {
                "id": ("letters, digits and ._~:/+=@-", "id: kid-1"),
                "key": ("letters, digits, - and _, without = at the end", "key: '{{ vault_acme_key }}'"),
            }[key]
            says = "is not what an authority gives"
            report.add(("stack_acme_eab", key), says, value=value, allowed=allowed, example=example, host=host.name)
    challenge(stack, host, report)
    name = get("stack_domain") or ""
    if asks_public_authority(host) and (values.is_below(name, values.LOCAL_DOMAINS) or values.is_ip(name)):
        report.add(
            "stack_domain",
            "no public authority gives a certificate for it, and stack_tls is acme",
            value=name,
            allowed="a public domain, another stack_acme_directory, or stack_tls: internal",
            example="stack_tls: internal",
            host=host.name,
        )
    for variable, port in (("stack_https_port", 443), ("stack_http_port", 80)):
        if get(variable) not in (port, None):
            report.add(
                variable,
                f"an authority asks at port {port}, and stack_tls is acme",
                value=get(variable),
                allowed=f"{port}, or stack_tls: internal",
                example=f"{variable}: {port}",
                host=host.name,
            )


def challenge(stack: Stack, host: Host, report: Report) -> None:
    way, proxy, proxies = host.values.get("stack_acme_challenge"), host.values.get("stack_proxy"), stack.groups.get("proxy") or []
    example = "stack_acme_challenge: http"
    if way == "tls" and len(proxies) > 1:
        says = f"a challenge within TLS cannot be handed on, and the authority may ask any of {', '.join(proxies)}"
        report.add("stack_acme_challenge", says, value=way, allowed="auto, http, dns", example=example, host=host.name)
    elif way == "tls" and proxy not in ASK_THEMSELVES:
        says = f"lego asks for the certificates of {proxy}, which has the port"
        report.add("stack_acme_challenge", says, value=way, allowed="auto, http, dns", example=example, host=host.name)
    given = host.values.get("stack_acme_dns") or {}
    example = "stack_acme_dns: {provider: hetzner, credentials: {HETZNER_API_KEY: '{{ vault_hetzner }}'}}"
    if way == "dns" and not given.get("provider"):
        report.add("stack_acme_dns", "is required by stack_acme_challenge: dns", allowed="a provider and its credentials", example=example, host=host.name)
    elif given.get("provider") and not PROVIDER.match(given["provider"]):
        allowed = "a name as lego has it"
        report.add(("stack_acme_dns", "provider"), "is no provider", value=given["provider"], allowed=allowed, example=example, host=host.name)
    for name, value in (given.get("credentials") or {}).items():
        if not VARIABLE.match(name):
            where, allowed = ("stack_acme_dns", "credentials", name), "names as lego has them"
            report.add(where, "has a name that is no variable", value=value, allowed=allowed, example=example, host=host.name)


def asks_public_authority(host: Host) -> bool:
    return host.values.get("stack_tls") == "acme" and (host.values.get("stack_acme_directory") or "production") in DIRECTORIES
