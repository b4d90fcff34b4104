# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of an application as a compose project, worked out from the inventory and the image alone."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import harden
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View, WiringError, alias, app_environment

MIGRATE = "migrate"
ENVIRONMENT_SECRET = "environment"  # noqa: S105 - the name of a file, not a password
LABEL_RELEASE = "stack.longshore.release"
LABEL_PROCESS = "stack.longshore.process"
DEFAULT_USER = "10001:10001"
# Whatever the image has: the first that is there answers, the last decides.
_PROBE = (
    "wget -q -O /dev/null {url} 2>/dev/null || curl -fsS -o /dev/null {url} 2>/dev/null || "
    "python3 -c 'import sys, urllib.request as web; web.build_opener().open(sys.argv[1], timeout={timeout})' {url}"
)


def release_of(view: View, app: Mapping[str, Any], image: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Everything that compose_project needs for the release, and the release's name.

    image: `ref` (what to run) and `id`. The name is the version and a hash of all that makes the release what it is, so the same
    inventory and image give the same release, and another environment or image another one.
    """
    given = app_environment(view, app, secrets)
    root = f"{view.own('stack_root')}/apps/{app['name']}"
    # What decides is what will run, the hardened defaults included; only the name itself is not known yet.
    nameless = [harden(service) for service in _services(app, "", given, "", "").values()]
    digest = hashlib.sha256(json.dumps([image["id"], given, nameless], sort_keys=True, default=str).encode()).hexdigest()[:8]
    release = f"{_slug(str(app.get('version') or 'dev'))}-{digest}"
    secrets_path = f"{view.own('stack_secrets_root')}/{app['name']}/{release}"
    networks = {"backend": {"name": f"{view.own('stack_name')}_backend", "external": True}}
    if any(process.get("port") for process in app.get("processes") or []):
        networks["edge"] = {"name": f"{view.own('stack_name')}_edge", "external": True}
    return {
        "release": release,
        "project": f"{view.own('stack_name')}-{app['name']}-{release.replace('.', '-')}",
        "root": root,
        "path": f"{root}/releases/{release}",
        "secrets_path": secrets_path,
        "definition": {"services": _services(app, image["ref"], given, release, secrets_path), "networks": networks},
        "secrets": _secret_files(app, given["secrets"]),
        "labels": {LABEL_RELEASE: release},
        "singletons": [process["name"] for process in app.get("processes") or [] if process.get("singleton")],
    }


def _services(app: Mapping[str, Any], ref: str, given: Mapping[str, Any], release: str, secrets_path: str) -> dict[str, Any]:
    base = _base(app, ref, {**given["env"], "APP_RELEASE": release}, given["secrets"], secrets_path)
    services = {process["name"]: _service(base, app, process) for process in app.get("processes") or []}
    if (app.get("migration") or {}).get("tool", "none") != "none":
        services[MIGRATE] = {**base, "networks": ["backend"], "profiles": ["tools"], "restart": "no", "tmpfs": ["/tmp"]}
    return services


def _slug(version: str) -> str:
    """The version as a compose project may have it in its name."""
    slug = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in version.lower())
    if not slug[:1].isalnum():
        raise WiringError(f"version {version!r} cannot name a release; allowed: letters, digits and . _ -, beginning with a letter or digit, for example 1.4.2")
    return slug


def _uid(app: Mapping[str, Any]) -> int:
    return int(str(app.get("user") or DEFAULT_USER).split(":", 1)[0])


def _as_files(app: Mapping[str, Any]) -> bool:
    return app.get("secrets_as") == "files"


def _secret_files(app: Mapping[str, Any], hidden: Mapping[str, str]) -> list[dict[str, Any]]:
    if not hidden:
        return []
    if _as_files(app):
        return [{"name": name, "value": value, "uid": _uid(app)} for name, value in sorted(hidden.items())]
    text = "".join(f"{name}={_env_quote(value)}\n" for name, value in sorted(hidden.items()))
    return [{"name": ENVIRONMENT_SECRET, "value": text, "uid": 0}]


def _env_quote(value: str) -> str:
    """As Compose reads an env file: single quotes are literal, but a backslash before the last one would hide it, and a CRLF is made a LF."""
    if not any(sign in value for sign in "'\r\n") and not value.endswith("\\"):
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _base(app: Mapping[str, Any], ref: str, env: Mapping[str, str], hidden: Mapping[str, str], secrets_path: str) -> dict[str, Any]:
    service: dict[str, Any] = {"image": ref, "user": str(app.get("user") or DEFAULT_USER), "environment": dict(env)}
    if hidden and _as_files(app):
        service["secrets"] = sorted(hidden)
        service["environment"].update({f"{name}_FILE": f"/run/secrets/{name}" for name in hidden})
    elif hidden:
        # A release has a folder of its own, so its secrets are always of the first generation.
        service["env_file"] = [f"{secrets_path}/{ENVIRONMENT_SECRET}.1"]
    return service


def _service(base: Mapping[str, Any], app: Mapping[str, Any], process: Mapping[str, Any]) -> dict[str, Any]:
    service = {**base, "environment": {**base["environment"], **{name: str(value) for name, value in (process.get("env") or {}).items()}}}
    service["networks"] = {"backend": {}}
    if process.get("port"):
        service["networks"]["edge"] = {"aliases": [alias(app["name"], process["name"])]}
    if process.get("command"):
        service["command"] = list(process["command"])
    service["tmpfs"] = sorted({"/tmp", *(process.get("writable") or [])})
    service["stop_grace_period"] = f"{int(process.get('stop_grace', 30))}s"
    service["scale"] = int(process.get("replicas", 1))
    service["labels"] = {LABEL_PROCESS: process["name"]}
    service["deploy"] = {"resources": {"limits": {"memory": str(process.get("memory", "512M")), "cpus": str(float(process.get("cpus", 1.0)))}}}
    mounts = [_mount(mount) for mount in process.get("mounts") or []]
    if mounts:
        service["volumes"] = mounts
    health = _health(process)
    if health:
        service["healthcheck"] = health
    return service


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    # Without create_host_path a wrong path fails instead of becoming an empty folder.
    bind = {"type": "bind", "source": mount["source"], "target": mount["target"], "bind": {"create_host_path": False}}
    return {**bind, "read_only": True} if mount.get("read_only", False) else bind


def _health(process: Mapping[str, Any]) -> dict[str, Any]:
    health = process.get("health") or {}
    timeout = float(health.get("timeout", 3))
    if health.get("command"):
        test = ["CMD", *health["command"]]
    elif health.get("path") and process.get("port"):
        test = ["CMD-SHELL", _PROBE.format(url=shlex.quote(f"http://127.0.0.1:{process['port']}{health['path']}"), timeout=timeout)]
    else:
        return {}
    return {
        "test": test,
        "interval": f"{health.get('interval', 5)}s",
        "timeout": f"{timeout:g}s",
        "retries": int(health.get("retries", 6)),
        "start_period": f"{health.get('start_period', 60)}s",
    }
