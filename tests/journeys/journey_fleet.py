# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proxy hosts, the first of them with the data services, application hosts, and what can be seen of the releases on them."""

from __future__ import annotations

import csv
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from journey_support import PATIENCE, Box, Host, Run, Stack, Web, command
from load import Load

PROCESSES = {"app1": ["beat", "web", "worker"], "app2": ["web", "worker"]}
APP = "/opt/prod/apps/example"
ASK_SWITCH = """python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect("/var/lib/prod/switch/run/admin.sock"); s.sendall(b"show stat\\n")
print(b"".join(iter(lambda: s.recv(65536), b"")).decode())'"""
# Seconds without a tick beside those that beat is away: the wait for the slowest host and a round trip of Ansible, on a machine that has other work.
ALLOWANCE = 10
# Longer than a run has that is killed or cut off in it; not in a process whose containers are counted.
HOOK = {"stage": "switch", "when": "before", "process": "web", "command": ["python3", "-c", "import time; time.sleep(2)"]}
# As a firewall or a broken cable does it, but at once; what the host serves goes on. From outside, because nobody gets in.
CUT = "iptables -{verb} INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset"


@dataclass
class Fleet(Stack):
    """The production inventory over several hosts; deploys are made quick where that does not change what is tested.

    failed: releases that hosts had a trace of when they failed; the next good deploy leaves nothing of them.
    """

    proxies: dict[str, Host] = field(default_factory=dict)
    apps: dict[str, Host] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    renewed: int = 0

    @property
    def title(self) -> str:
        return "fleet"

    @property
    def hosts(self) -> dict[str, Host]:
        return {**self.proxies, **self.apps}

    @property
    def first(self) -> str:
        """The host that has the data services, and the stack's secrets."""
        return next(iter(self.proxies))

    def members(self, group: str) -> list[str]:
        wanted = {"prod": self.hosts, "app": self.apps, "proxy": self.proxies}.get(group, [self.first])
        return [name for name in super().members(group) if name in wanted]

    def fill_in(self) -> None:
        for host in self.hosts.values():
            host.variables["stack_address"] = host.address
        super().fill_in()
        # What cuts a host off is a rule of the test's, and the hosts' own settings are other tests' business.
        self.values |= {"stack_base": False, "stack_firewall": False}
        self.values |= {"stack_keeper": self.first, "app_lease_seconds": 15, "stack_wait_timeout": 90}
        self.app.update({"deploy": {"observe": 3, "drain": 6, "keep": 3}, "secrets": {"API_TOKEN": "of the first release"}})
        self.app["hooks"] = [HOOK]
        self.process("web")["env"] = {"WEB_CONCURRENCY": "2"}
        self.process("worker")["stop_grace"] = 45
        self.save()

    # -- what a user does ----------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Another value of a variable makes another release, also where the change before was taken back."""
        self.renewed = max(self.renewed, int(self.app["env"].get("RENEWED", 0))) + 1
        self.app["env"]["RENEWED"] = self.renewed

    def play(self, title: str, *args: str, **options: Any) -> Run:
        self.runs.append(super().play(title, *args, **options))
        return self.runs[-1]

    def deploy(self, title: str, *args: str, **options: Any) -> Run:
        return self.play(title, *args, playbook="playbooks/deploy.yml", **options)

    def rollback(self, title: str, *args: str, **options: Any) -> Run:
        return self.play(title, *args, playbook="playbooks/rollback.yml", **options)

    def load(self, **options: Any) -> Load:
        """Visitors by all proxies."""
        first, *others = ((proxy.address, self.authority(proxy)) for proxy in self.proxies.values())
        return Load("app.prod.test", *first, beside=others, **options)

    def webs(self) -> list[Web]:
        return [self.web(proxy=proxy) for proxy in self.proxies.values()]

    def ready(self) -> bool:
        return all(web.ready() for web in self.webs())

    # -- what happens to hosts -----------------------------------------------------------------------------------------------

    def cut(self, name: str) -> None:
        """SSH to this host is cut, also what is connected."""
        command("docker", "exec", self.hosts[name].name, "sh", "-c", CUT.format(verb="I"))

    def mend(self, name: str) -> None:
        command("docker", "exec", self.hosts[name].name, "sh", "-c", f"while {CUT.format(verb='D')}; do :; done 2>/dev/null")

    # -- what there is -------------------------------------------------------------------------------------------------------

    def processes(self, name: str) -> list[Box]:
        """The containers of the application on a host, of whatever release."""
        return [box for box in self.apps[name].containers().values() if box.name.startswith("prod-example-")]

    def lives(self) -> dict[str, str]:
        """By host, the release that is recorded as live."""
        return {name: host.sh(f"basename $(readlink {APP}/live)") for name, host in self.apps.items()}

    def live(self) -> str:
        """The release that is recorded as live, on all hosts the same."""
        found = self.lives()
        assert len(set(found.values())) == 1, found
        return found["app1"]

    def goes_back(self) -> bool:
        """Whether there is a release before the live one, on every host."""
        return all(host.sh(f"readlink {APP}/previous || true") for host in self.apps.values())

    def kept(self, name: str) -> set[str]:
        """The releases of which a host has a directory, an image, secrets, or containers."""
        looks = (
            f"ls {APP}/releases",
            "docker images --format '{{.Tag}}' longshore/prod-example",
            "ls /etc/longshore/secrets/prod/example",
            "docker ps -a --filter label=stack.longshore.service=example --format '{{.Label \"stack.longshore.release\"}}'",
        )
        return set(self.apps[name].sh("; ".join(looks)).split())

    def nothing_is_left(self) -> None:
        """Of a release that failed, also not what its visitors cannot see. The run after may have made it again, and well."""
        self.failed.discard(self.live())
        left = {name: self.kept(name) & self.failed for name in self.apps}
        assert not any(left.values()), left

    def settled(self) -> str:
        """Each host runs the live release, all its processes, well, and nothing else; the visitors get it."""
        release = self.live()

        def wrong() -> list[str]:
            found = {name: self.processes(name) for name in self.apps}
            return [
                f"{name}: {[(box.name, box.state, box.health) for box in there]}"
                for name, there in found.items()
                if sorted(box.service for box in there) != PROCESSES[name] or any(box.release != release or not box.well for box in there)
            ]

        # A process that has just been started again needs a moment for its first health check.
        end = time.monotonic() + PATIENCE / 5
        while (ill := wrong()) and time.monotonic() < end:
            time.sleep(1)
        assert not ill, f"live is {release}, but {ill}"
        assert {web.get("/version").json["release"] for web in self.webs() for _look in range(4)} == {release}
        return release

    def served(self) -> dict[str, int]:
        """Requests that the switch of each host has led to the application since it started."""
        tables = {name: csv.DictReader(host.sh(ASK_SWITCH).lstrip("# ").splitlines()) for name, host in self.apps.items()}
        return {name: sum(int(row["stot"]) for row in rows if (row["pxname"], row["svname"]) == ("example-web", "BACKEND")) for name, rows in tables.items()}

    def history(self) -> list[dict]:
        return [json.loads(line) for line in self.apps["app1"].sh(f"cat {APP}/history.jsonl").splitlines()]

    def lease_has_ended(self) -> bool:
        """By itself, or because its run gave it back."""
        return json.loads(self.apps["app1"].sh(f"cat {APP}/lease.json")).get("expires", 0) < time.time()

    def gap(self, since: int) -> float:
        """Seconds of the longest pause between two ticks of beat from this one on, or since the last of them; no period has two of them."""
        assert self.host.sql(f"SELECT period FROM ticks WHERE id > {since} GROUP BY period HAVING count(*) > 1") == ""
        pause = "extract(epoch FROM lead(period, 1, now()) OVER (ORDER BY period) - period)"
        return float(self.host.sql(f"SELECT coalesce(max(pause), 0) FROM (SELECT {pause} AS pause FROM ticks WHERE id >= {since}) AS pauses"))

    def ticked(self, since: int, away: float) -> float:
        """The gap, which the seconds that beat was away explain: a tick may have been due at the begin of them, and the next one a period after their end."""
        gap, period = self.gap(since), self.app["env"]["TICK_SECONDS"]
        assert gap <= away + 2 * period + ALLOWANCE, f"{gap:.0f} s without a tick; beat was to be away for {away:.1f} s, the period is {period} s"
        return gap

    def last_tick(self) -> int:
        return int(self.host.sql("SELECT coalesce(max(id), 0) FROM ticks"))


