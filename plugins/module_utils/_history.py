# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each run that released something: one JSON line for each, only ever added to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

HISTORY = "history.jsonl"


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


def lines(app: str, listed: Mapping[str, Any], most: int) -> list[str]:
    """The history as a table: when, what, from which release, who, source, revision of the schema, result and how long."""
    rows = [("when", "kind", "release", "before", "who", "source", "schema", "result", "took")]
    for entry in listed["history"][:most]:
        revisions = [entry.get("revision_before") or "", entry.get("revision_after") or ""]
        schema = " -> ".join(dict.fromkeys(revision for revision in revisions if revision))
        took = sum((entry.get("seconds") or {}).values())
        when = datetime.fromtimestamp(float(entry["started"]), UTC).isoformat(timespec="seconds")
        cells = (entry["kind"], entry["release"], entry["before"] or "-", entry["owner"], entry["ref"][:12] or "-", schema or "-", entry["result"])
        rows.append((when, *cells, f"{took:.1f} s" if took else "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    kept = [f"{name}{' (live)' if name == listed['live'] else ' (before it)' if name == listed['previous'] else ''}" for name in listed["kept"]]
    return [app, "-" * len(app), *table, f"kept: {', '.join(kept) or 'none'}", *([listed["holder"]] if listed["holder"] else [])]
