# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, as ratios within one run where there is something to compare with. Usage: make bench [ARGS="bare release"]; all when none is named.

bare       a bare Debian 13 host until everything answers: site.yml, against apt and `docker compose up --wait` of the same compose
           files by hand.
unchanged  a run that has nothing to do, over SSH: site.yml, against the same stack written the usual way (one template task per
           file, one community.docker.docker_compose_v2 task per project); and the remote calls per service.
up         `make up` by a newcomer on a bare Debian 13 host, which has no image either; and once more, when there is nothing to do.
release    a deploy on one host, stage by stage: how much of it is neither image, migration, the application's own start, observation, nor drain.
switch     failed requests, and p99 in the second around the switch, under steady load: a deploy, against `docker compose up -d` by hand.
rollback   seconds from the start of the playbook until the switch is done: containers started, and the previous release kept warm.
hosts      a deploy over 1, 2, 4 and 8 application hosts, of one small process.
edge       requests a second and p99 through each proxy of the edge, against the plainest configuration of it by hand.
switches   a hundred switches under keep-alive load: the role's switch, against Caddy that is reloaded.

They use the hosts, images and inventory of tests/journeys, make what is missing of them, and remove their hosts.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import releases
import switches
import yaml
from bench_support import ROOT, running, stack_of
from journey_support import CACHE, Host, Stack, command, environment, until
from newcomer import Newcomer, changed

# Holds community.docker, which the collection itself does not need.
USUAL_PACKAGE = {"2.19": "ansible==12.3.0", "2.21": "ansible==14.5.0"}
RUNS = 5
# What only the collection reads in a project's directory.
OURS = (".longshore*", "release.json", "migration.*", "*.log")
# By hand, the switch is told which container serves.
LEAD = """
import socket, subprocess, sys
box = subprocess.check_output(["docker", "ps", "-q", "--filter", "label=stack.longshore.process=web"], text=True).strip()
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
line.sendall(f"set server example-web/a1 fqdn {box}; set server example-web/a1 state ready\\n".encode())
line.recv(65536)
"""


def projects(stack: Stack) -> list[str]:
    """Directories of the compose projects on the host, those of the applications last."""
    name = stack.values["stack_name"]
    found = stack.host.sh(f"ls /opt/{name}/*/compose.yaml; ls /opt/{name}/apps/*/releases/*/compose.yaml")
    return [str(Path(path).parent) for path in found.split()]


def name_of(stack: Stack, project: str) -> str:
    parts = Path(project).parts
    return f"{stack.values['stack_name']}-{parts[3]}" if "releases" not in parts else f"{stack.values['stack_name']}-{parts[4]}-{parts[-1].replace('.', '-')}"


def bare() -> None:
    with stack_of("bench-ours") as ours, stack_of("bench-hand") as hand:
        seconds = ours.play("bare host, site.yml").succeeded().seconds
        until(ours.web().ready, what="the application to answer")
        by_hand = up_by_hand(ours, hand)
        print(f"bare host until it answers: site.yml {seconds:.1f} s, by hand {by_hand:.1f} s, ratio {seconds / by_hand:.2f}")


