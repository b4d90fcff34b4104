# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vocabulary of the edge: what a host name and a path lead to, and on which conditions; the same for every proxy. Pure.

The inventory is read into it here, and a proxy's configuration is written from it alone (`_edge_<proxy>.py`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

PROXIES = ("caddy", "traefik", "nginx")
# What a route of `stack_routes` may lead to; a route of a process leads to the process.
TARGETS = ("service", "static", "redirect", "upstream")
# Services with something for browsers or clients outside of the stack: the console of one, the endpoint of S3.
ROUTED_SERVICES = ("rabbitmq", "minio", "s3")
# Options of a route, with a word about each; then what belongs to the whole edge.
OPTIONS = {
    "app": "route to a process of an application",
    "service": "route to the console of a service, or to S3",
    "static": "static files, with a fallback for single-page applications and cache headers",
    "redirect": "redirect to another address",
    "upstream": "route to any URL",
    "allow": "only from these networks",
    "basic_auth": "only with user and password",
    "max_body": "largest request body",
    "timeout": "longest wait for the beginning of an answer",
    "compress": "compressed answers",
    "sticky": "a visitor stays on one application host",
    "rate_limit": "so many requests of one client in a time",
    "request_id": "an id in a header of request and answer",
    "security": "HSTS, nosniff, frame and referrer headers, where the application gives none",
}
EDGE_OPTIONS = {
    "stack_tls: internal": "an own certificate authority",
    "stack_tls: acme": "certificates from an ACME authority",
    "stack_acme_challenge: dns": "names proven in the DNS, so that nobody has to reach the hosts",
    "stack_tls: files": "given certificates",
    "stack_tls: off": "HTTP only, behind a load balancer",
    "stack_trusted_proxies": "the client's address from a proxy before the edge",
    "stack_access_log": "access log in JSON",
    "slow clients": "a client that does not come to the end of its headers within 15 seconds is sent away",
    "HTTP/3": "HTTP/3 (`caddy_http3`)",
}
# What a proxy has not got: (proxy, option) and why. All else of both tables it has.
REFUSED: dict[tuple[str, str], str] = {
    ("caddy", "rate_limit"): "its standard build has no rate limit",
    ("traefik", "max_body"): "it would hold every request and answer back until it is whole",
    ("traefik", "request_id"): "it makes none",
    ("traefik", "HTTP/3"): "not yet",
    ("nginx", "HTTP/3"): "not yet",
}
# What is to be known of what a proxy has.
REMARKS: dict[tuple[str, str], str] = {
    ("traefik", "app"): "where there are several application hosts for a process with a health path",
    ("traefik", "service"): "except objects of S3 with `//`, `/./` or `/../` in their name",
    ("traefik", "compress"): "and unpacks what comes packed for a client that did not ask for it",
    ("traefik", "security"): "in place of what the application gives",
    ("traefik", "stack_trusted_proxies"): "in `X-Forwarded-For`; who comes past them has no address: `allow` keeps him out, all share a limit",
    ("traefik", "slow clients"): "after ten minutes, which is also the longest that an upload may take",
}
# Options that mean nothing for what a route leads to.
IDLE = {
    "redirect": ("max_body", "timeout", "sticky"),
    "static": ("max_body", "timeout", "sticky"),
    "service": ("sticky",),
    "upstream": ("sticky",),
}
SECURITY = {"hsts": "max-age=31536000", "nosniff": "nosniff", "frame": "SAMEORIGIN", "referrer": "strict-origin-when-cross-origin"}
HEADERS = {"hsts": "Strict-Transport-Security", "nosniff": "X-Content-Type-Options", "frame": "X-Frame-Options", "referrer": "Referrer-Policy"}
# What a process may believe of its client besides the headers that the edge sets itself; from no client it comes in.
CLAIMS = ("Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix")
# Let's Encrypt's; https://letsencrypt.org/docs/acme-protocol-updates and /staging-environment
DIRECTORIES = {"production": "https://acme-v02.api.letsencrypt.org/directory", "staging": "https://acme-staging-v02.api.letsencrypt.org/directory"}
# Proxies that speak ACME, but not with a provider of DNS; for the others, and with one, lego does.
ASK_THEMSELVES = ("caddy",)
# What each of them says of a name for which it got no certificate, with the reason in the first group.
CERTIFICATE_LOGS = {"lego": r"certificate of {name}: (.*)", "caddy": r'"level":"error"[^\n]*"identifiers?":\[?"{name}"[^\n]*?"error":"((?:[^"\\]|\\.)*)"'}
CHALLENGES = "/.well-known/acme-challenge"
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Login:
    user: str
    hashed: str  # bcrypt


