# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each run that released something: one JSON line for each, only ever added to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

HISTORY = "history.jsonl"
# The result of a run that made its release live and came to its end; one that did not come to it is `live, unfinished`.
LIVE = "live"
# As they follow each other; a line of the history has them by name.
STAGES = ("prepare", "collect", "migrate", "start", "hand_over", "switch", "watch", "live", "retire")
# For a look at all of it.
ALL = 1_000_000


def append(folder: str, entry: Mapping[str, Any]) -> None:
    """One write of one line, so that two writers cannot mix theirs. A line that a full disk cut short does not take this one with it."""
    line = json.dumps(dict(entry), sort_keys=True).encode() + b"\n"
    handle = os.open(os.path.join(folder, HISTORY), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def newest(folder: str, most: int = 50) -> list[dict[str, Any]]:
    """The last entries, the newest first; a line that was cut short by a full disk is left out."""
    entries = []
    try:
        with open(os.path.join(folder, HISTORY), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    for line in reversed(lines):
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
        if len(entries) == most:
            break
    return entries


def moved_on(release: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """What it means to go back to a release if the schema has moved on since it was made; nothing where it has not. entries: the newest first."""
    migrated = [entry for entry in entries if entry.get("revision_after")]
    then = next((entry["revision_after"] for entry in migrated if entry.get("release") == release), "")
    now = migrated[0]["revision_after"] if migrated else ""
    if then in ("", now):
        return ""
    return (
        f"{release} was made for schema {then}; the database is at {now}. Nothing is taken back in the database. If what came after {then} removed or "
        f"changed what {release} needs, it will fail: then deploy a version that knows {now}, or restore the database."
    )


def forward(release: str, entries: Sequence[Mapping[str, Any]], kept: Sequence[str]) -> str:
    """That the release before the live one is the one that a rollback has left, if it is. entries: the newest first."""
    last: Mapping[str, Any] = next((one for one in entries if one.get("kind") in ("deploy", "rollback") and one["result"].startswith(LIVE)), {})
    if last.get("kind") != "rollback" or last["before"] != release:
        return ""
    further = [name for name in kept if name not in (release, last["release"])]
    return (
        f"The last rollback left {release}, and this one undoes it. To go back further instead: -e app_release=RELEASE, "
        f"with one of {', '.join(further) or 'those that are kept, but there is no other'}."
    )


def by_app(listed: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By application, what its hosts have listed, as one: all entries, the newest first; whoever has the lease; the rest as the first host has it."""
    found: dict[str, dict[str, Any]] = {}
    for one in listed:
        known = found.setdefault(one["app"], {**one, "history": [], "holder": ""})
        known["history"] = sorted([*known["history"], *one["history"]], key=lambda entry: float(entry["started"]), reverse=True)
        known["holder"] = known["holder"] or one["holder"]
    return found


def lines(app: str, listed: Mapping[str, Any], most: int, full: bool = False) -> list[str]:
    """The history as a table: when, what, of which image, from which release, who, source, revision of the schema, result and how long.

    full: below each entry how long its stages took, and why it failed.
    """
    entries = listed["history"][:most]
    rows = [("when", "kind", "release", "digest", "before", "who", "source", "schema", "result", "took"), *map(_row, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    below = [[f"    {line}" for line in [_stages(entry), *str(entry.get("message") or "").splitlines()] if full and line] for entry in entries]
    shown = [table[0], *(line for row, more in zip(table[1:], below, strict=True) for line in [row, *more])]
    kept = [f"{name}{' (live)' if name == listed['live'] else ' (before it)' if name == listed['previous'] else ''}" for name in listed["kept"]]
    return [app, "-" * len(app), *shown, f"kept: {', '.join(kept) or 'none'}", *([listed["holder"]] if listed["holder"] else [])]


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    took = sum((entry.get("seconds") or {}).values())
    when = datetime.fromtimestamp(float(entry["started"]), UTC).isoformat(timespec="seconds")
    digest = (entry.get("digest") or "").rpartition(":")[2][:12]
    names = (entry["release"] or entry.get("version") or "-", digest or "-", entry["before"] or "-")
    return (when, entry["kind"], *names, entry["owner"], entry["ref"][:12] or "-", _schema(entry) or "-", entry["result"], f"{took:.1f} s" if took else "-")


def _schema(entry: Mapping[str, Any]) -> str:
    revisions = [entry.get("revision_before") or "", entry.get("revision_after") or ""]
    return " -> ".join(dict.fromkeys(revision for revision in revisions if revision))


def _stages(entry: Mapping[str, Any]) -> str:
    """How long each stage took that took any time, in their order."""
    seconds = entry.get("seconds") or {}
    ordered = [stage for stage in dict.fromkeys([*STAGES, *seconds]) if seconds.get(stage)]
    return ", ".join(f"{stage.replace('_', ' ')} {float(seconds[stage]):.2f} s" for stage in ordered)


def summary(entry: Mapping[str, Any]) -> str:
    """What a run has made live, for its end; nothing of one that has not."""
    if entry.get("result") != LIVE:
        return ""
    was = f", in place of {entry['before']}" if entry.get("before") not in (None, "", entry["release"]) else ""
    schema = f"; schema {_schema(entry)}" if _schema(entry) else ""
    switch = (entry.get("seconds") or {}).get("switch") or 0
    return f"live on {', '.join(entry.get('hosts') or [])}{was}{schema}; the switch took {float(switch):.2f} s. Stages: {_stages(entry)}"
