# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in short remote calls: repeat a module while it answers `pending`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def run_slices(
    execute: Callable[[dict[str, Any]], dict[str, Any]],
    display: Callable[[str], None],
    label: str,
    limit: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Call `execute(resume)` until its result is not `pending`, and print a line after each slice.

    The module waits in each slice itself (some seconds), so this loop never sleeps. While it waits it returns

        pending: true
        progress: "building step 4/9"     what is waited for
        resume: {...}                     given back with the next call, optional

    The last result is returned; `changed` is true if any slice changed something, warnings are kept once.
    """
    start = clock()
    resume: dict[str, Any] = {}
    changed = False
    warnings: list[str] = []
    while True:
        result = execute(resume)
        changed = changed or bool(result.get("changed"))
        warnings += [text for text in result.pop("warnings", []) if text not in warnings]
        if result.get("failed") or not result.pop("pending", False):
            break
        elapsed = clock() - start
        display(progress_line(label, result.get("progress", "working"), elapsed, limit))
        if limit is not None and elapsed > limit:
            result.update(failed=True, msg=f"{label}: {result.get('progress', 'not done')} after {elapsed:.0f} s; the limit is {limit:.0f} s")
            break
        resume = result.get("resume") or {}
    for key in ("pending", "progress", "resume"):
        result.pop(key, None)
    result["changed"] = changed
    if warnings:
        result["warnings"] = warnings
    return result


def progress_line(label: str, progress: str, elapsed: float, limit: float | None = None) -> str:
    """What is waited for, since when, how long at most."""
    at_most = f" of at most {limit:.0f} s" if limit else ""
    return f"{label}: {progress}, {elapsed:.0f} s{at_most}"
