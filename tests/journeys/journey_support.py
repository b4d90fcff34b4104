# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a journey needs: a host, an inventory that a user filled in, runs of ansible-playbook, and a browser's view of the result."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/journeys"
HOSTS = ROOT / "tests/hosts"
DOMAIN = "prod.test"
# The whole fault matrix instead of a sample.
SOAK = os.environ.get("STACK_SOAK") == "1"
# Says what a sample is; the same number samples the same.
SEED = int(os.environ.get("JOURNEY_SEED") or time.time())
# For work on the tests: hosts stay, and are found again with their inventory.
KEEP = os.environ.get("JOURNEY_KEEP") == "1"
# A machine with other work is slow; a limit is there to end a test that would never end.
PATIENCE = 300

FIGURES: list[str] = []


def until(condition: Callable[[], Any], seconds: float = PATIENCE, pause: float = 0.3, what: str = "") -> Any:
    """The first true answer of the condition; fails with its last answer if there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what or condition}: {answer!r}"
        time.sleep(pause)
    return answer


def command(*args: str | Path, timeout: float = 600, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, timeout=timeout, check=False, input=stdin)
    if check:
        assert done.returncode == 0, f"{shlex.join(map(str, args))}: {done.stderr or done.stdout}"
    return done


class Host:
    """A test host, reached as Ansible reaches it: by SSH."""

    def __init__(self, name: str, suite: str, options: tuple[str, ...] = ("--seed",)):
        self.name, self.suite, self.options = name, suite, options
        self.folder = CACHE / "hosts" / name
        self.variables: dict[str, str] = {}

    def start(self) -> bool:
        """False where the host of an earlier run was kept."""
        note = self.folder / "line"
        fresh = not (KEEP and note.exists() and command("docker", "inspect", self.name, check=False).returncode == 0)
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            note.write_text(command(HOSTS / "up", self.name, self.suite, *self.options).stdout)
        _name, *words = shlex.split(note.read_text())
        self.variables = dict(word.split("=", 1) for word in words)
        return fresh

    def remove(self) -> None:
        if not KEEP:
            command(HOSTS / "down", self.name)

    @property
    def address(self) -> str:
        return self.variables["ansible_host"]

    def _words(self, script: str) -> list[str]:
        options = shlex.split(self.variables["ansible_ssh_common_args"])
        return ["ssh", "-i", self.variables["ansible_ssh_private_key_file"], *options, f"root@{self.address}", script]

    def ssh(self, script: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return command(*self._words(script), check=check, timeout=timeout)

    def sh(self, script: str, **options: Any) -> str:
        return self.ssh(script, **options).stdout.strip()

    def reboot(self) -> float:
        began = time.monotonic()
        command(HOSTS / "reboot", self.name)
        return time.monotonic() - began

    def containers(self) -> dict[str, Box]:
        """What the engine has, also what is stopped, by the name of the container."""
        listed = self.sh("docker ps -aq --no-trunc | xargs -r docker inspect")
        return {box.name: box for box in (Box.of(data) for data in json.loads(listed or "[]"))}

    def boxes(self, service: str, running: bool = True) -> list[Box]:
        """Containers of a compose service such as postgres, web or beat."""
        return [box for box in self.containers().values() if box.service == service and (box.running or not running)]

    def box(self, service: str) -> Box:
        found = self.boxes(service)
        assert len(found) == 1, f"{len(found)} containers run {service}: {found}"
        return found[0]

    def sql(self, statement: str, database: str = "example") -> str:
        return self.sh(f"docker exec {self.box('postgres').id} psql -U postgres -d {database} -Atc {shlex.quote(statement)}")


@dataclass(frozen=True)
class Box:
    """A container on the host."""

    id: str
    name: str
    service: str
    release: str
    image: str
    state: str
    health: str
    pid: int
    started: str

    @classmethod
    def of(cls, data: dict[str, Any]) -> Box:
        labels, state = data["Config"]["Labels"] or {}, data["State"]
        return cls(
            data["Id"],
            data["Name"].lstrip("/"),
            labels.get("com.docker.compose.service", ""),
            labels.get("stack.longshore.release", ""),
            data["Config"]["Image"],
            state["Status"],
            (state.get("Health") or {}).get("Status", "none"),
            state["Pid"],
            state["StartedAt"],
        )

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def well(self) -> bool:
        return self.running and self.health in ("healthy", "none")


@dataclass
class Run:
    """A run of ansible-playbook, as its user sees it."""

    title: str
    rc: int
    output: str
    seconds: float
    killed: bool = False

    @property
    def changed(self) -> int:
        """Changed tasks of all hosts, by the recap."""
        found = re.findall(r"^\S+ +: ok=\d+ +changed=(\d+)", self.output, re.MULTILINE)
        assert found, self.end
        return sum(map(int, found))

    @property
    def changed_tasks(self) -> list[str]:
        """Names of the tasks that changed something, in their order."""
        names, task = [], ""
        for line in self.output.splitlines():
            header = re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line)
            task = header[1] if header else task
            if line.startswith("changed: ") and task not in names:
                names.append(task)
        return names

    @property
    def remote_calls(self) -> dict[str, int]:
        """Round trips to the hosts by role, as a run with -vvv shows them (not those of tasks with no_log)."""
        calls: dict[str, int] = {}
        role = ""
        for line in self.output.splitlines():
            header = re.match(r"TASK \[(?:longshore\.stack\.(\w+) : )?", line)
            role = (header[1] or "") if header else role
            if re.match(r"<\S+> (SSH: EXEC|PUT) ", line):
                calls[role] = calls.get(role, 0) + 1
        return calls

    @property
    def end(self) -> str:
        """What belongs into a failed test's message."""
        return "\n".join(self.output.splitlines()[-60:])

    def succeeded(self) -> Run:
        assert self.rc == 0, f"{self.title} ended with {self.rc}:\n{self.end}"
        return self


