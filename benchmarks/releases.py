# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of releases: what a deploy costs beside the application's own work, what a switch costs its visitors, rollbacks, and several hosts."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from bench_support import ENGINE, ROOT, running, stack_of
from journey_images import make_images
from journey_support import CACHE, Host, Run, Stack, command, play, until
from journey_switches import image
from load import Load, Result

RUNS = 3
APP = "/opt/prod/apps/example"
# Requests a second that two cores can answer while they deploy.
RATE = 100
HOSTS = (1, 2, 4, 8)
# In each step of a run that waits for every host, all of them at once.
FORKS = str(max(HOSTS))
EDGE_BY_HAND = """{
    skip_install_trust
}
app.prod.test {
    tls internal
    reverse_proxy by-hand:8000
}
"""


@dataclass
class Times:
    """When the tasks of a run began, by what its output shows; `line` sees each line of it. Seconds since the beginning."""

    began: float = field(default_factory=time.monotonic)
    tasks: list[tuple[float, str]] = field(default_factory=list)
    switched: float = 0.0

    def line(self, line: str) -> None:
        now = time.monotonic() - self.began
        if header := re.match(r"TASK \[(?:longshore\.stack\.\w+ : )?(.*)\] \**$", line):
            self.tasks.append((now, header[1]))
        if ": switched in " in line:
            self.switched = now

    def seconds(self, end: float) -> dict[str, float]:
        """Of each task, all with the same name together."""
        found: dict[str, float] = {}
        for (start, name), (after, _next) in zip(self.tasks, [*self.tasks[1:], (end, "")], strict=True):
            found[name] = found.get(name, 0) + after - start
        return found


def renew(stack: Stack) -> None:
    """Another value of a variable makes another release."""
    stack.app["env"]["RENEWED"] = int(stack.app["env"].get("RENEWED", 0)) + 1


def timed(stack: Stack, verb: str, title: str) -> tuple[Run, Times]:
    times = Times()
    return stack.play(title, playbook=f"playbooks/{verb}.yml", watch=times.line).succeeded(), times


def released(stack: Stack) -> None:
    stack.play("first run").succeeded()
    until(stack.web().ready, what="the application to be ready")


# -- release ---------------------------------------------------------------------------------------------------------------------


