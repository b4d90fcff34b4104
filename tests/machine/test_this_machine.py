# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make up` on the machine that runs the tests: what a newcomer does first. A stack that did not run before is stopped at the end.

A second stack comes beside the first, on other ports and from a copy of the example, and goes again.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEV = "label=stack.longshore.name=dev"
SECOND = "label=stack.longshore.name=second"
SECOND_PORT = 8443
# The example's own, which this inventory leaves as it is.
TICK_SECONDS = 10
CURL = ["curl", "-sS", "-m", "30", *(word for name in ("app.localhost:443", "docs.localhost:443", f"app.localhost:{SECOND_PORT}")
                                     for word in ("--resolve", f"{name}:127.0.0.1"))]  # fmt: skip
# The machine's store, where the role put the stack's authority; nothing of the environment may stand in for it.
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
TRUST = ["--cacert", str(BUNDLE)]


def attempt(target: str, arguments: str = "") -> subprocess.CompletedProcess[str]:
    began = time.monotonic()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ANSIBLE_"))}
    done = subprocess.run(["make", target, f"ARGS={arguments}"], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=3600)
    print(f"make {target} {arguments}: {time.monotonic() - began:.0f} s")
    return done


def make(target: str, arguments: str = "") -> str:
    done = attempt(target, arguments)
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


def test_a_task_is_done_without_a_worker_and_the_periodic_one_runs_once_per_period():
    job = json.loads(ask("/jobs", "-H", "content-type: application/json", "-d", '{"n": 10}'))
    assert json.loads(ask(f"/jobs/{job['id']}")) == {"status": "SUCCESS", "result": 385}
    begin = until(lambda: (look := json.loads(ask("/ticks")))["count"] and look, 60, "a first tick")
    end = until(lambda: (look := json.loads(ask("/ticks")))["count"] >= begin["count"] + 3 and look, 90, "more ticks")
    first, last = (datetime.fromisoformat(look["last"]) for look in (begin, end))
    seen = {datetime.fromisoformat(row["period"]): (row["sent"], row["ran"]) for row in json.loads(ask("/ticks/periods?limit=200"))}
    between = sorted(moment for moment in seen if first < moment <= last)
    assert len(between) >= 2 and {seen[moment] for moment in between} == {(1, 1)}, seen
    assert {later - earlier for earlier, later in itertools.pairwise(between)} == {timedelta(seconds=TICK_SECONDS)}, between


