# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Caddyfile of an edge. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ansible_collections.longshore.stack.plugins.module_utils._routes import CHALLENGES, CLAIMS, HEADERS, Acme, Edge, Route, Static, inside

# The edge does not say what it is.
QUIET = ("header -Server",)
# Where lego puts what it has.
LIVE = "/srv/certificates"
# A reload gives connections to the new configuration for so long before the old one closes those that are left. See roles/caddy/vars.
HANDOVER = "2s"


def caddyfile(edge: Edge, extra: str = "") -> str:
    """extra: lines of the user's for the global options."""
    lines = ["# Written by longshore.stack from the inventory. Change it there: stack_apps, stack_routes, caddy_config.", *_block("", _options(edge, extra))]
    secure = edge.tls != "off"
    for host, routes in edge.sites.items():
        if secure:
            secured = [*_challenges(edge), f"redir https://{host}{_port(edge)}{{uri}} 308"]
            lines += ["", *_block(f"http://{host}", [*_log(edge), *QUIET, *_block("route", secured)])]
        lines += ["", *_block(host if secure else f"http://{host}", [*_certificate(edge, host), *_log(edge), *_block("route", _site(edge, routes))])]
    # A name that nothing has a route for: Caddy would answer it with an empty 200.
    lines += ["", *_block("http://", [*_log(edge), *QUIET, "respond 404"])]
    lines += ["", *_block("https://", [*_log(edge), *QUIET, "respond 421"])] if secure and edge.sites else []
    return "\n".join(lines) + "\n"


def pages(edge: Edge, sites: int, plain: int, closed: int) -> str:
    """For a proxy that has neither files nor pages, a Caddy beside it: at three ports its sites of files and redirects, what is asked over HTTP where there is
    TLS, and the pages of maintenance. What guards a route is the proxy's business.
    """
    bare = [replace(route, allow=(), logins=(), request_id=False, security={}) for route in edge.routes if route.static or route.redirect]
    within = replace(edge, routes=tuple(bare), tls="off", http_port=sites, access_log=False, trusted_proxies=(), http3=False)
    page = [f"header Retry-After {edge.maintenance_seconds}", "header Cache-Control no-store", "method GET"]
    lines = [caddyfile(within), *_block(f"http://:{closed}", [*QUIET, *page, *_block("file_server", ["root /srv/maintenance", "status 503"])])]
    if edge.tls != "off":
        moved = [*_own_challenges(edge), *_challenges(edge), f"redir https://{{host}}{_port(edge)}{{uri}} 308"]
        lines += ["", *_block(f"http://:{plain}", [*QUIET, *_block("route", moved)])]
    return "\n".join(lines) + "\n"


def _own_challenges(edge: Edge) -> list[str]:
    """What lego has begun here."""
    if edge.tls != "acme" or _loads(edge):
        return []
    there = [f"path {CHALLENGES}/*", *_block("file", ["root /srv/challenges"])]
    return [*_block("@begun", there), *_block("handle @begun", _block("file_server", ["root /srv/challenges"]))]


def _options(edge: Edge, extra: str) -> list[str]:
    lines = ["admin 127.0.0.1:2019", f"http_port {edge.http_port}", f"https_port {edge.https_port}", "skip_install_trust"]
    # A line that a reload fills in: another spelling of the same addresses, so that Caddy takes them for others and hands over (HANDOVER).
    lines += ["{$EDGE_BIND}"] if not edge.http3 else []
    lines += [f"shutdown_delay {HANDOVER}", "grace_period 30s", _automatic(edge)]
    lines += _issuer(edge.acme) if edge.tls == "acme" and not _loads(edge) else []
    trusted = [f"trusted_proxies static {' '.join(edge.trusted_proxies)}", "trusted_proxies_strict"] if edge.trusted_proxies else []
    protocols = f"protocols h1 h2{' h3' if edge.http3 else ''}"
    strict = ["strict_sni_host on"] if edge.tls != "off" else []
    lines += _block("servers", [protocols, *strict, *trusted, *_block("timeouts", ["read_header 15s", "idle 5m"])])
    lines += _block("log", ["format json"])
    return [*lines, *(extra.strip().splitlines() if extra.strip() else [])]


