# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the applications of a stack."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._inventory import HELPERS, PROXIES, SERVICES, Host, Path, Report, Stack, element
from ansible_collections.longshore.stack.plugins.module_utils._inventory_environment import NEED_URLS, environment, repeated, secrets
from ansible_collections.longshore.stack.plugins.module_utils._inventory_processes import check_lasting, check_processes
from ansible_collections.longshore.stack.plugins.module_utils._inventory_releases import check_releases
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import split_image
from ansible_collections.longshore.stack.plugins.module_utils._inventory_stack import GROUPS

NEED_GROUPS = {"postgres": ("postgres",), "valkey": ("valkey",), "rabbitmq": ("rabbitmq",), "s3": ("minio", "seaweedfs")}
# What one host derives from the applications of all: users, databases, buckets, secrets and routes.
SHARED = ("needs", "database", "bucket", "extensions", "credentials", "secrets")
SHARED_OF_PROCESSES = ("name", "port", "routes")
RESERVED_APPS = frozenset({*SERVICES, *PROXIES, *HELPERS, "apps", "proxy", "stack", "docker"})
RESERVED_DATABASES = frozenset({"postgres", "template0", "template1"})


def check_apps(stack: Stack, report: Report) -> None:
    """Every rule of this file, once for all hosts that see the same applications in the same way."""
    same_addresses(stack, report)
    same_applications(stack, report)
    seen: list[Any] = []
    for host in stack.hosts.values():
        apps = host.values.get("stack_apps") or []
        asked = [host.values.get(name) for name in ("app_version", "app_name", "app_release", "app_rollback")]
        view = (apps, host.environment, asked, [host.values.get(url) for url in NEED_URLS.values()])
        if not apps or view in seen:
            continue
        seen.append(view)
        unique_names(apps, host, report)
        chosen(apps, host, report)
        databases(apps, host, report)
        aliases(apps, host, report)
        check_releases(stack, apps, host, report)
        for index, app in enumerate(apps):
            path = ("stack_apps", element(index, app))
            for rule in (name, image, build, archive, needs, storage, environment, secrets, user, migration):
                rule(stack, app, path, host, report)
            check_processes(app, path, host, report)
            check_lasting(stack, app, path, host, report)


# -- of all hosts together --------------------------------------------------------------------------------------------------------


def same_addresses(stack: Stack, report: Report) -> None:
    """Each application has one database, also where it runs on several hosts. (A host without the address finds that its need is not met.)"""
    for variable in NEED_URLS.values():
        given = {host.name: host.values[variable] for host in stack.hosts.values() if host.values.get(variable)}
        first = next(iter(given), "")
        other = next((name for name, url in given.items() if url != given[first]), None)
        if other:
            says, example = f"differs between {first} and {other}", f"{variable} in group_vars/all.yml"
            report.add(variable, says, value=given[other], allowed="one address for all hosts", example=example)


def same_applications(stack: Stack, report: Report) -> None:
    """A database's host makes the users that the applications' hosts log in as, so both must read the same."""
    apps = {host.name: {app["name"]: app for app in host.values.get("stack_apps") or []} for host in stack.hosts.values() if host.groups & set(GROUPS)}
    allowed, example = "the same on all hosts", "stack_apps in group_vars/all.yml"
    for name in dict.fromkeys(name for found in apps.values() for name in found if name):
        path, missing = ("stack_apps", f"[{name}]"), [host for host in apps if name not in apps[host]]
        if missing:
            report.add(path, f"is missing on {', '.join(missing)}", allowed=allowed, example=example)
            continue
        (first, app), *others = ((host, _shared(found[name])) for host, found in apps.items())
        for key in app:
            other, differing = next(((host, found[key]) for host, found in others if found[key] != app[key]), ("", None))
            if other:
                report.add((*path, key), f"differs between {first} and {other}", value=differing, allowed=allowed, example=example)


# -- of all applications together ----------------------------------------------------------------------------------------------


