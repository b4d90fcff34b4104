# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a release: how it is brought about, and what the run must say."""

from __future__ import annotations

import copy
import threading
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
IDLE = ("Refuse", "Go back", "Keep the lease", "Run the tasks of the hook")
VERBS = {"deploy": ("image.yml", ("Have the base", *IDLE)), "rollback": ("recall.yml", ("Migrate", *IDLE))}
# A stage works on all application hosts, but for these.
TOUCHED = {
    "Find the earlier release of": ["app1"],
    "Have the lease of": ["app1"],
    "Migrate the database of": ["app1"],
    "Run the command of the hook": ["app1"],
    "Ask through the edge for": ["edge", "edge2"],
    "Record the release of": ["app1"],
}


def stages(verb: str) -> list[str]:
    """Names of the tasks of a deploy or a rollback up to the application's name, as ansible-playbook prints them."""
    first, idle = VERBS[verb]
    names = [name.split(" {{")[0] for file in (first, "release.yml", "deploy.yml") for name in _names(file)]
    return [name for name in names if not name.startswith(idle)]


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


def unhealthy(fleet: Fleet) -> None:
    fleet.process("web")["health"] |= {"path": "/nothing", "start_period": 1, "retries": 2}


def crash(fleet: Fleet, line: str) -> None:
    if begins(line, "Watch the release"):
        (new,) = [box for box in fleet.processes("app2") if box.service == "web" and box.release != fleet.live()]
        fleet.apps["app2"].sh(f"kill -KILL {new.pid}")


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
    fleet.app["env"]["REDIS_URL"] = ""


def no_registry(fleet: Fleet) -> None:
    """Nothing listens there, and it is said at once."""
    fleet.app.update({"image": f"{fleet.host.address}:5000/example", "image_source": "registry"})
    del fleet.app["archive"]


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
    Fault("crash 20 s after it was healthy", (r"after the switch prod-example-\S+-web-1 is exited", "that was all"), short_life, crash=True),
    Fault("wrong command", (r"unrecognized arguments: --no-such-option",), wrong_command),
    Fault("missing variable", (r"configuration: missing REDIS_URL",), missing_variable),
    Fault("image not found", (r"longshore\.test/example:9\.9\.9",), version("9.9.9")),
    Fault("registry down", (r"pull .*:5000/example|:5000/example.*pull", "connection refused"), no_registry),
    Fault("disk full", (r"app2.*No space left on device|No space left on device.*app2",), disk_full, after=disk_free),
    Fault("migration fails", (r'invalid input syntax for type integer: "nothing"',), version("1.1.0")),
    Fault("migration hangs", (r"did not end within 15 s",), version("1.2.0", timeout=15), after=schema_back),
    Fault("the switch does not know a process", (r"the switch does not know example-admin",), unknown_backend),
    Fault("configuration of the switch invalid", (r"timer overflow",), wrong_switch, playbook="site.yml"),
    Fault("host out of reach before the start", (r"app2.*UNREACHABLE|UNREACHABLE.*app2",), Fleet.renew, cut("Know the stack"), mend, lost="app2"),
    Fault("host out of reach after the start", (r"Not reached: app2; the next run clears up there",), Fleet.renew, cut("Stop elsewhere"), mend, lost="app2"),
]
