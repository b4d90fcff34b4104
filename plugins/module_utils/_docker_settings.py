# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of an engine, and the decisions about it: no I/O."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What the engine takes over when it is told to reload (https://docs.docker.com/reference/cli/dockerd/#configuration-reload-behavior).
RELOADABLE = frozenset(
    {
        "authorization-plugins", "debug", "default-runtime", "features", "insecure-registries", "labels", "live-restore",
        "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "registry-mirrors", "runtimes", "shutdown-timeout",
    }
)  # fmt: skip
LOG_FILES = ("json-file", "local")  # the drivers that know max-size and max-file
# The oldest that the collection is written for.
OLDEST_ENGINE, OLDEST_COMPOSE = (20, 10), (2, 20)
OWN_LABEL = "stack.longshore.name"
DOCKER_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Login:
    registry: str
    username: str
    password: str = field(repr=False)

    @property
    def key(self) -> str:
        """The name under which the client keeps it."""
        return DOCKER_HUB if self.registry in ("", "docker.io", "index.docker.io", "registry-1.docker.io") else self.registry


@dataclass(frozen=True)
class Wanted:
    source: str = "auto"
    daemon: Mapping[str, Any] = field(default_factory=dict)
    log_max_size: str = "10m"
    log_max_file: int = 3
    live_restore: bool = True
    registry_mirrors: Sequence[str] = ()
    insecure_registries: Sequence[str] = ()
    certificates: Mapping[str, str] = field(default_factory=dict)
    logins: Sequence[Login] = ()
    restart: str = "auto"
    timeout: float = 60
    repository: str = "https://download.docker.com/linux"
    fingerprint: str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"


def merged(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted over what is there; only dictionaries are merged, a list is a value."""
    result = dict(present)
    for key, value in wanted.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def settings(present: Mapping[str, Any], wanted: Wanted, swarm: bool) -> dict[str, Any]:
    """The daemon.json that the host should have."""
    own: dict[str, Any] = {}
    driver = wanted.daemon.get("log-driver", present.get("log-driver", LOG_FILES[0]))
    if driver in LOG_FILES:
        own["log-opts"] = {"max-size": wanted.log_max_size, "max-file": str(wanted.log_max_file)}
    # A swarm node refuses it: there, moving the work to another node is what keeps it alive.
    if wanted.live_restore and not swarm:
        own["live-restore"] = True
    elif present.get("live-restore"):
        own["live-restore"] = False
    if wanted.registry_mirrors:
        own["registry-mirrors"] = list(wanted.registry_mirrors)
    if wanted.insecure_registries:
        own["insecure-registries"] = list(wanted.insecure_registries)
    return merged(merged(present, own), wanted.daemon)


def older(version: str, oldest: tuple[int, int]) -> bool:
    """Whether a version is an older one; what is no number is nobody's release, and taken as new."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return bool(found) and (int(found[1]), int(found[2])) < oldest


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def step_to(applied: Mapping[str, Any] | None, new: Mapping[str, Any], certificates_new: bool) -> str:
    """What the running engine needs in order to have the settings: none, reload or restart. `applied` is None when nobody knows."""
    if applied is None or certificates_new:
        return "restart"
    keys = changed_keys(applied, new)
    if not keys:
        return "none"
    return "reload" if keys <= RELOADABLE else "restart"


def restart_allowed(policy: str, survive: bool, labels: Sequence[str]) -> bool:
    """Whether the restart harms nobody: containers survive it, or all that run belong to a stack. `labels`: those of each running container."""
    if policy != "auto":
        return policy == "always"
    return survive or all(f"{OWN_LABEL}=" in each for each in labels)


def packages(release: Mapping[str, str], vendor: bool, apparmor: bool) -> list[str]:
    """The packages of an engine with Compose, as far as they exist."""
    if vendor:
        names = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"]
    elif release["ID"] == "ubuntu":
        names = ["docker.io", "docker-compose-v2"]
    elif int(release.get("VERSION_ID", "13").split(".")[0]) >= 13:
        names = ["docker.io", "docker-cli", "docker-compose"]
    else:
        names = ["docker.io"]
    # Where the kernel has AppArmor, the engine loads a profile for its containers and needs the tool for it.
    return ["ca-certificates", *names, *(["apparmor"] if apparmor else [])]


def fingerprints(armored: str) -> list[str]:
    """Fingerprints of the primary keys in an ASCII-armored OpenPGP block (RFC 4880, version 4 keys); none where it is anything else."""
    blocks = re.findall(r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)-----END", armored, re.DOTALL)
    # A second block could hold a key that apt reads and this function does not.
    if len(blocks) != 1 or armored.count("-----BEGIN") != 1:
        return []
    lines = [line.strip() for line in blocks[0].splitlines() if line.strip() and not line.startswith("=")]
    try:
        packets = list(_packets(base64.b64decode("".join(lines), validate=True)))
    except (ValueError, IndexError):
        return []
    return [hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper() for tag, body in packets if tag == 6]


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet."""
    while data:
        first = data[1]
        if data[0] & 0x40:
            tag = data[0] & 0x3F
            if first < 192:
                start, length = 2, first
            elif first < 224:
                start, length = 3, ((first - 192) << 8) + data[2] + 192
            elif first == 255:
                start, length = 6, int.from_bytes(data[2:6], "big")
            else:
                raise ValueError("a packet of unknown length is not part of a key")
        else:
            tag, size = data[0] >> 2 & 0x0F, 1 << (data[0] & 0x03)
            start, length = 1 + size, int.from_bytes(data[1 : 1 + size], "big")
        if start + length > len(data):
            raise ValueError("the last packet is cut off")
        yield tag, data[start : start + length]
        data = data[start + length :]


def without_passwords(text: str) -> str:
    """The text with the password of each URL (a proxy's, say) replaced."""
    return re.sub(r"(://[^:/@\s]*:)[^@/\s]+@", r"\1********@", text)
