# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of single values: names, addresses, sizes, passwords."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.longshore.stack.plugins.module_utils import _wiring

LABEL = re.compile(r"^(?!-)[a-z0-9-]{1,63}(?<!-)$", re.IGNORECASE)
NAME = re.compile(r"^[a-z]([a-z0-9-]*[a-z0-9])?$")
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
IDENTIFIER = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")
BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
EMAIL = re.compile(r"^[^@\s]+@([^@\s]+)$")

EXAMPLE_DOMAINS = ("example.com", "example.org", "example.net", "example.edu")
LOCAL_DOMAINS = ("localhost", "internal", "test", "local", "lan", "home.arpa", "invalid", "example")
EXAMPLE_NETWORKS = tuple(ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))
WELL_KNOWN = frozenset(
    (
        "password", "passwort", "passw0rd", "changeme", "change-me", "change_me", "changeit", "secret", "admin", "administrator", "root",
        "postgres", "postgresql", "minio", "minioadmin", "rabbitmq", "guest", "valkey", "redis", "default", "test", "testing", "letmein",
        "qwerty", "welcome", "hunter", "dummy", "abc",
    )
)
FILLER = re.compile(r"^(<.*>|\[.*\]|x{3,}|\*+|\.+|0+|todo.*|your.*|replace.*|example.*|placeholder.*|insert.*)$", re.IGNORECASE)
SHORTEST_PASSWORD = 16
# What a shell, psql or a URL takes for an end or writes in another way: the service and the application would not have the same password.
SPOILING = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def size(value: Any) -> int | None:
    """`512M` in bytes, or nothing."""
    try:
        return _wiring.size(value)
    except _wiring.WiringError:
        return None


def is_dns_name(value: str) -> bool:
    """A host name or domain, without scheme, port or path."""
    return len(value) <= 253 and all(LABEL.match(label) for label in value.split(".")) and not value.split(".")[-1].isdigit()


def is_ip(value: str) -> bool:
    return _ip(value) is not None


def is_loopback(value: str) -> bool:
    address = _ip(value)
    return value == "localhost" or (address is not None and address.is_loopback)


def is_example_address(value: str) -> bool:
    """Addresses and names that are reserved for documentation."""
    address = _ip(value)
    if address is not None:
        return any(address in net for net in EXAMPLE_NETWORKS if net.version == address.version)
    return is_below(value, EXAMPLE_DOMAINS)


def is_below(name: str, domains: tuple[str, ...]) -> bool:
    """Whether a name is one of the domains or below it."""
    lower = name.lower().rstrip(".")
    return any(lower == domain or lower.endswith(f".{domain}") for domain in domains)


def url_parts(url: str) -> tuple[str, str] | None:
    """Scheme and host of a URL, or nothing when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port  # a wrong one shows only when it is asked for
    except ValueError:
        return None
    return (parts.scheme.lower(), parts.hostname) if parts.scheme and parts.hostname and port != 0 else None


def weakness(password: str, users: tuple[str, ...] = ()) -> str:
    """Why a password is refused, or nothing."""
    lower = password.lower()
    if FILLER.match(password):
        return "is a placeholder"
    if lower in WELL_KNOWN or lower.rstrip("0123456789!.") in WELL_KNOWN:
        return "is a well-known password"
    if lower in {user.lower() for user in users if user}:
        return "is the same as the user's name"
    if len(password) < SHORTEST_PASSWORD:
        return f"is shorter than {SHORTEST_PASSWORD} characters"
    return "has too few different characters" if len(set(password)) < 5 else ""


def is_inside(path: str, folder: str) -> bool:
    """Whether a path is the folder or something in it."""
    path, folder = posixpath.normpath(path), posixpath.normpath(folder)
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def overlap(one: str, other: str) -> bool:
    """Whether one of two paths is inside the other."""
    return is_inside(one, folder=other) or is_inside(other, folder=one)


def _ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None
