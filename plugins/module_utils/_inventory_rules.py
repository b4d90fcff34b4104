# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of an inventory, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._inventory import MISSING, PLACEHOLDER, Files, Host, Problem, Report, Stack, example_at, leaves
from ansible_collections.longshore.stack.plugins.module_utils._inventory_apps import check_apps
from ansible_collections.longshore.stack.plugins.module_utils._inventory_hosts import check_hosts
from ansible_collections.longshore.stack.plugins.module_utils._inventory_routes import check_routes
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import check_services
from ansible_collections.longshore.stack.plugins.module_utils._inventory_stack import check_stack
from ansible_collections.longshore.stack.plugins.module_utils._inventory_tls import check_tls
from ansible_collections.longshore.stack.plugins.module_utils._inventory_types import check_names, clean_host
from ansible_collections.longshore.stack.plugins.module_utils._specs import Role


def check(
    hosts: Mapping[str, Host],
    groups: Mapping[str, list[str]],
    roles: Mapping[str, Role],
    files: Files | None = None,
    report: Report | None = None,
) -> list[Problem]:
    """Every error of the inventory. `report` may hold errors already, those of variables that could not be resolved."""
    report = report or Report()
    for host in hosts.values():
        check_names(host, host.given, dict(roles), report)
    cleaned = {name: _cleaned(host, dict(roles), report) for name, host in hosts.items()}
    report.settle()
    stack = Stack(cleaned, dict(groups), dict(roles), files or Files())
    for rules in (check_stack, check_services, check_apps, check_tls, check_routes, check_hosts):
        rules(stack, report)
    return report.problems()


def check_placeholders(variables: Mapping[str, Any], roles: Mapping[str, Role], host: str, report: Report) -> None:
    """What a user has to fill in and did not; variables of any name, as they were written."""
    for name, value in variables.items():
        for path, leaf in leaves((name,), value):
            if isinstance(leaf, str) and PLACEHOLDER in leaf:
                label = f"{name} of {host}" if name == "ansible_host" else ""
                example = example_at(dict(roles), path)
                report.add(path, f"still contains {PLACEHOLDER}", allowed="a value of yours", example=example, host=host, name=label)


def _cleaned(host: Host, roles: dict[str, Role], report: Report) -> Host:
    values = clean_host(host, roles, report)
    address = host.values.get("ansible_host")
    values["ansible_host"] = None if address is MISSING else address
    return Host(host.name, host.groups, values, host.given)
