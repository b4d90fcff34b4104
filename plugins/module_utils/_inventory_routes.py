# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the edge: its routes, whether its proxy can serve them as they are written, and its certificates."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.longshore.stack.plugins.module_utils import _firewall, _routes, _wiring
from ansible_collections.longshore.stack.plugins.module_utils import _inventory_values as values
from ansible_collections.longshore.stack.plugins.module_utils._inventory import HELPERS, PROXIES, SERVICES, Host, Path, Report, Stack, element
from ansible_collections.longshore.stack.plugins.module_utils._inventory_services import memory_size
from ansible_collections.longshore.stack.plugins.module_utils._inventory_stack import GROUPS
from ansible_collections.longshore.stack.plugins.module_utils._inventory_tls import asks_public_authority

# What may be in a configuration file as it is, whichever proxy reads it.
URL_PATH = re.compile(r"^/[A-Za-z0-9._~!&+,=:@%/-]*$")
PATTERN = re.compile(r"^/[A-Za-z0-9._~!&+,=:@%/-]*\*?$")
FOLDER = re.compile(r"^/[A-Za-z0-9._@+-][A-Za-z0-9._/@+-]*$")
# What nobody may see. In stack_data_root those of the services; the applications' own, with volumes and static files, are beside them and may be served.
KEPT = {"stack_root": ("",), "stack_secrets_root": ("",), "stack_data_root": (*SERVICES, *PROXIES, *HELPERS, "authority")}
USER = re.compile(r"^[A-Za-z0-9._@+-]{1,64}$")
HEADER = re.compile(r"^[A-Za-z0-9 ._~!&+,;:=/*'()-]*$")
# bcrypt looks at so many bytes and no more.
LONGEST_PASSWORD = 72
LONGEST_TIMEOUT = 3600
# Of the users' own global options, those that the collection writes, and what to say in their place.
CADDY_OWNED = {"servers": "stack_trusted_proxies, caddy_http3", "email": "stack_acme_email", "auto_https": "stack_tls"}
CADDY_OWNED |= dict.fromkeys(("acme_ca", "acme_ca_root", "acme_eab", "cert_issuer"), "stack_acme_directory, stack_acme_eab")

Given = dict[str, Any]


def check_routes(stack: Stack, report: Report) -> None:
    """Every rule of this file."""
    same_routes(stack, report)
    for host in stack.hosts.values():
        found = list(_all(host))
        for where, process, route in found:
            for rule in (form, guards, figures, headers, sticky):
                rule(where, process, route, host, report)
            if process is None:
                target(stack, where, route, host, report)
            else:
                spread(stack, where, process, route, host, report)
            if "proxy" in host.groups:
                capable(where, process, route, host, report)
        owners(stack, found, host, report)
        edge(stack, host, report)
        if "proxy" in host.groups:
            certificates(stack, found, host, report)


def _all(host: Host) -> Iterator[tuple[Path, Given | None, Given]]:
    """Where each route is in the inventory, its process (with the application's name) where it has one, and the route."""
    for position, app in enumerate(host.values.get("stack_apps") or []):
        for number, process in enumerate(app["processes"]):
            where = ("stack_apps", element(position, app), "processes", element(number, process), "routes")
            yield from (((*where, index), {**process, "app": app["name"]}, route) for index, route in enumerate(process["routes"]))
    yield from ((("stack_routes", index), None, route) for index, route in enumerate(host.values.get("stack_routes") or []))


# -- of the whole stack ------------------------------------------------------------------------------------------------------


def same_routes(stack: Stack, report: Report) -> None:
    """A service's host opens what the proxies' routes lead to, so all hosts must read the same."""
    given = {host.name: host.values.get("stack_routes") for host in stack.hosts.values() if host.groups & set(GROUPS)}
    first = next(iter(given), "")
    other = next((name for name, routes in given.items() if routes != given[first]), None)
    if other:
        says, example = f"differs between {first} and {other}", "stack_routes in group_vars/all.yml"
        report.add("stack_routes", says, allowed="the same on all hosts", example=example)


def owners(stack: Stack, found: list[tuple[Path, Given | None, Given]], host: Host, report: Report) -> None:
    """Each host and path leads to one thing, and there is somebody to serve it."""
    taken: dict[tuple[str, str], str] = {}
    for where, process, route in found:
        if not route["host"]:
            continue
        key = (route["host"].lower(), posixpath.normpath(route["path"] or "/"))
        owner = f"{process['app']}-{process['name']}" if process else f"stack_routes[{where[-1]}]"
        if key in taken:
            name = process["name"] if process else "other"
            report.add(
                where,
                f"leads to {taken[key]} already",
                value="".join(key),
                allowed="a host or path of its own",
                example=f"host: {name}.{host.values.get('stack_domain')}",
                host=host.name,
            )
        taken.setdefault(key, owner)
    if taken and not stack.groups.get("proxy"):
        report.add(
            "group proxy",
            f"has no host, and {next(iter(taken.values()))} has routes",
            allowed="a host that serves the routes",
            example="proxy: {hosts: {web1: {}}}",
            host=host.name,
        )