@dataclass
class Stack:
    """A production inventory with its places filled in, and the host that it describes."""

    host: Host
    s3: str
    archive: Path
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.host.folder / "inventory"

    @property
    def hosts(self) -> dict[str, Host]:
        """By their name in the inventory."""
        return {"app1": self.host}

    def members(self, group: str) -> list[str]:
        """The hosts of a group of the inventory."""
        return [] if group in ("minio", "seaweedfs") and group != self.s3 else list(self.hosts)

    def fill_in(self) -> None:
        """As a user does it: copy inventories/prod, replace every CHANGE_ME; and say what a place without registry needs."""
        if self.folder.exists():
            self.values = yaml.safe_load((self.folder / "group_vars/prod.yml").read_text())
            self.app["archive"] = str(self.archive)
            return
        shutil.copytree(ROOT / "inventories/prod", self.folder)
        hosts = yaml.safe_load((self.folder / "hosts.yml").read_text())["all"]
        hosts["hosts"] = {name: host.variables for name, host in self.hosts.items()}
        for group, entry in hosts["children"].items():
            entry["hosts"] = {name: {} for name in self.members(group)}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": hosts}, sort_keys=False))
        values = yaml.safe_load((self.folder / "group_vars/prod.yml").read_text())
        values |= {"stack_domain": DOMAIN, "stack_tls": "internal", "stack_tls_internal_in_prod": True, "stack_image_source": "build"}
        # A journey comes in by SSH more often than any user does.
        values["firewall_ssh_limit"] = 0
        del values["stack_acme_email"]
        example = values["stack_apps"][0]
        example |= {"image": "longshore.test/example", "version": "1.0.0", "image_source": "archive", "archive": str(self.archive)}
        example["env"] |= {"TICK_SECONDS": 2}
        self.values = values
        self.save()

    def save(self) -> None:
        text = yaml.safe_dump(self.values, sort_keys=False)
        assert "CHANGE_ME" not in text
        (self.folder / "group_vars/prod.yml").write_text(text)

    @property
    def app(self) -> dict[str, Any]:
        return self.values["stack_apps"][0]

    def process(self, name: str) -> dict[str, Any]:
        return next(process for process in self.app["processes"] if process["name"] == name)

    @contextlib.contextmanager
    def changed(self):
        """A change of the inventory that is taken back at the end."""
        before = copy.deepcopy(self.values)
        try:
            yield self.values
        finally:
            self.values = before
            self.save()

    @property
    def title(self) -> str:
        return self.host.suite

    def play(self, title: str, *args: str, **options: Any) -> Run:
        self.save()
        return play(f"{self.title}: {title}", "-i", str(self.folder), *args, **options)

    # -- seen from outside ---------------------------------------------------------------------------------------------------

    def authority(self, proxy: Host | None = None) -> Path:
        """Each proxy host that makes its own certificates has an authority of its own."""
        proxy = proxy or self.host
        path = proxy.folder / "root.crt"
        path.write_text(proxy.sh(f"cat /var/lib/{self.values['stack_name']}/caddy/data/caddy/pki/authorities/local/root.crt") + "\n")
        return path

    def web(self, name: str = "app", proxy: Host | None = None) -> Web:
        return Web(f"{name}.{DOMAIN}", (proxy or self.host).address, self.authority(proxy))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Web:
    """HTTPS to one name of the stack; only the stack's own authority is trusted."""

    name: str
    address: str
    authority: Path

    def ask(self, method: str, path: str, body: bytes | dict | None = None) -> Answer:
        """Status 0 where nobody answers."""
        folder = self.authority.parent
        given, got, head = (folder / f"{secrets.token_hex(4)}.{what}" for what in ("given", "got", "head"))
        words = ["curl", "--silent", "--show-error", "--max-time", "60", "--cacert", self.authority, "--resolve", f"{self.name}:443:{self.address}"]
        words += ["--request", method, "--dump-header", head, "--output", got]
        if body is not None:
            given.write_bytes(json.dumps(body).encode() if isinstance(body, dict) else body)
            words += ["--data-binary", f"@{given}", "--header", f"Content-Type: application/{'json' if isinstance(body, dict) else 'octet-stream'}"]
        try:
            done = command(*words, f"https://{self.name}{path}", check=False)
            if done.returncode:
                return Answer(0, {}, done.stderr.encode())
            # A provisional answer (100) comes before the real one.
            last = re.split(r"\r?\n\r?\n", head.read_text().strip())[-1].splitlines()
            headers = {key.lower(): value.strip() for key, _colon, value in (line.partition(":") for line in last[1:])}
            return Answer(int(last[0].split()[1]), headers, got.read_bytes() if got.exists() else b"")
        finally:
            for path_ in (given, got, head):
                path_.unlink(missing_ok=True)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def ready(self) -> bool:
        return self.get("/ready").status == 200

    def add(self, name: str) -> int:
        made = self.ask("POST", "/items", {"name": name})
        assert made.status == 201, made
        return made.json["id"]

    def job(self, n: int) -> tuple[str, Any]:
        """Id and result of a job that the worker has done."""
        accepted = self.ask("POST", "/jobs", {"n": n})
        assert accepted.status == 202, accepted
        done = until(lambda: (job := self.get(f"/jobs/{accepted.json['id']}")).json["status"] == "SUCCESS" and job, what="a job to be done")
        return accepted.json["id"], done.json["result"]


