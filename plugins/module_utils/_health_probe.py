# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many probes at once: does it answer, and if not, why not in words a person understands."""

from __future__ import annotations

import functools
import http.client
import io
import os
import re
import shlex
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError, exec_within
from ansible_collections.longshore.stack.plugins.module_utils._masking import masked, secrets_in

BODY_LIMIT = 64 * 1024
SHOWN = 200
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME and error codes, which the ssl module does not name.
NO_CHECK_TIME = 0x200000
WRONG_DATE, WRONG_NAME = (9, 10), (62, 64)
# Values of these headers are no secrets; masking them would also mask the same words in the answer.
PLAIN_HEADERS = ("accept", "accept-encoding", "accept-language", "content-type", "host", "origin", "user-agent", "x-forwarded-proto")


class ProbeFailure(Exception):
    """The target is not as expected; the text says why."""


@dataclass(frozen=True)
class Probe:
    """One target; see the documentation of the module health_probe for each field."""

    name: str
    kind: str = "http"
    timeout: float = 5
    interval: float = 1
    url: str | None = None
    method: str = "GET"
    headers: dict[str, Any] = field(default_factory=dict)
    status: tuple[int, ...] = (200,)
    body_regex: str | None = None
    follow_redirects: bool = False
    resolve: str | None = None
    ca_path: str | None = None
    validate_certs: bool = True
    host: str | None = None
    port: int | None = None
    server_name: str | None = None
    min_days: int = 0
    container: str | None = None
    project: str | None = None
    service: str | None = None
    command: tuple[str, ...] = ()
    rc: tuple[int, ...] = (0,)
    log_container: str | None = None
    log_regex: str = ""


@dataclass
class Outcome:
    """What is known about one probe."""

    name: str
    kind: str = "http"
    ok: bool = False
    latency_ms: int = 0
    attempts: int = 0
    reason: str = ""
    answer: str = ""


class Attempt:
    """One try with its own time limit, and how far it came."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self.seconds, self.clock, self.begin = seconds, clock, clock()
        self.phase = "not started"

    def elapsed(self) -> float:
        return self.clock() - self.begin

    def left(self) -> float:
        """Seconds left; TimeoutError where there are none."""
        remaining = self.seconds - self.elapsed()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def silence(self) -> str:
        return f"no answer within {self.seconds:.3g} s ({self.phase})"


Check = Callable[[Probe, Attempt], str]


def validate(probes: Iterable[Probe]) -> list[str]:
    """What is wrong with the probes themselves: no waiting would help."""
    errors = []
    seen: set[str] = set()
    for probe in probes:
        said = errors.append
        if probe.name in seen:
            said(f"{probe.name}: the name is used twice; every probe needs its own")
        seen.add(probe.name)
        for option in ("timeout", "interval"):
            if getattr(probe, option) <= 0:
                said(f"{probe.name}: {option} must be more than 0 seconds, for example 2")
        if probe.kind == "http":
            url = urlsplit(probe.url or "")
            if url.scheme not in ("http", "https") or not url.hostname:
                said(f"{probe.name}: url must be like https://app.example.org/health")
            elif url.username is not None:
                said(f"{probe.name}: no user or password in url; use headers, for example Authorization")
        for option in ("body_regex", "log_regex"):
            try:
                re.compile(getattr(probe, option) or "")
            except re.error as error:
                said(f"{probe.name}: {option} is not a regular expression: {error}")
        if probe.kind in ("exec", "container") and not (probe.container or probe.project):
            said(f"{probe.name}: kind {probe.kind} needs container or project, for example container: shop-web-1")
    return errors


class Watch:
    """One probe, repeated until it is good or there is no time for another attempt."""

    def __init__(self, probe: Probe, outcome: Outcome, check: Check, clock: Callable[[], float], sleep: Callable[[float], None]):
        self.probe, self.outcome, self.check, self.clock, self.sleep = probe, outcome, check, clock, sleep
        self.attempt = Attempt(probe.timeout, clock)

    def run(self, end: float | None, stop: float) -> None:
        """No attempt lasts beyond `end`, none starts after `stop`; without an end there is exactly one."""
        while True:
            left = self.probe.timeout if end is None else end - self.clock()
            self.attempt = attempt = Attempt(min(self.probe.timeout, left), self.clock)
            earlier = self.outcome.reason
            self.outcome.attempts += 1
            self._try(attempt)
            # An attempt that the end cut short knows less than the one before it.
            if earlier and attempt.seconds < self.probe.timeout and self.outcome.reason == attempt.silence():
                self.outcome.reason = earlier
            if self.outcome.ok or end is None or self.clock() + self.probe.interval >= min(end, stop):
                return
            self.sleep(self.probe.interval)

    def _try(self, attempt: Attempt) -> None:
        outcome = self.outcome
        try:
            outcome.answer = self.check(self.probe, attempt)
            outcome.ok, outcome.reason = True, ""
        except ProbeFailure as failure:
            outcome.reason = str(failure)
        except TimeoutError:
            outcome.reason = attempt.silence()
        except EngineError as error:
            outcome.reason = attempt.silence() if isinstance(error.__cause__, subprocess.TimeoutExpired) else str(error)
        except Exception as error:  # one probe must never take the others with it
            outcome.reason = f"{type(error).__name__}: {error}"
        outcome.latency_ms = round(attempt.elapsed() * 1000)


GRACE = 0.5


def run_probes(
    probes: list[Probe],
    outcomes: list[Outcome],
    end: float | None,
    stop: float,
    check: Check,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run every probe that is not good yet in a thread of its own, and fill in the outcomes."""
    running = []
    for probe, outcome in zip(probes, outcomes, strict=True):
        if outcome.ok:
            continue
        watch = Watch(probe, outcome, check, clock, sleep)
        # A look-up of a name cannot be interrupted: a daemon thread does not hold up the end of the process.
        thread = threading.Thread(target=watch.run, args=(end, stop), daemon=True, name=f"probe {probe.name}")
        thread.start()
        running.append((thread, watch))
    for thread, watch in running:
        last = stop + watch.probe.timeout
        thread.join(max(0.0, (last if end is None else min(end, last)) + GRACE - clock()))
        if thread.is_alive():
            watch.outcome.reason = watch.attempt.silence()
            watch.outcome.latency_ms = round(watch.attempt.elapsed() * 1000)


