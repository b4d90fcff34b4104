# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about how applications are released: what the switch needs, how careful a deploy is, which release is asked for."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._deploy import WindowError, parse_window
from ansible_collections.longshore.stack.plugins.module_utils._inventory import Host, Path, Report, Stack, element

# By option of `deploy`: the least and the most that make sense.
LIMITS = {
    "drain": (0, 3600), "observe": (0, 3600), "failures": (0, 100), "keep": (2, 100),
    "canary_seconds": (1, 86400), "max_parallel": (0, 1000), "pause": (0, 86400),
}


def check_releases(stack: Stack, apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    """Every rule of this file."""
    switch_ports(apps, host, report)
    asked_for(apps, host, report)
    for index, app in enumerate(apps):
        path = ("stack_apps", element(index, app))
        careful(app, path, host, report)
        windows(app, path, host, report)
        hooks(stack, app, path, host, report)
        one_image(stack, app, path, host, report)


def switch_ports(apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    owners: dict[int, str] = {}
    for index, app in enumerate(apps):
        for place, process in enumerate(app["processes"]):
            if not process["port"] or not app["name"] or not process["name"]:
                continue
            where = ("stack_apps", element(index, app), "processes", element(place, process), "switch_port")
            port, name = _wiring.switch_port(app, process), _wiring.alias(app["name"], process["name"])
            known = owners.setdefault(port, name)
            if not 1024 <= port <= 65535 or port == 8404:
                report.add(where, "is not a port for the switch", value=port, allowed="1024 to 65535, not 8404", example="switch_port: 20001", host=host.name)
            elif known != name:
                report.add(
                    where,
                    f"is the port of {known} at the switch too",
                    value=port,
                    allowed="a port of its own",
                    example=f"switch_port: {_free(port, owners)}",
                    host=host.name,
                )


def _free(port: int, taken: dict[int, str]) -> int:
    while port in taken:
        port += 1
    return port


def asked_for(apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    """What a rollback is about: `-e app_release=`, and `-e app_name=` where there are several applications."""
    release, version, name = (host.values.get(key) for key in ("app_release", "app_version", "app_name"))
    if release and version:
        report.add("app_release", "is given together with app_version", value=release, allowed="one of them", example="-e app_version=1.4.2", host=host.name)
    if (release or host.values.get("app_rollback")) and not name and len(apps) > 1:
        known = [app["name"] for app in apps if app["name"]]
        report.add(
            "app_name",
            "is required by a rollback, because there are several applications",
            allowed=", ".join(known),
            example=f"-e app_name={known[0]}" if known else "",
            host=host.name,
        )


def careful(app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    for key, (least, most) in LIMITS.items():
        number = (app["deploy"] or {}).get(key)
        if number is not None and not least <= number <= most:
            report.add((*path, "deploy", key), "is out of range", value=number, allowed=f"{least} to {most}", example=f"{key}: {max(least, 5)}", host=host.name)


def windows(app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    deploy = app["deploy"] or {}
    for index, text in enumerate(deploy.get("windows") or []):
        try:
            parse_window(text)
        except WindowError:
            report.add(
                (*path, "deploy", "windows", index),
                "is not a window",
                value=text,
                allowed="days and times, the end after the beginning or on the day after",
                example="windows: ['mon-thu 09:00-16:00']",
                host=host.name,
            )
    zone = deploy.get("time_zone")
    if zone and zone not in available_timezones():
        report.add(
            (*path, "deploy", "time_zone"),
            "is not a time zone that this controller knows",
            value=zone,
            allowed="a name of the time zone database",
            example="time_zone: Europe/Berlin",
            host=host.name,
        )


def hooks(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    processes = [process["name"] for process in app["processes"]]
    for index, hook in enumerate(app["hooks"]):
        where, example = (*path, "hooks", index), "command: [python, -m, shop.warm]"
        if bool(hook["command"]) == bool(hook["tasks"]):
            both = "has command and tasks" if hook["command"] else "has neither command nor tasks"
            report.add(where, both, value=hook, allowed="one of them", example=example, host=host.name)
        if hook["process"] and hook["process"] not in processes:
            report.add(
                (*where, "process"), "is no process of the application", value=hook["process"], allowed=", ".join(processes), example=example, host=host.name
            )
        hosts, alone = stack.groups.get("app", []), [process["name"] for process in app["processes"] if process["singleton"]]
        # A command without one has the first process that runs on its host.
        process = hook["process"] or (alone[0] if hook["command"] and alone and alone == processes else "")
        if hook["hosts"] == "all" and len(hosts) > 1 and process in alone:
            report.add(
                (*where, "process"),
                f"is a singleton, which runs on {hosts[0]} alone, and the hook runs on all of {len(hosts)} hosts",
                value=process,
                allowed="hosts: first, or a process that runs on every host",
                example="hosts: first",
                host=host.name,
            )
        if hook["tasks"] and not stack.files.is_file(hook["tasks"]):
            report.add(
                (*where, "tasks"),
                "this file is not on the controller",
                value=hook["tasks"],
                allowed="a file with tasks",
                example='tasks: "{{ inventory_dir }}/hooks/announce.yml"',
                host=host.name,
            )
        if hook["timeout"] is not None and not 1 <= hook["timeout"] <= 86400:
            report.add(
                (*where, "timeout"), "is out of range", value=hook["timeout"], allowed="1 to 86400 seconds", example="timeout: 300", host=host.name
            )


def one_image(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    """An image that each host builds for itself is another one on each."""
    hosts = stack.groups.get("app", [])
    if app["image_source"] == "build" and len(hosts) > 1:
        report.add(
            (*path, "image_source"),
            f"would build another image on each of {len(hosts)} hosts ({', '.join(hosts)})",
            value="build",
            allowed="registry, or archive with a file that was made once by docker save",
            example=f"image_source: archive, archive: images/{app['name']}.tar",
            host=host.name,
        )
