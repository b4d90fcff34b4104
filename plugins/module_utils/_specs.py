# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles say about their variables (`meta/argument_specs.yml`)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EXAMPLE = re.compile(r"^Example: C\((.*)\)$", re.DOTALL)
# Without braces: what runs a role resolves the texts of its spec as well.
OF_THE_VAULT = re.compile(r"^Example: a variable of the vault, C\((\w+)\)$")


@dataclass(frozen=True)
class Role:
    """The documented entry point `main` of a role."""

    name: str
    title: str
    description: tuple[str, ...]
    options: dict[str, dict[str, Any]]


def load_roles(directory: str, parse: Callable[[str], Any]) -> dict[str, Role]:
    """All roles below `directory` that have an argument spec; `parse` turns the text of a YAML file into data."""
    roles = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name, "meta", "argument_specs.yml")
        if os.path.isfile(path):
            roles[name] = role_from_spec(name, read(path, parse))
    return roles


def read(path: str, parse: Callable[[str], Any]) -> Any:
    """The parsed content of a YAML file."""
    with open(path, encoding="utf-8") as stream:
        return parse(stream.read())


def role_from_spec(name: str, spec: Any) -> Role:
    """The entry point `main` of a parsed argument spec."""
    main = ((spec or {}).get("argument_specs") or {}).get("main") or {}
    return Role(name, main.get("short_description", ""), tuple(_texts(main.get("description"))), main.get("options") or {})


def defaults(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What `defaults/main.yml` has to hold."""
    return {name: option["default"] for name, option in options.items() if "default" in option}


def description(option: dict[str, Any]) -> list[str]:
    """The sentences that describe an option, without its example."""
    return [text for text in _texts(option.get("description")) if not EXAMPLE.match(text) and not OF_THE_VAULT.match(text)]


def example(option: dict[str, Any]) -> str:
    """A value that a user may write: the documented example, else the default, else a choice."""
    for text in _texts(option.get("description")):
        found = EXAMPLE.match(text)
        if found:
            return found.group(1)
        found = OF_THE_VAULT.match(text)
        if found:
            return f"{{{{ {found.group(1)} }}}}"
    # Of a default that is that of another variable, a choice says more.
    if option.get("default") not in (None, "", [], {}) and not (option.get("choices") and "{{" in str(option["default"])):
        return str(option["default"]).lower() if option.get("type") == "bool" else str(option["default"])
    return str(option["choices"][0]) if option.get("choices") else ""


def line(name: str, option: dict[str, Any]) -> str:
    """An option as a user may write it, or nothing where there is no example."""
    given = example(option)
    # A template that begins a value needs quotes.
    return f'{name}: "{given}"' if given.startswith("{{") else f"{name}: {given}" if given else ""


def line_at(roles: dict[str, Role], path: tuple[Any, ...]) -> str:
    """The line of the innermost option that a path of the inventory leads to, or nothing where no role knows the variable."""
    found, options = "", {name: option for role in roles.values() for name, option in role.options.items()}
    for part in path:
        if isinstance(part, int) or str(part).startswith("["):
            continue
        if part not in options:
            break
        found, options = line(part, options[part]), options[part].get("options") or {}
    return found


def type_name(option: dict[str, Any]) -> str:
    """The type of an option in words, such as `list of dict`."""
    kind = option.get("type", "str")
    return f"list of {option['elements']}" if kind == "list" and "elements" in option else kind


def _texts(description: Any) -> list[str]:
    if description is None:
        return []
    return [str(text).strip() for text in description] if isinstance(description, list) else [str(description).strip()]
