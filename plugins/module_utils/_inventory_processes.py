# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the processes of an application."""

from __future__ import annotations

from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils._inventory import HELPERS, PROXIES, SERVICES, Host, Path, Report, Stack, element
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import memory_size, port_number, positive

CODE_FOLDERS = ("/app", "/src", "/code", "/usr/src/app")
ENGINE_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
# What an application has beside its processes that is put into their containers, and the key that says where.
LASTING = (("volumes", "target"), ("static", "path"))
PROCESS_FLOOR = "16M"
# A process has its name as host name on the network where the data services have theirs; `migrate` is the release's own one-off container.
RESERVED_PROCESSES = frozenset({*SERVICES, "migrate"})
# One with a port is on the network of the edge too.
RESERVED_WEB_PROCESSES = frozenset({*PROXIES, *HELPERS})


def check_processes(app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    """Every rule of this file."""
    seen = set()
    for index, process in enumerate(app["processes"]):
        where = (*path, "processes", element(index, process))
        name = process["name"]
        if name and name in seen:
            report.add((*where, "name"), "two processes have this name", value=name, allowed="a name of its own", example=f"name: {name}2", host=host.name)
        seen.add(name)
        for rule in (form, health, routes, mounts):
            rule(process, where, host, report)
        broker(app, process, where, host, report)
        if host.prod:
            development(app, process, where, host, report)


def form(process: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    name = process["name"]
    if name and not values.NAME.match(name):
        report.add(
            (*path, "name"),
            "cannot be part of a network name",
            value=name,
            allowed="lower case letters, digits, hyphens; a letter first",
            example="name: web",
            host=host.name,
        )
    elif name in RESERVED_PROCESSES or (process["port"] and name in RESERVED_WEB_PROCESSES):
        report.add((*path, "name"), "is a name of the stack's own", value=name, allowed="another name", example=f"name: {name}-job", host=host.name)
    port_number((*path, "port"), process["port"], host.name, report)
    memory_size((*path, "memory"), process["memory"], PROCESS_FLOOR, host.name, report)
    positive((*path, "cpus"), process["cpus"], host.name, report, "cpus: 1.0")
    replicas = process["replicas"]
    if replicas is not None and not 0 <= replicas <= 100:
        report.add((*path, "replicas"), "is out of range", value=replicas, allowed="0 to 100", example="replicas: 2", host=host.name)
    elif process["singleton"] and replicas is not None and replicas > 1:
        report.add(
            (*path, "replicas"), "is above 1, and singleton is true", value=replicas, allowed="1, or singleton: false", example="replicas: 1", host=host.name
        )
    grace = process["stop_grace"]
    if grace is not None and not 0 <= grace <= 3600:
        report.add((*path, "stop_grace"), "is out of range", value=grace, allowed="0 to 3600 seconds", example="stop_grace: 30", host=host.name)


def health(process: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given = process["health"] or {}
    where = (*path, "health")
    if given.get("path") and given.get("command"):
        report.add(where, "has path and command", value=given, allowed="one of them", example="health: {path: /health}", host=host.name)
    if given.get("path") and not process["port"]:
        report.add((*where, "path"), "needs a port to ask at", value=given["path"], allowed="a process with port", example="port: 8000", host=host.name)
    if given.get("path") and not given["path"].startswith("/"):
        report.add(
            (*where, "path"), "does not start with /", value=given["path"], allowed="a path", example=f"path: /{given['path'].strip('/')}", host=host.name
        )
    for key, lowest in (("interval", 1), ("timeout", 1), ("retries", 1), ("start_period", 0)):
        number = given.get(key)
        if number is not None and not lowest <= number <= 3600:
            report.add((*where, key), "is out of range", value=number, allowed=f"{lowest} to 3600", example=f"{key}: 5", host=host.name)


def routes(process: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    if process["routes"] and not process["port"]:
        report.add((*path, "port"), "is required by routes", allowed="the port that the process listens on", example="port: 8000", host=host.name)


def folders(targets: list[tuple[Path, str]], host: Host, report: Report) -> None:
    """Places in a container where something is put: each has one of its own, and none hides what the container needs."""
    taken: set[str] = set()
    for where, target in targets:
        if not target:
            continue
        plain = target.rstrip("/") or "/"
        if not target.startswith("/"):
            report.add(where, "is not an absolute path", value=target, allowed="a path that starts with /", example=f"/{target}", host=host.name)
        elif plain in ("/", "/proc", "/sys", "/dev", "/etc"):
            report.add(where, "would hide the container's own files", value=target, allowed="a folder of its own", example="/media", host=host.name)
        elif values.is_inside(plain, "/run/secrets") or plain == "/run":
            report.add(where, "would hide the secrets in /run/secrets", value=target, allowed="another folder", example="/media", host=host.name)
        elif plain in taken:
            report.add(where, "is used by another mount of the process", value=target, allowed="a folder of its own", example=f"{plain}2", host=host.name)
        taken.add(plain)


def mounts(process: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    for index, mount in enumerate(process["mounts"]):
        source = mount["source"] or "/x"
        where = (*path, "mounts", index, "source")
        if not source.startswith("/"):
            report.add(where, "is not an absolute path", value=source, allowed="a folder of the host", example="source: /srv/media", host=host.name)
        elif source.rstrip("/") in ENGINE_SOCKETS or source == "/":
            report.add(where, "gives the process control of the host", value=source, allowed="a folder", example="source: /srv/media", host=host.name)


def check_lasting(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    """What is put into containers: mounts and memory of one process, and for several what outlives a release, volumes and static files."""
    known = [process["name"] for process in app["processes"]]
    entries = [((*path, kind, element(index, entry)), key, entry) for kind, key in LASTING for index, entry in enumerate(app[kind])]
    for where, _key, entry in entries:
        for name in set(entry["processes"]) - set(known):
            where = (*where, "processes")
            report.add(where, "is no process of the application", value=name, allowed=", ".join(known), example="processes: [web]", host=host.name)
    for index, process in enumerate(app["processes"]):
        here = (*path, "processes", element(index, process))
        targets = [((*here, "mounts", number, "target"), mount["target"]) for number, mount in enumerate(process["mounts"])]
        targets += [((*here, "writable", number), folder) for number, folder in enumerate(process["writable"])]
        targets += [((*where, key), entry[key]) for where, key, entry in entries if process["name"] in (entry["processes"] or known)]
        folders(targets, host, report)
    names: set[str] = set()
    for index, volume in enumerate(app["volumes"]):
        where, name = (*path, "volumes", element(index, volume)), volume["name"]
        if name and not values.NAME.match(name):
            letters = "lower case letters, digits, hyphens; a letter first"
            report.add((*where, "name"), "cannot name a directory", value=name, allowed=letters, example="name: media", host=host.name)
        elif name in names:
            report.add((*where, "name"), "two volumes have this name", value=name, allowed="a name of its own", example=f"name: {name}2", host=host.name)
        names.add(name)
        hosts = stack.groups.get("app", [])
        if len(hosts) > 1 and not volume["shared"]:
            report.add(
                (*where, "shared"),
                f"each of {len(hosts)} application hosts would have a volume of its own",
                value=False,
                allowed="true, when all of them have the same file system there, or an S3 bucket in place of the volume",
                example="shared: true",
                host=host.name,
            )
    for index, entry in enumerate(app["static"]):
        if entry["keep"] is not None and not 0 <= entry["keep"] <= 20:
            where = (*path, "static", element(index, entry), "keep")
            report.add(where, "is out of range", value=entry["keep"], allowed="0 to 20", example="keep: 1", host=host.name)


def broker(app: dict[str, Any], process: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    """A Celery process needs a broker, from the stack or from the application's own variables."""
    command = process["command"] or []
    own = {*(app["env"] or {}), *(app["secrets"] or {}), *(process["env"] or {}), *map(str, (app["env_names"] or {}).values())}
    if any(word.rsplit("/", 1)[-1] == "celery" for word in command) and "CELERY_BROKER_URL" not in own and not {"rabbitmq", "valkey"} & set(app["needs"]):
        report.add(
            (*path, "command"),
            "runs Celery, and the application has no broker",
            value="celery",
            allowed="rabbitmq in needs, or an own CELERY_BROKER_URL",
            example="needs: [rabbitmq]",
            host=host.name,
        )


def development(app: dict[str, Any], process: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    """What only fits a developer's machine."""
    if "--reload" in (process["command"] or []):
        report.add(
            (*path, "command"),
            "reloads source code, and stack_environment is prod",
            value="--reload",
            allowed="a command for production",
            example="command: [gunicorn, ...]",
            host=host.name,
        )
    context = (app["build"] or {}).get("context") or ""
    for index, mount in enumerate(process["mounts"]):
        source, target = mount["source"] or "", (mount["target"] or "").rstrip("/")
        if target in CODE_FOLDERS or (context.startswith("/") and source.startswith("/") and values.is_inside(source, context)):
            report.add(
                (*path, "mounts", index),
                "mounts source code, and stack_environment is prod",
                value=f"{source}:{target}",
                allowed="mounts of data only",
                example="mounts: [{source: /srv/media, target: /media}]",
                host=host.name,
            )
