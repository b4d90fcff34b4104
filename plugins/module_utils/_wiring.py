# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from the inventory: who talks to whom, at which address, as which user. Pure; nothing is asked for twice."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

# By service: the variable with its port, the variable with its address when it is managed elsewhere, the variable with the password of its
# administrator, and the port of its console for browsers, the same inside and outside.
SERVICES: dict[str, dict[str, Any]] = {
    "postgres": {"port": ("postgres_port", 5432), "external": "postgres_external_url", "admin": "postgres_password"},
    "valkey": {"port": ("valkey_port", 6379), "external": "valkey_external_url", "admin": "valkey_password"},
    "rabbitmq": {"port": ("rabbitmq_port", 5672), "external": "rabbitmq_external_url", "admin": "rabbitmq_password", "console": 15672},
    "minio": {"port": ("minio_port", 9000), "external": "s3_external_url", "admin": "minio_root_password", "console": 9001},
    "seaweedfs": {"port": ("seaweedfs_port", 8333), "external": "s3_external_url", "admin": "seaweedfs_admin_secret_key"},
}
S3_SERVICES = ("minio", "seaweedfs")
# First port of the switch and how many there are; below the range that the kernel gives to outgoing connections.
SWITCH_PORTS = (20000, 10000)
# Places of a backend in each group; more replicas than that change the switch's configuration.
SWITCH_PLACES = 8


class WiringError(Exception):
    """The inventory does not say what is needed; the text is fit for a user."""


@dataclass(frozen=True)
class View:
    """The inventory as one host sees it. `of(host, variable, default)` reads a variable of any host."""

    host: str
    groups: Mapping[str, Sequence[str]]
    of: Callable[[str, str, Any], Any]

    def hosts(self, service: str) -> list[str]:
        return list(self.groups.get(service) or [])

    def own(self, variable: str, default: Any = None) -> Any:
        return self.of(self.host, variable, default)

    def at(self, service: str, variable: str, default: Any = None) -> Any:
        """The variable as the host of the service has it, so that a password may live in that group alone."""
        hosts = self.hosts(service)
        value = self.of(hosts[0], variable, None) if hosts else None
        return value if value not in (None, "") else self.own(variable, default)

    @property
    def apps(self) -> list[Mapping[str, Any]]:
        """The applications; `app_version` (with `app_name` where there are several) wins over a version in the inventory."""
        apps = list(self.own("stack_apps") or [])
        version, name = self.own("app_version"), self.own("app_name")
        if not version:
            return apps
        if not name and len(apps) != 1:
            raise WiringError(f"app_version={version} needs app_name; allowed: {', '.join(app['name'] for app in apps) or 'no application is defined'}")
        if name and name not in [app["name"] for app in apps]:
            raise WiringError(f"app_name={name} is no application; allowed: {', '.join(app['name'] for app in apps) or 'no application is defined'}")
        return [{**app, "version": version} if name in (None, "", app["name"]) else app for app in apps]

    def address(self, host: str) -> str:
        return self.of(host, "stack_address", None) or self.of(host, "ansible_host", None) or host


def joined(host: str, port: object) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def concrete(view: View, need: str) -> str:
    """The service behind a need: `s3` is minio or seaweedfs, whichever has hosts."""
    if need != "s3":
        return need
    return next((service for service in S3_SERVICES if view.hosts(service)), "minio")


def endpoint(view: View, need: str) -> dict[str, Any]:
    """How this host reaches a service: host, port, scheme, and where it comes from (network, address or external)."""
    service = concrete(view, need)
    if service not in SERVICES:
        raise WiringError(f"unknown service {need!r}; known: {', '.join([*SERVICES, 's3'])}")
    facts = SERVICES[service]
    port = int(view.at(service, *facts["port"]))
    external = view.own(facts["external"]) or ""
    if external:
        parts = urlsplit(external)
        known = {"https": 443, "http": 80, "rediss": 6379, "amqps": 5671}
        return {"via": "external", "scheme": parts.scheme, "host": parts.hostname, "port": parts.port or known.get(parts.scheme, port), "url": external}
    hosts = view.hosts(service)
    if not hosts:
        group = need if need != "s3" else "minio or seaweedfs"
        raise WiringError(f"nothing provides {need}: put a host into the group {group}, or set {facts['external']}")
    if view.host in hosts:
        return {"via": "network", "scheme": "", "host": service, "port": facts["port"][1]}
    return {"via": "address", "scheme": "", "host": view.address(hosts[0]), "port": port}


