# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a running play as the pure code wants it."""

from __future__ import annotations

from functools import cache
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._wiring import View
from ansible_collections.longshore.stack.plugins.plugin_utils.resolved import Resolved

# Of this process, which is a worker of Ansible's: a task has three to six lookups, and each asks for stack_apps.
RESOLVED = Resolved()
# Stands for a variable that the host does not have.
ABSENT = object()


def view_of(variables: dict[str, Any], template) -> View:
    """A View of the variables that a lookup or an action is given; `template` resolves this host's own."""
    me = variables["inventory_hostname"]
    hostvars = variables.get("hostvars", {})

    # A lookup asks for some of them twenty times, and each time their templates would be worked out anew.
    @cache
    def read(host: str, name: str) -> Any:
        if host == me and name in variables:
            return RESOLVED.value(name, variables, lambda: template(variables[name]))
        if host in hostvars and name in hostvars[host]:
            return hostvars[host][name]
        return ABSENT

    def of(host: str, name: str, default: Any = None) -> Any:
        value = read(host, name)
        return default if value is ABSENT else value

    return View(me, variables.get("groups", {}), of)