def footprint(host: Host) -> dict[str, int]:
    """What an application host has: all that the engine and the stack keep on the disk, images (those without a name, too), releases, secrets."""
    used = "du -sxk /var/lib/docker /opt /etc/longshore /var/lib/longshore /root /tmp 2>/dev/null | awk '{sum += $1} END {print sum}'"
    counted = [
        f"{look} | wc -l" for look in ("docker images --all --quiet --no-trunc | sort -u", f"ls {APP}/releases", "ls /etc/longshore/secrets/prod/example")
    ]
    return dict(zip(("kilobytes", "images", "releases", "secrets"), map(int, host.sh("; ".join([used, *counted])).split()), strict=True))


class Stream:
    """Lines that a script prints on every application host, from the beginning of the block to its end, also while SSH is cut."""

    def __init__(self, fleet: Fleet, script: str):
        self.hosts, self.script = fleet.apps, script
        self.lines: list[tuple[str, str]] = []
        self.watchers: list[tuple[Host, subprocess.Popen, int]] = []

    def __enter__(self) -> Stream:
        for name, host in self.hosts.items():
            words = ["docker", "exec", host.name, "sh", "-c", f"echo $$; {self.script}"]
            watcher = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            # The first line says that the script has begun.
            self.watchers.append((host, watcher, int(watcher.stdout.readline())))
            threading.Thread(target=self._read, args=(name, watcher), daemon=True).start()
        return self

    def _read(self, name: str, watcher: subprocess.Popen) -> None:
        for line in watcher.stdout:
            self.lines.append((name, line.strip()))

    def __exit__(self, *_: object) -> None:
        for host, watcher, group in self.watchers:
            # The end of the engine's client is not that of the script.
            command("docker", "exec", host.name, "sh", "-c", f"kill -KILL -{group}")
            watcher.wait()


