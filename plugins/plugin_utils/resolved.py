# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolved values of variables, each worked out once: most of the time of a task on the controller goes into templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._inventory import MISSING, leaves

# A template with one of these may read variables that it does not name.
HIDDEN_READERS = frozenset({"lookup", "query", "q", "vars", "hostvars", "include", "import"})
WORD = re.compile(r"[A-Za-z_]\w*")


class Resolved:
    """Values by the variables that they were made of. One that was made of the very same variables before, for another host or another lookup, is that one."""

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[dict[str, Any], Any]]] = {}

    def value(self, key: str, variables: Mapping[str, Any], resolve: Callable[[], Any]) -> Any:
        for used, result in self._known.get(key, []):
            if all(_same(raw, variables.get(name, MISSING)) for name, raw in used.items()):
                return result
        used = {}
        cacheable = _collect(key, variables, used)
        result = resolve()
        if cacheable:
            self._known.setdefault(key, []).append((used, result))
        return result


def _collect(name: str, variables: Mapping[str, Any], used: dict[str, Any]) -> bool:
    """Gather the variables behind a variable into `used`; false when there may be more that the text does not show."""
    used[name] = variables.get(name, MISSING)
    words = {word for _path, leaf in leaves((), used[name]) if isinstance(leaf, str) and "{" in leaf for word in WORD.findall(leaf)}
    if words & HIDDEN_READERS:
        return False
    return all(_collect(word, variables, used) for word in words & variables.keys() if word not in used)


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, (str, int, float)) and type(one) is type(other) and one == other)
