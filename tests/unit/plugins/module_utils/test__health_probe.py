# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError, Result
from ansible_collections.longshore.stack.plugins.module_utils._health_probe import (
    Attempt,
    Outcome,
    Probe,
    ProbeFailure,
    checker,
    run_probes,
    secret_values,
    summary,
    told_by_logs,
    validate,
    waiting,
)


def look(probe: Probe, engine: Engine | None = None) -> Outcome:
    """One attempt."""
    outcome = Outcome(probe.name, probe.kind)
    run_probes([probe], [outcome], None, time.monotonic() + 1, checker(engine or Engine()))
    return outcome


class Site(http.server.BaseHTTPRequestHandler):
    """A web server whose path says how it behaves."""

    seen: list[tuple[str, dict[str, str]]] = []

    def do_GET(self):
        type(self).seen.append((self.path, dict(self.headers.items())))
        what, _slash, detail = self.path.strip("/").partition("/")
        getattr(self, f"answer_{what}")(detail)

    do_POST = do_GET

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_good(self, _detail):
        self.reply(200, b'{"database": "ok"}')

    def answer_status(self, detail):
        self.reply(int(detail), b"the database\nis away " + b"x" * 400)

    def answer_slow(self, detail):
        time.sleep(float(detail))
        self.reply(200, b"late")

    def answer_drip(self, _detail):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _byte in range(100):
                self.wfile.write(b".")
                time.sleep(0.05)

    def answer_cut(self, _detail):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"begin")

    def answer_move(self, detail):
        self.reply(302, b"", Location="/good" if detail == "here" else f"http://localhost:{detail}/good")

    def answer_loop(self, _detail):
        self.reply(302, b"", Location="/loop")

    def log_message(self, *_arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_arguments):
        """A client that went away is the point of some tests."""


@contextlib.contextmanager
def serving(handler=Site, wrap=None):
    handler = type("Handler", (handler,), {"seen": []})
    server = Server(("127.0.0.1", 0), handler)
    if wrap:
        server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port, handler
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def talking(speech: bytes | None):
    """A TCP server that says the same to everyone, or with None keeps silent, or with b"" hangs up."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    kept = []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listener.accept()
                kept.append(connection)
                if speech is not None:
                    with contextlib.suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(speech)
                    connection.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for connection in kept:
            connection.close()


@pytest.fixture(scope="module")
def site():
    with serving() as (port, handler):
        yield f"http://127.0.0.1:{port}", handler


@pytest.fixture
def closed_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with ca.pem, and by name a certificate with its key: good, old, soon."""
    folder = tmp_path_factory.mktemp("ca")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "400", "-subj", "/CN=Test CA", cwd=folder)
    (folder / "names").write_text("subjectAltName=DNS:app.test,DNS:*.shop.test,IP:127.0.0.1\n")
    (folder / "db").write_text("")
    (folder / "serial").write_text("01\n")
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=db\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca.key\n"
        "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
    )
    now = time.time()
    for name, begin, end in (("good", -1, 90), ("old", -20, -10), ("soon", -1, 5), ("early", 10, 90)):
        dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(now + days * 86400 + 60)) for days in (begin, end)]
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=folder)
        signing = ("-config", "ca.conf", "-batch", "-notext", "-startdate", dates[0], "-enddate", dates[1], "-extfile", "names")
        openssl("ca", *signing, "-in", f"{name}.csr", "-out", f"{name}.pem", cwd=folder)
    return folder


@contextlib.contextmanager
def serving_tls(authority, name, pause=0.0):
    class Pausing(Site):
        def setup(self):
            time.sleep(pause)
            super().setup()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / f"{name}.pem", authority / f"{name}.key")
    # The handshake belongs to the handler's thread: a client that leaves must not end the server.
    with serving(Pausing, wrap=lambda plain: context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)) as (port, _handler):
        yield port


