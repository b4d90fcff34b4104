# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Nginx as an edge: nginx.conf, and a file of users for each route that asks for a password. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from ansible_collections.longshore.stack.plugins.module_utils._routes import CHALLENGES, CLAIMS, HEADERS, Edge, RateLimit, Route, Static, inside

FOLDER = "/etc/edge"
# Where lego, or the stack's own authority, puts what it has.
LIVE, WATCHED = "/srv/certificates", ("acme", "internal")
NOBODY = "@edge_nobody"
MAINTENANCE = "/.longshore-maintenance"
# Mozilla's intermediate profile.
CIPHERS = ":".join(f"ECDHE-{key}-{cipher}" for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305") for key in ("ECDSA", "RSA"))
COMPRESSED = "text/plain text/css text/xml application/json application/javascript text/javascript application/xml application/wasm image/svg+xml"
LOG = {
    "time": "$time_iso8601",
    "client": "$remote_addr",
    "method": "$request_method",
    "host": "$host",
    "uri": "$request_uri",
    "protocol": "$server_protocol",
    "status": "$status",
    "bytes": "$body_bytes_sent",
    "seconds": "$request_time",
    "upstream": "$upstream_addr",
    "upstream_status": "$upstream_status",
    "agent": "$http_user_agent",
}


def files(edge: Edge, extra: str = "") -> dict[str, str]:
    """The texts by path. extra: lines of the user's for the block http."""
    found = {"config/nginx.conf": "\n".join(_main(edge, extra)) + "\n"}
    for route in edge.routes:
        if route.logins:
            found[f"config/{_users(route)}"] = "".join(f"{login.user}:{login.hashed}\n" for login in route.logins)
    return found


def _users(route: Route) -> str:
    """The file is read for each request, also by a configuration from before: no other route may ever have it."""
    return f"users/{hashlib.sha256(f'{route.host}{route.path}'.encode()).hexdigest()[:16]}"


def _numbered(edge: Edge) -> Iterator[tuple[int, Route]]:
    """Each route with its number, by which its upstream and limit are called."""
    yield from enumerate((route for routes in edge.sites.values() for route in routes), 1)


def _main(edge: Edge, extra: str) -> list[str]:
    return [
        "# Written by longshore.stack from the inventory. Change it there: stack_apps, stack_routes, nginx_config.",
        "worker_processes auto;",
        "pid /tmp/nginx.pid;",
        "error_log stderr warn;",
        "# What a WebSocket has after a change of routes.",
        "worker_shutdown_timeout 300s;",
        *_block("events", ["worker_connections 4096;"]),
        *_block("http", [*_http(edge), *extra.strip().splitlines(), *_servers(edge)]),
    ]


def _http(edge: Edge) -> list[str]:
    log = ", ".join(f'"{name}":"{value}"' for name, value in LOG.items())
    lines = [
        "include /etc/nginx/mime.types;",
        "default_type application/octet-stream;",
        *(f"{name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        f"log_format edge escape=json '{{{log}}}';",
        "access_log /dev/stdout edge;" if edge.access_log else "access_log off;",
        "server_tokens off;",
        "sendfile on;",
        "client_header_timeout 15s;",
        "large_client_header_buffers 8 32k;",
        "client_max_body_size 0;",
        # After a change of routes the old workers answer what comes on a kept connection, and say that it ends, before they close it.
        "keepalive_timeout 300s;",
        "keepalive_min_timeout 30s;",
        # By itself Nginx ends a connection after 1000 requests, which a client of HTTP/2 with requests under way may not expect.
        "keepalive_requests 1000000;",
        "# The engine's name server: a switch that comes back with another address is found again.",
        "resolver 127.0.0.11 valid=1s ipv6=off;",
        # Another protocol, such as h2c, would be a tunnel past the guards of other routes.
        *_block("map $http_upgrade $edge_upgrade", ['default "";', "~*^websocket$ websocket;"]),
        *_block("map $edge_upgrade $edge_connection", ["default upgrade;", '"" "";']),
        *_trust(edge),
        *_team(edge),
        *(_block("map $ssl_server_name $edge_when_asked", ['default "";']) if edge.tls in WATCHED else []),
        *(_block("map $http_edge_challenge $edge_asks_on", ['"" @edge_peer_0;', f"default {NOBODY};"]) if _asked(edge) and edge.acme.peers else []),
        *_proxied(),
        f"gzip_types {COMPRESSED};",
        "gzip_proxied any;",
        "gzip_vary on;",
    ]
    for name, values in _security(edge).items():
        for number, value in enumerate(values):
            given = f"$upstream_http_{HEADERS[name].lower().replace('-', '_')}"
            lines += _block(f"map {given} $edge_{name}_{number}", [f'"" {_q(value)};', 'default "";'])
    for number, route in _numbered(edge):
        lines += _upstream(number, route, edge.tls != "off") + _limit(number, route.rate_limit)
    return lines


def _proxied() -> list[str]:
    """What every process is told."""
    # By this host the route was chosen; the header may name another one than the line of the request.
    host = "$host$is_request_port$request_port"
    headers = {
        "Host": host,
        "Connection": "$edge_connection",
        "Upgrade": "$edge_upgrade",
        "HTTP2-Settings": '""',
        "X-Real-IP": "$remote_addr",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$edge_scheme",
        "X-Forwarded-Host": host,
        **dict.fromkeys(CLAIMS, '""'),
    }
    return ["proxy_http_version 1.1;", "proxy_max_temp_file_size 0;", "proxy_request_buffering off;", "proxy_connect_timeout 2s;"] + [
        f"proxy_set_header {name} {value};" for name, value in headers.items()
    ]


def _trust(edge: Edge) -> list[str]:
    trusted = [f"set_real_ip_from {net};" for net in edge.trusted_proxies]
    real = [*trusted, "real_ip_header X-Forwarded-For;", "real_ip_recursive on;"] if trusted else []
    before = _block("geo $realip_remote_addr $edge_before", ["default 0;", *(f"{net} 1;" for net in edge.trusted_proxies)])
    return [*real, *before, *_block('map "$edge_before$http_x_forwarded_proto" $edge_scheme', ["default $scheme;", "1http http;", "1https https;"])]


def _team(edge: Edge) -> list[str]:
    """Who sees a maintenance page."""
    return _block("geo $remote_addr $edge_visitor", ["default 1;", *(f'{net} "";' for net in edge.maintenance_allow)])


def _security(edge: Edge) -> dict[str, list[str]]:
    """By header, the different values that routes give it."""
    found: dict[str, list[str]] = {}
    for route in edge.routes:
        for name, value in route.security.items():
            known = found.setdefault(name, [])
            if value and value not in known and (name != "hsts" or edge.tls != "off"):
                known.append(value)
    return found


def _upstream(number: int, route: Route, secure: bool) -> list[str]:
    if not route.upstreams:
        return []
    several = len(route.upstreams) > 1
    fails = "max_fails=1 fail_timeout=5s" if several else "max_fails=0"
    servers = [f"server {address} {fails}{'' if _is_ip(address) else ' resolve'};" for address in route.upstreams]
    way = [f"sticky cookie stack_host path=/ httponly{' secure' if secure else ''};" if route.sticky else "least_conn;"] if several else []
    return _block(f"upstream edge_{number}", [f"zone edge_{number} 128k;", *way, *servers, "keepalive 32;", "keepalive_timeout 5s;"])


def _limit(number: int, limit: RateLimit | None) -> list[str]:
    if not limit:
        return []
    return [f"limit_req_zone $binary_remote_addr zone=edge_limit_{number}:10m rate={limit.requests * 60 // limit.seconds}r/m;"]


# -- servers -----------------------------------------------------------------------------------------------------------------


def _servers(edge: Edge) -> list[str]:
    secure, numbers = edge.tls != "off", {id(route): number for number, route in _numbered(edge)}
    lines = _block("server", ["listen 127.0.0.1:8404;", "access_log off;", "return 200;"])
    lines += _block("server", [*_listen(edge, edge.http_port, "default_server"), 'server_name "";', "return 404;"])
    if secure:
        lines += _block("server", [*_listen(edge, edge.https_port, "ssl default_server"), 'server_name "";', "ssl_reject_handshake on;", "return 421;"])
        lines += [
            "ssl_protocols TLSv1.2 TLSv1.3;",
            f"ssl_ciphers {CIPHERS};",
            "ssl_prefer_server_ciphers off;",
            "ssl_session_cache shared:edge:10m;",
            "ssl_session_timeout 1d;",
            "ssl_session_tickets off;",
        ]
    for host, routes in edge.sites.items():
        site = [*_page(edge), *(line for route in routes for line in _locations(edge, route, numbers[id(route)]))]
        if not any(route.path == "/" for route in routes):
            site += _block("location /", ["return 404;"])
        if not secure:
            lines += _block("server", [*_listen(edge, edge.http_port), f"server_name {host};", *site])
            continue
        port = "" if edge.https_port == 443 else f":{edge.https_port}"
        moved = f"return 308 https://{host}{port}$request_uri;"
        plain = [*_challenges(edge), *_block("location /", [moved])] if _asked(edge) else [moved]
        lines += _block("server", [*_listen(edge, edge.http_port), f"server_name {host};", *plain])
        certificate = _certificate(edge, host)
        # The name of the connection is that of the request, or the request is for somebody else.
        strict = _block(f"if ($ssl_server_name != {host})", ["return 421;"])
        lines += _block("server", [*_listen(edge, edge.https_port, "ssl"), "http2 on;", f"server_name {host};", *certificate, *strict, *site])
    return lines


def _listen(edge: Edge, port: int, *words: str) -> list[str]:
    """By itself a port is one of IPv4 alone."""
    return [f"{' '.join(['listen', at, *words])};" for at in (str(port), *([f"[::]:{port}"] if edge.ipv6 else []))]


def _certificate(edge: Edge, host: str) -> list[str]:
    if edge.tls in WATCHED:
        # A variable in its name has the file read for each handshake: one that comes later, or is renewed, needs no reload.
        return [f"ssl_certificate{kind} {LIVE}$edge_when_asked/{host}.pem;" for kind in ("", "_key")]
    number = edge.certificate_of(host)
    return [f"ssl_certificate {FOLDER}/certificates/{number}.pem;", f"ssl_certificate_key /run/secrets/tls_{number};"]


def _asked(edge: Edge) -> bool:
    """Whether an authority asks this proxy over HTTP."""
    return edge.tls == "acme" and edge.acme.challenge != "dns"


def _challenges(edge: Edge) -> list[str]:
    """What lego has not begun here, another proxy may have; each is asked, and none asks on."""
    peers = edge.acme.peers
    places = [f"@edge_peer_{number}" for number in range(len(peers))]
    first = "$edge_asks_on" if peers else "=404"
    lines = _block(f"location ^~ {CHALLENGES}/", ["root /srv/challenges;", "default_type text/plain;", f"try_files $uri {first};"])
    for number, peer in enumerate(peers):
        others = places[number + 1 :]
        missed = [f"error_page 301 302 308 400 403 404 500 502 503 504 = {others[0]};"] if others else []
        missed += ["proxy_intercept_errors on;", "recursive_error_pages on;"] if others else []
        asked = [f"proxy_pass http://{peer};", "proxy_set_header Host $host;", "proxy_set_header Edge-Challenge 1;", "proxy_connect_timeout 3s;"]
        lines += _block(f"location {places[number]}", [*asked, *missed])
    return lines + (_block(f"location {NOBODY}", ["return 404;"]) if peers else [])


def _page(edge: Edge) -> list[str]:
    given = [f"add_header Retry-After {edge.maintenance_seconds} always;", "add_header Cache-Control no-store always;"]
    return _block(f"location ^~ {MAINTENANCE}/", ["internal;", "alias /srv/maintenance/;", *given])


def _locations(edge: Edge, route: Route, number: int) -> list[str]:
    path = "" if route.path == "/" else re.escape(route.path)
    common = _common(edge, route, number)
    if route.redirect:
        target = route.redirect + ("$request_uri" if route.keeps_path else "")
        # `return` comes before any guard, and what is guarded must not be told.
        moved = _block(f"location @moved_{number}", [*_given(edge, route), f"return {route.redirect_code} {target};"])
        return [*_block(_place(path), [*common, f"try_files /.longshore-none @moved_{number};"]), *moved]
    return _files(route.static, path, common) if route.static else _block(_place(path), [*common, *_proxy(route, number)])


def _place(path: str) -> str:
    return f'location ~ "^{path}(?:/|$)"'


def _common(edge: Edge, route: Route, number: int) -> list[str]:
    lines = _given(edge, route)
    if route.app:
        lines += ['set $edge_closed "";', *_block(f"if (-f /srv/maintenance/{route.app}.html)", ["set $edge_closed $edge_visitor;"])]
        lines += [*_block("if ($edge_closed)", ["return 503;"]), f"error_page 503 {MAINTENANCE}/{route.app}.html;"]
    lines += [*(f"allow {net};" for net in route.allow), "deny all;"] if route.allow else []
    lines += ['auth_basic "Restricted";', f"auth_basic_user_file {FOLDER}/{_users(route)};"] if route.logins else []
    if route.rate_limit:
        burst = route.rate_limit.requests - 1 + route.rate_limit.burst
        lines += [f"limit_req zone=edge_limit_{number}{f' burst={burst} nodelay' if burst else ''};", "limit_req_status 429;"]
    return [*lines, *(["gzip on;"] if route.compress else [])]


def _given(edge: Edge, route: Route) -> list[str]:
    """The headers of the answer."""
    values = _security(edge)
    names = [name for name, value in route.security.items() if value in values.get(name, [])]
    lines = [f"add_header {HEADERS[name]} $edge_{name}_{values[name].index(route.security[name])} always;" for name in names]
    return lines + (["add_header X-Request-Id $request_id always;"] if route.request_id else [])


def _proxy(route: Route, number: int) -> list[str]:
    lines = [f"proxy_pass http{'s' if route.secure else ''}://edge_{number};"]
    if route.secure:
        name = urlsplit(f"//{route.upstreams[0]}").hostname
        lines += ["proxy_ssl_server_name on;", f"proxy_ssl_name {name};", "proxy_ssl_verify on;", "proxy_ssl_verify_depth 5;"]
        lines += ["proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"]
    # An answer that is held until it is whole, or fills 4 KiB, is one write of HTTP/2 instead of two. The switch says which must not be (X-Accel-Buffering).
    lines += ["proxy_buffering off;"] if route.kind != "app" else []
    lines += [f"client_max_body_size {route.max_body};"] if route.max_body else []
    if route.request_id:
        # A header that is set here takes the place of all that are set further out.
        lines += [line for line in _proxied() if line.startswith("proxy_set_header")] + ["proxy_set_header X-Request-Id $request_id;"]
    return [*lines, f"proxy_read_timeout {route.timeout or 3600}s;", "proxy_send_timeout 3600s;"]


def _files(static: Static, path: str, common: list[str]) -> list[str]:
    root = [*common, f"root {inside(static.folder)};", *([f'rewrite "^{path}/?(.*)$" /$1 break;'] if path else [])]
    age = f"public, max-age={static.max_age}" if static.max_age else "no-cache"
    forever = ['add_header Cache-Control "public, max-age=31536000, immutable";', "try_files $uri =404;"]
    lines = _block(f'location ~ "^{path}/(?:.*/)?\\.(?:git|env|ht)"', ["return 404;"])
    for pattern in static.immutable:
        ending = "" if pattern.endswith("*") else "$"
        lines += _block(f'location ~ "^{path}{re.escape(pattern.rstrip("*"))}{ending}"', [*root, *forever])
    fallback = f" {static.fallback}" if static.fallback else ""
    return lines + _block(_place(path), [*root, f'add_header Cache-Control "{age}";', f"try_files $uri $uri/index.html{fallback} =404;"])


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(f"//{address}").hostname or "")
    except ValueError:
        return False
    return True


def _block(head: str, lines: Iterable[str]) -> list[str]:
    return [f"{head} {{", *(f"    {line}" for line in lines), "}"]


def _q(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