# -- of one route ------------------------------------------------------------------------------------------------------------


def form(where: Path, process: Given | None, route: Given, host: Host, report: Report) -> None:
    name, path = route["host"], route["path"]
    if name and not values.is_dns_name(name):
        allowed = "a name without scheme, port and path"
        report.add((*where, "host"), "is not a DNS name", value=name, allowed=allowed, example="host: shop.mycompany.net", host=host.name)
    elif name and asks_public_authority(host) and values.is_below(name, values.LOCAL_DOMAINS):
        says = "no public authority gives a certificate for it, and stack_tls is acme"
        report.add((*where, "host"), says, value=name, allowed="a public name", example="host: shop.mycompany.net", host=host.name)
    if path and not path.startswith("/"):
        report.add((*where, "path"), "does not start with /", value=path, allowed="a path", example=f"path: /{path}", host=host.name)
    elif path and (not URL_PATH.match(path) or "%" in path or posixpath.normpath(path) != (path.rstrip("/") or "/")):
        says, allowed = "is not a plain path", "letters, digits and signs, without %, ., .. and //"
        report.add((*where, "path"), says, value=path, allowed=allowed, example="path: /api", host=host.name)


def guards(where: Path, process: Given | None, route: Given, host: Host, report: Report) -> None:
    for index, text in enumerate(route["allow"]):
        _network((*where, "allow", index), text, "allow: [203.0.113.7, 10.0.0.0/8]", host, report)
    names = [login["user"] for login in route["basic_auth"]]
    for index, login in enumerate(route["basic_auth"]):
        here, name, password = (*where, "basic_auth", index), login["user"], login["password"]
        if name and not USER.match(name):
            allowed = "letters, digits and ._@+-, at most 64"
            report.add((*here, "user"), "is not a name of a user", value=name, allowed=allowed, example="user: ops", host=host.name)
        elif name and name in names[:index]:
            report.add((*here, "user"), "is there twice", value=name, allowed="a name of its own", example=f"user: {name}2", host=host.name)
        weak = values.weakness(password, (name or "",)) if password and host.prod else ""
        allowed = f"at least {values.SHORTEST_PASSWORD} characters, at most {LONGEST_PASSWORD} bytes"
        example = "password: '{{ vault_ops_password }}'"
        if password and len(password.encode()) > LONGEST_PASSWORD:
            report.add((*here, "password"), "is too long", value=password, allowed=allowed, example=example, host=host.name)
        elif weak:
            report.add((*here, "password"), f"{weak}, and stack_environment is prod", value=password, allowed=allowed, example=example, host=host.name)


def figures(where: Path, process: Given | None, route: Given, host: Host, report: Report) -> None:
    if route["max_body"]:
        memory_size((*where, "max_body"), route["max_body"], "1", host.name, report)
    timeout, limit = route["timeout"], route["rate_limit"] or {}
    if timeout is not None and not 0 <= timeout <= LONGEST_TIMEOUT:
        allowed = f"0 to {LONGEST_TIMEOUT} seconds"
        report.add((*where, "timeout"), "is out of range", value=timeout, allowed=allowed, example="timeout: 60", host=host.name)
    if limit.get("requests") and limit.get("seconds") and host.values.get("stack_proxy") == "nginx" and limit["requests"] * 60 % limit["seconds"]:
        says, value = "is no whole number of requests in a minute, as nginx counts", limit["requests"]
        report.add((*where, "rate_limit"), says, value=value, allowed="another relation", example="rate_limit: {requests: 10, seconds: 60}", host=host.name)
    for key, least in (("requests", 1), ("seconds", 1), ("burst", 0)):
        number = limit.get(key)
        if number is not None and number < least:
            allowed, example = f"{least} or more", f"{key}: 10"
            report.add((*where, "rate_limit", key), "is out of range", value=number, allowed=allowed, example=example, host=host.name)


def headers(where: Path, process: Given | None, route: Given, host: Host, report: Report) -> None:
    for name, text in (route["security"] or {}).items():
        if text and not HEADER.match(text):
            example, allowed = f"{name}: {_routes.SECURITY[name]}", "letters, digits and signs, without quotes and braces"
            report.add((*where, "security", name), "is not a plain value of a header", value=text, allowed=allowed, example=example, host=host.name)


