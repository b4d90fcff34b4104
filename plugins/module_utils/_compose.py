# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A compose file as data: hardened, labelled, hashed, written as YAML. Nothing here touches a disk or an engine."""

from __future__ import annotations

import copy
import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_CONFIG

# Before the name of a secret in env_file: the file of its present generation.
ENV_SECRET = "secret:"

# What every container gets unless its definition says otherwise (null removes a key).
HARDENED: dict[str, Any] = {
    "restart": "unless-stopped",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "stop_grace_period": "30s",
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
}

# Until a service is well for the first time it is looked at so often, where the engine can: from API 1.44 on (engine 25).
START_INTERVAL = "1s"
START_INTERVAL_API = (1, 44)

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
# Words that a YAML reader takes for something other than text.
_RESERVED = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
# What JSON leaves as it is and YAML does not: control characters and its further line breaks, the byte order mark, what is no character.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def harden(service: Mapping[str, Any]) -> dict[str, Any]:
    """The service with the hardened defaults below it; a key set to null is left out."""
    merged = {**copy.deepcopy(HARDENED), **copy.deepcopy(dict(service))}
    return {key: value for key, value in merged.items() if value is not None}


def masked_environment(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition whose values of the environment are marks: equal where the values are, and telling nothing else."""

    def mark(value: Any) -> str:
        return f"(value {hashlib.sha256(str(value).encode()).hexdigest()[:6]})"

    services = {
        name: {**service, "environment": {key: mark(value) for key, value in sorted((service.get("environment") or {}).items())}}
        for name, service in (definition.get("services") or {}).items()
    }
    return {**definition, "services": services}


def literal(value: Any) -> Any:
    """The value with every `$` doubled: a definition is data, Compose must not interpolate it."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [literal(item) for item in value]
    return value


def replicas(service: Mapping[str, Any]) -> int:
    """How many containers `up` starts; a service with profiles (a migration, a tool) waits until somebody runs it."""
    if service.get("profiles"):
        return 0
    return int(service.get("scale", (service.get("deploy") or {}).get("replicas", 1)))


def is_active(service: Mapping[str, Any]) -> bool:
    return replicas(service) > 0


def digest(value: Any) -> str:
    """A short stable hash of any JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def mounted_folders(service: Mapping[str, Any]) -> list[str]:
    """Relative folders of the project that the service mounts, such as `config` for `./config:/etc/x:ro`."""
    folders = []
    for volume in service.get("volumes") or []:
        source = volume.get("source", "") if isinstance(volume, Mapping) else str(volume).split(":", 1)[0]
        if source == "." or source.startswith("./"):
            folders.append(posixpath.normpath(source))
    return folders


def env_files(service: Mapping[str, Any]) -> list[str]:
    """Relative paths of the service's env files."""
    entries = service.get("env_file") or []
    if isinstance(entries, str):
        entries = [entries]
    paths = [entry.get("path", "") if isinstance(entry, Mapping) else entry for entry in entries]
    return [posixpath.normpath(path) for path in paths]


def belongs(path: str, service: Mapping[str, Any]) -> bool:
    """Whether a file of the project reaches the service, by a mount or as its environment."""
    if path in env_files(service):
        return True
    return any(folder == "." or path == folder or path.startswith(folder + "/") for folder in mounted_folders(service))


def assemble(
    project: str,
    definition: Mapping[str, Any],
    files: Mapping[str, bytes],
    reloaded: Mapping[str, Iterable[str]],
    secrets: Mapping[str, str],
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """The whole compose file, with the project's name: plain Compose in the directory, or in a link to it, means the same containers.

    definition: services, networks and volumes as a role gives them. files: content by relative path. reloaded: for each service
    the files that it takes over without a restart. secrets: path on the host by name.
    Every service carries a hash of all that would change how it runs, so that a look at the container tells whether it is current.
    """
    networks = definition.get("networks") or {}
    services = {}
    for name, raw in (definition.get("services") or {}).items():
        if not (raw or {}).get("image"):
            raise ValueError(f"service {name} has no image; give one, for example image: valkey/valkey:8.1.4")
        used = sorted({*_secret_names(raw), *_env_secrets(raw)})
        unknown = [secret for secret in used if secret not in secrets]
        if unknown:
            raise ValueError(f"service {name} uses the secret {unknown[0]!r}, which is not given; given: {', '.join(sorted(secrets)) or 'none'}")
        service = literal(harden(raw))
        if _env_secrets(raw):
            service["env_file"] = [literal(secrets[path.removeprefix(ENV_SECRET)]) if path.startswith(ENV_SECRET) else path for path in service["env_file"]]
        service["labels"] = {**_labels(service.get("labels")), **literal(labels)}
        own = [path for path in sorted(files) if belongs(path, raw) and path not in set(reloaded.get(name, ()))]
        # How many there are is no matter of how each of them runs.
        one = {key: value for key, value in service.items() if key != "scale"}
        config = digest([one, {p: hashlib.sha256(files[p]).hexdigest() for p in own}, {s: secrets[s] for s in used}, networks])
        service["labels"][LABEL_CONFIG] = config
        services[name] = service
    whole: dict[str, Any] = {"name": project, "services": services}
    for key, value in definition.items():
        if key not in whole and value:
            whole[key] = literal(value)
    if secrets:
        whole["secrets"] = {name: {"file": literal(path)} for name, path in sorted(secrets.items())}
    return whole


def looked_at_early(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The same compose file for an engine that knows `start_interval`. No part of the services' hashes: it is no matter of how they run."""

    def early(service: Mapping[str, Any]) -> Mapping[str, Any]:
        health = service.get("healthcheck") or {}
        return {**service, "healthcheck": {"start_interval": START_INTERVAL, **health}} if health.get("start_period") else service

    return {**whole, "services": {name: early(service) for name, service in whole["services"].items()}}


def _labels(given: Any) -> dict[str, Any]:
    """Labels as a mapping; Compose takes a list of `name=value` as well."""
    if isinstance(given, list):
        return {name: value for name, _equals, value in (str(entry).partition("=") for entry in given)}
    return dict(given or {})


def _secret_names(service: Mapping[str, Any]) -> set[str]:
    return {entry["source"] if isinstance(entry, Mapping) else entry for entry in service.get("secrets") or []}


def _env_secrets(service: Mapping[str, Any]) -> list[str]:
    entries = service.get("env_file") or []
    return [entry.removeprefix(ENV_SECRET) for entry in entries if isinstance(entry, str) and entry.startswith(ENV_SECRET)]


def external_networks(definition: Mapping[str, Any]) -> dict[str, bool]:
    """The networks that the project shares with others: by name, whether it has to have IPv6 (`x-ipv6`)."""
    networks = (definition.get("networks") or {}).items()
    return {network.get("name", key): bool(network.get("x-ipv6")) for key, network in networks if network and network.get("external")}


def ipv6_subnet(network: str) -> str:
    """One of the private ones (RFC 4193), the same on each host: what it is in is the host's alone."""
    digits = hashlib.sha256(network.encode()).hexdigest()
    return f"fd{digits[:2]}:{digits[2:6]}:{digits[6:10]}:{digits[10:14]}::/64"


_SECRETS = re.compile(r"^secrets:\n((?: .*\n)+)", re.MULTILINE)
_SECRET_PATH = re.compile(r"^    file: (.+)$", re.MULTILINE)


def secret_files(text: str) -> list[str]:
    """Paths of the secrets in a compose file that this module wrote."""
    paths = [path for block in _SECRETS.findall(text) for path in _SECRET_PATH.findall(block)]
    return [str(json.loads(path) if path.startswith('"') else path).replace("$$", "$") for path in paths]


def to_yaml(value: Any) -> str:
    """Block-style YAML of plain data; text is quoted as JSON does wherever a reader might take it for something else."""
    return "\n".join(_lines(value)) + "\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
            return value
        return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        out = []
        for key, item in value.items():
            if isinstance(item, (Mapping, list, tuple)) and item:
                out += [f"{_scalar(str(key))}:", *("  " + line for line in _lines(item))]
            else:
                out.append(f"{_scalar(str(key))}: {_empty(item)}")
        return out
    if isinstance(value, (list, tuple)) and value:
        out = []
        for item in value:
            first, *rest = _lines(item) if isinstance(item, (Mapping, list, tuple)) and item else [_empty(item)]
            out += [f"- {first}", *("  " + line for line in rest)]
        return out
    return [_empty(value)]


def _empty(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    return _scalar(value)