class TestHttp:
    def test_a_good_target_is_good_at_the_first_attempt(self, site):
        outcome = look(Probe("web", url=f"{site[0]}/good"))
        assert (outcome.ok, outcome.attempts, outcome.reason, outcome.answer) == (True, 1, "", "answered 200")

    def test_a_wrong_status_is_told_with_the_begin_of_the_body_on_one_line(self, site):
        outcome = look(Probe("web", url=f"{site[0]}/status/503"))
        assert outcome.reason.startswith("answered 503, expected 200: the database is away xxx")
        assert outcome.reason.endswith("x…")
        assert len(outcome.reason) < 250

    def test_several_good_statuses_can_be_named(self, site):
        assert look(Probe("web", url=f"{site[0]}/status/404", status=(200, 404))).ok
        assert "expected 200 or 201" in look(Probe("web", url=f"{site[0]}/status/404", status=(200, 201))).reason

    def test_a_body_is_searched_for_the_pattern(self, site):
        assert look(Probe("web", url=f"{site[0]}/good", body_regex=r'"database":\s*"ok"')).ok
        outcome = look(Probe("web", url=f"{site[0]}/good", body_regex="cache"))
        assert outcome.reason == 'answered 200, but the body does not match \'cache\': {"database": "ok"}'

    def test_a_refused_connection_names_the_address(self, closed_port):
        outcome = look(Probe("web", url=f"http://127.0.0.1:{closed_port}/"))
        assert outcome.reason == f"connection refused by 127.0.0.1:{closed_port}"

    def test_a_silent_target_is_told_from_an_absent_one(self):
        with talking(None) as port:
            begin = time.monotonic()
            outcome = look(Probe("web", url=f"http://127.0.0.1:{port}/", timeout=0.4))
        assert outcome.reason == "no answer within 0.4 s (connected, silent)"
        assert time.monotonic() - begin < 0.8

    def test_a_slow_target_is_good_when_it_may_take_so_long(self, site):
        outcome = look(Probe("web", url=f"{site[0]}/slow/0.3", timeout=3))
        assert outcome.ok
        assert outcome.latency_ms >= 300

    def test_a_body_that_drips_ends_at_the_limit_of_the_attempt(self, site):
        begin = time.monotonic()
        outcome = look(Probe("web", url=f"{site[0]}/drip", timeout=0.5))
        assert outcome.reason.startswith("no answer within 0.5 s (answer not complete after ")
        assert time.monotonic() - begin < 0.9

    def test_an_answer_that_breaks_off_is_not_good(self, site):
        assert "was cut off after 5 bytes" in look(Probe("web", url=f"{site[0]}/cut")).reason

    def test_a_connection_closed_without_an_answer_is_said(self):
        with talking(b"") as port:
            assert look(Probe("web", url=f"http://127.0.0.1:{port}/")).reason == f"connection closed by 127.0.0.1:{port} without an answer"

    def test_a_target_that_speaks_another_protocol_is_said(self):
        with talking(b"SSH-2.0-test\r\n") as port:
            reason = look(Probe("web", url=f"http://127.0.0.1:{port}/")).reason
        assert "does not speak HTTP: it says 'SSH-2.0-test'" in reason

    def test_a_redirect_is_an_answer_by_default(self, site):
        assert look(Probe("web", url=f"{site[0]}/move/here")).reason == "answered 302 to /good, expected 200"

    def test_a_redirect_is_followed_when_wanted(self, site):
        assert look(Probe("web", url=f"{site[0]}/move/here", follow_redirects=True)).ok

    def test_redirects_without_end_are_not_followed_for_ever(self, site):
        assert "more than 5 redirects" in look(Probe("web", url=f"{site[0]}/loop", follow_redirects=True)).reason

    def test_headers_do_not_follow_a_redirect_to_another_place(self, site):
        with serving() as (port, elsewhere):
            outcome = look(Probe("web", url=f"{site[0]}/move/{port}", follow_redirects=True, headers={"X-Key": "canary"}))
        assert outcome.ok
        assert "X-Key" not in elsewhere.seen[-1][1]
        assert ("X-Key", "canary") in site[1].seen[-1][1].items()

    def test_a_name_can_be_asked_for_at_a_given_address(self, site):
        port = site[0].rsplit(":", 1)[1]
        outcome = look(Probe("web", url=f"http://app.nowhere.test:{port}/good", resolve="127.0.0.1"))
        assert outcome.ok
        assert site[1].seen[-1][1]["Host"] == f"app.nowhere.test:{port}"

    def test_a_name_that_does_not_resolve_is_said(self):
        assert look(Probe("web", url="http://app.nowhere.invalid/")).reason.startswith("name app.nowhere.invalid cannot be resolved")

    def test_a_header_that_cannot_be_sent_does_not_show_its_value(self, site):
        outcome = look(Probe("web", url=f"{site[0]}/good", headers={"Authorization": "canary\nnewline"}))
        assert not outcome.ok
        assert "canary" not in outcome.reason


