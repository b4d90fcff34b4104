# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of an application as a compose project, worked out from the inventory and the image alone."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import ENV_SECRET, harden
from ansible_collections.longshore.stack.plugins.module_utils._deploy import deploy_options
from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_PROCESS, LABEL_RELEASE
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View, WiringError, app_environment, backend, host_of

MIGRATE = "migrate"
# Names of files, not passwords: the application's own secrets, which a release keeps, and those that the stack issues, which are today's.
OWN_FILE, ISSUED_FILE = "environment", "credentials"
DEFAULT_USER = "10001:10001"
LONGEST_SLUG = 80
# In place of the hash in a release's name, in check mode, where the image is not on the host and the registry did not tell which it is.
NOT_KNOWN = "unknown"
# What an application says of the form of its secrets; a release keeps it.
_FORM = ("user", "secrets_as", "env_names")
# Whatever the image has: the first that is there answers, the last decides. In Python without a library for HTTP, whose import takes longer than all the rest.
_PROBE = (
    "wget -q -O /dev/null --header {header} {url} 2>/dev/null || curl -fsS -o /dev/null -H {header} {url} 2>/dev/null || "
    "python3 -ISc 'import socket, sys; asked = socket.create_connection((\"127.0.0.1\", int(sys.argv[1])), {timeout}); "
    'asked.sendall("\\r\\n".join(["GET " + sys.argv[2] + " HTTP/1.0", sys.argv[3], "", ""]).encode()); '
    "sys.exit(asked.makefile().readline().split()[1][0] not in \"23\")' {port} {path} {header}"
)