def _loads(edge: Edge) -> bool:
    """Whether lego has the certificates, in files of which some may be missing yet."""
    return edge.tls == "acme" and edge.acme.challenge == "dns"


def _automatic(edge: Edge) -> str:
    if edge.tls == "off":
        return "auto_https off"
    return f"auto_https disable_redirects{' disable_certs' if _loads(edge) else ''}"


def _issuer(acme: Acme) -> list[str]:
    """One authority, and no other in its place."""
    lines = [f"dir {acme.url}", f"email {acme.email}", *(["import /run/secrets/acme_eab"] if acme.account else [])]
    # A challenge over HTTP can be handed to the proxy that began it, one within TLS cannot.
    lines += ["disable_tlsalpn_challenge"] if acme.challenge == "http" or acme.peers else []
    lines += ["disable_http_challenge"] if acme.challenge == "tls" else []
    return _block("cert_issuer acme", lines)


def _challenges(edge: Edge) -> list[str]:
    """What Caddy does not know of an authority's questions, another proxy may have asked for; each is asked, and none asks on."""
    if edge.tls != "acme" or _loads(edge) or not edge.acme.peers:
        return []
    first = [f"path {CHALLENGES}/*", "not header Edge-Challenge *"]
    return [*_block("@challenge", first), *_block("handle @challenge", _asked(edge.acme.peers))]


def _asked(peers: Sequence[str]) -> list[str]:
    """The first of them that is there; where it does not know, those after it."""
    unknown = ["@unknown status 1xx 3xx 4xx 5xx", *_block("handle_response @unknown", _asked(peers[1:]))] if peers[1:] else []
    # That one is away is known for as long as it takes to ask the next one, and no longer: it may come.
    there = ["lb_policy first", f"lb_retries {len(peers)}", "lb_try_interval 10ms", "fail_duration 50ms"] if peers[1:] else []
    return _block(f"reverse_proxy {' '.join(peers)}", [*there, "header_up Edge-Challenge 1", *_block("transport http", ["dial_timeout 3s"]), *unknown])


def _log(edge: Edge) -> list[str]:
    return ["log"] if edge.access_log else []


def _port(edge: Edge) -> str:
    return "" if edge.https_port == 443 else f":{edge.https_port}"


def _certificate(edge: Edge, host: str) -> list[str]:
    if edge.tls == "internal":
        return ["tls internal"]
    if _loads(edge):
        return _block("tls", [f"load {LIVE}"])
    number = edge.certificate_of(host) if edge.tls == "files" else None
    return [] if number is None else [f"tls /etc/caddy/certificates/{number}.pem /run/secrets/tls_{number}"]


def _site(edge: Edge, routes: Iterable[Route]) -> list[str]:
    # While a configuration makes room for the next one, its clients are told to come on a new connection, which the next one gets.
    leaving = _block("@leaving", ["vars {http.shutting_down} true", "not header Connection *pgrade*"])
    lines = [*QUIET, *leaving, "header @leaving Connection close"]
    rest: list[str] = ["respond 404"]
    for number, route in enumerate(routes, 1):
        inner = _route(edge, route, str(number))
        if route.path == "/":
            rest = _block("handle", inner)
        else:
            lines += [f"@path{number} path {_q(route.path)} {_q(route.path + '/*')}", *_block(f"handle @path{number}", inner)]
    return [*lines, *rest]


def _route(edge: Edge, route: Route, number: str) -> list[str]:
    """What happens to a request, in this order and no other."""
    lines = []
    given = [f"?{HEADERS[name]} {_q(text)}" for name, text in route.security.items() if text and (name != "hsts" or edge.tls != "off")]
    lines += _block("header", given) if given else []
    if route.request_id:
        lines += ["request_header X-Request-Id {http.request.uuid}", "header X-Request-Id {http.request.uuid}"]
    lines += ["encode zstd gzip"] if route.compress else []
    if route.allow:
        lines += [f"@denied{number} not client_ip {' '.join(route.allow)}", f"respond @denied{number} 403"]
    lines += _closed(edge, route, number) if route.app else []
    lines += _block("basic_auth", [f"{_q(login.user)} {_q(login.hashed)}" for login in route.logins]) if route.logins else []
    lines += _block("request_body", [f"max_size {route.max_body}"]) if route.max_body else []
    return _block("route", [*lines, *_ends(route, number)])