class Lookout(Stream):
    """Counts the running containers of a process several times a second."""

    def __init__(self, fleet: Fleet, process: str):
        super().__init__(fleet, f"while sleep 0.4; do docker ps -q --filter label=stack.longshore.process={process} | wc -l; done")

    @property
    def looks(self) -> list[int]:
        """How many there were on the whole fleet, at each look."""
        now: dict[str, int] = {}
        return [sum(now.values()) for name, line in self.lines if not now.update({name: int(line)})]


class Diary(Stream):
    """Which worker was handed a task and which one has done it, by what they log, also of those that are gone by now."""

    def __init__(self, fleet: Fleet):
        label = "--filter label=stack.longshore.process=worker"
        follow = 'follow() { docker logs --follow --since 1s $1 2>&1 | grep --line-buffered -e received -e "job done" | sed -u "s/^/$1 /"; }'
        begin = f"for one in $(docker ps -q --no-trunc {label}); do follow $one & done"
        super().__init__(
            fleet, f"{follow}; {begin}; docker events --filter event=start {label} --format '{{{{.ID}}}}' | while read -r one; do follow $one & done; wait"
        )

    def who(self, word: str, task: str) -> list[str]:
        """Ids of the containers whose lines about this task have the word."""
        return [line.split()[0] for _name, line in list(self.lines) if task in line and word in line]


class Tasks:
    """Numbered tasks, sent one after the other from the beginning of the block to its end, and at least so many."""

    def __init__(self, fleet: Fleet, least: int):
        self.web, self.least = fleet.web(), least
        self.sent: list[str] = []
        self.refused: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)

    def send(self, n: int, seconds: float = 0) -> str:
        answer = self.web.ask("POST", "/jobs", {"n": n, "seconds": seconds})
        if answer.status != 202:
            self.refused.append(f"task {n}: status {answer.status} {answer.body[:200]!r}")
            return ""
        self.sent.append(answer.json["id"])
        return self.sent[-1]

    def _send(self) -> None:
        while not self.over.wait(0.3) or len(self.sent) < self.least:
            self.send(len(self.sent) + 1)

    def __enter__(self) -> Tasks:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(PATIENCE)
