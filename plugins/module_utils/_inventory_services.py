# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the services: images, sizes, ports, passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._inventory import SERVICES, Host, Path, Report, Stack, element
from ansible_collections.longshore.stack.plugins.module_utils._inventory_types import concerns
from ansible_collections.longshore.stack.plugins.module_utils._specs import line_at

MEMORY_FLOORS = {"postgres": "128M", "rabbitmq": "256M", "minio": "256M", "seaweedfs": "128M"}
MEMORY_FLOOR = "16M"
# What a service takes for itself, in its own settings (`<role>_config`): the bytes that a number without a unit counts.
MEMORY_SETTINGS = {"postgres": {"shared_buffers": 8192, "work_mem": 1024, "maintenance_work_mem": 1024}, "valkey": {"maxmemory": 1}}
# What the stack counts on in these settings: where it reaches a service, and the files that it gives it. With another value nothing comes up.
OWN_SETTINGS = {
    "postgres": ("listen_addresses", "port", "config_file", "hba_file", "data_directory", "unix_socket_directories", "password_encryption"),
    "valkey": ("bind", "port", "aclfile", "user", "dir", "daemonize"),
    "rabbitmq": ("listeners.tcp", "listeners.tcp.default", "management.tcp.port", "prometheus.tcp.port", "load_definitions"),
}
# What else is a size of memory, and the least that makes sense.
OTHER_SIZES = {"_shm_size": "1M", "_log_max_size": "1K"}
# As RabbitMQ reads it: no fraction, no space.
DISK_SIZE = re.compile(r"^[0-9]+([kmg](i?b)?)?$", re.IGNORECASE)
# The upstream image of SeaweedFS ends at more: it counts places in a volume with four bytes.
LARGEST_VOLUME = 30000
SECRET_ENDINGS = ("_password", "_secret_key")


def check_services(stack: Stack, report: Report) -> None:
    """Every rule of this file."""
    for host in stack.hosts.values():
        for rule in (archives, sizes, own_settings, images, published_ports, spoiled_passwords):
            rule(stack, host, report)
        if host.prod:
            passwords(host, report)


def archives(stack: Stack, host: Host, report: Report) -> None:
    folder = host.values.get("stack_image_archives") or ""
    if folder and not stack.files.is_folder(folder):
        example = "stack_image_archives: images"
        report.add("stack_image_archives", "this folder is not on the controller", value=folder, allowed="an existing folder", example=example, host=host.name)
    for name, role in _service_options(stack, host, "_image_source"):
        variable = f"{name.removesuffix('_source')}_archive"
        file = host.values.get(variable) or ""
        example = f"{variable}: images/{role}.tar"
        if file and not stack.files.is_file(file):
            report.add(variable, "this file is not on the controller", value=file, allowed="a file made by docker save", example=example, host=host.name)
        elif not file and variable in stack.roles[role].options and host.values.get(name) == "archive":
            report.add(variable, f"is required by {name}: archive", allowed="a file made by docker save", example=example, host=host.name)


def sizes(stack: Stack, host: Host, report: Report) -> None:
    for name, role in _service_options(stack, host, "_memory"):
        memory_size(name, host.values.get(name), MEMORY_FLOORS.get(role, MEMORY_FLOOR), host.name, report)
        memory_settings(role, host.values.get(name), host, report)
    for ending, floor in OTHER_SIZES.items():
        for name, _role in _service_options(stack, host, ending):
            memory_size(name, host.values.get(name), floor, host.name, report)
    for name, _role in _service_options(stack, host, "_disk_free_limit"):
        limit = host.values.get(name)
        if limit is not None and not DISK_SIZE.match(limit):
            report.add(name, "is not a size", value=limit, allowed="a whole number and one of kB, MB, GB", example=f"{name}: 2GB", host=host.name)
    for name, _role in _service_options(stack, host, "_volume_size_limit_mb"):
        limit = host.values.get(name)
        if limit is not None and not 1 <= limit <= LARGEST_VOLUME:
            report.add(name, "is out of range", value=limit, allowed=f"1 to {LARGEST_VOLUME}", example=f"{name}: 1024", host=host.name)
    for name, _role in _service_options(stack, host, "_log_max_file"):
        positive(name, host.values.get(name), host.name, report, f"{name}: 3")
    for name, _role in _service_options(stack, host, "_cpus"):
        positive(name, host.values.get(name), host.name, report, f"{name}: 1.0")
    for name, _role in _service_options(stack, host, "_port"):
        port_number(name, host.values.get(name), host.name, report)
    timeout = host.values.get("stack_wait_timeout")
    if timeout is not None and not 10 <= timeout <= 3600:
        report.add("stack_wait_timeout", "is out of range", value=timeout, allowed="10 to 3600 seconds", example="stack_wait_timeout: 300", host=host.name)


