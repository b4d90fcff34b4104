# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory as plain data, and the errors that are found in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._specs import Role, line_at

SERVICES = ("postgres", "valkey", "rabbitmq", "minio", "seaweedfs")
PROXIES = ("caddy", "traefik", "nginx")
# Containers of the stack beside those of services and proxies.
HELPERS = ("switch", "lego", "traefik-pages")
PLACEHOLDER = "CHANGE_ME"
# A key is one as a word or at the end of a name; in `valkey_port`, and in Valkey's own name, it is none.
SECRET_NAME = re.compile(r"passw|secret|token|credential|api_?key|(?:^|_)keys?(?:_|$)|(?<!val)keys?$", re.IGNORECASE)
# Up to the last one: a password that nobody quoted may have the sign in it.
URL_LOGIN = re.compile(r"(?<=://)\S*@")
SECRET_EXCEPTIONS = re.compile(r"^(secrets_as|stack_secrets_root)$")

Path = tuple[Any, ...]


class _Missing:
    """Stands for a value that could not be resolved; the reason is an error of its own."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


@dataclass
class Host:
    """One host: its groups, the resolved variables, and the names among them that the user gave."""

    name: str
    groups: frozenset[str]
    values: dict[str, Any]
    given: frozenset[str] = frozenset()

    @property
    def environment(self) -> Any:
        return self.values.get("stack_environment")

    @property
    def prod(self) -> bool:
        return self.environment == "prod"


@dataclass(frozen=True)
class Certificate:
    """The host names that a certificate is for, and what is wrong with it."""

    names: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass
class Files:
    """What rules may ask about the controller's files. certificate: of the files of a certificate and its key."""

    is_file: Callable[[str], bool] = lambda path: True
    is_folder: Callable[[str], bool] = lambda path: True
    certificate: Callable[[str, str], Certificate] = lambda certificate, key: Certificate()


@dataclass
class Stack:
    """All hosts with clean values, and what else the rules may ask."""

    hosts: dict[str, Host]
    groups: dict[str, list[str]]
    roles: dict[str, Role]
    files: Files

    def members(self, group: str) -> list[Host]:
        return [self.hosts[name] for name in self.groups.get(group, []) if name in self.hosts]

    def view(self, host: Host) -> _wiring.View:
        def of(name: str, variable: str, default: Any = None) -> Any:
            # The wiring refuses a wrong choice of application; here that is an error among others.
            known = name in self.hosts and variable not in ("app_version", "app_name")
            value = self.hosts[name].values.get(variable) if known else None
            return default if value is None else value

        return _wiring.View(host.name, self.groups, of)


@dataclass(frozen=True)
class Problem:
    """One error; `name` is the path that a user reads."""

    name: str
    says: str
    value: str = ""
    allowed: str = ""
    example: str = ""
    path: Path = ()
    hosts: tuple[str, ...] = ()
    origin: str = ""


@dataclass
class Report:
    """Collects errors; one that many hosts share is kept once."""

    found: dict[tuple[str, str, str], Problem] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()

    def add(self, path: Path | str, says: str, *, value: Any = MISSING, allowed: str = "", example: str = "", host: str = "", name: str = "") -> None:
        path = (path,) if isinstance(path, str) else path
        shown = show(path, value)
        if PLACEHOLDER in shown and not says.startswith("still contains"):
            return  # what is not filled in yet is reported once, as that
        name = name or path_name(path)
        if any(name == known or name.startswith((f"{known}.", f"{known}[")) for known in self.settled):
            return
        key = (name, says, shown)
        known = self.found.get(key)
        hosts = (*known.hosts, host) if known and host not in known.hosts else known.hosts if known else (host,)
        self.found[key] = Problem(name, says, shown, allowed, example, path, tuple(name for name in hosts if name))

    def settle(self) -> None:
        """What is wrong by now needs no second error that follows from the first."""
        self.settled = frozenset(problem.name for problem in self.found.values())

    def problems(self) -> list[Problem]:
        return list(self.found.values())


def path_name(path: Path) -> str:
    """`("stack_apps", "[example]", "memory")` as `stack_apps[example].memory`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif isinstance(part, str) and part.startswith("["):
            text += part
        else:
            text += f".{part}" if text else str(part)
    return text


def example_at(roles: dict[str, Role], path: Path) -> str:
    """A line that a user may write at a path, for any variable."""
    if path[0] == "ansible_host":
        return "ansible_host: 10.20.0.11"
    return line_at(roles, path) or f"{path_name(path)}: ..."


def is_secret(path: Path) -> bool:
    """Whether a value at this path must not be shown."""
    words = [part for part in path if isinstance(part, str) and not part.startswith("[")]
    # Names of variables in the one, of files in the other.
    return not {"env_names", "stack_tls_files"} & set(words) and any(SECRET_NAME.search(word) and not SECRET_EXCEPTIONS.match(word) for word in words)


def show(path: Path, value: Any) -> str:
    """A value for a message: never a secret, never a whole structure."""
    if value is MISSING:
        return ""
    if isinstance(value, str) and PLACEHOLDER in value:
        return PLACEHOLDER
    if value is None or value == "":
        return "empty"
    if is_secret(path):
        return "(hidden)"
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "a dictionary"
    text = URL_LOGIN.sub("***@", str(value)).replace("\n", " ")
    return repr(text if len(text) <= 80 else text[:77] + "...") if isinstance(value, str) else text


def leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """All scalars of a structure with their paths; list elements carry their name where they have one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves((*path, key), inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from leaves((*path, element(index, inner)), inner)
    else:
        yield path, value


def element(index: int, value: Any) -> str | int:
    """How an element of a list is called in a path: `[web]` when it has a name, else its index."""
    name = value.get("name") if isinstance(value, dict) else None
    return f"[{name}]" if isinstance(name, str) and name and "{{" not in name else index


def text_report(problems: list[Problem]) -> str:
    """All errors as text, numbered, two lines each."""
    count = len(problems)
    lines = [f"The inventory has {count} error{'s' if count != 1 else ''}; no host was touched."]
    for number, problem in enumerate(problems, 1):
        value = f" (value: {problem.value})" if problem.value else ""
        lines.append(f"{number:>3}. {problem.name}: {problem.says}{value}")
        hints = []
        if problem.allowed:
            hints.append(f"allowed: {problem.allowed}")
        if problem.example:
            hints.append(f"example: {problem.example}")
        where = problem.origin or _hosts(problem.hosts)
        if where:
            hints.append(f"at: {where}")
        if hints:
            lines.append("     " + "; ".join(hints))
    return "\n".join(lines)


def _hosts(hosts: tuple[str, ...]) -> str:
    shown = ", ".join(hosts[:3])
    return f"{shown} and {len(hosts) - 3} more" if len(hosts) > 3 else shown
