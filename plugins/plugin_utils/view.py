# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a running play as the pure code wants it."""

from __future__ import annotations

from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._wiring import View


def view_of(variables: dict[str, Any], template) -> View:
    """A View of the variables that a lookup or an action is given; `template` resolves this host's own."""
    me = variables["inventory_hostname"]
    hostvars = variables.get("hostvars", {})

    def of(host: str, name: str, default: Any = None) -> Any:
        if host == me and name in variables:
            return template(variables[name])
        if host in hostvars and name in hostvars[host]:
            return hostvars[host][name]
        return default

    return View(me, variables.get("groups", {}), of)