def memory_settings(role: str, limit: Any, host: Host, report: Report) -> None:
    """A service that may take more than its container gets is killed in the middle of its work."""
    settings = host.values.get(f"{role}_config") or {}
    for name, unit in MEMORY_SETTINGS.get(role, {}).items():
        given, path = settings.get(name), (f"{role}_config", name)
        if given is None:
            continue
        found, most = values.size(given), values.size(limit)
        if found is None:
            report.add(path, "is not a memory size", value=given, allowed="a number and one of kB, MB, GB", example=f"{name}: 64MB", host=host.name)
        elif most and found * (unit if str(given).strip().isdigit() else 1) >= most:
            example = f"{name}: {most // 2**22}MB"
            report.add(path, f"does not fit into {role}_memory ({limit})", value=given, allowed=f"less than {role}_memory", example=example, host=host.name)


def own_settings(stack: Stack, host: Host, report: Report) -> None:
    """A service with another port or other users starts, and is waited for until the time is over."""
    for role, own in OWN_SETTINGS.items():
        variable = f"{role}_config"
        settings = (host.values.get(variable) or {}) if concerns(role, host) else {}
        for name, value in settings.items():
            # RabbitMQ alone tells upper from lower case.
            if (str(name) if role == "rabbitmq" else str(name).lower()) in own:
                report.add(
                    (variable, str(name)),
                    "is set by the role, and the stack counts on it",
                    value=value,
                    allowed=f"settings other than {', '.join(own)}",
                    example=line_at(stack.roles, (variable,)),
                    host=host.name,
                )


def images(stack: Stack, host: Host, report: Report) -> None:
    for name, role in _service_options(stack, host, "_image"):
        image = host.values.get(name)
        if not image or name != f"{role}_image":
            continue
        _base, tag = split_image(image)
        if any(letter.isspace() for letter in image) or "://" in image:
            report.add(name, "is not an image reference", value=image, allowed="name:tag", example=f"{name}: {role}:1.2.3", host=host.name)
        elif host.prod and tag in ("", "latest"):
            report.add(
                name,
                "does not say which version, and stack_environment is prod",
                value=image,
                allowed="an image with a version as its tag, or with a digest",
                example=f"{name}: {image.split(':')[0]}:1.2.3",
                host=host.name,
            )


def published_ports(stack: Stack, host: Host, report: Report) -> None:
    used: dict[int, str] = {}
    wanted: list[tuple[Path | str, Any]]
    if "proxy" in host.groups:
        wanted = [("stack_http_port", host.values.get("stack_http_port")), ("stack_https_port", host.values.get("stack_https_port"))]
    else:
        wanted = []
    view = stack.view(host)
    for service in SERVICES:
        if service in host.groups and _wiring.published(view, service):
            wanted.append((f"{service}_port", host.values.get(f"{service}_port")))
    for path, port in [*wanted, *_switch_ports(view, host)]:
        name = path if isinstance(path, str) else path[-1]
        if port in used:
            report.add(
                path,
                f"clashes with {used[port]} on the same host",
                value=port,
                allowed="a port that nothing else publishes",
                example=f"{name}: {port + 1 if port < 65535 else 1024}",
                host=host.name,
            )
        elif port is not None:
            used[port] = name