@dataclass(frozen=True)
class RateLimit:
    requests: int
    seconds: int = 1
    burst: int = 0


@dataclass(frozen=True)
class Static:
    """folder: on the proxy's host. fallback: the page for a path without a file. max_age: seconds. immutable: paths whose files never change."""

    folder: str
    fallback: str = ""
    max_age: int = 0
    immutable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """kind: app or one of TARGETS. app: whose maintenance page stands in for it. upstreams: `host:port`, spoken to over TLS where `secure`."""

    host: str
    path: str = "/"
    kind: str = "app"
    app: str = ""
    upstreams: tuple[str, ...] = ()
    secure: bool = False
    health: str = ""
    static: Static | None = None
    redirect: str = ""
    redirect_code: int = 308
    allow: tuple[str, ...] = ()
    logins: tuple[Login, ...] = ()
    max_body: int = 0
    timeout: int = 0
    compress: bool = True
    sticky: bool = False
    rate_limit: RateLimit | None = None
    request_id: bool = False
    security: Mapping[str, str] = field(default_factory=lambda: dict(SECURITY))

    @property
    def keeps_path(self) -> bool:
        """Whether a redirect goes on to the same path there: its target has none."""
        return urlsplit(self.redirect).path == ""


@dataclass(frozen=True)
class Acme:
    """Where certificates are had, and how. url: of the directory. account: name of the key of an account there (EAB). peers: the other proxies, `address:port`.

    dns: the provider, as lego calls it, with `challenge` dns.
    """

    url: str = ""
    email: str = ""
    challenge: str = "auto"
    account: str = ""
    dns: str = ""
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """All that a proxy's configuration says. certificates: by position, the names that each of `stack_tls_files` is for."""

    routes: tuple[Route, ...]
    tls: str = "internal"
    http_port: int = 80
    https_port: int = 443
    acme: Acme = Acme()
    certificates: tuple[tuple[str, ...], ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    access_log: bool = True
    maintenance_allow: tuple[str, ...] = ()
    maintenance_seconds: int = 300
    http3: bool = False
    ipv6: bool = False

    @property
    def sites(self) -> dict[str, list[Route]]:
        """The routes of each host name, the most specific path first."""
        found: dict[str, list[Route]] = {}
        for route in sorted(self.routes, key=lambda route: _wiring.most_specific({"host": route.host, "path": route.path})):
            found.setdefault(route.host, []).append(route)
        return found

    def certificate_of(self, host: str) -> int | None:
        """Position of the certificate for a host name."""
        return next((number for number, names in enumerate(self.certificates) if any(covers(name, host) for name in names)), None)


# -- from the inventory ------------------------------------------------------------------------------------------------------


def edge(view: View, hashed: Callable[[str, str], str], certificates: Sequence[Sequence[str]] = ()) -> Edge:
    """The edge as this proxy host runs it. hashed: password and what it is for, to its bcrypt hash."""
    return Edge(
        routes=routes(view, hashed),
        tls=view.own("stack_tls", "internal"),
        http_port=int(view.own("stack_http_port", 80)),
        https_port=int(view.own("stack_https_port", 443)),
        acme=acme(view),
        certificates=tuple(tuple(names) for names in certificates),
        trusted_proxies=tuple(view.own("stack_trusted_proxies") or ()),
        access_log=bool(view.own("stack_access_log", True)),
        maintenance_allow=tuple(view.own("stack_maintenance_allow") or ()),
        maintenance_seconds=int(view.own("stack_maintenance_seconds", 300)),
        http3=_wiring.http3(view),
        ipv6=bool(view.own("stack_edge_ipv6", False)),
    )


def acme(view: View) -> Acme:
    """What this proxy host is told about the authority."""
    port, given = int(view.own("stack_http_port", 80)), view.own("stack_acme_directory", "") or "production"
    return Acme(
        url=DIRECTORIES.get(given, given),
        email=view.own("stack_acme_email", "") or "",
        challenge=view.own("stack_acme_challenge", "") or "auto",
        account=(view.own("stack_acme_eab") or {}).get("id") or "",
        dns=(view.own("stack_acme_dns") or {}).get("provider") or "",
        peers=tuple(_wiring.joined(view.address(host), port) for host in view.hosts("proxy") if host != view.host),
    )


def routes(view: View, hashed: Callable[[str, str], str]) -> tuple[Route, ...]:
    """Every route: those of the processes, and those of `stack_routes`."""
    found = []
    for app, process, given in _wiring.app_routes(view):
        health = (process.get("health") or {}).get("path") or ""
        upstreams = tuple(_wiring.upstreams(view, app, process))
        found.append(Route(kind="app", app=app["name"], upstreams=upstreams, health=health, **_options(given, hashed)))
    for given in view.own("stack_routes") or []:
        found.append(Route(**_target(view, given), **_options(given, hashed)))
    return tuple(found)


def _target(view: View, given: Mapping[str, Any]) -> dict[str, Any]:
    kind = target_of(given)
    if kind == "service":
        return {"kind": kind, "upstreams": (_service(view, given["service"]),)}
    if kind == "upstream":
        scheme, address = upstream_of(given["upstream"])
        return {"kind": kind, "upstreams": (address,), "secure": scheme == "https"}
    if kind == "static":
        files = given["static"]
        immutable = tuple(files.get("immutable") or ())
        return {"kind": kind, "static": Static(files["folder"].rstrip("/"), files.get("fallback") or "", int(files.get("max_age") or 0), immutable)}
    return {"kind": kind, "redirect": given["redirect"], "redirect_code": int(given.get("redirect_code") or 308)}


def _options(given: Mapping[str, Any], hashed: Callable[[str, str], str]) -> dict[str, Any]:
    limit, host, path = given.get("rate_limit") or {}, given["host"].lower(), path_of(given)
    return {
        "host": host,
        "path": path,
        "allow": tuple(given.get("allow") or ()),
        "logins": tuple(Login(one["user"], hashed(one["password"], f"{host}{path} {one['user']}")) for one in given.get("basic_auth") or []),
        "max_body": _wiring.size(given["max_body"]) if given.get("max_body") else 0,
        "timeout": int(given.get("timeout") or 0),
        "compress": bool(given.get("compress", True)),
        "sticky": bool(given.get("sticky", False)),
        "rate_limit": RateLimit(int(limit["requests"]), int(limit.get("seconds") or 1), int(limit.get("burst") or 0)) if limit else None,
        "request_id": bool(given.get("request_id", False)),
        "security": {**SECURITY, **{name: text for name, text in (given.get("security") or {}).items() if text is not None}},
    }


def path_of(given: Mapping[str, Any]) -> str:
    """The path of a route without a slash at its end."""
    return (given.get("path") or "/").rstrip("/") or "/"


def target_of(given: Mapping[str, Any]) -> str:
    """What a route of `stack_routes` leads to; empty where it says nothing or several things."""
    targets = [name for name in TARGETS if given.get(name)]
    return targets[0] if len(targets) == 1 else ""


def upstream_of(url: str) -> tuple[str, str]:
    """Scheme and `host:port` of a plain upstream."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return parts.scheme, f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _service(view: View, name: str) -> str:
    """Where this host reaches the console of a service, or S3."""
    if name == "s3":
        where = _wiring.endpoint(view, "s3")
        return _wiring.joined(where["host"], where["port"])
    console, hosts = _wiring.SERVICES[name]["console"], view.hosts(name)
    if not hosts:
        raise _wiring.WiringError(f"nothing has the console of {name}: put a host into the group {name}")
    return _wiring.joined(name if view.host in hosts else view.address(hosts[0]), console)


def ports(view: View) -> list[str]:
    """What the proxy's container publishes. Without IPv6 in its network the engine would carry who comes over IPv6 to it in its own name: past `allow`."""
    at = "" if view.own("stack_edge_ipv6", False) else "0.0.0.0:"
    http, https = int(view.own("stack_http_port", 80)), int(view.own("stack_https_port", 443))
    secure = [f"{at}{https}:{https}"] if view.own("stack_tls", "internal") != "off" else []
    return [f"{at}{http}:{http}", *secure, *(f"{port}/udp" for port in secure if _wiring.http3(view))]


def lego_asks(view: View) -> bool:
    """Whether lego gets the certificates of this proxy host."""
    return view.own("stack_tls") == "acme" and (view.own("stack_proxy", "caddy") not in ASK_THEMSELVES or view.own("stack_acme_challenge") == "dns")


def dns_credentials(view: View) -> dict[str, str]:
    """By variable of lego, what it needs to write into the DNS."""
    given = view.own("stack_acme_dns") or {} if view.own("stack_acme_challenge") == "dns" else {}
    return {name: str(text) for name, text in (given.get("credentials") or {}).items()}


def lego_environment(view: View) -> dict[str, str]:
    """The environment of the script that runs lego; secrets are files."""
    told = acme(view)
    found = {"ACME_SERVER": told.url, "ACME_EMAIL": told.email}
    found |= {"ACME_EAB_ID": told.account} if told.account else {}
    found |= {"ACME_OPTIONS": view.own("lego_options")} if view.own("lego_options") else {}
    if told.challenge == "dns":
        found |= {"ACME_DNS": told.dns, **{f"{name}_FILE": f"/run/secrets/acme_{name}" for name in dns_credentials(view)}}
    return found


def names(view: View) -> list[str]:
    """The host names of the edge."""
    given = [route["host"] for _app, _process, route in _wiring.app_routes(view)] + [route["host"] for route in view.own("stack_routes") or []]
    return list(dict.fromkeys(name.lower() for name in given))


def certificate_probes(view: View, ca_path: str = "") -> list[dict[str, Any]]:
    """One look at the certificate of each host name, as health_probe takes it; run on a proxy host."""
    tls, proxy = view.own("stack_tls", "internal"), view.own("stack_proxy", "caddy")
    if tls == "off":
        return []
    client = "lego" if lego_asks(view) else proxy
    common: dict[str, Any] = {"kind": "tls", "port": int(view.own("stack_https_port", 443)), "resolve": "127.0.0.1", "ca_path": ca_path or None}
    # Those of an own authority live for hours.
    common["min_days"] = 0 if tls == "internal" else int(view.own("stack_tls_min_days", 0))
    found = []
    for name in names(view):
        probe = {"name": f"certificate of {name}", "host": name, **common}
        if tls == "acme":
            log = CERTIFICATE_LOGS[client].format(name=re.escape(name))
            probe |= {"log_container": f"{view.own('stack_name')}-{client}-{client}-1", "log_regex": log}
        found.append(probe)
    return found


def beside_services(view: View) -> bool:
    """Whether the proxy of this host leads to a service on the same host, over the network of the services."""
    wanted = {route.get("service") for route in view.own("stack_routes") or []} - {None, ""}
    return any(view.host in view.hosts(_wiring.concrete(view, name)) for name in wanted)


def static_folders(view: View) -> list[str]:
    """The folders of this host that the proxy serves files from."""
    return sorted({route["static"]["folder"].rstrip("/") for route in view.own("stack_routes") or [] if route.get("static")})


# -- what a proxy can --------------------------------------------------------------------------------------------------------


def used(given: Mapping[str, Any]) -> list[str]:
    """The options that a route of the inventory makes use of, without its target."""
    on = [name for name in ("allow", "basic_auth", "max_body", "timeout", "sticky", "rate_limit", "request_id") if given.get(name)]
    # What every route has unless it says otherwise is an option that is used only where it is said.
    return on + [name for name in ("compress",) if given.get(name, True)] + (["security"] if any(_security(given).values()) else [])


def _security(given: Mapping[str, Any]) -> dict[str, str]:
    return {**SECURITY, **{name: text for name, text in (given.get("security") or {}).items() if text is not None}}


def refusals(proxy: str, options: Sequence[str]) -> dict[str, str]:
    """Of the options, those that the proxy cannot serve, and why."""
    return {option: REFUSED[proxy, option] for option in options if (proxy, option) in REFUSED}


def table() -> str:
    """What each proxy can, as a table for the documentation."""
    lines = ["| option | what it is | " + " | ".join(PROXIES) + " |", "|---|---|" + "---|" * len(PROXIES)]
    for option, words in {**OPTIONS, **EDGE_OPTIONS}.items():
        lines.append(f"| `{option}` | {words} | " + " | ".join(_cell(proxy, option) for proxy in PROXIES) + " |")
    return "\n".join(lines)


def _cell(proxy: str, option: str) -> str:
    key = (proxy, option)
    return f"no: {REFUSED[key]}" if key in REFUSED else f"yes, {REMARKS[key]}" if key in REMARKS else "yes"


def covers(name: str, host: str) -> bool:
    """Whether a certificate for a name, which may begin with `*.`, is good for a host name."""
    name, host = name.lower(), host.lower()
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def inside(path: str) -> str:
    """Where a proxy's container has a folder of its host."""
    return posixpath.join("/srv/static", path.strip("/"))