class TestTls:
    def test_a_certificate_with_a_good_chain_name_and_date_is_good(self, authority):
        with serving_tls(authority, "good") as port:
            outcome = look(Probe("tls", kind="tls", host="app.test", port=port, resolve="127.0.0.1", ca_path=str(authority / "ca.pem"), min_days=30))
        assert outcome.reason == ""
        assert outcome.answer.endswith("certificate valid for 90 days")

    def test_https_asks_for_the_name_at_the_given_address(self, authority):
        with serving_tls(authority, "good") as port:
            outcome = look(Probe("web", url=f"https://www.shop.test:{port}/good", resolve="127.0.0.1", ca_path=str(authority / "ca.pem")))
        assert outcome.reason == ""

    def test_a_certificate_for_other_names_lists_them(self, authority):
        with serving_tls(authority, "good") as port:
            outcome = look(Probe("web", url=f"https://other.test:{port}/good", resolve="127.0.0.1", ca_path=str(authority / "ca.pem")))
        assert outcome.reason == "certificate is for app.test, *.shop.test, 127.0.0.1; not for other.test"

    def test_the_name_of_the_certificate_can_differ_from_the_host(self, authority):
        with serving_tls(authority, "good") as port:
            probe = Probe("tls", kind="tls", host="127.0.0.1", port=port, server_name="a.shop.test", ca_path=str(authority / "ca.pem"))
            assert look(probe).ok

    @pytest.mark.parametrize(("certificate", "said"), [("old", "certificate has expired on"), ("early", "certificate is valid only from")])
    def test_a_certificate_out_of_its_time_says_its_date(self, authority, certificate, said):
        with serving_tls(authority, certificate) as port:
            outcome = look(Probe("tls", kind="tls", host="127.0.0.1", port=port, ca_path=str(authority / "ca.pem")))
        assert outcome.reason.startswith(said)

    def test_a_certificate_that_ends_soon_is_not_good_enough(self, authority):
        with serving_tls(authority, "soon") as port:
            outcome = look(Probe("tls", kind="tls", host="127.0.0.1", port=port, ca_path=str(authority / "ca.pem"), min_days=14))
        assert outcome.reason.startswith("certificate ends in 5 days, on ")
        assert outcome.reason.endswith("at least 14 days are wanted")

    def test_an_unknown_authority_is_not_trusted(self, authority):
        with serving_tls(authority, "good") as port:
            outcome = look(Probe("tls", kind="tls", host="127.0.0.1", port=port))
        assert outcome.reason.startswith(f"certificate of 127.0.0.1:{port} is not trusted by the CAs of this host: ")

    def test_without_validation_any_certificate_is_taken(self, authority):
        with serving_tls(authority, "old") as port:
            assert look(Probe("web", url=f"https://127.0.0.1:{port}/good", validate_certs=False)).ok

    def test_a_file_of_authorities_that_is_not_there_yet_is_said(self, tmp_path):
        with talking(None) as port:
            outcome = look(Probe("tls", kind="tls", host="127.0.0.1", port=port, ca_path=str(tmp_path / "root.crt")))
        assert outcome.reason == f"ca_path {tmp_path / 'root.crt'} does not exist"

    def test_a_target_without_tls_is_said(self, site):
        port = int(site[0].rsplit(":", 1)[1])
        assert look(Probe("tls", kind="tls", host="127.0.0.1", port=port)).reason == f"127.0.0.1:{port} does not speak TLS"

    def test_a_silent_target_ends_in_the_handshake(self):
        with talking(None) as port:
            outcome = look(Probe("tls", kind="tls", host="127.0.0.1", port=port, timeout=0.3))
        assert outcome.reason == f"no answer within 0.3 s (TLS handshake with 127.0.0.1:{port} not complete)"

    def test_a_slow_target_is_good_when_it_may_take_so_long(self, authority):
        with serving_tls(authority, "good", pause=0.3) as port:
            outcome = look(Probe("tls", kind="tls", host="127.0.0.1", port=port, ca_path=str(authority / "ca.pem")))
        assert (outcome.ok, outcome.latency_ms >= 300) == (True, True)

    def test_a_refused_connection_names_the_address(self, closed_port):
        assert look(Probe("tls", kind="tls", host="127.0.0.1", port=closed_port)).reason == f"connection refused by 127.0.0.1:{closed_port}"