def unique_names(apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    for found in repeated(app["name"] for app in apps):
        where, example = ("stack_apps", f"[{found}]", "name"), f"name: {found}2"
        report.add(where, "two applications have this name", value=found, allowed="a name of its own", example=example, host=host.name)


def chosen(apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    """What a release is about: `-e app_version=` and `-e app_name=`."""
    given, known = host.values.get("app_name"), [app["name"] for app in apps if app["name"]]
    example = f"-e app_name={known[0]}" if known else ""
    if given and given not in known:
        report.add("app_name", "is not an application of the stack", value=given, allowed=", ".join(known), example=example, host=host.name)
    elif host.values.get("app_version") and not given and len(known) > 1:
        report.add("app_name", "is required by app_version, because there are several applications", allowed=", ".join(known), example=example, host=host.name)


def databases(apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    owners: dict[str, str] = {}
    for app in apps:
        if "postgres" not in app["needs"] or not app["name"]:
            continue
        database = _database(app)
        if database in owners and owners[database] != app["name"]:
            report.add(
                ("stack_apps", f"[{app['name']}]", "database"),
                f"is the database of {owners[database]} too",
                value=database,
                allowed="a database of its own; processes that share one belong to one application",
                example=f"database: {app['name'].replace('-', '_')}",
                host=host.name,
            )
        owners.setdefault(database, app["name"])


def aliases(apps: list[dict[str, Any]], host: Host, report: Report) -> None:
    owners: dict[str, str] = {}
    for where, app, process in _processes(apps):
        if not app["name"] or not process["name"]:
            continue
        owner, alias = f"{app['name']}/{process['name']}", _wiring.alias(app["name"], process["name"])
        known = owners.setdefault(alias, owner)
        if known.partition("/")[0] != app["name"]:
            report.add(
                (*where, "name"),
                f"gives the network name {alias}, which {known} has too",
                value=process["name"],
                allowed="another name",
                example=f"name: {process['name']}2",
                host=host.name,
            )
    # On its networks a process is also found by its bare name.
    for where, _app, process in _processes(apps):
        if process["name"] in owners:
            report.add(
                (*where, "name"),
                f"is the network name of {owners[process['name']]}",
                value=process["name"],
                allowed="another name",
                example=f"name: {process['name']}2",
                host=host.name,
            )


# -- of one application --------------------------------------------------------------------------------------------------------


def name(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given = app["name"]
    if given and (not values.NAME.match(given) or len(given) > 30):
        report.add(
            (*path, "name"),
            "cannot be part of directories and networks",
            value=given,
            allowed="lower case letters, digits, hyphens; a letter first; at most 30",
            example="name: shop",
            host=host.name,
        )
    elif given in RESERVED_APPS:
        report.add((*path, "name"), "is the name of a service", value=given, allowed="a name of its own", example=f"name: {given}-app", host=host.name)
    if app["processes"] and not stack.groups.get("app"):
        report.add(
            "group app",
            f"has no host, and the application {given} has processes",
            allowed="a host that runs the applications",
            example="app: {hosts: {app1: {}}}",
            host=host.name,
        )


def image(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given = app["image"]
    about = host.values.get("app_name") in (None, "", app["name"])
    version = (host.values.get("app_version") if about else None) or app["version"]
    example = "image: registry.mycompany.net/shop"
    if not given:
        if app["processes"]:
            report.add((*path, "image"), "is required by an application with processes", allowed="an image without tag", example=example, host=host.name)
        return
    base, tag = split_image(given)
    if tag:
        report.add(
            (*path, "image"),
            "contains a tag or digest",
            value=given,
            allowed="the image alone; its tag is version",
            example=f"image: {base}, version: {'1.4.2' if '@' in given else tag}",
            host=host.name,
        )
    elif "://" in given or given != given.strip() or given != given.lower():
        report.add((*path, "image"), "is not an image reference", value=given, allowed="lower case, without scheme", example=example, host=host.name)
    if not version and app["image_source"] == "registry":
        report.add(
            (*path, "version"), "is required by image_source: registry", allowed="a tag, here or as -e app_version=", example="version: 1.4.2", host=host.name
        )
    elif version and not values.TAG.match(version):
        report.add(
            (*path, "version"),
            "is not a tag",
            value=version,
            allowed="letters, digits, dots, hyphens, underscores",
            example="version: 1.4.2",
            host=host.name,
        )
    elif host.prod and version == "latest":
        report.add(
            (*path, "version"),
            "says nothing about what runs, and stack_environment is prod",
            value=version,
            allowed="a version",
            example="version: 1.4.2",
            host=host.name,
        )


def build(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given = app["build"]
    if app["image_source"] != "build":
        return
    example = "build: {context: examples/fastapi}"
    if given is None:
        report.add((*path, "build"), "is required by image_source: build", allowed="a dictionary with context", example=example, host=host.name)
    elif given["context"] and not stack.files.is_folder(given["context"]):
        report.add(
            (*path, "build", "context"),
            "this folder is not on the controller",
            value=given["context"],
            allowed="an existing folder",
            example=example,
            host=host.name,
        )
    elif given["context"] and not stack.files.is_file(posixpath.join(given["context"], "Dockerfile")):
        report.add(
            (*path, "build", "context"), "has no Dockerfile", value=given["context"], allowed="a folder with a Dockerfile", example=example, host=host.name
        )


def archive(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    if app["image_source"] != "archive":
        return
    example = "archive: images/shop-1.4.2.tar"
    if not app["archive"]:
        report.add((*path, "archive"), "is required by image_source: archive", allowed="a file on the controller", example=example, host=host.name)
    elif not stack.files.is_file(app["archive"]):
        report.add(
            (*path, "archive"),
            "this file is not on the controller",
            value=app["archive"],
            allowed="a file made by docker save",
            example=example,
            host=host.name,
        )


def needs(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    once = list(dict.fromkeys(app["needs"]))
    for need in repeated(app["needs"]):
        report.add((*path, "needs"), "names a service twice", value=need, allowed="each service once", example=f"needs: [{', '.join(once)}]", host=host.name)
    for need in once:
        groups, url = NEED_GROUPS[need], NEED_URLS[need]
        if not any(stack.groups.get(group) for group in groups) and not host.values.get(url):
            report.add(
                (*path, "needs"),
                f"nothing provides {need}",
                value=need,
                allowed=f"a host in the group {' or '.join(groups)}, or {url}",
                example=f"{groups[-1]}: {{hosts: {{{host.name}: {{}}}}}}",
                host=host.name,
            )
    for need, password in (app["credentials"] or {}).items():
        if password and need not in app["needs"]:
            report.add(
                (*path, "credentials", need),
                f"is given although the application does not need {need}",
                allowed=", ".join(app["needs"]) or "nothing",
                example=f"needs: [{need}]",
                host=host.name,
            )


def storage(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    if "postgres" in app["needs"] and app["name"]:
        database = _database(app)
        if database in RESERVED_DATABASES or database.startswith("pg_"):
            report.add(
                (*path, "database"), "is reserved by PostgreSQL", value=database, allowed="a database of its own", example="database: shop", host=host.name
            )
        elif not values.IDENTIFIER.match(database):
            report.add(
                (*path, "database"),
                "is not a name of a database",
                value=database,
                allowed="lower case letters, digits, underscores; a letter first; at most 63",
                example="database: shop",
                host=host.name,
            )
    bucket = app["bucket"] or app["name"] or ""
    if "s3" in app["needs"] and bucket and not values.BUCKET.match(bucket):
        report.add(
            (*path, "bucket"),
            "is not a name of a bucket",
            value=bucket,
            allowed="3 to 63 lower case letters, digits, hyphens",
            example="bucket: shop-files",
            host=host.name,
        )
    for key, need in (("extensions", "postgres"), ("database", "postgres"), ("bucket", "s3")):
        if app[key] and need not in app["needs"]:
            report.add(
                (*path, key),
                f"is given although the application does not need {need}",
                value=app[key],
                allowed=f"only with {need}",
                example=f"needs: [{need}]",
                host=host.name,
            )


def user(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given = app["user"]
    if given and not re.match(r"^\d+:\d+$", given):
        report.add(
            (*path, "user"), "is not a numeric user and group", value=given, allowed="uid:gid in quotes", example='user: "10001:10001"', host=host.name
        )
    elif given and given.split(":")[0] == "0":
        report.add((*path, "user"), "is root", value=given, allowed="any other user", example='user: "10001:10001"', host=host.name)


def migration(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given = app["migration"] or {}
    if given.get("tool") == "command" and not given.get("command"):
        report.add(
            (*path, "migration", "command"),
            "is required by tool: command",
            allowed="a list of words",
            example="migration: {tool: command, command: [flask, db, upgrade]}",
            host=host.name,
        )
    timeout = given.get("timeout")
    if timeout is not None and not 1 <= timeout <= 86400:
        report.add((*path, "migration", "timeout"), "is out of range", value=timeout, allowed="1 to 86400 seconds", example="timeout: 300", host=host.name)


# -- parts -----------------------------------------------------------------------------------------------------------------------


def _database(app: dict[str, Any]) -> str:
    return app["database"] or app["name"].replace("-", "_")


def _shared(app: dict[str, Any]) -> dict[str, Any]:
    processes = [{key: process[key] for key in SHARED_OF_PROCESSES} for process in app["processes"]]
    return {**{key: app[key] for key in SHARED}, "processes": processes}


def _processes(apps: list[dict[str, Any]]) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    for position, app in enumerate(apps):
        for index, process in enumerate(app["processes"]):
            yield ("stack_apps", element(position, app), "processes", element(index, process)), app, process
