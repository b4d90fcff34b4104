# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Traefik as an edge, and of the Caddy beside it that has what Traefik cannot give by itself: files, pages and redirects. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import pages
from ansible_collections.longshore.stack.plugins.module_utils._routes import HEADERS, Edge, Route

FOLDER = "/etc/edge"
# Where the script `follow.sh` puts together what Traefik watches.
WATCHED = "/edge"
# Ports of the Caddy beside it: sites, what is asked over plain HTTP, pages of maintenance.
SITES, PLAIN, CLOSED = 8080, 8081, 8082
# Mozilla's intermediate profile; the ciphers of TLS 1.3 are Go's own choice.
CIPHERS = [
    f"TLS_ECDHE_{key}_WITH_{cipher}" for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256") for key in ("ECDSA", "RSA")
]
# An upload may take so long, and so may a client that never ends its headers: Traefik has one limit for both.
LONGEST_REQUEST = "10m"
# Behind everything that it says of a route: an application under maintenance comes first.
FIRST = 1_000_000
# Answers 404 to everybody: no client has that address. The Caddy beside it would not, for there nothing guards the files.
NOBODY = {"ipAllowList": {"sourceRange": ["255.255.255.255/32"], "rejectStatusCode": 404}}

Data = dict[str, Any]


def files(edge: Edge, certificates: Sequence[str] = ()) -> dict[str, str]:
    """The texts by path. JSON is YAML, too, and nothing in it means anything but itself. certificates: the given ones, which are read with the routes."""
    found = {"config/traefik/traefik.yml": _text(_static(edge)), "config/traefik/dynamic/edge.yml": _marked(_dynamic(edge), certificates)}
    for app in sorted({route.app for route in edge.routes if route.app}):
        found[f"config/traefik/maintenance/{app}.yml"] = _text(_closed(edge, app))
    return {**found, "config/pages/Caddyfile": pages(edge, SITES, PLAIN, CLOSED)}


def _text(data: Data) -> str:
    return "# Written by longshore.stack from the inventory. Change it there: stack_apps, stack_routes.\n" + json.dumps(data, indent=1) + "\n"


def _marked(data: Data, certificates: Sequence[str]) -> str:
    """With a name that is another one for each content, by which a reload is seen to have come."""
    mark = f"edge-{hashlib.sha256(json.dumps([data, *certificates]).encode()).hexdigest()[:16]}"
    data["http"]["middlewares"][mark] = {"headers": {"customResponseHeaders": {"X-Edge": ""}}}
    return _text(data)


# -- static ------------------------------------------------------------------------------------------------------------------


def _static(edge: Edge) -> Data:
    points = {"web": edge.http_port, **({"websecure": edge.https_port} if edge.tls != "off" else {})}
    found: Data = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "format": "json"},
        "entryPoints": {name: _entry(edge, port) for name, port in points.items()},
        "providers": {"providersThrottleDuration": "100ms", "file": {"directory": WATCHED, "watch": True}},
        # Of these the container alone can ask.
        "api": {"insecure": True, "dashboard": False},
        "ping": {},
    }
    found["entryPoints"]["traefik"] = {"address": "127.0.0.1:8404"}
    return {**found, **({"accessLog": {"format": "json"}} if edge.access_log else {})}


def _entry(edge: Edge, port: int) -> Data:
    trusted = {"forwardedHeaders": {"trustedIPs": list(edge.trusted_proxies)}} if edge.trusted_proxies else {}
    times = {"readTimeout": LONGEST_REQUEST, "idleTimeout": "300s"}
    # A header that a process may take for another one, such as X_Forwarded_For, does not come in.
    names = {"http": {"aliasHeadersStrategy": "delete"}}
    return {"address": f":{port}", **trusted, **names, "transport": {"respondingTimeouts": times, "lifeCycle": {"graceTimeOut": "30s"}}}


# -- dynamic -----------------------------------------------------------------------------------------------------------------


def _dynamic(edge: Edge) -> Data:
    secure = edge.tls != "off"
    routers: Data = {}
    middlewares: Data = {"nobody": NOBODY}
    services: Data = {"pages": _pages(SITES)}
    transports: Data = {"once": {"maxIdleConnsPerHost": -1}}
    for number, route in _numbered(edge):
        name = f"route-{number}"
        given = _middlewares(edge, route, name)
        middlewares |= given
        routers[name] = _router(edge, route, number, list(given), "pages" if route.static or route.redirect else name)
        if route.upstreams:
            services[name] = _service(route, name, secure)
            transports[name] = _transport(route)
        if route.upstreams and route.kind != "app":
            # It would be a tunnel past the guards of other routes. The switch of an application lets none through.
            other = _router(edge, route, number, ["nobody"], "pages", FIRST)
            routers[f"other-{number}"] = {**other, "rule": f"{other['rule']} && HeaderRegexp(`Upgrade`, `(?i)h2c`)"}
    for number, (host, routes) in enumerate(edge.sites.items(), 1):
        if len(routes) > 1 and any(route.allow or route.logins for route in routes):
            # What is behind may read an encoded slash as one; Traefik, which looks for guards, does not.
            hidden = _router(edge, replace(routes[-1], path="/"), number, ["nobody"], "pages", FIRST)
            routers[f"hidden-{number}"] = {**hidden, "rule": f"Host(`{host}`) && PathRegexp(`(?i)%2f`)"}
    found: Data = {"http": {"routers": routers, "middlewares": middlewares, "services": services, "serversTransports": transports}}
    if secure:
        services["plain"] = _pages(PLAIN)
        for number, host in enumerate(edge.sites, 1):
            routers[f"plain-{number}"] = {"entryPoints": ["web"], "rule": f"Host(`{host}`)", "service": "plain"}
        found["tls"] = _tls(edge)
    return found


