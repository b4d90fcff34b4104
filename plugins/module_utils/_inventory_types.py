# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables against the roles' argument specs: names, types, choices, what is required."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._inventory import MISSING, PROXIES, SERVICES, Host, Path, Report, element
from ansible_collections.longshore.stack.plugins.module_utils._specs import Role, line, type_name

RENAMED = {
    "stack_env": "stack_environment",
    "stack_project": "stack_name",
    "stack_email": "stack_acme_email",
    "minio_external_url": "s3_external_url",
    "seaweedfs_external_url": "s3_external_url",
    "redis_external_url": "valkey_external_url",
    "postgresql_external_url": "postgres_external_url",
}
# Words so common that a user's own variable may start with them: only a likely typing error is reported.
COMMON_PREFIXES = frozenset({"app", "base", "image"})
ROLE_GROUPS = {**dict.fromkeys(PROXIES, "proxy"), **{service: service for service in SERVICES}, "lego": "proxy", "app": "app"}
TRUE = frozenset({"true", "yes", "on", "1", "y", "t"})
FALSE = frozenset({"false", "no", "off", "0", "n", "f"})


def concerns(role: str, host: Host) -> bool:
    """Whether a role is applied to a host."""
    group = ROLE_GROUPS.get(role)
    if group == "proxy" and host.values.get("stack_proxy") not in (None, MISSING, role):
        return False
    return group is None or group in host.groups


def check_names(host: Host, names: Iterable[str], roles: dict[str, Role], report: Report) -> None:
    """Variables that carry a role's name but that no role knows."""
    known = {name for role in roles.values() for name in role.options}
    prefixes = [*roles, "s3"]
    for name in sorted(set(names) - known):
        if name in RENAMED:
            report.add(name, f"this variable is called {RENAMED[name]}", allowed=RENAMED[name], example=f"{RENAMED[name]}: ...", host=host.name)
            continue
        prefix = next((prefix for prefix in prefixes if name.startswith(f"{prefix}_")), None)
        if prefix is None:
            continue
        near = nearest(name, known)
        allowed = f"variables of the role {prefix}, see roles/{prefix}/README.md"
        if near:
            report.add(name, f"no role knows this variable; did you mean {near}?", allowed=allowed, example=f"{near}: ...", host=host.name)
        elif prefix not in COMMON_PREFIXES:
            of_the_role = next(one for one in sorted(known) if one.startswith(f"{prefix}_"))
            report.add(name, "no role knows this variable", allowed=allowed, example=f"{of_the_role}: ...", host=host.name)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return found[0] if found else ""


def clean_host(host: Host, roles: dict[str, Role], report: Report) -> dict[str, Any]:
    """All documented variables of a host in their right types, the defaults of inner options filled in; what is wrong is None and reported."""
    cleaned = {}
    for role in roles.values():
        for name, option in role.options.items():
            value = host.values.get(name)
            if value is None and option.get("required") and concerns(role.name, host):
                report.add(name, "is required", allowed=type_name(option), example=line(name, option), host=host.name)
            # A default that is wrong follows from another variable, which is reported itself.
            to = report if name in host.given else Report()
            cleaned[name] = _clean((name,), name, option, value, host.name, to)
    return cleaned


def _clean(path: Path, name: str, option: dict[str, Any], value: Any, host: str, report: Report) -> Any:
    """The value in its type, or None."""
    if value is MISSING:
        return None
    if value is None:
        value = option.get("default")
        if value is None:
            return None
        report = Report()
    kind = option.get("type", "str")
    result = _convert(kind, value)
    if result is MISSING:
        report.add(path, _mistake(kind, value), value=value, allowed=type_name(option), example=line(name, option), host=host)
        return {"list": [], "dict": None if option.get("options") else {}}.get(kind)
    if kind == "list":
        return _clean_list(path, name, option, result, host, report)
    if kind == "dict" and option.get("options"):
        return _clean_dict(path, option["options"], result, host, report)
    return _choice(path, name, option, result, host, report)


def _clean_list(path: Path, name: str, option: dict[str, Any], values: list[Any], host: str, report: Report) -> list[Any]:
    inner = {**option, "type": option.get("elements", "raw"), "default": None}
    cleaned = [_clean((*path, element(index, value)), name, inner, value, host, report) for index, value in enumerate(values)]
    return [value for value in cleaned if value is not None]


def _clean_dict(path: Path, options: dict[str, Any], values: dict[str, Any], host: str, report: Report) -> dict[str, Any]:
    for key in values:
        if key not in options:
            near = nearest(str(key), options)
            hint = f"; did you mean {near}?" if near else ""
            example = f"{near or next(iter(options))}: ..."
            report.add((*path, str(key)), f"unknown key{hint}", allowed=", ".join(options), example=example, host=host)
    cleaned = {}
    for key, option in options.items():
        value = values.get(key)
        if (value is None or value == "") and option.get("required"):
            report.add((*path, key), "is required", allowed=type_name(option), example=line(key, option), host=host)
            cleaned[key] = None
        else:
            cleaned[key] = _clean((*path, key), key, option, value, host, report)
    return cleaned


def _choice(path: Path, name: str, option: dict[str, Any], value: Any, host: str, report: Report) -> Any:
    choices = option.get("choices")
    if not choices or value in choices:
        return value
    report.add(path, "is not one of the choices", value=value, allowed=", ".join(str(choice) for choice in choices), example=line(name, option), host=host)
    return None


def _convert(kind: str, value: Any) -> Any:
    """The value as a type of an argument spec, or MISSING."""
    if kind == "list":
        return list(value) if isinstance(value, (list, tuple)) else MISSING
    if kind == "dict":
        return value if isinstance(value, dict) else MISSING
    if kind in ("str", "path"):
        # A bare 1.10 is the number 1.1 for YAML, a bare `off` is false: what was written is lost.
        return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else MISSING
    if kind == "bool":
        return _bool(value)
    if kind in ("int", "float"):
        return _number(kind, value)
    return value


def _bool(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, (str, int)) else ""
    return True if word in TRUE else False if word in FALSE else MISSING


def _number(kind: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return MISSING
    try:
        number = float(value)
    except ValueError:
        return MISSING
    if kind == "float":
        return number if math.isfinite(number) else MISSING
    return int(number) if str(value).strip().lstrip("+-").isdigit() else MISSING


def _mistake(kind: str, value: Any) -> str:
    if kind in ("str", "path") and isinstance(value, (bool, float)):
        return f"YAML reads this as {'true or false' if isinstance(value, bool) else 'a number'}; put it in quotes"
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "dict": "a dictionary"}
    return f"is not {words.get(kind, 'a text')}"