def _closed(edge: Edge, route: Route, number: str) -> list[str]:
    """While the application's page is there, it is under maintenance; nothing is reloaded."""
    page = _block("file", ["root /srv/maintenance", f"try_files /{route.app}.html"])
    team = [f"not client_ip {' '.join(edge.maintenance_allow)}"] if edge.maintenance_allow else []
    answer = [f"header Retry-After {edge.maintenance_seconds}", "header Cache-Control no-store", f"rewrite * /{route.app}.html", "method GET"]
    return [
        *_block(f"@closed{number}", [*page, *team]),
        *_block(f"handle @closed{number}", [*answer, *_block("file_server", ["root /srv/maintenance", "status 503"])]),
    ]


def _ends(route: Route, number: str) -> list[str]:
    if route.redirect:
        return [f"redir {_q(route.redirect + ('{uri}' if route.keeps_path else ''))} {route.redirect_code}"]
    return _files(route, route.static, number) if route.static else _proxy(route, number)


def _files(route: Route, static: Static, number: str) -> list[str]:
    lines = [f"root * {_q(inside(static.folder))}", *([f"uri strip_prefix {_q(route.path)}"] if route.path != "/" else [])]
    forever = [f"path {' '.join(_q(path) for path in static.immutable)}"] if static.immutable else []
    if static.fallback:
        # A page that is none gets the start page; a script that is none is an error, for no browser could run a page as one.
        there = _block("not", _block("file", ["try_files {path} {path}/index.html"]))
        lines += [*_block(f"@page{number}", [*there, *(f"not {line}" for line in forever)]), f"rewrite @page{number} {_q(static.fallback)}"]
    age = f"public, max-age={static.max_age}" if static.max_age else "no-cache"
    lines.append(f"header ?Cache-Control {_q(age)}")
    if forever:
        lines += [*_block(f"@forever{number}", [*forever, "file"]), f'header @forever{number} Cache-Control "public, max-age=31536000, immutable"']
    return [*lines, *_block("file_server", ["hide .git .env .ht*"])]


def _proxy(route: Route, number: str) -> list[str]:
    # A switch that restarts, or a host that is gone, refuses connections: nothing was sent yet, so another try is safe.
    lines = [f"lb_try_duration {45 if route.kind == 'app' else 5}s", "lb_try_interval 100ms"]
    if len(route.upstreams) > 1:
        lines += ["lb_policy cookie stack_host" if route.sticky else "lb_policy least_conn", "fail_duration 5s"]
        if route.health:
            health = [f"health_uri {_q(route.health)}", *_block("health_headers", [f"Host {route.host}"])]
            lines += [*health, "health_interval 2s", "health_timeout 3s", "health_fails 2"]
    # A switch that is stopped waits for idle connections to be used or closed. What is stored packed is handed on as it is.
    transport = ["keepalive 5s", "compression off"] + ([f"response_header_timeout {route.timeout}s"] if route.timeout else [])
    lines += ["stream_close_delay 5m", *_block("transport http", [*transport, *(["tls"] if route.secure else [])])]
    lines += ["header_up X-Real-IP {client_ip}", *(f"header_up -{name}" for name in CLAIMS)]
    # Another protocol than WebSockets, such as h2c, would be a tunnel past the guards of other routes.
    other = _block(f"@other{number}", ["header Upgrade *", "not header_regexp Upgrade (?i)^websocket$"])
    # The matcher is content with one of several values, and the first one would be handed on.
    alone = [f"@websocket{number} header Upgrade *", f"request_header @websocket{number} Upgrade websocket"]
    return [*other, f"request_header @other{number} -Upgrade", *alone, *_block(f"reverse_proxy {' '.join(route.upstreams)}", lines)]


def _block(head: str, lines: Iterable[str]) -> list[str]:
    return [f"{head} {{".lstrip(), *(f"\t{line}" for line in lines), "}"]


def _q(text: str) -> str:
    """One token of a Caddyfile, whatever is in it; braces are placeholders, which validation keeps out of what a user gives."""
    return text if text and not set(text) & set(' "\t#`\\') else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