def test_a_file_comes_back_as_it_was(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(content)
    ask("/files/random.bin", "-T", str(tmp_path / "sent"), "-o", "/dev/null")
    ask("/files/random.bin", "-o", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == content


def test_the_tests_of_the_application_run_in_its_container():
    """All of them: unlike anywhere else, the services that the integration tests need are there."""
    web = docker("ps", "-q", "--filter", DEV, "--filter", "label=stack.longshore.process=web")
    output = docker("exec", web, "pytest", "-q")
    assert re.search(r"^\d+ passed", output, re.MULTILINE), output
    assert "skipped" not in output


def test_run_again_it_changes_nothing_and_says_so():
    assert changed(make("up")) == 0
    assert changed(make("up", "--check --diff")) == 0


def test_stopped_and_started_it_has_its_data():
    count = json.loads(ask("/ticks"))["count"]
    make("down")
    assert docker("ps", "-q", "--filter", DEV) == ""
    make("up")
    assert json.loads(ask("/ticks"))["count"] >= count


class Second:
    """The second stack, from a source of its own so that it has an image of its own, beside a container and an image of somebody else."""

    def __init__(self, folder: Path):
        self.source = folder / "fastapi"
        shutil.copytree(ROOT / "examples/fastapi", self.source, ignore=shutil.ignore_patterns("__pycache__"))
        # Copied into the image late, so that the build has little to do.
        (self.source / "tests/second.txt").write_text("makes this source another one")
        self.arguments = f"-e stack_name=second -e stack_http_port=8080 -e stack_https_port={SECOND_PORT} -e example_source={self.source}"
        self.foreign = f"foreign-{os.getpid()}"

    def start(self) -> None:
        subprocess.run(f"tar -c -C {self.source} README.md | docker import - {self.foreign}:1", shell=True, capture_output=True, check=True)
        image = docker("inspect", "--format", "{{.Config.Image}}", "dev-valkey-valkey-1")
        docker("run", "--detach", "--name", self.foreign, "--entrypoint", "sleep", image, "3600")
        make("up", self.arguments)

    def end(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.foreign], capture_output=True, check=False)
        subprocess.run(["docker", "image", "rm", f"{self.foreign}:1"], capture_output=True, check=False)
        if docker("ps", "-aq", "--filter", SECOND):
            make("destroy", self.arguments)


@pytest.fixture(scope="module")
def second(up, tmp_path_factory):
    stack = Second(tmp_path_factory.mktemp("second"))
    try:
        stack.start()
        yield stack
    finally:
        stack.end()


def test_two_variables_move_a_second_stack_to_other_ports_beside_the_first(second):
    assert json.loads(ask("/ready", host=f"app.localhost:{SECOND_PORT}"))["ready"] is True
    item = json.loads(ask("/items", "-H", "content-type: application/json", "-d", '{"name": "of the second"}', host=f"app.localhost:{SECOND_PORT}"))
    assert json.loads(ask(f"/items/{item['id']}", host=f"app.localhost:{SECOND_PORT}"))["name"] == "of the second"
    assert "of the second" not in docker("exec", "dev-postgres-postgres-1", "psql", "-U", "postgres", "-d", "example", "-Atc", "SELECT name FROM items")


def test_an_edit_is_live_within_two_seconds(second):
    main, took = second.source / "app/main.py", []
    for number in range(3):
        started = time.monotonic()
        with main.open("a") as file:
            file.write(f"\n\n@app.get('/edited{number}')\ndef edited{number}() -> bool:\n    return True\n")
        until(lambda path=f"/edited{number}": ask(path, host=f"app.localhost:{SECOND_PORT}") == "true", 30, "the edit")
        took.append(time.monotonic() - started)
    print("edits were live after", ", ".join(f"{seconds:.1f} s" for seconds in took))
    # The machine has other work too, which may hold up one of them.
    assert statistics.median(took) <= 2


def images(stack: str) -> set[str]:
    return {ref for ref, record in json.loads(Path(f"/opt/{stack}/images.json").read_text()).items() if record["brought"]}


def test_removing_the_second_leaves_everything_else_as_it_was(second):
    authority = Path("/usr/local/share/ca-certificates/longshore-second.crt")
    certificate = authority.read_text()
    assert certificate.strip() in BUNDLE.read_text()
    first, own = docker("ps", "-q", "--no-trunc", "--filter", DEV), images("second") - images("dev")
    assert [ref for ref in own if ref.startswith("longshore/fastapi:")]

    said = " ".join(make("destroy", second.arguments).split())
    assert "The stack second is gone from localhost. The container engine and its settings stay." in said

    assert docker("ps", "-aq", "--filter", SECOND) == docker("network", "ls", "-q", "--filter", SECOND) == ""
    assert [ref for ref in own if subprocess.run(["docker", "image", "inspect", ref], capture_output=True, check=False).returncode == 0] == []
    assert [path for path in ("/opt/second", "/var/lib/second", "/etc/longshore/secrets/second") if Path(path).exists()] == []
    assert not authority.exists()
    assert certificate.strip() not in BUNDLE.read_text()

    assert docker("ps", "-q", "--no-trunc", "--filter", DEV) == first
    assert json.loads(ask("/ready"))["ready"] is True
    assert docker("inspect", "--format", "{{.State.Status}}", second.foreign) == "running"
    assert docker("image", "inspect", "--format", "{{.Id}}", f"{second.foreign}:1")
    docker("image", "inspect", *images("dev"))


def test_a_directory_of_somebody_else_is_refused_before_anything_is_written(second, tmp_path):
    (tmp_path / "17").mkdir()
    done = attempt("up", f"{second.arguments} -e stack_data_root={tmp_path}")
    assert done.returncode != 0
    assert f"{tmp_path} has files that are not the stack's" in " ".join(done.stdout.split())
    assert not Path("/opt/second").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["17"]