def summary(outcomes: Iterable[Outcome], elapsed: float) -> str:
    """One message that names every broken probe; empty when all are good."""
    outcomes = list(outcomes)
    broken = [f"{outcome.name}: {outcome.reason}" for outcome in outcomes if not outcome.ok]
    if not broken:
        return ""
    return f"{len(broken)} of {len(outcomes)} probes not good after {elapsed:.0f} s. " + "; ".join(broken)


def waiting(outcomes: Iterable[Outcome]) -> str:
    """The progress line: which probes are not good yet, and why the first is not."""
    broken = [outcome for outcome in outcomes if not outcome.ok]
    others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return f"waiting for {broken[0].name} ({shorten(broken[0].reason)}){others}"


def secret_values(headers: dict[str, Any]) -> set[str]:
    """Values that must stay hidden: those of all headers but the well-known harmless ones."""
    return {str(value) for name, value in headers.items() if name.lower() not in PLAIN_HEADERS}


def shorten(text: str | bytes) -> str:
    """The first characters on one line."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def choice(values: Iterable[int]) -> str:
    return " or ".join(str(value) for value in values)


def dial(host: str, port: int, resolve: str | None, attempt: Attempt) -> tuple[socket.socket, str]:
    """A connected socket and the address it is connected to."""
    attempt.phase = f"looking up {resolve or host}"
    try:
        found = socket.getaddrinfo(resolve or host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ProbeFailure(f"name {resolve or host} cannot be resolved: {getattr(error, 'strerror', None) or error}") from error
    troubles: list[str] = []
    for number, (family, kind, protocol, _name, address) in enumerate(found):
        where = f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}"
        attempt.phase = f"connecting to {where}"
        connection = socket.socket(family, kind, protocol)
        try:
            # A dead first address (IPv6 without a route) must leave time for the second.
            connection.settimeout(attempt.left() / (len(found) - number))
            connection.connect(address)
        except OSError as error:
            connection.close()
            if isinstance(error, TimeoutError) and number == len(found) - 1 and not troubles:
                raise
            troubles.append(refusal(error, where))
        else:
            attempt.phase = "connected, silent"
            return connection, where
    raise ProbeFailure(" and ".join(dict.fromkeys(troubles)))


def refusal(error: OSError, where: str) -> str:
    """Why a connection could not be made or broke."""
    if isinstance(error, TimeoutError):
        return f"no answer from {where}"
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {where}"
    if isinstance(error, ConnectionError):
        return f"connection closed by {where}"
    return f"{where}: {error.strerror or error}"


class _Reader(io.RawIOBase):
    """Bytes of a socket; each read may take only what is left of the attempt."""

    def __init__(self, connection: socket.socket, attempt: Attempt):
        self.connection, self.attempt, self.received = connection, attempt, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.connection.settimeout(self.attempt.left())
        count = self.connection.recv_into(buffer)
        self.received += count
        self.attempt.phase = f"answer not complete after {self.received} bytes"
        return count


class _Socket:
    """What http.client needs of a socket. A plain one has a limit for each read, so a body that drips would never end."""

    def __init__(self, connection: socket.socket, attempt: Attempt):
        self.connection, self.attempt = connection, attempt

    def sendall(self, data: bytes) -> None:
        self.connection.settimeout(self.attempt.left())
        self.connection.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self.connection, self.attempt))

    def close(self) -> None:
        """The client closes when it has seen `Connection: close`, before the body is read; whoever dialled closes for good."""


_context_lock = threading.Lock()


def tls_context(ca_path: str | None, validate_certs: bool, lenient: bool = False) -> ssl.SSLContext:
    """The context for these options, made once: reading the CAs of the host takes longer than most probes."""
    with _context_lock:
        return _make_context(ca_path, validate_certs, lenient)


@functools.lru_cache
def _make_context(ca_path: str | None, validate_certs: bool, lenient: bool) -> ssl.SSLContext:
    if not validate_certs:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    authorities: dict[str, str] = {}
    if ca_path:
        if not os.path.exists(ca_path):
            raise ProbeFailure(f"ca_path {ca_path} does not exist")
        authorities = {"capath" if os.path.isdir(ca_path) else "cafile": ca_path}
    try:
        context = ssl.create_default_context(**authorities)
    except ssl.SSLError as error:
        raise ProbeFailure(f"ca_path {ca_path} holds no certificate in PEM format") from error
    # Python 3.13 refuses authorities that browsers and curl accept; many sites have such a one.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if lenient:
        context.check_hostname = False
        context.verify_flags |= NO_CHECK_TIME
    return context


def handshake(connection: socket.socket, where: str, name: str, attempt: Attempt, context: ssl.SSLContext) -> ssl.SSLSocket:
    attempt.phase = f"TLS handshake with {where} not complete"
    try:
        connection.settimeout(attempt.left())
        return context.wrap_socket(connection, server_hostname=name)
    except ssl.SSLCertVerificationError:
        connection.close()
        raise
    except ssl.SSLError as error:
        connection.close()
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"):
            raise ProbeFailure(f"{where} does not speak TLS") from error
        raise ProbeFailure(f"TLS handshake with {where} failed: {(error.reason or str(error)).lower().replace('_', ' ')}") from error
    except TimeoutError:
        connection.close()
        raise
    except OSError as error:
        connection.close()
        raise ProbeFailure(f"{refusal(error, where)} in the TLS handshake") from error


def secure(probe: Probe, host: str, port: int, resolve: str | None, name: str, attempt: Attempt) -> tuple[ssl.SSLSocket, str]:
    """A TLS connection whose certificate is good for the name."""
    connection, where = dial(host, port, resolve, attempt)
    try:
        return handshake(connection, where, name, attempt, tls_context(probe.ca_path, probe.validate_certs)), where
    except ssl.SSLCertVerificationError as error:
        if error.verify_code not in (*WRONG_NAME, *WRONG_DATE):
            raise ProbeFailure(f"certificate of {where} is not trusted by {probe.ca_path or 'the CAs of this host'}: {error.verify_message}") from error
    # The first connection was ended by OpenSSL; what the certificate says is only known from one that is more lenient.
    connection, where = dial(host, port, resolve, attempt)
    try:
        with handshake(connection, where, name, attempt, tls_context(probe.ca_path, True, lenient=True)) as lenient:
            raise ProbeFailure(certificate_trouble(lenient.getpeercert() or {}, name, time.time()))
    except ssl.SSLCertVerificationError as error:
        raise ProbeFailure(f"certificate of {where} is not trusted: {error.verify_message}") from error


def certificate_trouble(certificate: dict[str, Any], name: str, now: float) -> str:
    """Why a certificate with a good chain was refused: its dates or its names."""
    days = days_left(certificate, now)
    if days < 0:
        return f"certificate has expired on {certificate['notAfter']}"
    if ssl.cert_time_to_seconds(certificate["notBefore"]) > now:
        return f"certificate is valid only from {certificate['notBefore']}; is the clock of this host right?"
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    names = names or [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return f"certificate is for {', '.join(names) or 'no name'}; not for {name}"


def days_left(certificate: dict[str, Any], now: float) -> int:
    return int((ssl.cert_time_to_seconds(certificate["notAfter"]) - now) // 86400)


def check_tcp(probe: Probe, attempt: Attempt) -> str:
    connection, where = dial(probe.host or "", probe.port or 0, probe.resolve, attempt)
    connection.close()
    return f"{where} accepts connections"


def check_tls(probe: Probe, attempt: Attempt) -> str:
    host, port = probe.host or "", probe.port or 443
    connection, _where = secure(probe, host, port, probe.resolve, probe.server_name or host, attempt)
    with connection:
        certificate = connection.getpeercert() or {}
        version = connection.version()
    if not probe.validate_certs:
        return f"{version}, certificate not checked"
    days = days_left(certificate, time.time())
    if days < probe.min_days:
        raise ProbeFailure(f"certificate ends in {days} days, on {certificate['notAfter']}; at least {probe.min_days} days are wanted")
    return f"{version}, certificate valid for {days} days"


def check_http(probe: Probe, attempt: Attempt) -> str:
    first = url = urlsplit(probe.url or "")
    method = probe.method
    for _hop in range(MAX_REDIRECTS + 1):
        # The headers may be credentials: they go to the place they were given for, and nowhere else.
        same_place = (url.scheme, url.hostname, url.port) == (first.scheme, first.hostname, first.port)
        status, location, body = ask(probe, url, method, probe.headers if same_place else {}, attempt)
        if not (probe.follow_redirects and status in REDIRECTS and location):
            break
        url = urlsplit(urljoin(url.geturl(), location))
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ProbeFailure(f"answered {status} to {shorten(location)}, which is no http address")
        if status == 303 or (status in (301, 302) and method == "POST"):
            method = "GET"
    else:
        raise ProbeFailure(f"more than {MAX_REDIRECTS} redirects, the last to {url.geturl()}")
    if status not in probe.status:
        said = f"answered {status}" + (f" to {shorten(location)}" if location else "")
        detail = shorten(body)
        raise ProbeFailure(f"{said}, expected {choice(probe.status)}" + (f": {detail}" if detail else ""))
    if probe.body_regex is not None and not re.search(probe.body_regex, body.decode(errors="replace")):
        raise ProbeFailure(f"answered {status}, but the body does not match {probe.body_regex!r}: {shorten(body) or 'empty'}")
    return f"answered {status}"


def ask(probe: Probe, url: SplitResult, method: str, headers: dict[str, Any], attempt: Attempt) -> tuple[int, str | None, bytes]:
    """Status, Location and body of one request."""
    host, encrypted = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if encrypted else 80)
    resolve = probe.resolve if host == urlsplit(probe.url or "").hostname else None
    connection, where = secure(probe, host, port, resolve, host, attempt) if encrypted else dial(host, port, resolve, attempt)
    attempt.phase = "connected, silent"
    client = http.client.HTTPConnection(host, port)
    client.default_port = 443 if encrypted else 80
    client.sock = _Socket(connection, attempt)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        client.request(method, path, headers={"User-Agent": "longshore-health-probe", "Connection": "close", **{k: str(v) for k, v in headers.items()}})
        response = client.getresponse()
        body = response.read(BODY_LIMIT)
        if len(body) < BODY_LIMIT and response.length:
            raise http.client.IncompleteRead(body)
        return response.status, response.getheader("Location"), body
    except http.client.RemoteDisconnected as error:
        raise ProbeFailure(f"connection closed by {where} without an answer") from error
    except http.client.BadStatusLine as error:
        raise ProbeFailure(f"{where} does not speak HTTP: it says {shorten(error.line)!r}") from error
    except http.client.IncompleteRead as error:
        raise ProbeFailure(f"answer of {where} was cut off after {len(error.partial)} bytes of its body") from error
    except http.client.HTTPException as error:
        raise ProbeFailure(f"answer of {where} is not valid HTTP: {type(error).__name__}") from error
    except ValueError as error:
        # The text of the error may hold the value of a header.
        raise ProbeFailure("the request cannot be sent: a header, the method or the path has characters that HTTP does not allow") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise ProbeFailure(f"{refusal(error, where)} before the answer was complete") from error
    finally:
        client.close()
        connection.close()


class ContainerChecks:
    """The kinds that ask the engine."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def find(self, probe: Probe, attempt: Attempt) -> list[dict[str, Any]]:
        names, what = [probe.container], f"container {probe.container}"
        attempt.phase = "the engine is silent"
        if not probe.container:
            labels = {"project": probe.project, "oneoff": "False", **({"service": probe.service} if probe.service else {})}
            filters = [word for key, value in labels.items() for word in ("--filter", f"label=com.docker.compose.{key}={value}")]
            names = self.engine.must(["ps", "--all", "--quiet", *filters], timeout=attempt.left()).stdout.split()
            what = f"container of project {probe.project}" + (f", service {probe.service}" if probe.service else "")
        found = self.engine.inspect("container", names, timeout=attempt.left())
        if not found:
            raise ProbeFailure(f"there is no {what}")
        return found

    def check_container(self, probe: Probe, attempt: Attempt) -> str:
        found = self.find(probe, attempt)
        troubles = [trouble for trouble in map(container_trouble, found) if trouble]
        if troubles:
            raise ProbeFailure(", ".join(troubles))
        healthy = sum(1 for info in found if info["State"].get("Health"))
        return f"{len(found)} running, {healthy} of them with a health check that passes"

    def check_exec(self, probe: Probe, attempt: Attempt) -> str:
        name = probe.container or self.find(probe, attempt)[0]["Name"].lstrip("/")
        attempt.phase = f"{shlex.join(probe.command)} still running"
        result = exec_within(lambda words, _limit: self.engine.run(["exec", name, *words], timeout=attempt.left()), probe.command, attempt.left())
        said = shorten(result.stderr.strip() or result.stdout)
        # The engine answers 1 for a container that is not there, as a command may.
        if result.stderr.startswith(("Error response from daemon", "Error: No such container", "Cannot connect to the Docker daemon")):
            raise ProbeFailure(said.removeprefix("Error response from daemon: "))
        if result.rc not in probe.rc:
            raise ProbeFailure(f"{shlex.join(probe.command)} exited {result.rc}, expected {choice(probe.rc)}" + (f": {said}" if said else ""))
        return f"exited {result.rc}"