# -- runs of ansible-playbook -----------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
    return env | {"ANSIBLE_NOCOLOR": "1", "PATH": f"{ROOT / '.venv/bin'}:{env['PATH']}"}


def play(
    title: str,
    *args: str,
    playbook: str = "site.yml",
    kill: Callable[[str], bool] | None = None,
    delay: float = 0,
    timeout: float = 1800,
    watch: Callable[[str], object] | None = None,
) -> Run:
    """ansible-playbook of this checkout, from its folder. `watch` sees each line of its output. So does `kill`; where it says yes, after `delay` seconds
    the run and all its processes are killed."""
    words = [str(ROOT / ".venv/bin/ansible-playbook"), *args, playbook]
    began = time.monotonic()
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    lines: list[str] = []
    killed = threading.Event()

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    limit = threading.Timer(timeout, end)
    limit.start()
    (CACHE / "runs").mkdir(parents=True, exist_ok=True)
    log = (CACHE / "runs" / (re.sub(r"[^a-z0-9]+", "-", title.lower()) + ".log")).open("w", buffering=1)
    log.write(f"$ {shlex.join(words)}\n")
    try:
        for line in process.stdout:
            lines.append(line)
            log.write(line)
            if watch:
                watch(line)
            if kill and not killed.is_set() and kill(line):
                killed.set()
                threading.Timer(delay, end).start()
        rc = process.wait()
    finally:
        limit.cancel()
        log.close()
        end()
    run = Run(title, rc, "".join(lines), time.monotonic() - began, killed.is_set() and rc == -signal.SIGKILL)
    figure(f"{run.seconds:7.1f} s  {'killed' if run.killed else f'status {rc}':9} {title}")
    return run


def figure(line: str) -> None:
    print(line, flush=True)
    FIGURES.append(line)


def some(of: list, number: int, what: str) -> list:
    """All of it in the whole matrix, else a sample that is printed."""
    if SOAK:
        return of
    sample = random.Random(f"{SEED} {what}").sample(of, number)
    figure(f"           sample of {what} (JOURNEY_SEED={SEED}): {'; '.join(getattr(one, '__name__', str(one)) for one in sample)}")
    return sample
