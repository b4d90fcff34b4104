# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of applications said last, in the order in which they said it, and nothing secret of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._masking import masked, secrets_in
from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_PROCESS, LABEL_SERVICE
from ansible_collections.longshore.stack.plugins.module_utils._status import containers_of

AT_ONCE = 8


class LogsError(Exception):
    """Nothing can be shown; the text is fit for a user."""


def chosen(containers: Iterable[Mapping[str, Any]], apps: Collection[str], process: str, known: Collection[str]) -> list[Mapping[str, Any]]:
    """The containers of these applications, of one process where it is named. known: the processes of the inventory, which may run on other hosts."""
    mine = [one for one in containers if one["Config"]["Labels"].get(LABEL_SERVICE) in apps and LABEL_PROCESS in one["Config"]["Labels"]]
    allowed = sorted({*known, *(one["Config"]["Labels"][LABEL_PROCESS] for one in mine)})
    if process and allowed and process not in allowed:
        what = f"app_process: {process!r} is no process of {', '.join(apps)}"
        raise LogsError(f"{what}; allowed: {', '.join(allowed)}, for example -e app_process={allowed[0]}")
    return [one for one in mine if process in ("", one["Config"]["Labels"][LABEL_PROCESS])]


def source(container: Mapping[str, Any]) -> str:
    """Application, process, and the number of the replica."""
    labels = container["Config"]["Labels"]
    return f"{labels[LABEL_SERVICE]}/{labels[LABEL_PROCESS]}-{container['Name'].rpartition('-')[2]}"


def last_lines(engine: Engine, stack: str, apps: Sequence[str], process: str, known: Collection[str], lines: int, since: str) -> dict[str, list[Any]]:
    """Moment, source and text of each line, the oldest first; of every container so many lines, all of them since a moment or for a time.

    Beside them the `sources` that were read, also those that said nothing.
    """
    options = ["--timestamps", "--tail", str(lines), *(["--since", since] if since else [])]

    def read(container: Mapping[str, Any]) -> list[list[str]]:
        said = engine.must(["logs", *options, container["Id"]], timeout=60)
        secrets, name = secrets_in(container), source(container)
        rows = (line.partition(" ")[::2] for line in [*said.stdout.splitlines(), *said.stderr.splitlines()])
        return [[moment, name, masked(text, secrets)] for moment, text in rows]

    containers = chosen(containers_of(engine, stack), apps, process, known)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(read, containers)
    return {"sources": sorted(map(source, containers)), "lines": sorted((row for rows in found for row in rows), key=lambda row: row[0])}