def up_by_hand(ours: Stack, hand: Stack) -> float:
    """Seconds that somebody needs who has the compose projects with their configuration and secrets, and types without a pause."""
    stack, packed = ours.values["stack_name"], CACHE / "bench.tar"
    login = ["-i", ours.host.variables["ansible_ssh_private_key_file"], *shlex.split(ours.host.variables["ansible_ssh_common_args"])]
    with packed.open("wb") as file:
        subprocess.run(["ssh", *login, f"root@{ours.host.address}", f"tar -C / -c opt/{stack} etc/longshore"], stdout=file, check=True)
    owners = {"postgres": 999, "valkey": 999, "rabbitmq": 999, "seaweedfs": 1000, "caddy/data": 1000, "caddy/config": 1000, "switch/run": 99}
    steps = [
        "apt-get update -qq",
        "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io docker-cli docker-compose",
        "until docker info; do sleep 0.2; done",
        "docker load -q -i /root/application.tar",
        *(f"docker network create {stack}_{network}" for network in ("edge", "backend")),
        *(f"install -d -m 700 -o {uid} -g {uid} /var/lib/{stack}/{path}" for path, uid in owners.items()),
    ]
    for project in projects(ours):
        compose = f"cd {project} && docker compose -p {name_of(ours, project)}"
        if "releases" in project:
            image = json.loads(ours.host.sh(f"cat {project}/release.json"))["image"]
            steps += [f"docker tag {image['ref']} {image['name']}", f"{compose} run --rm -T migrate alembic upgrade head"]
        steps.append(f"{compose} up -d --wait")
        if "releases" in project:
            steps.append(f"python3 -c {shlex.quote(LEAD)} /var/lib/{stack}/switch/run/admin.sock")
        if project.endswith("/postgres"):
            steps.append(f"docker exec {stack}-postgres-postgres-1 sh /etc/postgresql/provision.sh")
        if project.endswith("/seaweedfs"):
            steps.append(f"docker exec {stack}-seaweedfs-seaweedfs-1 sh /etc/longshore/provision.sh")
    began = time.monotonic()
    for source, target in ((ours.archive, "/root/application.tar"), (packed, "/root/projects.tar")):
        command("scp", *login, source, f"root@{hand.host.address}:{target}")
    hand.host.sh("tar -C / -xf /root/projects.tar")
    for step in steps:
        hand.host.sh(step, timeout=600)
    until(hand.web().ready, what="the application to answer")
    return time.monotonic() - began


def usual_playbook(stack: Stack) -> Path:
    """The same stack, written the usual way: a template for each file, Compose for each project.

    Without the files that only this collection reads. Those that make databases and buckets stay, for what the other way would need for that.
    """
    folder = CACHE / "usual"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = []
    for number, project in enumerate(projects(stack)):
        unread = " ".join(f"-not -name '{name}'" for name in OURS)
        listed = stack.host.sh(f"cd {project} && find . -type f {unread}").split()
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


def seconds_of(*words: str | Path, settled: bool = True) -> float:
    began = time.monotonic()
    done = subprocess.run([str(word) for word in words], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert not settled or re.search(r"changed=0 ", done.stdout), done.stdout[-3000:]
    return time.monotonic() - began


def unchanged() -> None:
    with stack_of("bench-ours") as stack:
        # The other side has neither.
        stack.values |= {"stack_base": False, "stack_firewall": False}
        stack.play("converge").succeeded()
        site = [ROOT / ".venv/bin/ansible-playbook", "-i", stack.folder, "site.yml"]
        usual = [usual_environment() / "bin/ansible-playbook", "-i", stack.folder, usual_playbook(stack)]
        # Its first run makes the containers its own. It comes before ours is measured, which must find its own again.
        seconds_of(*usual, settled=False)
        seconds_of(*site, settled=False)
        found = [(seconds_of(*site), seconds_of(*usual)) for _run in range(RUNS)]
        ours, theirs = (statistics.median(side) for side in zip(*found, strict=True))
        print(f"unchanged run over SSH, median of {RUNS}: site.yml {ours:.1f} s, the usual way {theirs:.1f} s, ratio {ours / theirs:.2f}")
        calls = stack.play("remote calls", "-vvv").succeeded().remote_calls
        print("remote calls of an unchanged run, by role: " + json.dumps(calls))


def up() -> None:
    host = Host("bench-newcomer", "trixie", ())
    with running(host):
        newcomer = Newcomer(host)
        newcomer.arrive()
        _output, first = newcomer.make("up")
        output, second = newcomer.make("up")
        assert changed(output) == 0, output[-3000:]
        print(f"make up on a bare host: {first:.0f} s with all that is installed and built, {second:.0f} s once more")


if __name__ == "__main__":
    measures = {"bare": bare, "unchanged": unchanged, "up": up, "release": releases.release, "switch": releases.switch}
    measures["edge"] = lambda: subprocess.run([sys.executable, str(ROOT / "benchmarks/edges.py")], check=True)
    measures |= {"rollback": releases.rollback, "hosts": releases.hosts, "switches": switches.hundred}
    unknown = set(sys.argv[1:]) - set(measures)
    if unknown:
        sys.exit(f"there is no measure {', '.join(sorted(unknown))}; allowed: {', '.join(measures)}")
    if os.geteuid() or not shutil.which("docker"):
        sys.exit("benchmarks need root and a container engine, as the journeys do")
    for wanted in sys.argv[1:] or measures:
        measures[wanted]()