def release() -> None:
    with stack_of("bench-release", ENGINE) as stack:
        released(stack)
        found = [one_release(stack, number) for number in range(RUNS)]
    middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
    own = statistics.median(one["all of it"] - sum(one[name] for name in NOT_OURS) for one in found)
    rest = ", ".join(f"{name} {middle[name]:.1f}" for name in NOT_OURS)
    print(
        f"a deploy on one host, median of {RUNS}: {middle['all of it']:.1f} s, {own:.1f} s of them its own overhead, without: {rest}; "
        f"{middle[STOP]:.1f} s of the overhead the old containers needed to end after they were told to"
    )
    stages = {name: seconds for name, seconds in middle.items() if name not in (*NOT_OURS, STOP, "all of it") and seconds >= 0.05}
    print("seconds by stage, with what is not ours in it: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages.items()))


NOT_OURS = ("image", "migration", "the application's own start", "observation", "drain")
STOP = "the application's own stop"


def one_release(stack: Stack, number: int) -> dict[str, float]:
    since = stack.host.sh("date +%s.%N")
    renew(stack)
    run, times = timed(stack, "deploy", f"deploy {number}")
    record = json.loads(stack.host.sh(f"tail -n 1 {APP}/history.jsonl"))
    tasks = times.seconds(run.seconds)
    before = times.tasks[0][0]
    return {
        "all of it": run.seconds,
        "image": sum(seconds for name, seconds in tasks.items() if name.startswith("Have the image of ")),
        "migration": record["seconds"]["migrate"],
        "the application's own start": of_each(took(stack, since, "start", "health_status: healthy")),
        STOP: of_each(took(stack, since, "kill", "die")),
        "observation": record["seconds"]["watch"],
        "drain": sum(float(took) for took in re.findall(r"drained in (\S+) s", run.output)),
        "before the first task": before,
        **tasks,
    }


def took(stack: Stack, since: str, first: str, last: str) -> dict[str, float]:
    """By process, seconds between two events of its container, of those that came first."""
    kinds = "--filter label=stack.longshore.service=example --filter label=com.docker.compose.oneoff=False"
    kinds += "".join(f" --filter event={event.partition(':')[0]}" for event in (first, last))
    template = '{{.TimeNano}} {{index .Actor.Attributes "stack.longshore.process"}} {{.Action}}'
    lines = stack.host.sh(f"docker events --since {since} --until $(date +%s) {kinds} --format '{template}'").splitlines()
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for moment, process, action in (line.split(maxsplit=2) for line in lines):
        if action == first:
            began.setdefault(process, int(moment) / 1e9)
        elif action == last and process in began:
            ended.setdefault(process, int(moment) / 1e9)
    assert set(began) == set(ended) == {"web", "worker", "beat"}, lines
    return {process: ended[process] - began[process] for process in began}


def of_each(seconds: dict[str, float]) -> float:
    """Those that start or stop together, and what must not run twice, which does it in a moment of its own."""
    return max(seconds["web"], seconds["worker"]) + seconds["beat"]


# -- switch ----------------------------------------------------------------------------------------------------------------------


def switch() -> None:
    with stack_of("bench-switch", ENGINE) as stack:
        released(stack)
        ours = [under_load(stack, lambda: ours_once(stack)) for _run in range(RUNS)]
        change = by_hand(stack)
        hand = [under_load(stack, change) for _run in range(RUNS)]
    for way, seen in (("a deploy", ours), ("docker compose up -d by hand", hand)):
        failed, requests = (sum(one) for one in zip(*((len(load.failures), load.requests) for load, _moment in seen), strict=True))
        around = [load.percentile(0.99, moment - 0.5, moment + 0.5) for load, moment in seen]
        print(f"{way}: {failed} of {requests} requests failed in {RUNS} changes; p99 in the second around the switch {statistics.median(around):.0f} ms")


def under_load(stack: Stack, change: Callable[[], float]) -> tuple[Result, float]:
    """What the visitors saw, and at which of their seconds the switch was; `change` returns its moment."""
    with Load("app.prod.test", stack.host.address, stack.authority(), rate=RATE, least=0) as load:
        time.sleep(3)
        moment = change()
        time.sleep(3)
    return load.result, moment - load.result.began


def ours_once(stack: Stack) -> float:
    renew(stack)
    _run, times = timed(stack, "deploy", "deploy under load")
    return times.began + times.switched


def by_hand(stack: Stack) -> Callable[[], float]:
    """The same application from one compose file behind the same edge, without a switch; returns what changes a variable of it."""
    folder = f"{APP}/releases/{stack.host.sh(f'basename $(readlink {APP}/live)')}"
    definition: dict[str, Any] = yaml.safe_load(stack.host.sh(f"cat {folder}/compose.yaml"))
    for service in definition["services"].values():
        service["labels"] = {}
    web = definition["services"]["web"]
    web["networks"] = {network: {"aliases": ["by-hand"]} for network in web["networks"]}

    def up(renewed: int) -> None:
        web["environment"]["RENEWED"] = str(renewed)
        text = json.dumps(definition)
        stack.host.sh(f"cat > {folder}/by-hand.yaml <<'END'\n{text}\nEND\ndocker compose -p by-hand -f {folder}/by-hand.yaml up -d")

    up(0)
    stack.host.sh(f"cat > /opt/prod/caddy/config/Caddyfile <<'END'\n{EDGE_BY_HAND}\nEND\n")
    stack.host.sh("docker exec prod-caddy-caddy-1 caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile")
    stack.host.sh("docker ps -q --filter label=stack.longshore.service=example | xargs docker stop")
    until(stack.web().ready, what="the application to be ready")
    number = iter(range(1, 1 + RUNS))

    def change() -> float:
        since = stack.host.sh("date +%s.%N")
        up(next(number))
        until(stack.web().ready, what="the application to be ready")
        of_web = "--filter event=die --filter container=by-hand-web-1 --format '{{.TimeNano}}'"
        died = stack.host.sh(f"docker events --since {since} --until $(date +%s) {of_web}")
        return time.monotonic() - time.time() + int(died.split()[0]) / 1e9

    return change


# -- rollback --------------------------------------------------------------------------------------------------------------------


def rollback() -> None:
    with stack_of("bench-rollback", ENGINE) as stack:
        released(stack)
        for title, kept in (("containers started", "none"), ("previous release kept warm", "warm")):
            stack.app["deploy"] = {"keep_previous": kept, "observe": 3}
            for _deploy in range(2):
                renew(stack)
                timed(stack, "deploy", f"deploy, {kept}")
            found = [timed(stack, "rollback", f"rollback, {kept}") for _run in range(RUNS)]
            seconds = [times.switched for _run, times in found]
            first = [next(start for start, name in times.tasks if name.startswith("Find the earlier release")) for _run, times in found]
            print(
                f"rollback to switch, {title}: {statistics.median(seconds):.1f} s from the start of ansible-playbook, "
                f"{statistics.median(end - start for start, end in zip(first, seconds, strict=True)):.1f} s of them on the application (median of {RUNS})"
            )


# -- hosts -----------------------------------------------------------------------------------------------------------------------


def hosts() -> None:
    there = [Host(f"bench-app{number}", "trixie", ENGINE) for number in range(1, 1 + max(HOSTS))]
    archive = light_application()
    with running(*there):
        seconds = {}
        for number in HOSTS:
            inventory = light_inventory(there[:number], archive)

            def seconds_of(turn: int, playbook: str, number: int = number, inventory: Path = inventory) -> float:
                words = ["-i", str(inventory), "-f", FORKS, "-e", f"renewed={number}-{turn}"]
                return play(f"{number} hosts, run {turn}", *words, playbook=playbook).succeeded().seconds

            seconds_of(0, "site.yml")
            seconds[number] = statistics.median(seconds_of(turn, "playbooks/deploy.yml") for turn in range(1, 1 + RUNS))
    line = ", ".join(f"{number}: {took:.1f} s ({took / seconds[1]:.2f} times one)" for number, took in seconds.items())
    print(f"deploy over application hosts, median of {RUNS}, {FORKS} forks: {line}")


def light_application() -> Path:
    """An archive with one small program: what is measured is the fleet, and a small machine has enough to do with eight engines."""
    make_images()
    command("docker", "build", "--quiet", "--build-arg", f"BASE_IMAGE={image('python')}", "--tag", "longshore.test/shop:1", ROOT / "molecule/app/files/shop")
    archive = CACHE / "shop.tar"
    command("docker", "save", "--output", archive, "longshore.test/shop:1")
    return archive


def light_inventory(there: list[Host], archive: Path) -> Path:
    names = {f"app{number}": host.variables | {"stack_address": host.address} for number, host in enumerate(there, 1)}
    web = {"name": "web", "command": ["python3", "/app/shop.py"], "port": 8000, "health": {"path": "/"}, "memory": "64M"}
    shop = {"name": "shop", "image": "longshore.test/shop", "version": "1", "image_source": "archive", "archive": str(archive), "processes": [web]}
    shop |= {"env": {"SHOP_TEXT": "text-{{ renewed | default(0) }}"}, "secrets": {"SHOP_KEY": ""}, "migration": {"tool": "none"}}
    shop |= {"volumes": [{"name": "media", "target": "/app/media", "shared": True}], "deploy": {"observe": 3, "drain": 5}}
    values = {"stack_name": "bench", "stack_environment": "test", "stack_keeper": "app1", "stack_image_source": "build", "stack_apps": [shop]}
    path = CACHE / "bench-hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": names, "vars": values, "children": {"app": {"hosts": dict.fromkeys(names, {})}}}}, sort_keys=False))
    return path
