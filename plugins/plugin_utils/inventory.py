# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a run as plain data: variables of every host with the roles' defaults below them, resolved."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.template import Templar

from ansible_collections.longshore.stack.plugins.module_utils._inventory import MISSING, Host, Path, Problem, Report, element, example_at, is_secret
from ansible_collections.longshore.stack.plugins.module_utils._inventory_types import concerns
from ansible_collections.longshore.stack.plugins.module_utils._specs import Role, load_roles
from ansible_collections.longshore.stack.plugins.plugin_utils.resolved import WORD, Resolved

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # not part of Ansible's public interface; without it errors name the hosts instead of file and line
    Origin = None

ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "roles")
UNDEFINED = re.compile(r"'[^']*' is undefined|has no attribute '[^']*'|has no element \S+")
PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class InventoryReader:
    """Reads the variables that the roles of this collection document, and `ansible_host`."""

    def __init__(self, hostvars: Any, groups: Mapping[str, list[str]], task: Any, loader: Any):
        self.groups = {name: list(members) for name, members in groups.items()}
        self.names = self.groups.get("all", [])
        self.roles: dict[str, Role] = load_roles(ROLES, lambda text: yaml.load(text, Loader=PARSER))  # noqa: S506, both are safe loaders
        self._hostvars = hostvars
        self._task = task
        self._loader = loader
        self._defaults = self._role_defaults()
        self._raw: dict[str, dict[str, Any]] = {}
        self._resolved = Resolved()

    def given(self, name: str) -> dict[str, Any]:
        """The variables of a host that do not come from a role, as they were written."""
        manager = self._hostvars._variable_manager
        registered = manager._nonpersistent_fact_cache.get(name, {})
        return {
            key: value
            for key, value in self._variables(name).items()
            if key not in registered and key != "ansible_facts" and not self._is_default(key, value)
        }

    def host(self, name: str, report: Report) -> Host:
        """A host with resolved variables; what cannot be resolved is reported and MISSING."""
        given = self.given(name)
        variables = {**self._defaults, **self._variables(name), "hostvars": self._hostvars, "groups": self.groups}
        templar = Templar(loader=self._loader, variables=variables)
        host = Host(name, frozenset(group for group, hosts in self.groups.items() if name in hosts), {}, frozenset(given))
        wanted = {"ansible_host"}
        for role in self.roles.values():
            wanted.update(key for key in role.options if key in given or concerns(role.name, host))
        for key in wanted & variables.keys():
            # A default that cannot be resolved lacks a variable that is reported itself, or a fact of the host.
            resolve = partial(_resolve, (key,), variables[key], templar, self.roles, name, report if key in given else Report())
            host.values[key] = self._resolved.value(key, variables, resolve)
        return host

    def _variables(self, name: str) -> dict[str, Any]:
        if name not in self._raw:
            manager = self._hostvars._variable_manager
            host = manager._inventory.get_host(name)
            found = manager.get_vars(play=self._task.get_play(), host=host, task=self._task, include_hostvars=False)
            self._raw[name] = {key: value for key, value in found.items() if key not in ("vars", "environment", "hostvars", "groups")}
        return self._raw[name]

    def _is_default(self, key: str, value: Any) -> bool:
        return key in self._defaults and type(value) is type(self._defaults[key]) and value == self._defaults[key]

    def _role_defaults(self) -> dict[str, Any]:
        """The defaults of all roles together; templates in them are trusted as those of a role that runs."""
        found: dict[str, Any] = {}
        for role in self.roles:
            path = os.path.join(ROLES, role, "defaults", "main.yml")
            if os.path.isfile(path):
                # unsafe says that the caller changes nothing in it, which saves a deep copy
                found.update(self._loader.load_from_file(path, cache="all", unsafe=True, trusted_as_template=True) or {})
        return found


def _resolve(path: Path, value: Any, templar: Templar, roles: dict[str, Role], host: str, report: Report) -> Any:
    """A value without templates. A structure that fails is taken apart, so that only the guilty part is missing and named."""
    try:
        return templar.template(value)
    except Exception as problem:  # whatever a filter or lookup of the inventory raises is an error of the inventory
        if isinstance(value, Mapping):
            pairs = {key: _resolve((*path, key), inner, templar, roles, host, report) for key, inner in value.items()}
            return {key: inner for key, inner in pairs.items() if inner is not MISSING}
        if isinstance(value, (list, tuple)):
            parts = [_resolve((*path, element(index, inner)), inner, templar, roles, host, report) for index, inner in enumerate(value)]
            return [inner for inner in parts if inner is not MISSING]
        reason = _reason(path, value, problem, templar.available_variables)
        example = example_at(roles, path)
        report.add(path, f"cannot be resolved: {reason}", allowed="a value, or a template of defined variables", example=example, host=host)
        return MISSING


def _reason(path: Path, value: Any, problem: Exception, variables: Mapping[str, Any]) -> str:
    """Why a template failed. A filter may quote the value it was given, so near a secret only the name of what is undefined is said."""
    message = problem.message if isinstance(problem, AnsibleError) else str(problem)
    message = " ".join(str(message).split())
    if is_secret(path) or _uses_secret(value, variables):
        found = UNDEFINED.search(message)
        return found.group(0) if found else f"{type(problem).__name__} (its text is hidden, it may quote a secret)"
    return message[:300].rstrip(".")


def _uses_secret(value: Any, variables: Mapping[str, Any], depth: int = 5) -> bool:
    """Whether a template names a secret, itself or through the variables that it uses."""
    if isinstance(value, Mapping):
        return any(is_secret((key,)) or _uses_secret(inner, variables, depth) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return any(_uses_secret(inner, variables, depth) for inner in value)
    if not isinstance(value, str) or "{" not in value:
        return False
    names = set(WORD.findall(value))
    return is_secret(tuple(names)) or (depth > 0 and any(_uses_secret(variables[name], variables, depth - 1) for name in names & variables.keys()))


def with_origins(problems: list[Problem], given: Callable[[str], Mapping[str, Any]]) -> list[Problem]:
    """The errors with file and line of what was written, where Ansible knows them."""
    if Origin is None:
        return problems
    return [replace(problem, origin=_origin(problem.path, given(problem.hosts[0])) if problem.hosts else "") for problem in problems]


def _origin(path: Path, variables: Mapping[str, Any]) -> str:
    """The place of the innermost part of a path that has one."""
    value: Any = variables
    found = None
    for part in path:
        value = _inner(value, part)
        if value is None:
            break
        found = Origin.get_tag(value) or found
    if found is None or not found.path:
        return ""
    near = os.path.relpath(found.path)
    path = found.path if near.startswith("..") else near
    return f"{path}:{found.line_num}" if found.line_num else path


def _inner(value: Any, part: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, (list, tuple)):
        if isinstance(part, int):
            return value[part] if part < len(value) else None
        return next((inner for index, inner in enumerate(value) if element(index, inner) == part), None)
    return None
