# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a deploy goes, as the inventory wants it: how careful, in which steps, with what before and after them, and when at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

# The stages that hooks may stand before or after.
STAGES = ("migrate", "start", "switch", "live", "retire")
FAILED = "failed"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(rf"({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))? ([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


# When a release may be made at all; the rest of the options say how.
WHEN: dict[str, Any] = {"windows": [], "time_zone": "UTC", "confirm": False}


class WindowError(ValueError):
    """A text that is no window; the text is fit for a user."""


def deploy_options(app: Mapping[str, Any]) -> dict[str, Any]:
    """`deploy` of an application with its defaults; they are those of the argument specification, tested."""
    given = {name: value for name, value in (app.get("deploy") or {}).items() if value is not None}
    defaults = {"drain": 30, "observe": 10, "failures": 5, "keep": 5, "keep_previous": "none"}
    return {**defaults, "canary": "none", "canary_seconds": 60, "max_parallel": 0, "pause": 10, **WHEN, **given}


def rollout(options: Mapping[str, Any], hosts: Sequence[str], at_once: bool = False) -> list[dict[str, Any]]:
    """The steps in which the hosts are switched: `hosts` of the step, `replicas` of each web process (0: all),
    `seconds` to watch all that are `switched` by then, and a `label` for the user.

    options: of `deploy_options`. The last step is watched as long as a deploy without steps. at_once: a rollback has proved itself before.
    """
    if at_once:
        options = {**options, "canary": "none", "max_parallel": 0}
    steps: list[dict[str, Any]] = []
    rest = list(hosts)
    if options["canary"] == "replica":
        steps.append({"hosts": rest[:1], "replicas": 1, "seconds": options["canary_seconds"]})
    elif options["canary"] == "host" and len(rest) > 1:
        steps.append({"hosts": rest[:1], "replicas": 0, "seconds": options["canary_seconds"]})
        rest = rest[1:]
    size = int(options["max_parallel"]) or len(rest)
    steps += [{"hosts": rest[start : start + size], "replicas": 0, "seconds": options["pause"]} for start in range(0, len(rest), size)]
    steps[-1]["seconds"] = options["observe"]
    for number, step in enumerate(steps, 1):
        step["switched"] = list(dict.fromkeys(host for one in steps[:number] for host in one["hosts"]))
        what = "one replica of " if step["replicas"] else ""
        step["label"] = f"{what}{', '.join(step['hosts'])}, step {number} of {len(steps)}" if len(steps) > 1 else "all hosts"
    return steps


def hooks(app: Mapping[str, Any], *places: str) -> list[dict[str, Any]]:
    """The hooks of an application at these places, such as V(before switch), with their defaults, in the order of the inventory.

    processes: those that the command may be in the place of; the first of them that the release has on a host is taken there.
    """
    found = []
    for number, given in enumerate(app.get("hooks") or [], 1):
        defaults = {"when": "before", "hosts": "first", "timeout": 300, "command": [], "tasks": ""}
        hook = {**defaults, **{key: value for key, value in given.items() if value is not None}}
        place = FAILED if hook["stage"] == FAILED else f"{hook['when']} {hook['stage']}"
        if place in places:
            names = [hook["process"]] if hook.get("process") else [process["name"] for process in app.get("processes") or []]
            found.append({**hook, "processes": names, "number": number, "place": place})
    return found


def uninterrupted(app: Mapping[str, Any], order: Sequence[str]) -> list[str]:
    """The states of the module release in this order, up to the first place in it that has a hook. order: states and places, as one comes after the other."""
    found: list[str] = []
    for name in order:
        if " " not in name:
            found.append(name)
        elif hooks(app, name):
            break
    return found


def closed(options: Mapping[str, Any], now: datetime) -> str:
    """Why nothing may be released at this moment, or nothing. now: with its time zone."""
    windows = list(options["windows"])
    here = now.astimezone(ZoneInfo(options["time_zone"]))
    if not windows or any(_is_open(window, here) for window in windows):
        return ""
    return f"it is {DAYS[here.weekday()]} {here:%H:%M} ({options['time_zone']}), and releases are made {', '.join(windows)}"


def parse_window(text: str) -> tuple[range, int, int]:
    """The days, as numbers from the Monday before, and the minutes of the day from and to; a window that ends before it begins ends the day after."""
    match = _WINDOW.fullmatch(str(text).strip().lower())
    if not match:
        raise WindowError(f"{text!r} is not a window; allowed: days and times, for example mon-thu 09:00-16:00")
    first = DAYS.index(match[1])
    last = DAYS.index(match[2] or match[1])
    begin, end = (int(match[n]) * 60 + int(match[n + 1]) for n in (3, 5))
    if end > 24 * 60 or begin == end:
        raise WindowError(f"{text!r} is not a window; allowed: two times of a day, up to 24:00, for example mon-thu 09:00-16:00")
    return range(first, (last if last >= first else last + 7) + 1), begin, end if end > begin else end + 24 * 60


def _is_open(text: str, here: datetime) -> bool:
    days, begin, end = parse_window(text)
    minute = here.weekday() * 24 * 60 + here.hour * 60 + here.minute
    # Also a week on: a window may begin on Sunday and end on Monday.
    return any(day * 24 * 60 + begin <= minute + week < day * 24 * 60 + end for day in days for week in (0, 7 * 24 * 60))