def _numbered(edge: Edge) -> Iterator[tuple[int, Route]]:
    yield from enumerate((route for routes in edge.sites.values() for route in routes), 1)


def _rule(route: Route) -> str:
    path = "" if route.path == "/" else f" && (Path(`{route.path}`) || PathPrefix(`{route.path}/`))"
    if path and not route.upstreams:
        # As the Caddy beside it matches, which takes no notice of case: what it would serve has its guards here.
        path = f" && PathRegexp(`(?i)^{re.escape(route.path)}(/|$)`)"
    return f"Host(`{route.host}`){path}"


def _router(edge: Edge, route: Route, number: int, middlewares: list[str], service: str, first: int = 0) -> Data:
    secure = edge.tls != "off"
    found: Data = {"entryPoints": ["websecure" if secure else "web"], "rule": _rule(route), "priority": first + 10 + len(route.path), "service": service}
    found |= {"middlewares": middlewares} if middlewares else {}
    return {**found, **({"tls": {"options": f"site-{list(edge.sites).index(route.host) + 1}"}} if secure else {})}


def _middlewares(edge: Edge, route: Route, name: str) -> Data:
    """In the order in which they look at a request."""
    found: Data = {}
    headers = {HEADERS[key]: text for key, text in route.security.items() if text and (key != "hsts" or edge.tls != "off")}
    # The edge does not say what is behind it.
    # Behind a load balancer it would tell that one's address, or what that one has let through.
    unknown = dict.fromkeys(["Forwarded", *(["X-Real-Ip"] if edge.trusted_proxies else [])], "")
    found[f"{name}-headers"] = {"headers": {"customRequestHeaders": unknown, "customResponseHeaders": {"Server": "", **headers}}}
    if route.allow:
        strategy = {"ipStrategy": {"excludedIPs": list(edge.trusted_proxies)}} if edge.trusted_proxies else {}
        found[f"{name}-allow"] = {"ipAllowList": {"sourceRange": list(route.allow), **strategy}}
    if route.logins:
        users = [f"{login.user}:{login.hashed}" for login in route.logins]
        found[f"{name}-login"] = {"basicAuth": {"users": users, "realm": "Restricted"}}
    if limit := route.rate_limit:
        source = {"sourceCriterion": {"ipStrategy": {"excludedIPs": list(edge.trusted_proxies)}}} if edge.trusted_proxies else {}
        figures = {"average": limit.requests, "period": f"{limit.seconds}s", "burst": limit.requests + limit.burst}
        found[f"{name}-limit"] = {"rateLimit": {**figures, **source}}
    if route.compress and not route.static:
        # In another encoding it packs also a part of an answer (206), which nobody could put together.
        found[f"{name}-compress"] = {"compress": {"encodings": ["gzip"], "excludedContentTypes": ["text/event-stream"]}}
    if route.upstreams:
        # Traefik tries again only what it has not begun to send: a switch that restarts, or a host that is gone.
        found[f"{name}-retry"] = {"retry": {"attempts": 300 if route.kind == "app" else 30, "initialInterval": "100ms"}}
    return found


def _service(route: Route, name: str, secure: bool) -> Data:
    scheme = "https" if route.secure else "http"
    balancer: Data = {"servers": [{"url": f"{scheme}://{address}"} for address in route.upstreams], "passHostHeader": True, "serversTransport": name}
    if len(route.upstreams) > 1:
        if route.health:
            balancer["healthCheck"] = {"path": route.health, "interval": "2s", "timeout": "3s", "hostname": route.host}
        if route.sticky:
            balancer["sticky"] = {"cookie": {"name": "stack_host", "httpOnly": True, "secure": secure, "path": "/"}}
    return {"loadBalancer": balancer}


def _transport(route: Route) -> Data:
    times = {"dialTimeout": "2s", "idleConnTimeout": "5s", **({"responseHeaderTimeout": f"{route.timeout}s"} if route.timeout else {})}
    name = {"serverName": urlsplit(f"//{route.upstreams[0]}").hostname} if route.secure else {}
    return {"forwardingTimeouts": times, "maxIdleConnsPerHost": 64, **name}


def _pages(port: int) -> Data:
    return {"loadBalancer": {"servers": [{"url": f"http://traefik-pages:{port}"}], "passHostHeader": True, "serversTransport": "once@file"}}


def _tls(edge: Edge) -> Data:
    options = {"minVersion": "VersionTLS12", "cipherSuites": CIPHERS, "sniStrict": True}
    # One for each host name: Traefik refuses a request for a name that has others than the one of its connection (421).
    found: Data = {"options": dict.fromkeys(("default", *(f"site-{number}" for number in range(1, len(edge.sites) + 1))), options)}
    if edge.tls == "files":
        places = [{"certFile": f"{FOLDER}/certificates/{number}.pem", "keyFile": f"/run/secrets/tls_{number}"} for number in range(len(edge.certificates))]
        found["certificates"] = places
    return found


def _closed(edge: Edge, app: str) -> Data:
    """What is there for as long as the application's page is."""
    team = "".join(f" && !ClientIP(`{net}`)" for net in edge.maintenance_allow)
    routers: Data = {}
    for number, route in _numbered(edge):
        if route.app == app:
            found = _router(edge, route, number, [f"closed-{app}"], f"closed-{app}", FIRST)
            routers[f"closed-{number}"] = {**found, "rule": found["rule"] + team}
    http = {"routers": routers, "middlewares": {f"closed-{app}": {"replacePath": {"path": f"/{app}.html"}}}, "services": {f"closed-{app}": _pages(CLOSED)}}
    return {"http": http}