@dataclass(frozen=True)
class Door:
    """A port of a service, and the hosts whose containers use it. inside: the container's port."""

    port: int
    inside: int
    hosts: tuple[str, ...]


def doors(view: View, service: str) -> list[Door]:
    """The ports of the service that are used: its own, and that of its console where the edge leads to it."""
    variable, inside = SERVICES[service]["port"]
    need = "s3" if service in S3_SERVICES else service
    routed = {route["service"] for route in _service_routes(view)}
    groups = (["app"] if users(view, need) else []) + (["proxy"] if need == "s3" and "s3" in routed else [])
    found = [Door(int(view.at(service, variable, inside)), inside, tuple(sorted({host for group in groups for host in view.hosts(group)})))]
    console = SERVICES[service].get("console")
    return [*found, Door(console, console, tuple(sorted(view.hosts("proxy"))))] if console and service in routed else found


def consumers(view: View, service: str) -> list[str]:
    """The hosts whose containers talk to the service."""
    return sorted({host for door in doors(view, service) for host in door.hosts})


def _is_external(view: View, need: str) -> bool:
    """Whether the applications use a service that is managed elsewhere, so that one of the stack has no users."""
    return bool(view.own(SERVICES[concrete(view, need)]["external"]))


def published(view: View, service: str) -> list[str]:
    """Published ports of the service on this host: none unless another host needs it, then on the private address alone."""
    return [f"{joined(view.address(view.host), door.port)}:{door.inside}" for door in doors(view, service) if set(door.hosts) - {view.host}]


# -- users and secrets -------------------------------------------------------------------------------------------------------


def users(view: View, need: str) -> list[dict[str, Any]]:
    """The applications' users of a service, each with the name of its secret and what it owns."""
    found = []
    for app in [] if _is_external(view, need) else view.apps:
        if need in (app.get("needs") or []):
            name = app.get("database") or app["name"].replace("-", "_") if need == "postgres" else app["name"]
            found.append(
                {
                    "app": app["name"],
                    "name": name,
                    "secret": secret_name(need, app["name"]),
                    "extensions": list(app.get("extensions") or []),
                    "bucket": app.get("bucket") or app["name"],
                }
            )
    return found


def service_secrets(view: View, service: str, values: Mapping[str, str], uid: int) -> list[dict[str, Any]]:
    """The passwords that a service must know, the administrator's first, in the form that compose_project takes."""
    need = "s3" if service in S3_SERVICES else service
    names = [secret_name(need, "admin"), *(user["secret"] for user in users(view, need))]
    return [{"name": name, "value": values[name], "uid": uid} for name in names]


def secret_name(need: str, owner: str) -> str:
    return f"{need}_{owner}"


def own_secret_name(app: str, variable: str) -> str:
    return f"app_{app}_{variable}"


def secrets(view: View) -> dict[str, str]:
    """Every secret of the stack by name; empty where the inventory gives none, so that one is made."""
    found: dict[str, str] = {}
    for service, facts in SERVICES.items():
        if view.hosts(service):
            found[secret_name("s3" if service in S3_SERVICES else service, "admin")] = str(view.at(service, facts["admin"]) or "")
    for app in view.apps:
        given = app.get("credentials") or {}
        for need in app.get("needs") or []:
            if not _is_external(view, need):
                found[secret_name(need, app["name"])] = str(given.get(need) or "")
        for variable, value in (app.get("secrets") or {}).items():
            found[own_secret_name(app["name"], variable)] = str(value or "")
    return found


# -- what an application is given --------------------------------------------------------------------------------------------