def sticky(where: Path, process: Given | None, route: Given, host: Host, report: Report) -> None:
    if process and route["sticky"] and (process["replicas"] or 1) > 1:
        report.add(
            (*where, "sticky"),
            f"keeps a visitor on a host, and {process['name']} has {process['replicas']} replicas on each, over which the switch spreads requests",
            value=True,
            allowed="one replica on each host, or sessions that all replicas share",
            example="replicas: 1",
            host=host.name,
        )


def spread(stack: Stack, where: Path, process: Given, route: Given, host: Host, report: Report) -> None:
    """Whether the proxy sees which of several application hosts is gone."""
    several = len(stack.groups.get("app", ())) > 1 and not process["singleton"]
    if several and host.values.get("stack_proxy") == "traefik" and not (process["health"] or {}).get("path"):
        report.add(
            where,
            f"leads to hosts of which one may be gone: traefik sees that by a health path alone, and {process['name']} has none",
            value=f"{route['host']}{route['path'] or '/'}",
            allowed="a process with health.path, one application host, or stack_proxy: caddy or nginx",
            example="health: {path: /health}",
            host=host.name,
        )


def target(stack: Stack, where: Path, route: Given, host: Host, report: Report) -> None:
    """What a route of stack_routes leads to."""
    kind = _routes.target_of(route)
    if not kind:
        given = [name for name in _routes.TARGETS if route[name]]
        says = f"leads to several things: {', '.join(given)}" if given else "leads to nothing"
        report.add(where, says, value=route["host"], allowed=f"one of {', '.join(_routes.TARGETS)}", example="redirect: https://mycompany.net", host=host.name)
        return
    if kind == "service":
        _service(stack, where, route, host, report)
    elif kind == "static":
        _static(where, route["static"], host, report)
    else:
        _url((*where, kind), route[kind], kind, host, report)


def _service(stack: Stack, where: Path, route: Given, host: Host, report: Report) -> None:
    name = route["service"]
    groups = _wiring.S3_SERVICES if name == "s3" else (name,)
    if not any(stack.groups.get(group) for group in groups):
        says, example = f"no host of the stack has {name}", f"a host in the group {groups[0]}"
        report.add((*where, "service"), says, value=name, allowed="a service of the stack", example=example, host=host.name)
    if name != "s3" and not route["allow"] and not route["basic_auth"]:
        says, allowed = f"shows the console of {name} to everybody", "a route with allow or basic_auth"
        report.add(where, says, value=name, allowed=allowed, example="allow: [203.0.113.7]", host=host.name)
    if name == "s3" and route["basic_auth"]:
        says = "stands where the signature of an S3 client has to be, the header Authorization"
        report.add((*where, "basic_auth"), says, value=route["host"], allowed="allow, or none", example="allow: [203.0.113.7]", host=host.name)
    if name != "s3" and route["path"] not in (None, "/"):
        says = f"the console of {name} is at the root of a host name"
        report.add((*where, "path"), says, value=route["path"], allowed="/", example=f"host: {name}.mycompany.net", host=host.name)


def _static(where: Path, static: Given, host: Host, report: Report) -> None:
    here, folder = (*where, "static"), static["folder"]
    if folder and (not FOLDER.match(folder) or posixpath.normpath(folder) != (folder.rstrip("/") or "/")):
        report.add((*here, "folder"), "is not an absolute path", value=folder, allowed="a folder", example="folder: /srv/site", host=host.name)
    elif folder and (kept := _kept(folder, host)):
        says = f"would show what the stack keeps in {kept}"
        allowed = "a folder that is not in it and does not have it in itself; in stack_data_root that of an application"
        report.add((*here, "folder"), says, value=folder, allowed=allowed, example="folder: /srv/site", host=host.name)
    for key, text, shape in [("fallback", static["fallback"], URL_PATH), *(("immutable", text, PATTERN) for text in static["immutable"])]:
        if text and not shape.match(text):
            example = "fallback: /index.html" if key == "fallback" else "immutable: ['/assets/*']"
            report.add((*here, key), "is not a plain path", value=text, allowed="a path that starts with /", example=example, host=host.name)
    if static["max_age"] is not None and not 0 <= static["max_age"] <= 31536000:
        allowed = "0 to 31536000 seconds"
        report.add((*here, "max_age"), "is out of range", value=static["max_age"], allowed=allowed, example="max_age: 3600", host=host.name)


def _kept(folder: str, host: Host) -> str:
    """The root of the stack of which the folder shows what nobody may see, or nothing."""
    for name, inside in KEPT.items():
        root = host.values.get(name)
        if root and any(values.overlap(folder, posixpath.join(root, one)) for one in inside):
            return f"{name} ({root})"
    return ""


