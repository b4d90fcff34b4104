from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app import healthcheck


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield httpd.server_port
        httpd.shutdown()
        thread.join()


def test_a_web_process_that_answers_is_healthy(server, monkeypatch):
    monkeypatch.setenv("PORT", str(server))
    assert healthcheck.main([]) == ""


def test_another_status_is_not_healthy(server):
    assert "status 503" in healthcheck.main([f"http://127.0.0.1:{server}/"])


def test_a_refused_connection_is_not_healthy():
    assert "refused" in healthcheck.main(["http://127.0.0.1:1/health"])


@pytest.fixture
def own_tmp(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("own_tmp")
def test_a_process_that_has_not_said_anything_is_not_healthy():
    assert healthcheck.main(["worker"]) == "worker has not started"


@pytest.mark.usefixtures("own_tmp")
def test_a_process_that_said_that_it_is_alive_is_healthy_and_the_others_are_not():
    healthcheck.say_alive("beat")
    assert healthcheck.main(["beat"]) == ""
    assert healthcheck.main(["worker"]) != ""


def test_a_process_that_fell_silent_is_not_healthy(own_tmp):
    healthcheck.say_alive("beat")
    long_ago = time.time() - 120
    os.utime(own_tmp / "beat-alive", (long_ago, long_ago))
    assert "120 s ago" in healthcheck.main(["beat"])


def test_the_command_ends_with_1_and_the_reason():
    command = [sys.executable, "-m", "app.healthcheck", "http://127.0.0.1:1/"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own module)
    assert ended.returncode == 1
    assert "refused" in ended.stderr