def app_environment(view: View, app: Mapping[str, Any], values: Mapping[str, str], everywhere: bool = False) -> dict[str, dict[str, str]]:
    """The variables of an application. Stack first, the application's own win.

    `env` in the open; `secrets` are the application's own; `issued` are credentials that the stack gives; `given` is what of `env` says where its
    services are. everywhere: with addresses that are the same on each host, to compare and not to use.
    """
    env: dict[str, str] = {"APP_NAME": app["name"], "APP_VERSION": str(app.get("version", "")), "APP_ENVIRONMENT": view.own("stack_environment", "")}
    given: dict[str, str] = {}
    issued: dict[str, str] = {}
    for need in app.get("needs") or []:
        where = endpoint(view, need)
        if where["via"] == "external":
            issued.update(_external(need, where))
            continue
        if everywhere:
            where = {**where, "host": _seen_by_all(view, need), "port": 0}
        user = next(entry for entry in users(view, need) if entry["app"] == app["name"])
        open_part, secret_part = _GIVEN[need](where, user, values[user["secret"]])
        given.update(open_part)
        issued.update(secret_part)
    renamed = dict(app.get("env_names") or {})
    env, given, issued = ({renamed.get(name, name): value for name, value in found.items()} for found in ({**env, **given}, given, issued))
    own: dict[str, str] = {}
    for variable in app.get("secrets") or {}:
        for found in (env, given, issued):
            found.pop(variable, None)
        own[variable] = values[own_secret_name(app["name"], variable)]
    for variable, value in (app.get("env") or {}).items():
        for found in (given, issued, own):
            found.pop(variable, None)
        env[variable] = _text(value)
    return {"env": env, "secrets": own, "issued": issued, "given": given}


def _seen_by_all(view: View, need: str) -> str:
    """Every address at which an application host reaches the service."""
    seen = [endpoint(replace(view, host=host), need) for host in view.hosts("app") or [view.host]]
    return " ".join(sorted({joined(one["host"] or "", one["port"]) for one in seen}))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _url(scheme: str, user: str, password: str, host: str, port: int, path: str) -> str:
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{joined(host, port)}/{path}"


def _parts(prefix: str, where: Mapping[str, Any], user: str) -> dict[str, str]:
    return {f"{prefix}_HOST": where["host"], f"{prefix}_PORT": str(where["port"]), f"{prefix}_USER": user}


def _postgres(where: Mapping[str, Any], user: Mapping[str, Any], password: str) -> tuple[dict[str, str], dict[str, str]]:
    name = user["name"]
    env = {**_parts("DATABASE", where, name), "DATABASE_NAME": name}
    return env, {"DATABASE_URL": _url("postgresql", name, password, where["host"], where["port"], name), "DATABASE_PASSWORD": password}


def _valkey(where: Mapping[str, Any], user: Mapping[str, Any], password: str) -> tuple[dict[str, str], dict[str, str]]:
    url = _url("redis", user["name"], password, where["host"], where["port"], "0")
    return _parts("REDIS", where, user["name"]), {"REDIS_URL": url, "REDIS_PASSWORD": password}


def _rabbitmq(where: Mapping[str, Any], user: Mapping[str, Any], password: str) -> tuple[dict[str, str], dict[str, str]]:
    env = {**_parts("RABBITMQ", where, user["name"]), "RABBITMQ_VHOST": user["name"]}
    url = _url("amqp", user["name"], password, where["host"], where["port"], quote(user["name"], safe=""))
    return env, {"CELERY_BROKER_URL": url, "RABBITMQ_PASSWORD": password}


def _s3(where: Mapping[str, Any], user: Mapping[str, Any], password: str) -> tuple[dict[str, str], dict[str, str]]:
    url = f"http://{joined(where['host'], where['port'])}"
    env = {"S3_ENDPOINT_URL": url, "S3_BUCKET": user["bucket"], "AWS_ACCESS_KEY_ID": user["name"], "AWS_REGION": "us-east-1"}
    return env, {"AWS_SECRET_ACCESS_KEY": password}


_GIVEN = {"postgres": _postgres, "valkey": _valkey, "rabbitmq": _rabbitmq, "s3": _s3}


def _external(need: str, where: Mapping[str, Any]) -> dict[str, str]:
    """A service that is managed elsewhere: its address as it is, it may carry the password."""
    name = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL", "rabbitmq": "CELERY_BROKER_URL", "s3": "S3_ENDPOINT_URL"}[need]
    return {name: where["url"]}


# -- the edge ----------------------------------------------------------------------------------------------------------------


def app_routes(view: View) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]]:
    """Each application, process and route of it."""
    for app in view.apps:
        for process in app.get("processes") or []:
            for route in process.get("routes") or []:
                yield app, process, route


def most_specific(route: Mapping[str, Any]) -> tuple[str, int, str]:
    """Sorts routes: by host, the longest path first."""
    path = route.get("path") or "/"
    return route["host"], -len(path), path


