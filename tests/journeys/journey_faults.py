# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a release: how it is brought about, and what the run must say."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import yaml
from journey_fleet import APP, HOOK, Fleet
from journey_support import ROOT


def nothing(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Fault:
    """change: of the inventory, taken back afterwards. watch: sees the run's lines. said: regular expressions that its output must match.

    lost: a host that cannot be reached until `after` has mended it. crash: the release dies while it serves, which costs the requests that it has.
    """

    name: str
    said: tuple[str, ...]
    change: Callable[[Fleet], None] = nothing
    watch: Callable[[Fleet, str], None] = nothing
    after: Callable[[Fleet], None] = nothing
    lost: str = ""
    crash: bool = False
    playbook: str = "playbooks/deploy.yml"

    def __str__(self) -> str:
        return self.name


def begins(line: str, task: str) -> bool:
    return line.startswith("TASK [") and f": {task}" in line


# What they begin with, and what has nothing to do in them.
IDLE = ("Refuse", "Go back", "Keep the lease", "Run the tasks of the hook", "Remember", "Collect")
VERBS = {
    "deploy": ("image.yml", ("Have the base", "Start the rest", *IDLE)),
    "rollback": ("recall.yml", ("Say what", "Have again", "Migrate", *IDLE)),
}
# A stage works on all application hosts, but for these.
TOUCHED = {
    "Find the earlier release of": ["app1"],
    "Recall the release of": ["app2"],
    "Have the lease of": ["app1"],
    "Migrate the database of": ["app1"],
    "Run the command of the hook": ["app1"],
    "Ask through the edge for": ["edge", "edge2"],
    "Record the release of": ["app1"],
}

STOP_BEAT, START_BEAT = "Stop elsewhere", "Start here"


def stages(verb: str) -> list[str]:
    """Names of the tasks of a deploy or a rollback up to the application's name, as ansible-playbook prints them."""
    first, idle = VERBS[verb]
    names = [name.split(" {{")[0] for file in (first, "release.yml", "deploy.yml") for name in _names(file)]
    # What is included in two places is done in one of them, which depends on the verb.
    return [name for name in dict.fromkeys(names) if not name.startswith(idle)]


def _names(file: str) -> list[str]:
    """In their order, with those of a file that is included in a loop."""
    found = []
    for task in yaml.safe_load((ROOT / "roles/app/tasks" / file).read_text()):
        for inner in task.get("block", [task]):
            included = inner.get("ansible.builtin.include_tasks", "")
            # Where the inventory has no hook nothing is printed; where it depends what is included, stages() knows it.
            hooked = included != "hook.yml" or f"'{HOOK['when']} {HOOK['stage']}'" in inner["loop"]
            if hooked and "{{" not in included:
                found += _names(included) if included else [inner["name"]]
    return found


@dataclass(frozen=True)
class End:
    """How a run ends before its time, at a stage: the deployer is killed, or SSH to a host that the stage works on is cut."""

    verb: str
    stage: str
    cut: str = ""

    def __str__(self) -> str:
        return f"{self.verb}, {f'{self.cut} cut off' if self.cut else 'killed'} at: {self.stage}"


ENDS = [End(verb, stage, cut) for verb in VERBS for stage in stages(verb) for cut in ("", *TOUCHED.get(stage, ["app1", "app2"]))]


class Cut:
    """Cuts a host off, once, a moment after a stage has begun; `line` sees the run's lines. At the end of the block the host is reached again."""

    def __init__(self, fleet: Fleet, end: End, delay: float):
        self.fleet, self.end = fleet, end
        self.timer = threading.Timer(delay, fleet.cut, (end.cut,))
        self.begun = False

    def line(self, line: str) -> None:
        if begins(line, self.end.stage) and not self.begun:
            self.begun = True
            self.timer.start()

    @property
    def made(self) -> bool:
        return self.begun and not self.timer.is_alive()

    def __enter__(self) -> Cut:
        return self

    def __exit__(self, *_: object) -> None:
        if self.begun:
            self.timer.join()
        self.fleet.mend(self.end.cut)


class Pause:
    """How long beat may be away when a run ends at a stage, as the lines of that run and the next one tell it, and what is between them.

    In a run it is away from its stop until the task after its start. Where it was stopped already when the run ends, it may be away until the next run is
    past its own hand-over, or at its end where it has none: what the first run does to go back, and the wait for its lease, are part of that.
    """

    def __init__(self, stage: str):
        self.stage, self.begun, self.touched = stage, False, False
        self.since: float | None = None
        self.longest = 0.0

    def first(self, line: str) -> None:
        """A line of the run that ends."""
        if begins(line, self.stage) and not self.begun:
            self.begun = True
            if not begins(line, START_BEAT) and not begins(line, STOP_BEAT):
                # What was before it has come to its end.
                self.over()
        self.touched = self.touched or begins(line, STOP_BEAT)
        self._line(line)

    def second(self, line: str) -> None:
        """A line of the next run."""
        if begins(line, START_BEAT):
            self.begun = False
        self._line(line)

    def over(self) -> float:
        """Seconds of the longest one; the next run has come to its end."""
        if self.since is not None:
            self.longest = max(self.longest, time.monotonic() - self.since)
        self.since = None
        return self.longest

    def _line(self, line: str) -> None:
        if (self.begun and self.touched) or begins(line, STOP_BEAT) or begins(line, START_BEAT):
            self.since = self.since or time.monotonic()
        elif line.startswith("TASK ["):
            self.over()


def unhealthy(fleet: Fleet) -> None:
    fleet.process("web")["health"] |= {"path": "/nothing", "start_period": 1, "retries": 2}


def crash(fleet: Fleet, line: str) -> None:
    if begins(line, "Watch the release"):
        (new,) = [box for box in fleet.processes("app2") if box.service == "web" and box.release != fleet.live()]
        fleet.apps["app2"].sh(f"kill -KILL {new.pid}")


def stall(fleet: Fleet, line: str) -> None:
    """Its container runs on, and the engine calls it healthy for another half a minute."""
    if begins(line, "Watch the release"):
        (new,) = [box for box in fleet.processes("app2") if box.service == "web" and box.release != fleet.live()]
        fleet.apps["app2"].sh(f"kill -STOP $(docker top {new.id} -o pid | tail -n +2)")


def watched_for_longer(fleet: Fleet) -> None:
    fleet.renew()
    fleet.app["deploy"] |= {"observe": 15}


# The server, and whoever looks at it, are well; then it dies.
SHORT_LIFE = """
import socket, subprocess, sys, time
server = subprocess.Popen(["gunicorn"])
while True:
    try:
        socket.create_connection(("127.0.0.1", 8000), 1).close()
        break
    except OSError:
        time.sleep(0.2)
time.sleep(20)
server.kill()
sys.exit("that was all")
"""


def short_life(fleet: Fleet) -> None:
    fleet.process("web")["command"] = ["python3", "-c", SHORT_LIFE]
    fleet.app["deploy"] |= {"observe": 60}


def wrong_command(fleet: Fleet) -> None:
    fleet.process("web")["command"] = ["gunicorn", "--no-such-option"]


def missing_variable(fleet: Fleet) -> None:
    """The stack gives it, under another name than the application asks for."""
    fleet.app["env_names"] = {"REDIS_URL": "CACHE_URL"}


def no_registry(fleet: Fleet) -> None:
    """Nothing listens there, and it is said at once."""
    fleet.app.update({"image": f"{fleet.host.address}:5000/example", "image_source": "registry"})
    del fleet.app["archive"]


# It is there and has nothing. On loopback, where an engine asks without TLS, too; that it tries TLS first is to end soon.
EMPTY_REGISTRY = """
import http.server
class Empty(http.server.BaseHTTPRequestHandler):
    timeout = 1
    def do_GET(self):
        there = self.path == "/v2/"
        body = b"{}" if there else b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        self.send_response(200 if there else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
    do_HEAD = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", 5000), Empty).serve_forever()
"""
ASK_REGISTRY = """python3 -c 'import urllib.request as ask; ask.urlopen("http://127.0.0.1:5000/v2/")' 2>/dev/null"""


def no_such_tag(fleet: Fleet) -> None:
    """On the host that asks for all of them."""
    start = f"cat > /run/empty-registry.py <<'END'\n{EMPTY_REGISTRY}\nEND\nsystemd-run --quiet --unit empty-registry python3 /run/empty-registry.py"
    fleet.apps["app1"].sh(f"{start}\nuntil {ASK_REGISTRY}; do sleep 0.2; done")
    fleet.app.update({"image": "127.0.0.1:5000/example", "image_source": "registry", "version": "9.9.9"})
    del fleet.app["archive"]


def registry_gone(fleet: Fleet) -> None:
    fleet.apps["app1"].sh("systemctl stop empty-registry")


# A file system of its own over the releases: what serves has it open already, and nobody else's disk is full.
FILL = f"""mount -t tmpfs -o size=1m,mode=755 full /mnt && cp -a {APP}/releases/. /mnt/ && mount --bind /mnt {APP}/releases
cat /dev/zero > /mnt/.full 2>/dev/null; test "$(df --output=avail /mnt | tail -n 1)" -eq 0"""


def disk_full(fleet: Fleet) -> None:
    fleet.renew()
    fleet.apps["app2"].sh(FILL)


def disk_free(fleet: Fleet) -> None:
    fleet.apps["app2"].sh(f"umount {APP}/releases /mnt")


def wrong_switch(fleet: Fleet) -> None:
    fleet.renew()
    fleet.values["switch_request_timeout"] = 99_999_999


def version(number: str, **migration: int) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        fleet.app["version"] = number
        fleet.app["migration"] |= migration

    return change


def schema_back(fleet: Fleet) -> None:
    """What the hanging version had done before it hung is none of the live version's business."""
    fleet.host.sql("ALTER TABLE items DROP COLUMN IF EXISTS price; UPDATE alembic_version SET version_num = '0003'")


def unknown_backend(fleet: Fleet) -> None:
    fleet.app["processes"].append(copy.deepcopy(fleet.process("web")) | {"name": "admin", "routes": []})


def cut(task: str) -> Callable[[Fleet, str], None]:
    return lambda fleet, line: fleet.cut("app2") if begins(line, task) else None


def mend(fleet: Fleet) -> None:
    fleet.mend("app2")


FAULTS = [
    Fault("unhealthy", (r"web-1 .*unhealthy", r"last lines of prod-example-\S+-web-1"), unhealthy),
    Fault("crash in the observation time", (r"after the switch prod-example-\S+-web-1 is exited", r"last lines of"), Fleet.renew, crash, crash=True),
    Fault("it stalls in the observation time", (r"after the switch prod-example-\S+-web-1 does not answer any more",), watched_for_longer, stall, crash=True),
    Fault("crash 20 s after it was healthy", (r"after the switch prod-example-\S+-web-1 is exited", "that was all"), short_life, crash=True),
    Fault("wrong command", (r"unrecognized arguments: --no-such-option",), wrong_command),
    Fault("missing variable", (r"configuration: missing REDIS_URL",), missing_variable),
    Fault("image not found", (r"longshore\.test/example:9\.9\.9",), version("9.9.9")),
    Fault("tag not in the registry", (r"127\.0\.0\.1:5000/example:9\.9\.9.*manifest unknown",), no_such_tag, after=registry_gone),
    Fault("registry down", (r"pull .*:5000/example|:5000/example.*pull", "connection refused"), no_registry),
    Fault("disk full", (r"\[app2\] .*No space left on device.*/opt/prod/apps/example",), disk_full, after=disk_free),
    Fault("migration fails", (r'invalid input syntax for type integer: "nothing"',), version("1.1.0")),
    Fault("migration hangs", (r"did not end within 15 s",), version("1.2.0", timeout=15), after=schema_back),
    Fault("the switch does not know a process", (r"the switch does not know example-admin",), unknown_backend),
    Fault("configuration of the switch invalid", (r"timer overflow",), wrong_switch, playbook="site.yml"),
    Fault("host out of reach before the start", (r"app2.*UNREACHABLE|UNREACHABLE.*app2",), Fleet.renew, cut("Know the stack"), mend, lost="app2"),
    Fault("host out of reach after the start", (r"Not reached: app2; the next run clears up there",), Fleet.renew, cut("Stop elsewhere"), mend, lost="app2"),
]