@contextlib.contextmanager
def crowded():
    """A listener whose queue is full, so that nobody's connection is made before it accepts one."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _client in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        waiting.append(client)
    try:
        yield listener
    finally:
        for client in (*waiting, listener):
            client.close()


class TestTcp:
    def test_a_listening_port_is_good_even_if_it_keeps_silent(self):
        with talking(None) as port:
            assert look(Probe("db", kind="tcp", host="localhost", port=port)).ok

    def test_a_closed_port_is_refused(self, closed_port):
        assert look(Probe("db", kind="tcp", host="127.0.0.1", port=closed_port)).reason == f"connection refused by 127.0.0.1:{closed_port}"

    def test_a_target_that_does_not_take_the_connection_is_silent(self):
        with crowded() as listener:
            port = listener.getsockname()[1]
            outcome = look(Probe("db", kind="tcp", host="127.0.0.1", port=port, timeout=0.3))
        assert outcome.reason == f"no answer within 0.3 s (connecting to 127.0.0.1:{port})"

    def test_a_slow_target_is_good_when_it_may_take_so_long(self):
        with crowded() as listener:

            def serve() -> None:
                with contextlib.suppress(OSError):  # shut down below
                    while True:
                        listener.accept()

            server = threading.Timer(0.3, serve)
            server.start()
            outcome = look(Probe("db", kind="tcp", host="127.0.0.1", port=listener.getsockname()[1], timeout=10))
            listener.shutdown(socket.SHUT_RDWR)
            server.join(10)
        assert (outcome.ok, outcome.latency_ms >= 300) == (True, True)


def engine_that(answers: dict[str, Result]) -> Engine:
    """An engine whose answer depends on the first word of the command."""

    def runner(args, **_options):
        answer = answers[args[1]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Engine(runner=runner)


def inspected(**state) -> Result:
    return Result((), 0, json.dumps([{"Name": "/shop-web-1", "State": {"Status": "running", "ExitCode": 0, **state}}]), "")


class TestContainer:
    probe = Probe("web", kind="container", container="shop-web-1")

    def test_a_healthy_container_is_good(self):
        outcome = look(self.probe, engine_that({"container": inspected(Health={"Status": "healthy"})}))
        assert outcome.answer == "1 running, 1 of them with a health check that passes"

    def test_a_running_container_without_health_check_is_good_and_said_to_have_none(self):
        assert look(self.probe, engine_that({"container": inspected()})).answer == "1 running, 0 of them with a health check that passes"

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            ({"Health": {"Status": "starting"}}, "container shop-web-1 is still starting"),
            (
                {"Health": {"Status": "unhealthy", "Log": [{"Output": "old"}, {"Output": "curl: (7)\nrefused"}]}},
                "container shop-web-1 is unhealthy: curl: (7) refused",
            ),
            ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "container shop-web-1 has exited with 137, out of memory"),
            ({"Status": "restarting"}, "container shop-web-1 is restarting"),
        ],
    )
    def test_a_container_that_does_not_serve_says_its_state(self, state, reason):
        assert look(self.probe, engine_that({"container": inspected(**state)})).reason == reason

    def test_a_container_that_is_not_there_is_said(self):
        gone = Result((), 1, "[]", "Error: No such container: shop-web-1")
        assert look(self.probe, engine_that({"container": gone})).reason == "there is no container shop-web-1"

    def test_a_project_without_containers_is_not_good(self):
        probe = Probe("release", kind="container", project="shop-web", service="web")
        assert look(probe, engine_that({"ps": Result((), 0, "", "")})).reason == "there is no container of project shop-web, service web"

    def test_every_container_of_a_project_counts(self):
        two = [{"Name": "/a", "State": {"Status": "running"}}, {"Name": "/b", "State": {"Status": "exited", "ExitCode": 1}}]
        engine = engine_that({"ps": Result((), 0, "1\n2\n", ""), "container": Result((), 0, json.dumps(two), "")})
        assert look(Probe("release", kind="container", project="shop-web"), engine).reason == "container b has exited with 1"

    def test_a_slow_start_is_waited_for(self):
        answers = iter([inspected(Health={"Status": "starting"})] * 2 + [inspected(Health={"Status": "healthy"})])
        clock, outcome = Clock(), Outcome("web")
        run_probes([self.probe], [outcome], clock() + 60, clock() + 60, checker(Engine(runner=lambda *_, **_o: next(answers))), clock, clock.sleep)
        assert (outcome.ok, outcome.attempts) == (True, 3)

    def test_an_engine_that_does_not_answer_is_a_silence(self):
        engine = engine_that({"container": subprocess.TimeoutExpired("docker", 5)})
        assert look(self.probe, engine).reason == "no answer within 5 s (the engine is silent)"


class TestExec:
    probe = Probe("cache", kind="exec", container="shop-cache-1", command=("valkey-cli", "ping"))

    def test_the_wanted_exit_status_is_good(self):
        assert look(self.probe, engine_that({"exec": Result((), 0, "PONG\n", "")})).answer == "exited 0"

    def test_another_exit_status_comes_with_what_the_command_said(self):
        outcome = look(self.probe, engine_that({"exec": Result((), 1, "", "Could not connect\n")}))
        assert outcome.reason == "valkey-cli ping exited 1, expected 0: Could not connect"

    def test_a_missing_container_is_not_taken_for_a_wanted_exit_status_of_one(self):
        probe = Probe("cache", kind="exec", container="gone", command=("false",), rc=(1,))
        gone = Result((), 1, "", "Error response from daemon: No such container: gone\n")
        assert look(probe, engine_that({"exec": gone})).reason == "No such container: gone"

    def test_a_slow_command_is_good_when_it_may_take_so_long(self):
        def runner(args, **options):
            assert options["timeout"] <= 5
            time.sleep(0.2)
            return Result((), 0, "PONG\n", "")

        outcome = look(self.probe, Engine(runner=runner))
        assert (outcome.ok, outcome.latency_ms >= 200) == (True, True)

    def test_a_command_ends_in_the_container_as_well(self):
        asked = []
        look(self.probe, Engine(runner=lambda args, **_options: asked.append(args) or Result((), 0, "PONG\n", "")))
        assert asked == [["docker", "exec", "shop-cache-1", "timeout", "-k", "5", "5", "valkey-cli", "ping"]]

    def test_a_command_that_hangs_is_said(self):
        engine = engine_that({"exec": subprocess.TimeoutExpired("docker", 5)})
        assert look(self.probe, engine).reason == "no answer within 5 s (valkey-cli ping still running)"


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class TestWaiting:
    def test_it_is_tried_until_it_is_good(self):
        clock, outcome, answers = Clock(), Outcome("web"), iter(["answered 503", "answered 503", ""])

        def check(_probe, _attempt):
            trouble = next(answers)
            if trouble:
                raise ProbeFailure(trouble)
            return "answered 200"

        run_probes([Probe("web", interval=2)], [outcome], clock() + 60, clock() + 60, check, clock, clock.sleep)
        assert (outcome.ok, outcome.attempts, clock.now) == (True, 3, 104.0)

    def test_no_attempt_starts_after_the_deadline(self):
        clock, outcome = Clock(), Outcome("web")

        def check(_probe, _attempt):
            raise ProbeFailure("answered 503")

        run_probes([Probe("web", interval=2)], [outcome], clock() + 9, clock() + 60, check, clock, clock.sleep)
        assert (outcome.ok, outcome.attempts, outcome.reason) == (False, 5, "answered 503")
        assert clock.now < 109

    def test_an_attempt_cut_short_by_the_deadline_does_not_hide_the_reason(self):
        clock, outcome = Clock(), Outcome("web")

        def check(_probe, attempt: Attempt):
            if clock.now < 103:
                raise ProbeFailure("answered 503")
            clock.sleep(attempt.left())
            raise TimeoutError

        run_probes([Probe("web", interval=2, timeout=5)], [outcome], clock() + 6, clock() + 60, check, clock, clock.sleep)
        assert (outcome.attempts, outcome.reason) == (3, "answered 503")

    def test_a_probe_that_is_good_already_is_not_asked_again(self):
        outcome = Outcome("web", ok=True, attempts=4)
        run_probes([Probe("web")], [outcome], time.monotonic() + 1, time.monotonic() + 1, lambda *_: pytest.fail("asked"))
        assert outcome.attempts == 4

    def test_an_attempt_that_cannot_be_interrupted_does_not_hold_up_the_call(self):
        release, outcome = threading.Event(), Outcome("web")

        def check(_probe, attempt):
            attempt.phase = "looking up app.test"
            release.wait(10)
            return ""

        begin = time.monotonic()
        run_probes([Probe("web", timeout=0.2)], [outcome], begin + 0.3, begin + 0.3, check)
        took, reason = time.monotonic() - begin, outcome.reason
        release.set()
        assert reason == "no answer within 0.2 s (looking up app.test)"
        assert took < 1.5

    def test_an_accident_in_one_probe_is_its_own_failure(self):
        outcomes = [Outcome("a"), Outcome("b")]

        def check(probe, _attempt):
            if probe.name == "a":
                raise KeyError("surprise")
            return "fine"

        run_probes([Probe("a"), Probe("b")], outcomes, None, time.monotonic(), check)
        assert [outcome.ok for outcome in outcomes] == [False, True]
        assert outcomes[0].reason == "KeyError: 'surprise'"

    def test_a_missing_engine_is_told_in_its_words(self):
        def check(_probe, _attempt):
            raise EngineError("docker: command not found")

        outcome = Outcome("a")
        run_probes([Probe("a")], [outcome], None, time.monotonic(), check)
        assert outcome.reason == "docker: command not found"

    def test_fifty_probes_take_about_as_long_as_the_slowest(self, site, authority, closed_port):
        base = site[0]
        with talking(None) as silent, serving_tls(authority, "good") as secure:
            probes = [
                kind
                for number in range(10)
                for kind in (
                    Probe(f"good {number}", url=f"{base}/good", timeout=5),
                    Probe(f"slow {number}", url=f"{base}/slow/1", timeout=5),
                    Probe(f"silent {number}", url=f"http://127.0.0.1:{silent}/", timeout=1.2),
                    Probe(f"refused {number}", kind="tcp", host="127.0.0.1", port=closed_port, timeout=5),
                    Probe(f"tls {number}", kind="tls", host="127.0.0.1", port=secure, ca_path=str(authority / "ca.pem"), timeout=5),
                )
            ]
            outcomes = [Outcome(probe.name, probe.kind) for probe in probes]
            begin = time.monotonic()
            run_probes(probes, outcomes, None, begin + 5, checker(Engine()))
            took = time.monotonic() - begin
        assert {outcome.name for outcome in outcomes if outcome.ok} == {f"{kind} {number}" for kind in ("good", "slow", "tls") for number in range(10)}
        assert took < 2.4


class TestMessages:
    outcomes = [Outcome("web", reason="answered 503, expected 200"), Outcome("docs", ok=True), Outcome("db", reason="connection refused by 127.0.0.1:5432")]

    def test_the_failure_names_every_broken_probe(self):
        assert summary(self.outcomes, 60.2) == ("2 of 3 probes not good after 60 s. web: answered 503, expected 200; db: connection refused by 127.0.0.1:5432")

    def test_no_failure_no_message(self):
        assert summary(self.outcomes[1:2], 1) == ""

    def test_the_progress_line_says_what_is_waited_for(self):
        assert waiting(self.outcomes) == "waiting for web (answered 503, expected 200) and 1 more"

    def test_only_the_values_of_harmless_headers_are_no_secrets(self):
        assert secret_values({"Host": "app.test", "authorization": "Bearer x", "X-Key": 7}) == {"Bearer x", "7"}


class TestValidation:
    @pytest.mark.parametrize(
        ("probe", "said"),
        [
            (Probe("a", url="app.test/health"), "a: url must be like https://app.example.org/health"),
            (Probe("a", url="https://me:secret@app.test/"), "a: no user or password in url; use headers, for example Authorization"),
            (Probe("a", url="http://x/", body_regex="("), "a: body_regex is not a regular expression"),
            (Probe("a", kind="container"), "a: kind container needs container or project"),
            (Probe("a", url="http://x/", interval=0), "a: interval must be more than 0 seconds"),
        ],
    )
    def test_a_probe_that_makes_no_sense_is_refused_before_anything_is_asked(self, probe, said):
        (error,) = validate([probe])
        assert error.startswith(said)

    def test_two_probes_of_one_name_are_refused(self):
        assert validate([Probe("a", url="http://x/"), Probe("a", url="http://y/")]) == ["a: the name is used twice; every probe needs its own"]


# -- what a log says of it ---------------------------------------------------------------------------------------------------

CONTAINER = json.dumps([{"Name": "/s-edge-1", "Config": {"Env": ["API_TOKEN=canary-4711"], "Labels": {}}}])


@pytest.mark.parametrize(
    ("log", "regex", "reason"),
    [
        ("a: refused\na: too late\nb: else\n", "a: (.*)", "closed; s-edge-1 says: too late"),
        ("a: refused\n", "a: .*", "closed; s-edge-1 says: a: refused"),
        ("a: with canary-4711\n", "a: (.*)", "closed; s-edge-1 says: with ***"),
        ("b: else\n", "a: (.*)", "closed"),
    ],
)
def test_the_reason_ends_with_what_the_log_said_last_of_it(log, regex, reason):
    engine = engine_that({"container": Result((), 0, CONTAINER, ""), "logs": Result((), 0, "", log)})
    outcomes = [Outcome("a", reason="closed"), Outcome("b", ok=True)]
    told_by_logs(engine, [Probe("a", log_container="s-edge-1", log_regex=regex), Probe("b", log_container="s-edge-1")], outcomes)
    assert [outcome.reason for outcome in outcomes] == [reason, ""]


def test_a_log_that_cannot_be_read_leaves_the_reason():
    for answers in ({"container": Result((), 0, "[]", "")}, {"container": Result((), 1, "", "Cannot connect to the Docker daemon")}):
        outcomes = [Outcome("a", reason="closed")]
        told_by_logs(engine_that(answers), [Probe("a", log_container="gone")], outcomes)
        assert outcomes[0].reason == "closed"
