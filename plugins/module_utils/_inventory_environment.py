# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the environment of an application: its own variables, its secrets, and what the stack gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._inventory import Host, Path, Report, Stack, element
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import check_password

NEED_URLS = {"postgres": "postgres_external_url", "valkey": "valkey_external_url", "rabbitmq": "rabbitmq_external_url", "s3": "s3_external_url"}
URL_NAMES = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL", "rabbitmq": "CELERY_BROKER_URL", "s3": "S3_ENDPOINT_URL"}
ALWAYS_GIVEN = ("APP_NAME", "APP_VERSION", "APP_RELEASE", "APP_ENVIRONMENT")
SECRET_ENV = re.compile(r"(PASSWORD|PASSWD|SECRET|SECRET_KEY|TOKEN|API_?KEY|PRIVATE_KEY)$", re.IGNORECASE)


def environment(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    given, renamed = given_names(app, host), app["env_names"] or {}
    for source, target in renamed.items():
        if source not in given:
            report.add(
                (*path, "env_names", str(source)),
                "the stack gives no such variable to this application",
                value=target,
                allowed=", ".join(given),
                example="env_names: {DATABASE_URL: SQLALCHEMY_URL}",
                host=host.name,
            )
        if not values.ENV_NAME.match(str(target)):
            _bad_name((*path, "env_names", str(source)), target, host, report)
    final = {str(renamed.get(name, name)): name for name in given}
    for target in repeated(str(renamed.get(name, name)) for name in given):
        says, example = f"two variables would be called {target}", "env_names: {DATABASE_URL: SQLALCHEMY_URL}"
        report.add((*path, "env_names"), says, value=target, allowed="different names", example=example, host=host.name)
    variables = [((*path, "env"), app["env"] or {})]
    variables += [((*path, "processes", element(index, process), "env"), process["env"] or {}) for index, process in enumerate(app["processes"])]
    for where, env in variables:
        for key, value in env.items():
            _variable((*where, str(key)), str(key), value, final, app["secrets"] or {}, host, report)


def secrets(stack: Stack, app: dict[str, Any], path: Path, host: Host, report: Report) -> None:
    taken = {str((app["env_names"] or {}).get(name, name)) for name in given_names(app, host)}
    for key, value in (app["secrets"] or {}).items():
        where = (*path, "secrets", str(key))
        if not values.ENV_NAME.match(str(key)):
            _bad_name(where, key, host, report)
        elif key in taken:
            report.add(where, "is a variable that the stack gives", allowed="another name", example=f"secrets: {{APP_{key}: ''}}", host=host.name)
        if isinstance(value, (dict, list)):
            report.add(where, "is not a text", value=value, allowed="a text, or empty: one is made and kept", example=f"{key}: ''", host=host.name)
        elif host.prod and value not in (None, ""):
            check_password(where, str(value), (app["name"] or "",), {}, host.name, report)


def given_names(app: dict[str, Any], host: Host) -> list[str]:
    """The variables that the stack gives to an application."""
    found = list(ALWAYS_GIVEN)
    for need in dict.fromkeys(app["needs"]):
        if host.values.get(NEED_URLS[need]):
            found.append(URL_NAMES[need])
        else:
            open_part, secret_part = _wiring._GIVEN[need]({"host": "", "port": 0}, {"name": "", "bucket": ""}, "")
            found += [*open_part, *secret_part]
    return found


def _variable(path: Path, key: str, value: Any, final: dict[str, str], secret_names: dict[str, Any], host: Host, report: Report) -> None:
    if not values.ENV_NAME.match(key):
        _bad_name(path, key, host, report)
    elif key in secret_names:
        report.add(path, "is one of the application's secrets too", allowed="either env or secrets", example=f"secrets: {{{key}: ''}}", host=host.name)
    elif key in final:
        report.add(
            path,
            "is a variable that the stack gives",
            allowed=f"another name, or env_names to rename {final[key]}",
            example=f"env_names: {{{final[key]}: OTHER_NAME}}",
            host=host.name,
        )
    elif isinstance(value, (dict, list)):
        report.add(path, "is not a single value", value=value, allowed="text, number, true or false", example=f"{key}: value", host=host.name)
    elif host.prod and value and SECRET_ENV.search(key):
        report.add(
            path,
            "looks like a secret in the open, and stack_environment is prod",
            value=value,
            allowed="put it into secrets",
            example=f"secrets: {{{key}: ''}}",
            host=host.name,
        )


def _bad_name(path: Path, given: Any, host: Host, report: Report) -> None:
    report.add(
        path, "is not a name of a variable", value=str(given), allowed="letters, digits, underscores; no digit first", example="LOG_LEVEL", host=host.name
    )


def repeated(found: Iterable[Any]) -> list[Any]:
    seen, twice = set(), []
    for item in found:
        if item in seen and item and item not in twice:
            twice.append(item)
        seen.add(item)
    return twice
