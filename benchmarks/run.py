# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the main job, as ratios within one run. Usage: .venv/bin/python benchmarks/run.py [bare] [unchanged]

bare       a bare Debian 13 host until everything answers: site.yml, against apt and `docker compose up --wait` of the same compose
           files by hand.
unchanged  a run that has nothing to do, over SSH: site.yml, against the same stack written the usual way (one template task per
           file, one community.docker.docker_compose_v2 task per project); and the remote calls per service.

Both use the hosts, images and inventory of tests/journeys.
"""

from __future__ import annotations

import json
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/journeys"))
from journey_support import CACHE, HOSTS, Host, Stack, command, environment, play, until  # noqa: E402  # found by the line above

# Holds community.docker, which the collection itself does not need.
USUAL_PACKAGE = {"2.19": "ansible==12.3.0", "2.21": "ansible==14.5.0"}
RUNS = 5


def stack_of(name: str) -> Stack:
    made = json.loads((CACHE / "made.json").read_text())
    command(HOSTS / "seed", *made["services"], *([made["minio"]] if made["minio"] else []), timeout=1800)
    archive = max(CACHE.glob("applications-*.tar"), key=lambda path: path.stat().st_mtime)
    host = Host(name, "trixie")
    host.start()
    stack = Stack(host, "seaweedfs", archive, made["applications"])
    stack.fill_in()
    return stack


def projects(stack: Stack) -> list[str]:
    """Directories of the compose projects on the host, in the order in which they must start."""
    found = stack.host.sh(f"ls -d /opt/{stack.values['stack_name']}/*/compose.yaml /opt/{stack.values['stack_name']}/apps/*/releases/*/compose.yaml")
    return [str(Path(path).parent) for path in found.split()]


def name_of(stack: Stack, project: str) -> str:
    parts = Path(project).parts
    return f"{stack.values['stack_name']}-{parts[3]}" if "releases" not in parts else f"{stack.values['stack_name']}-{parts[4]}-{parts[-1].replace('.', '-')}"


def bare() -> None:
    ours = stack_of("bench-ours")
    seconds = ours.play("bare host, site.yml").succeeded().seconds
    until(ours.web().ready, what="the application to answer")

    by_hand = stack_of("bench-hand")
    # What somebody would have in a repository: the compose projects with their configuration, secrets, and the image of the application.
    stack = ours.values["stack_name"]
    key = ours.host.variables["ansible_ssh_private_key_file"]
    options = ours.host.variables["ansible_ssh_common_args"]
    packed = CACHE / "bench.tar"
    with packed.open("wb") as file:
        pack = f"tar -C / -c opt/{stack} etc/longshore && true"
        subprocess.run(["ssh", "-i", key, *shlex.split(options), f"root@{ours.host.address}", pack], stdout=file, check=True)
    steps = [
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io docker-cli docker-compose >/dev/null",
        "until docker info >/dev/null 2>&1; do sleep 0.2; done",
        "tar -C / -x",
        f"docker load -q -i /root/application.tar >/dev/null; docker network create {stack}_edge >/dev/null; docker network create {stack}_backend >/dev/null",
        "".join(
            f"mkdir -p /var/lib/{stack}/{path} && chown {uid}:{uid} /var/lib/{stack}/{path} && chmod 700 /var/lib/{stack}/{path}; "
            for path, uid in (("postgres", 999), ("valkey", 999), ("rabbitmq", 999), ("seaweedfs", 1000), ("caddy/data", 1000), ("caddy/config", 1000))
        ),
        *(f"cd {p} && docker compose -p {name_of(ours, p)} up -d --wait 2>&1 | tail -1" for p in projects(ours) if "releases" not in p),
        f"docker exec {stack}-postgres-postgres-1 sh /etc/postgresql/provision.sh; docker exec {stack}-seaweedfs-seaweedfs-1 sh /etc/longshore/provision.sh",
        *(
            f"cd {p} && project='docker compose -p {name_of(ours, p)}' && $project run --rm -T migrate alembic upgrade head 2>/dev/null; "
            "$project up -d --wait 2>&1 | tail -1"
            for p in projects(ours)
            if "releases" in p
        ),
    ]
    began = time.monotonic()
    host, login = by_hand.host, ["-i", key, *shlex.split(options)]
    command("scp", *login, ours.archive, f"root@{host.address}:/root/application.tar", timeout=600)
    for step in steps:
        with packed.open("rb") as file:
            subprocess.run(["ssh", *login, f"root@{host.address}", step], stdin=file if step.startswith("tar") else subprocess.DEVNULL, check=True)
    until(by_hand.web().ready, what="the application to answer")
    hand = time.monotonic() - began
    print(f"bare host until it answers: site.yml {seconds:.1f} s, by hand {hand:.1f} s, ratio {seconds / hand:.2f}")
    by_hand.host.remove()


def usual_playbook(stack: Stack) -> Path:
    """The same stack, written the usual way: a template for each file, Compose for each project."""
    folder = CACHE / "usual"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = []
    for number, project in enumerate(projects(stack)):
        listed = stack.host.sh(f"cd {project} && find . -type f -not -name '.longshore*' -not -name 'migration.*'").split()
        for path in listed:
            source = folder / f"{number}-{path.removeprefix('./').replace('/', '-')}.j2"
            source.write_text("{% raw %}" + stack.host.ssh(f"cat {project}/{path}").stdout + "{% endraw %}")
            mode = "0755" if path.endswith(".sh") else "0644"
            module = {"src": str(source), "dest": f"{project}/{path.removeprefix('./')}", "mode": mode}
            tasks.append({"name": f"Write {project}/{path}", "ansible.builtin.template": module})
        compose = {"project_src": project, "project_name": name_of(stack, project), "pull": "never"}
        tasks.append({"name": f"Run {project}", "community.docker.docker_compose_v2": compose})
    playbook = folder / "usual.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}], sort_keys=False))
    return playbook


def usual_environment() -> Path:
    venv = CACHE / "usual-venv"
    if not (venv / "bin/ansible-playbook").exists():
        core = command(ROOT / ".venv/bin/python", "-c", "import ansible.release as r; print('.'.join(r.__version__.split('.')[:2]))").stdout.strip()
        command(ROOT / ".venv/bin/python", "-m", "venv", venv)
        command(venv / "bin/pip", "install", "--quiet", USUAL_PACKAGE[core], timeout=900)
    return venv


def timed(*words: str | Path) -> float:
    began = time.monotonic()
    done = subprocess.run([str(word) for word in words], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(r"changed=0 ", done.stdout), done.stdout[-3000:]
    return time.monotonic() - began


def unchanged() -> None:
    stack = stack_of("bench-ours")
    stack.play("converge").succeeded()
    playbook, venv = usual_playbook(stack), usual_environment()
    subprocess.run([venv / "bin/ansible-playbook", "-i", stack.folder, playbook], cwd=ROOT, env=environment(), capture_output=True, check=False)
    ours, usual = [], []
    for _run in range(RUNS):
        ours.append(timed(ROOT / ".venv/bin/ansible-playbook", "-i", stack.folder, "site.yml"))
        usual.append(timed(venv / "bin/ansible-playbook", "-i", stack.folder, playbook))
    a, b = statistics.median(ours), statistics.median(usual)
    print(f"unchanged run over SSH, median of {RUNS}: site.yml {a:.1f} s, the usual way {b:.1f} s, ratio {a / b:.2f}")
    verbose = play("remote calls", "-i", str(stack.folder), "-vvv").succeeded().output
    calls: dict[str, int] = {}
    task = ""
    for line in verbose.splitlines():
        header = re.match(r"TASK \[(.*?)\]", line)
        task = header[1] if header else task
        if re.search(r"SSH: EXEC|^<.*> EXEC", line) and "SSH: EXEC" in line:
            role = task.split(" : ")[0]
            calls[role] = calls.get(role, 0) + 1
    print("remote calls by role: " + json.dumps(calls))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["bare", "unchanged"]:
        {"bare": bare, "unchanged": unchanged}[wanted]()