def container_trouble(info: dict[str, Any]) -> str:
    """Why the container does not serve; empty when it does."""
    name, state = info["Name"].lstrip("/"), info["State"]
    if state["Status"] == "exited":
        memory = ", out of memory" if state.get("OOMKilled") else ""
        return f"container {name} has exited with {state['ExitCode']}{memory}"
    if state["Status"] != "running":
        return f"container {name} is {state['Status']}"
    health = state.get("Health") or {}
    if health.get("Status") == "starting":
        return f"container {name} is still starting"
    if health.get("Status") == "unhealthy":
        log = health.get("Log") or []
        said = shorten(log[-1].get("Output", "")) if log else ""
        return f"container {name} is unhealthy" + (f": {said}" if said else "")
    return ""


LOG_LINES = 2000


def told_by_logs(engine: Engine, probes: Iterable[Probe], outcomes: Iterable[Outcome]) -> None:
    """Adds to the reason of each broken probe what the log of its container says last about it."""
    for probe, outcome in zip(probes, outcomes, strict=True):
        if outcome.ok or not probe.log_container:
            continue
        try:
            (container,) = engine.inspect("container", [probe.log_container], timeout=10) or [None]
            if container is None:
                continue
            said = engine.must(["logs", "--tail", str(LOG_LINES), probe.log_container], timeout=20)
        except EngineError:
            continue
        found = list(re.finditer(probe.log_regex, said.stdout + said.stderr))
        if found:
            told = found[-1].group(1 if found[-1].re.groups else 0)
            outcome.reason += f"; {probe.log_container} says: {shorten(masked(told, secrets_in(container)))}"


def checker(engine: Engine) -> Check:
    """The one function that runs a probe of any kind."""
    containers = ContainerChecks(engine)
    kinds: dict[str, Check] = {
        "http": check_http,
        "tcp": check_tcp,
        "tls": check_tls,
        "exec": containers.check_exec,
        "container": containers.check_container,
    }
    return lambda probe, attempt: kinds[probe.kind](probe, attempt)