def upstreams(view: View, app: Mapping[str, Any], process: Mapping[str, Any]) -> list[str]:
    """Where this proxy host reaches the process: the switch beside it by the network, those of other hosts by their private address."""
    port = switch_port(app, process)
    # A singleton runs on the first host only.
    hosts = view.hosts("app")[: 1 if process.get("singleton") else None]
    return [joined("switch" if host == view.host else view.address(host), port) for host in hosts]


def alias(app: str, process: str) -> str:
    """The name of a web process at the switch."""
    return f"{app}-{process}"


def switch_port(app: Mapping[str, Any], process: Mapping[str, Any]) -> int:
    """The port of a web process at the switch: the same on every host, after every reboot, and whatever else the inventory has."""
    given = process.get("switch_port")
    return int(given) if given else SWITCH_PORTS[0] + zlib.crc32(alias(app["name"], process["name"]).encode()) % SWITCH_PORTS[1]


def host_of(process: Mapping[str, Any]) -> str:
    """The name that visitors ask for, where an application insists on it."""
    return next((route["host"] for route in process.get("routes") or []), "")


def backends(view: View, served: Sequence[Mapping[str, Any]] = ()) -> list[Mapping[str, Any]]:
    """The web processes that the switch leads requests to. served: those of the releases that are there, which the inventory may not have any more,
    or not with as many containers."""
    places = {one["name"]: one.get("places", 0) for one in served}
    wanted = [{**one, "places": max(one["places"], places.get(one["name"], 0))} for one in _wanted_backends(view)]
    taken = {(backend["name"], backend["switch_port"]) for backend in wanted}
    names, ports = {name for name, _port in taken}, {port for _name, port in taken}
    return [*wanted, *(one for one in served if one["name"] not in names and one.get("switch_port") not in {None, *ports})]


def backend(app: Mapping[str, Any], process: Mapping[str, Any]) -> dict[str, Any]:
    """A web process at the switch: its name and port there, the container's port, health path, name of its site, and number of places."""
    return {
        "name": alias(app["name"], process["name"]),
        "switch_port": switch_port(app, process),
        "port": int(process["port"]),
        "health": (process.get("health") or {}).get("path") or "",
        "host": host_of(process),
        "places": max(SWITCH_PLACES, int(process.get("replicas") or 1)),
    }


def _wanted_backends(view: View) -> list[dict[str, Any]]:
    return [backend(app, process) for app in view.apps for process in app.get("processes") or [] if process.get("port")]


