# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a stack runs on a host, read from the engine alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from glob import glob
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_PROCESS, LABEL_RELEASE, LABEL_SERVICE, LABEL_STACK


def containers_of(engine: Engine, stack: str) -> list[dict[str, Any]]:
    ids = engine.must(["ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL_STACK}={stack}"]).stdout.split()
    return engine.inspect("container", ids)


def summary(containers: Iterable[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """One entry per container, sorted by service, process and name. Ages are in seconds."""
    entries = []
    for data in containers:
        labels, state = data["Config"].get("Labels") or {}, data["State"]
        if labels.get("com.docker.compose.oneoff") == "True":
            continue
        entries.append(
            {
                "service": labels.get(LABEL_SERVICE, ""),
                "process": labels.get(LABEL_PROCESS, ""),
                "release": labels.get(LABEL_RELEASE, ""),
                "name": data["Name"].lstrip("/"),
                "image": data["Config"]["Image"],
                "state": state["Status"],
                "health": (state.get("Health") or {}).get("Status", "none"),
                "age": round(now - seconds(data["Created"]), 1),
                "up": round(now - seconds(state["StartedAt"]), 1) if state["Status"] == "running" else 0.0,
                "restarts": data.get("RestartCount", 0),
                "address": _address(data),
            }
        )
    return sorted(entries, key=lambda entry: (entry["release"] != "", entry["service"], entry["process"], entry["name"]))


def _address(data: Mapping[str, Any]) -> str:
    """Where the container's own host reaches it; empty while it does not run."""
    networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
    known = [network.get(version) for version in ("IPAddress", "GlobalIPv6Address") for network in networks.values()]
    return next(filter(None, known), "")


def closed_apps(data_root: str) -> list[str]:
    """The applications that an edge of this host shows as under maintenance: each has its page there."""
    return sorted(os.path.basename(path).removesuffix(".html") for path in glob(os.path.join(data_root, "*", "maintenance", "*.html"))) if data_root else []


def seconds(moment: str) -> float:
    """The engine's time stamps (UTC, up to nanoseconds) as seconds since the epoch."""
    whole, _dot, fraction = moment.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


def table(hosts: Mapping[str, list[dict[str, Any]]], addresses: Mapping[tuple[str, str], list[str]], elapsed: float | None) -> list[str]:
    """The report as lines, a container on each; how often it crashed only where one did. elapsed is how long the run took, None without a run."""
    crashed = any(entry["restarts"] for entries in hosts.values() for entry in entries)
    rows = [("host", "service", "version", "health", *(("restarts",) if crashed else ()), "changed", "address")]
    for host, entries in hosts.items():
        for entry in entries:
            what = "/".join(part for part in (entry["service"], entry["process"]) if part)
            known = " ".join(addresses.get((entry["service"], entry["process"]), []))
            restarts = (str(entry["restarts"] or "-"),) if crashed else ()
            rows.append((host, what, version(entry), health(entry), *restarts, changed(entry, elapsed), known))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip() for row in rows]


def version(entry: Mapping[str, Any]) -> str:
    return entry["release"] or entry["image"].rpartition("/")[2]


def health(entry: Mapping[str, Any]) -> str:
    if entry["state"] != "running":
        return entry["state"]
    return "running" if entry["health"] == "none" else entry["health"]


def changed(entry: Mapping[str, Any], elapsed: float | None) -> str:
    if elapsed is None or entry["state"] != "running":
        return f"up {duration(entry['up'])}" if entry["up"] else "-"
    if entry["age"] <= elapsed:
        return "created"
    return "started" if entry["up"] <= elapsed else "-"


def duration(value: float) -> str:
    """Seconds in the two largest units: 42 s, 3 min 5 s, 2 h 10 min, 4 d 1 h."""
    units = [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)]
    rest, parts = int(value), []
    for name, length in units:
        amount, rest = divmod(rest, length)
        if amount or (name == "s" and not parts):
            parts.append(f"{amount} {name}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)