def spoiled_passwords(stack: Stack, host: Host, report: Report) -> None:
    """In every environment: no service would take it as it is."""
    of_services = [(name,) for name in sorted(host.given) if name.endswith(SECRET_ENDINGS) and name.startswith(tuple(f"{role}_" for role in SERVICES))]
    found = {path: host.values.get(path[0]) for path in of_services}
    for app in host.values.get("stack_apps") or []:
        found |= {("stack_apps", f"[{app.get('name')}]", "credentials", need): given for need, given in (app.get("credentials") or {}).items()}
    for path, password in found.items():
        # A password that is refused as weak is replaced anyway.
        if isinstance(password, str) and values.SPOILING.search(password) and not (host.prod and values.weakness(password)):
            report.add(
                path,
                "has a space, a line break or a control character",
                value=password,
                allowed="letters, digits and punctuation, or empty: one is made and kept",
                example=f'{path[-1]}: ""',
                host=host.name,
            )


def passwords(host: Host, report: Report) -> None:
    """Only what the user gave: a password that the stack makes is good."""
    owners: dict[str, str] = {}
    for name in sorted(host.given):
        password = host.values.get(name)
        if not name.endswith(SECRET_ENDINGS) or not isinstance(password, str) or not password:
            continue
        stem = name[: -len(next(ending for ending in SECRET_ENDINGS if name.endswith(ending)))]
        check_password((name,), password, (stem,), owners, host.name, report)
    for app in host.values.get("stack_apps") or []:
        app_name = app.get("name") or ""
        for need, password in (app.get("credentials") or {}).items():
            if password:
                check_password(("stack_apps", f"[{app_name}]", "credentials", need), password, (app_name,), owners, host.name, report)


def check_password(path: tuple, password: str, users: tuple[str, ...], owners: dict[str, str], host: str, report: Report) -> None:
    name = ".".join(part for part in path if not part.startswith("["))
    example = f'{path[-1]}: ""'
    allowed = f"at least {values.SHORTEST_PASSWORD} characters, or empty: one is made and kept"
    weak = values.weakness(password, users)
    if weak:
        report.add(path, f"{weak}, and stack_environment is prod", value=password, allowed=allowed, example=example, host=host)
    elif password in owners:
        report.add(path, f"is the same as {owners[password]}, and stack_environment is prod", value=password, allowed=allowed, example=example, host=host)
    owners.setdefault(password, name)


def memory_size(path: Any, memory: Any, floor: str, host: str, report: Report) -> None:
    if memory is None:
        return
    found = values.size(memory)
    last = path if isinstance(path, str) else path[-1]
    if found is None:
        report.add(path, "is not a memory size", value=memory, allowed="a number and one of K, M, G", example=f"{last}: 512M", host=host)
    elif found < (values.size(floor) or 0):
        report.add(path, "is too little memory to start", value=memory, allowed=f"{floor} or more", example=f"{last}: 512M", host=host)


def positive(path: Any, number: Any, host: str, report: Report, example: str) -> None:
    if number is not None and number <= 0:
        report.add(path, "is not above zero", value=number, allowed="a number above 0", example=example, host=host)


def port_number(path: Any, port: Any, host: str, report: Report) -> None:
    if isinstance(port, int) and not 1 <= port <= 65535:
        last = path if isinstance(path, str) else path[-1]
        report.add(path, "is not a port", value=port, allowed="1 to 65535", example=f"{last}: 8000", host=host)


def split_image(image: str) -> tuple[str, str]:
    """Name and tag (or digest) of an image reference; a registry's port is no tag."""
    if "@" in image:
        name, _at, digest = image.partition("@")
        return name, digest
    head, colon, tag = image.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (image, "")


def _switch_ports(view: _wiring.View, host: Host) -> Iterator[tuple[Path, int]]:
    """The ports that the switch publishes on the host. Two processes at one port are another rule's matter."""
    published = {int(one.rpartition(":")[2]) for one in _wiring.switch_published(view)} if "app" in host.groups else set()
    for index, app in enumerate(view.apps):
        for place, process in enumerate(app["processes"]):
            port = _wiring.switch_port(app, process)
            if process["port"] and port in published:
                published.remove(port)
                yield ("stack_apps", element(index, app), "processes", element(place, process), "switch_port"), port


def _service_options(stack: Stack, host: Host, ending: str) -> Iterator[tuple[str, str]]:
    for role in stack.roles.values():
        if concerns(role.name, host):
            yield from ((name, role.name) for name in role.options if name.endswith(ending))
