# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each run that released something: one JSON line for each, only ever added to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

HISTORY = "history.jsonl"


def append(folder: str, entry: Mapping[str, Any]) -> None:
    """One write of one line, so that two writers cannot mix theirs."""
    line = json.dumps(dict(entry), sort_keys=True).encode() + b"\n"
    handle = os.open(os.path.join(folder, HISTORY), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
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
