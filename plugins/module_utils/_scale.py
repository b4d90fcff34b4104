# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many containers of a process run on a host, where an operator wants another number than the inventory has. It holds until it is taken back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from glob import glob
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import replicas
from ansible_collections.longshore.stack.plugins.module_utils._files import replace
from ansible_collections.longshore.stack.plugins.module_utils._names import SCALE_FILE

MOST = 100


class ScaleError(ValueError):
    """A number that a process cannot have; the text is fit for a user."""


def read(path: str) -> dict[str, int]:
    """By process, what was wanted of the application in this directory."""
    try:
        with open(os.path.join(path, SCALE_FILE), encoding="utf-8") as file:
            return {str(process): int(number) for process, number in json.load(file).items()}
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError, TypeError):
        # It is replaced as a whole, so what is no such file was made by hand.
        return {}


def write(path: str, scale: Mapping[str, int]) -> None:
    replace(os.path.join(path, SCALE_FILE), json.dumps(dict(scale), sort_keys=True).encode() + b"\n", 0o644, os.geteuid(), os.getegid())


def of_all(root: str) -> list[str]:
    """The same for all applications of a stack, such as `shop/web: 4`. root: the stack's directory."""
    paths = sorted(map(os.path.dirname, glob(os.path.join(root, "apps", "*", SCALE_FILE)))) if root else []
    return [f"{os.path.basename(path)}/{process}: {number}" for path in paths for process, number in read(path).items()]


def notes(hosts: Mapping[str, Sequence[str]], keeper: str) -> list[str]:
    """What the report says of it, a line for each process. hosts: by application host, what of_all found there. keeper: the one that keeps the lease.

    They differ where a run that scaled died. Then each host is named, and what mends it.
    """
    found = {host: dict(entry.split(": ", 1) for entry in entries) for host, entries in hosts.items()}
    lines = []
    for name in sorted({name for numbers in found.values() for name in numbers}):
        numbers = {host: mine.get(name, "inventory") for host, mine in found.items()}
        if len(set(numbers.values())) == 1:
            lines.append(f"scaled by hand: {name}: {next(iter(numbers.values()))}")
            continue
        each = ", ".join(f"{'as in the inventory' if number == 'inventory' else number} on {host}" for host, number in numbers.items())
        app, _slash, process = name.partition("/")
        mend = f"ansible-playbook -i <inventory> longshore.stack.scale -e app_name={app} -e app_process={process} -e app_replicas="
        mend += numbers.get(keeper, "NUMBER")
        lines.append(f"scaled by hand, and the hosts differ: {name}: {each}. The next deploy or site.yml gives all what {keeper} has, and so does: {mend}")
    return lines


def changed(scale: Mapping[str, int], asked: Mapping[str, int | None], spec: Mapping[str, Any]) -> dict[str, int]:
    """The numbers from now on; None takes one back. spec: the release that they are for."""
    services = spec["definition"]["services"]
    known = sorted({*(name for name, service in services.items() if not service.get("profiles")), *spec["alone"]})
    for process, number in asked.items():
        if process not in known:
            raise ScaleError(f"the release {spec['release']} has no process {process!r}; it has {', '.join(known)}")
        if number is None:
            continue
        if process in spec["alone"]:
            raise ScaleError(f"{process} must not run twice (singleton, or strategy: recreate), so it cannot be scaled")
        backend = spec["backends"].get(process)
        least, most = (1, backend["places"]) if backend else (0, MOST)
        if not least <= number <= most:
            more = "; the switch has no more places until the inventory has more replicas" if backend and number > most else ""
            none = "; to take it off the air use maintenance" if backend and number < least else ""
            raise ScaleError(f"{number} containers of {process} are out of range; allowed: {least} to {most}{more}{none}")
    kept = {process: number for process, number in scale.items() if process not in asked}
    return {**kept, **{process: number for process, number in asked.items() if number is not None}}


def applied(spec: Mapping[str, Any], scale: Mapping[str, int]) -> dict[str, Any]:
    """The definition of a release with these numbers; what must not run twice keeps its own, whatever it was before."""
    definition = spec["definition"]
    services = {
        name: {**service, "scale": scale[name]} if name in scale and name not in spec.get("alone", ()) else service
        for name, service in definition["services"].items()
    }
    return {**definition, "services": services}


def numbers(definition: Mapping[str, Any]) -> dict[str, int]:
    """By process, how many containers of it run on this host."""
    return {name: replicas(service) for name, service in definition["services"].items() if not service.get("profiles")}
