# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make up` on the machine that runs the tests: what a newcomer does first. A stack that did not run before is stopped at the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEV = "label=stack.longshore.name=dev"
CURL = ["curl", "-sS", "-m", "30", "--resolve", "app.localhost:443:127.0.0.1", "--resolve", "docs.localhost:443:127.0.0.1"]
# The machine's store, where the role put the stack's authority; nothing of the environment may stand in for it.
TRUST = ["--cacert", "/etc/ssl/certs/ca-certificates.crt"]


def make(target: str, arguments: str = "") -> str:
    began = time.monotonic()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ANSIBLE_"))}
    done = subprocess.run(["make", target, f"ARGS={arguments}"], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=3600)
    print(f"make {target} {arguments}: {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def changed(output: str) -> int:
    return int(re.search(r"^localhost +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)[1])


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def ask(path: str, *words: str, host: str = "app.localhost") -> str:
    return subprocess.run([*CURL, *TRUST, *words, f"https://{host}{path}"], capture_output=True, text=True, check=True).stdout


def until(condition, seconds: float, what: str):
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return answer


@pytest.fixture(scope="module", autouse=True)
def up():
    running = subprocess.run(["docker", "ps", "-q", "--filter", DEV], capture_output=True, text=True, check=False).stdout.strip()
    yield make("up")
    if not running:
        make("down")


def test_it_ends_with_a_report_that_says_where_to_look(up):
    for line in (r"localhost +postgres +postgres:\S+ +healthy", r"example/web .*healthy.*https://app\.localhost/", r"example/docs .*https://docs\.localhost/"):
        assert re.search(line, up), line
    assert re.search(r"^dev, took ", up, re.MULTILINE)


def test_the_application_answers_with_a_certificate_that_the_machine_trusts():
    assert json.loads(ask("/ready"))["ready"] is True
    assert "<html" in ask("/", host="docs.localhost").lower()


def test_an_item_is_a_row_and_the_second_read_comes_from_the_cache():
    item = json.loads(ask("/items", "-H", "content-type: application/json", "-d", '{"name": "lamp"}'))
    row = docker("exec", "dev-postgres-postgres-1", "psql", "-U", "postgres", "-d", "example", "-Atc", f"SELECT name FROM items WHERE id = {item['id']}")
    assert row == "lamp"
    ask(f"/items/{item['id']}")
    assert "x-cache: hit" in ask(f"/items/{item['id']}", "-i").lower()


def test_a_task_is_done_without_a_worker_and_the_periodic_one_ticks():
    job = json.loads(ask("/jobs", "-H", "content-type: application/json", "-d", '{"n": 10}'))
    assert json.loads(ask(f"/jobs/{job['id']}")) == {"status": "SUCCESS", "result": 385}
    first = json.loads(ask("/ticks"))["count"]
    until(lambda: json.loads(ask("/ticks"))["count"] > first, 30, "another tick")


def test_a_file_comes_back_as_it_was(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(content)
    ask("/files/random.bin", "-T", str(tmp_path / "sent"), "-o", "/dev/null")
    ask("/files/random.bin", "-o", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == content


def test_an_edit_is_live_within_seconds():
    source = ROOT / "examples/fastapi/app/main.py"
    before = source.read_text()
    started = time.monotonic()
    try:
        source.write_text(before + "\n\n@app.get('/edited')\ndef edited() -> dict[str, bool]:\n    return {'edited': True}\n")
        until(lambda: ask("/edited") == '{"edited":true}', 30, "the edit")
    finally:
        source.write_text(before)
    print(f"an edit was live after {time.monotonic() - started:.1f} s")
    until(lambda: "Not Found" in ask("/edited"), 30, "the edit to be taken back")


def test_the_tests_of_the_application_run_in_its_container():
    web = docker("ps", "-q", "--filter", DEV, "--filter", "label=stack.longshore.process=web")
    assert " passed" in docker("exec", web, "pytest", "-q", "tests/unit")


def test_run_again_it_changes_nothing_and_says_so():
    assert changed(make("up")) == 0
    assert changed(make("up", "--check --diff")) == 0


def test_stopped_and_started_it_has_its_data():
    count = json.loads(ask("/ticks"))["count"]
    make("down")
    assert docker("ps", "-q", "--filter", DEV) == ""
    make("up")
    assert json.loads(ask("/ticks"))["count"] >= count