def switch_published(view: View, served: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Published ports of the switch on this host: none unless a proxy runs elsewhere, then on the private address alone."""
    if all(host == view.host for host in view.hosts("proxy")):
        return []
    return [f"{joined(view.address(view.host), one['switch_port'])}:{one['switch_port']}" for one in backends(view, served)]


def http3(view: View) -> bool:
    """Whether the edge speaks HTTP/3, which is UDP."""
    return view.own("stack_proxy", "caddy") == "caddy" and view.own("stack_tls", "internal") != "off" and bool(view.own("caddy_http3", False))


def url(view: View, host: str, path: str = "/") -> str:
    """Where a browser finds a host name of the stack."""
    scheme, variable, default = ("http", "stack_http_port", 80) if view.own("stack_tls", "internal") == "off" else ("https", "stack_https_port", 443)
    port = int(view.at("proxy", variable, default))
    return f"{scheme}://{host}{'' if port == default else f':{port}'}{path}"


def addresses(view: View) -> dict[tuple[str, str], list[str]]:
    """Where to reach what, by service and process: web addresses, and for a data service its address inside the stack and those of routes to it."""
    found: dict[tuple[str, str], list[str]] = {}
    for app, process, route in sorted(app_routes(view), key=lambda one: most_specific(one[2])):
        found.setdefault((app["name"], process["name"]), []).append(url(view, route["host"], route.get("path") or "/"))
    for service, facts in SERVICES.items():
        if view.hosts(service):
            found[(service, "")] = [f"{service}:{facts['port'][1]}"]
    for route in _service_routes(view):
        found.setdefault((concrete(view, route["service"]), ""), []).append(url(view, route["host"], route.get("path") or "/"))
    for proxy in view.hosts("proxy")[:1]:
        ports = [int(view.at("proxy", "stack_http_port", 80))]
        ports += [] if view.own("stack_tls", "internal") == "off" else [int(view.at("proxy", "stack_https_port", 443))]
        found[(str(view.own("stack_proxy", "caddy")), "")] = [joined(view.address(proxy), port) for port in ports]
    return found


def _service_routes(view: View) -> list[Mapping[str, Any]]:
    return [route for route in view.own("stack_routes") or [] if route.get("service")]


def consoles(view: View, containers: Mapping[str, Sequence[Mapping[str, Any]]], user: str = "") -> list[str]:
    """A line for each host that has consoles to which no route leads: where they are, and the SSH tunnel to them where Ansible comes over SSH.

    containers: by host, as status has them. A console is on no port of its host, so the tunnel ends at the container's address. user: the one that
    Ansible logs in as where the inventory names none.
    """
    routed = {route["service"] for route in _service_routes(view)}
    lines = []
    for host, entries in containers.items():
        found = {
            entry["service"]: (_console(view, entry["service"]), entry["address"])
            for entry in entries
            if not entry["process"] and entry["address"] and entry["service"] not in routed and _console(view, entry["service"])
        }
        if not found:
            continue
        local = str(view.of(host, "ansible_connection", "")).rpartition(".")[2] == "local"
        places = [f"http://{joined(address if local else '127.0.0.1', port)} ({service})" for service, (port, address) in found.items()]
        after = "" if local else f", after: {_tunnel(view, host, list(found.values()), user)}"
        lines.append(f"consoles on {host}: {', '.join(places)}{after}")
    return lines


def _console(view: View, service: str) -> int:
    """The port of the service's console, 0 without one."""
    if service == "rabbitmq" and "rabbitmq_management" not in view.at(service, "rabbitmq_plugins", ["rabbitmq_management"]):
        return 0
    return SERVICES.get(service, {}).get("console", 0)


def _tunnel(view: View, host: str, ends: Sequence[tuple[int, str]], user: str) -> str:
    name, port = view.of(host, "ansible_user", None) or user, view.of(host, "ansible_port", None)
    where = view.of(host, "ansible_host", None) or host
    forwards = [part for inside, address in ends for part in ("-L", f"{inside}:{joined(address, inside)}")]
    return shlex.join(["ssh", "-N", *forwards, *(["-p", str(port)] if port else []), f"{name}@{where}" if name else where])


def probes(view: View, ca_path: str = "", of: str = "", closed: Collection[str] = ()) -> list[dict[str, Any]]:
    """One request through the edge for each route, as health_probe takes it; run on a proxy host, whatever the names resolve to.

    of: one application's. closed: applications under maintenance, for which the edge's own answer is good.
    """
    found = []
    for app, process, route in app_routes(view):
        if of not in ("", app["name"]):
            continue
        health, below = (process.get("health") or {}).get("path") or "", (route.get("path") or "/").rstrip("/")
        reached = health and f"{health}/".startswith(f"{below}/")
        where = url(view, route["host"], health if reached else f"{below}/")
        probe = {"name": f"{app['name']}/{process['name']} {route['host']}{below}", "url": where, "resolve": "127.0.0.1"}
        if not reached:
            # Nobody said what answers there: whatever the application says is an answer, what the edge says for it is not.
            probe["status"] = list(range(200, 500))
        elif guarded := [code for option, code in (("basic_auth", 401), ("allow", 403)) if route.get(option)]:
            probe["status"] = [200, *guarded]
        if app["name"] in closed:
            probe["status"] = [*probe.get("status", [200]), 503]
        found.append({**probe, "ca_path": ca_path} if ca_path else probe)
    return found


# -- figures -----------------------------------------------------------------------------------------------------------------

_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: str) -> int:
    """Bytes of a memory size such as 512M or 2g (as Docker reads it)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([bkmg]?)b?", str(text).strip().lower())
    if not match:
        raise WiringError(f"{text!r} is not a memory size; allowed: a number and one of B, K, M, G, for example 512M")
    return int(float(match[1]) * _UNITS[match[2]])


def share(text: str, part: float) -> int:
    """A part of a memory size in whole MiB, at least 1."""
    return max(1, int(size(text) * part) // 1024**2)


def rabbitmq_hash(password: str, salt_from: str) -> str:
    """The password as RabbitMQ stores it (rabbit_password_hashing_sha256); the same input gives the same text, so nothing changes by itself."""
    salt = hashlib.sha256(f"{salt_from}:{password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