def _url(where: Path, url: str, kind: str, host: Host, report: Report) -> None:
    parts, example = values.url_parts(url), f"{kind}: https://mycompany.net"
    rest = urlsplit(url) if parts else None
    plain = rest is not None and not rest.username and not rest.fragment and URL_PATH.match(rest.path or "/")
    known = parts is not None and (values.is_ip(parts[1]) or values.is_dns_name(parts[1]))
    if parts is None or rest is None or parts[0] not in ("http", "https") or not known or not plain or any(sign.isspace() for sign in url):
        report.add(where, "is not a plain URL", value=url, allowed="http:// or https://, a host, perhaps a port", example=example, host=host.name)
    elif kind == "upstream" and (rest.path not in ("", "/") or rest.query):
        report.add(where, "has a path", value=url, allowed="a URL without a path", example="upstream: http://10.20.0.40:8080", host=host.name)
    elif rest.query:
        report.add(where, "has a query", value=url, allowed="a URL without a query", example=example, host=host.name)


def capable(where: Path, process: Given | None, route: Given, host: Host, report: Report) -> None:
    """A route that its proxy cannot serve as it is written is refused, never served in another way."""
    proxy, kind = host.values.get("stack_proxy") or "caddy", "app" if process else _routes.target_of(route)
    options = _routes.used(route)
    name = f"{route['host']}{route['path'] or '/'}"
    for option, reason in _routes.refusals(proxy, [kind, *options]).items():
        others = [other for other in _routes.PROXIES if not _routes.refusals(other, [option])]
        report.add(
            (*where, option) if option != "app" else where,
            f"{proxy} cannot serve the option {option} of the route {name}: {reason}",
            value=route.get(option, name),
            allowed=f"without it{', or stack_proxy: ' + ' or '.join(others) if others else ''}",
            example=f"{option} left out",
            host=host.name,
        )
    for option in sorted(set(options) & set(_routes.IDLE.get(kind, ()))):
        says = f"means nothing for the route {name}, which leads to {kind}"
        report.add((*where, option), says, value=route[option], allowed="without it", example=f"{option} left out", host=host.name)


# -- of the whole edge -------------------------------------------------------------------------------------------------------


def edge(stack: Stack, host: Host, report: Report) -> None:
    for index, text in enumerate(host.values.get("stack_trusted_proxies") or []):
        _network(("stack_trusted_proxies", index), text, "stack_trusted_proxies: [10.20.0.5]", host, report)
    for line in (host.values.get("caddy_config") or "").splitlines():
        word = next(iter(line.split()), "")
        if word in CADDY_OWNED:
            says = f"has the option {word}, which has variables of its own: {CADDY_OWNED[word]}"
            report.add("caddy_config", says, value=line.strip(), allowed="other global options", example=CADDY_OWNED[word], host=host.name)
    if "proxy" in host.groups and host.values.get("stack_tls") and host.values.get("stack_proxy"):
        option = f"stack_tls: {host.values['stack_tls']}"
        for reason in _routes.refusals(host.values["stack_proxy"], [option]).values():
            others = [mode for mode in ("internal", "acme", "files", "off") if not _routes.refusals(host.values["stack_proxy"], [f"stack_tls: {mode}"])]
            says, value = f"{host.values['stack_proxy']} has it not: {reason}", host.values["stack_tls"]
            report.add("stack_tls", says, value=value, allowed=", ".join(others), example=f"stack_tls: {others[0]}", host=host.name)


def certificates(stack: Stack, found: list[tuple[Path, Given | None, Given]], host: Host, report: Report) -> None:
    """With `files`: each certificate fits its key and chain and is in force, and each host name has one."""
    files = host.values.get("stack_tls_files") or []
    example = "stack_tls_files: [{certificate: files/shop.pem, key: files/shop.key}]"
    if host.values.get("stack_tls") != "files":
        return
    if not files:
        report.add("stack_tls_files", "is required by stack_tls: files", allowed="certificates and keys", example=example, host=host.name)
    names: list[str] = []
    sound = True
    for index, entry in enumerate(files):
        if not (entry["certificate"] and entry["key"]):
            sound = False
            continue
        certificate = stack.files.certificate(entry["certificate"], entry["key"])
        names += certificate.names
        for problem in certificate.problems:
            sound = False
            where = ("stack_tls_files", index)
            report.add(where, problem, value=entry["certificate"], allowed="a certificate in force with its chain and key", example=example, host=host.name)
    for where, _process, route in found if files and sound else []:
        if route["host"] and not any(_routes.covers(name, route["host"]) for name in names):
            says, allowed = "no certificate of stack_tls_files is for it", ", ".join(dict.fromkeys(names))
            report.add((*where, "host"), says, value=route["host"], allowed=allowed, example=example, host=host.name)


def _network(path: Path, text: str, example: str, host: Host, report: Report) -> None:
    if _firewall.network(text) is None:
        report.add(path, "is not a network", value=text, allowed="addresses and networks, without bits beyond the mask", example=example, host=host.name)