def release_of(view: View, app: Mapping[str, Any], image: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the module release needs for the release that the inventory wants: `spec`, and `secrets` beside it.

    image: `ref` (what it is called), `id`, and `digest` where it was pulled. The release's name is the version and a hash of all that makes
    it what it is, so the same inventory and image give the same release on every host, and another environment or image another one.
    """
    given = app_environment(view, app, secrets)
    identity = image.get("digest") or image["id"]  # neither where check mode cannot know it
    # What decides is what will run anywhere, the hardened defaults included; only the name itself is not known yet, and addresses differ from host to host.
    nameless = [harden(service) for service in _services(app, "", {**given, "env": {}}, _Places(view, app, "")).values()]
    everywhere = app_environment(view, app, secrets, everywhere=True)
    first = view.hosts("app")[:1] if any(process.get("singleton") for process in app.get("processes") or []) else []
    # Elsewhere it is part of the health check.
    ports = {one["name"]: one["port"] for one in app.get("processes") or [] if one.get("port") and not _asked_at_port(one)}
    made_of = [identity, everywhere, nameless, first, *([ports] if ports else [])]
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:8]
    release = f"{_slug(str(app.get('version') or 'dev'))[:LONGEST_SLUG]}-{digest if identity else NOT_KNOWN}"
    name = f"longshore/{view.own('stack_name')}-{app['name']}:{release}"
    given["env"]["APP_RELEASE"] = release
    edge = f"{view.own('stack_name')}_edge"
    networks = {"backend": {"name": f"{view.own('stack_name')}_backend", "external": True}}
    here = _here(view, app)
    if any(process.get("port") for process in here):
        networks["edge"] = {"name": edge, "external": True}
    files, places = _secret_files(app, given), _Places(view, app, release)
    record = {
        "release": release,
        "version": str(app.get("version") or "dev"),
        "image": {"name": name, "ref": image["ref"], "id": image["id"], "digest": image.get("digest", "")},
        "project": f"{view.own('stack_name')}-{app['name']}-{release.replace('.', '-')}",
        "definition": {"services": _services({**app, "processes": here}, name, given, places), "networks": networks},
        "directories": [places.directory(volume) for volume in app.get("volumes") or []],
        "static": [one for number, entry in enumerate(app.get("static") or []) if (one := places.static(number, entry))["service"]],
        "labels": {LABEL_RELEASE: release},
        "singletons": [process["name"] for process in here if _alone(process)],
        "alone": [process["name"] for process in app.get("processes") or [] if _alone(process)],
        "overlapping": [process["name"] for process in here if not _alone(process)],
        "backends": _backends(app, here),
        "network": edge,
        "own_secrets": [entry["name"] for entry in files if entry["own"]],
        "form": {name: app[name] for name in _FORM if app.get(name)},
        "needs": list(app.get("needs") or []),
        "issued": sorted(given["issued"]),
        "given": given["given"],
    }
    return _placed(view, app, record, [{key: entry[key] for key in ("name", "value", "uid")} for entry in files])


def recalled(view: View, app: Mapping[str, Any], record: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The same for a release that was made before: all of it as it was, its own secrets as they were kept, and today's addresses and credentials.

    Those are for what the release needs, and have the names and the owner that it knows, whatever the inventory says and calls them now.
    """
    then = {**{name: value for name, value in app.items() if name not in _FORM}, **record["form"]}
    given = app_environment(view, {**then, "needs": _still_given(app, record), "env": {}, "secrets": {}}, secrets)
    missing = [name for name in record["issued"] if name not in given["issued"]]
    if missing:
        moved = "the service has moved since, into the stack or to one that is managed elsewhere"
        raise WiringError(f"{record['release']} needs {', '.join(missing)}, which the stack does not give any more: {moved}")
    files = _secret_files(then, {"secrets": {}, "issued": {name: given["issued"][name] for name in record["issued"]}})
    own = [{"name": name, "value": None, "uid": _uid(then) if _as_files(then) else 0} for name in record["own_secrets"]]
    record = {**record, "definition": _moved(record, given["given"]), "given": {**record.get("given", {}), **given["given"]}}
    return _placed(view, app, record, [*own, *({key: entry[key] for key in ("name", "value", "uid")} for entry in files)])


def _moved(record: Mapping[str, Any], now: Mapping[str, str]) -> dict[str, Any]:
    """The definition with the addresses of today, where the stack gave those that are in it."""
    then = record.get("given", {})

    def moved(environment: Mapping[str, str]) -> dict[str, str]:
        return {name: now.get(name, value) if then.get(name) == value else value for name, value in environment.items()}

    services = record["definition"]["services"].items()
    return {**record["definition"], "services": {name: {**one, "environment": moved(one.get("environment", {}))} for name, one in services}}


def _still_given(app: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """What a release needs of the stack; it has passwords for that only as long as the inventory gives the application the same."""
    gone = [need for need in record["needs"] if need not in (app.get("needs") or [])]
    if gone:
        raise WiringError(
            f"{record['release']} needs {', '.join(gone)}, and the inventory gives {app['name']} no such service any more; "
            f"to go back to it, put {', '.join(gone)} into stack_apps[].needs again"
        )
    return list(record["needs"])


def _placed(view: View, app: Mapping[str, Any], record: Mapping[str, Any], secrets: list[dict[str, Any]]) -> dict[str, Any]:
    """A record with what depends on the stack of today: directories, the switch, and how careful a deploy is."""
    options = deploy_options(app)
    spec = {
        **record,
        "stack": view.own("stack_name"),
        "root": view.own("stack_root"),
        "path": f"{view.own('stack_root')}/apps/{app['name']}/releases/{record['release']}",
        "secrets_path": f"{view.own('stack_secrets_root')}/{app['name']}/{record['release']}",
        "static_root": f"{view.own('stack_data_root')}/{app['name']}/static",
        "switch": {"path": f"{view.own('stack_data_root')}/switch"} if record["backends"] else {},
        "drain": options["drain"],
        "keep": options["keep"],
        "warm": options["keep_previous"] == "warm",
    }
    return {"spec": spec, "secrets": secrets}


def _alone(process: Mapping[str, Any]) -> bool:
    return bool(process.get("singleton")) or process.get("strategy") == "recreate"


def processes_here(view: View, app: Mapping[str, Any]) -> list[str]:
    """Names of the application's processes that run on this host, in the order of the inventory."""
    return [process["name"] for process in _here(view, app)]


def _here(view: View, app: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [process for process in app.get("processes") or [] if _runs_here(view, process)]


def _runs_here(view: View, process: Mapping[str, Any]) -> bool:
    """A singleton runs on the first application host only."""
    hosts = view.hosts("app")
    return not process.get("singleton") or not hosts or view.host == hosts[0]


def _backends(app: Mapping[str, Any], here: list[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {process["name"]: backend(app, process) for process in here if process.get("port") and int(process.get("replicas", 1)) > 0}


class _Places:
    """Where on a host the application keeps what outlives a release, and the static files of one."""

    def __init__(self, view: View, app: Mapping[str, Any], release: str):
        self.app, self.release, self.here = app, release, processes_here(view, app)
        self.root = f"{view.own('stack_data_root')}/{app['name']}"

    def directory(self, volume: Mapping[str, Any]) -> dict[str, Any]:
        uid, gid = _owner(self.app)
        return {"path": f"{self.root}/volumes/{volume['name']}", "uid": uid, "gid": gid, "mode": "0750"}

    def static(self, number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
        """`service` is a process that has them on this host; none where they are another host's business."""
        names = [name for name in _concerned(self.app, entry) if name in self.here]
        given = {"keep": 1, "command": [], **{key: entry[key] for key in ("path", "keep", "command") if entry.get(key) is not None}}
        return {**given, "number": number, "service": names[0] if names else ""}

    def mounts(self, process: str) -> list[dict[str, Any]]:
        volumes = [volume for volume in self.app.get("volumes") or [] if process in _concerned(self.app, volume)]
        statics = [(number, entry) for number, entry in enumerate(self.app.get("static") or []) if process in _concerned(self.app, entry)]
        return [
            *(_mount({**volume, "source": self.directory(volume)["path"], "read_only": volume.get("read_only", False)}) for volume in volumes),
            *(_mount({"source": f"{self.root}/static/{self.release}/{number}", "target": entry["path"]}) for number, entry in statics),
        ]


def _concerned(app: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """The processes that a volume or a directory of static files is for; all when none is named."""
    return list(entry.get("processes") or [process["name"] for process in app.get("processes") or []])


def _services(app: Mapping[str, Any], ref: str, given: Mapping[str, Any], places: _Places) -> dict[str, Any]:
    base = _base(app, ref, given)
    services = {process["name"]: _service(base, process, places.mounts(process["name"])) for process in app.get("processes") or []}
    if (app.get("migration") or {}).get("tool", "none") != "none":
        services[MIGRATE] = {**base, "networks": ["backend"], "profiles": ["tools"], "tmpfs": ["/tmp"], "deploy": _limits("1G", 2.0)}
    return services


def _slug(version: str) -> str:
    """The version as a compose project may have it in its name."""
    slug = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in version.lower())
    if not slug[:1].isalnum():
        raise WiringError(f"version {version!r} cannot name a release; allowed: letters, digits and . _ -, beginning with a letter or digit, for example 1.4.2")
    return slug


def _owner(app: Mapping[str, Any]) -> tuple[int, int]:
    uid, _colon, gid = str(app.get("user") or DEFAULT_USER).partition(":")
    return int(uid), int(gid)


def _uid(app: Mapping[str, Any]) -> int:
    return _owner(app)[0]


def _as_files(app: Mapping[str, Any]) -> bool:
    return app.get("secrets_as") == "files"


def _secret_files(app: Mapping[str, Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files that hold the secrets; `own` says that a release keeps this one for ever."""
    kinds = ((True, given["secrets"]), (False, given["issued"]))
    if _as_files(app):
        return [{"name": name, "value": value, "uid": _uid(app), "own": own} for own, hidden in kinds for name, value in sorted(hidden.items())]
    return [
        {"name": OWN_FILE if own else ISSUED_FILE, "value": _env_text(hidden), "uid": 0, "own": own} for own, hidden in kinds if hidden
    ]


def _env_text(hidden: Mapping[str, str]) -> str:
    return "".join(f"{name}={_env_quote(value)}\n" for name, value in sorted(hidden.items()))


def _env_quote(value: str) -> str:
    """As Compose reads an env file: single quotes are literal, but a backslash before the last one would hide it, and a CRLF is made a LF."""
    if not any(sign in value for sign in "'\r\n") and not value.endswith("\\"):
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _base(app: Mapping[str, Any], ref: str, given: Mapping[str, Any]) -> dict[str, Any]:
    # No restart until the release is live, so that a reboot half-way starts one release and not two.
    service: dict[str, Any] = {"image": ref, "user": str(app.get("user") or DEFAULT_USER), "restart": "no", "environment": dict(given["env"])}
    hidden = {**given["secrets"], **given["issued"]}
    if hidden and _as_files(app):
        service["secrets"] = sorted(hidden)
        service["environment"].update({f"{name}_FILE": f"/run/secrets/{name}" for name in hidden})
    elif hidden:
        service["env_file"] = [f"{ENV_SECRET}{entry['name']}" for entry in _secret_files(app, given)]
    return service


def _limits(memory: str, cpus: float) -> dict[str, Any]:
    return {"resources": {"limits": {"memory": memory, "cpus": str(cpus)}}}


def _service(base: Mapping[str, Any], process: Mapping[str, Any], lasting: list[dict[str, Any]]) -> dict[str, Any]:
    service = {**base, "environment": {**base["environment"], **{name: str(value) for name, value in (process.get("env") or {}).items()}}}
    service["networks"] = ["backend", "edge"] if process.get("port") else ["backend"]
    if process.get("command"):
        service["command"] = list(process["command"])
    service["tmpfs"] = sorted({"/tmp", *(process.get("writable") or [])})
    service["stop_grace_period"] = f"{int(process.get('stop_grace', 30))}s"
    service["scale"] = int(process.get("replicas", 1))
    service["labels"] = {LABEL_PROCESS: process["name"]}
    service["deploy"] = _limits(str(process.get("memory", "512M")), float(process.get("cpus", 1.0)))
    mounts = [*(_mount(mount) for mount in process.get("mounts") or []), *lasting]
    if mounts:
        service["volumes"] = mounts
    health = _health(process)
    if health:
        service["healthcheck"] = health
    return service


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    # Without create_host_path a wrong path fails instead of becoming an empty folder.
    bind = {"type": "bind", "source": mount["source"], "target": mount["target"], "bind": {"create_host_path": False}}
    return {**bind, "read_only": True} if mount.get("read_only", True) else bind


def _asked_at_port(process: Mapping[str, Any]) -> bool:
    health = process.get("health") or {}
    return bool(health.get("path") and process.get("port") and not health.get("command"))


def _health(process: Mapping[str, Any]) -> dict[str, Any]:
    health = process.get("health") or {}
    timeout = float(health.get("timeout", 3))
    if health.get("command"):
        test = ["CMD", *health["command"]]
    elif _asked_at_port(process):
        # As a visitor would: some applications answer to their own names only.
        header = f"Host: {host_of(process) or '127.0.0.1'}"
        words = {"header": header, "url": f"http://127.0.0.1:{process['port']}{health['path']}", "path": health["path"], "port": str(process["port"])}
        test = ["CMD-SHELL", _PROBE.format(timeout=timeout, **{name: shlex.quote(word) for name, word in words.items()})]
    else:
        return {}
    return {
        "test": test,
        "interval": f"{health.get('interval', 5)}s",
        "timeout": f"{timeout:g}s",
        "retries": int(health.get("retries", 6)),
        "start_period": f"{health.get('start_period', 60)}s",
    }
