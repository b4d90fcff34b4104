# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One switch after the other on this machine: two releases of small servers, the role's switch before them, and visitors who keep their connections.

Each turn leads the requests to the other release with the code that a deploy runs, waits until nothing is in flight, then stops and starts the release that
is out of service.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Protocol

import jinja2
import yaml
from journey_support import ROOT, command, until
from load import LEAST, Load, Result

from ansible_collections.longshore.stack.plugins.module_utils._switch import Switch, Upstream, over_socket

NAME = "journey-switches"
# Requests a second, and those who ask.
RATE, VISITORS = 200, 20
SERVER = """
import asyncio, json, os, signal
async def answer(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split("\\r\\n")[0] or 0)
            await reader.readexactly(length)
            if head.startswith("post"):
                await asyncio.sleep(0.05)
            body = json.dumps({"id": 1, "release": os.environ["RELEASE"]}).encode()
            status = b"201 Created" if head.startswith("post") else b"200 OK"
            writer.write(b"HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (status, len(body), body))
            await writer.drain()
    except (EOFError, OSError):
        writer.close()
async def main():
    await asyncio.start_server(answer, "", 8000, backlog=1000)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    os._exit(0)
asyncio.run(main())
"""


def docker(*words: str) -> str:
    return command("docker", *words).stdout.strip()


def image(role: str) -> str:
    """The newest image of a role that this machine has."""
    return docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"longshore/{role}").split()[0]


class Stage:
    """The servers of two releases, one and two, and what stands before them, from the beginning of the block to its end."""

    def __enter__(self) -> Stage:
        self.remove()
        # A short path, because a socket in it is one of few letters; and read by whoever the programs in the containers are.
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.folder.chmod(0o755)
        (self.folder / "server.py").write_text(SERVER)
        docker("network", "create", NAME)
        for release in ("one", "two"):
            for name in self.names(release):
                server = ["--network", NAME, "--env", f"RELEASE={release}", "--volume", f"{self.folder}/server.py:/server.py:ro", image("python")]
                docker("run", "--detach", "--name", name, *server, "python3", "/server.py")
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
        self.temporary.cleanup()

    @staticmethod
    def remove() -> None:
        """Also what a run that was killed has left."""
        there = docker("ps", "--all", "--quiet", "--filter", f"name=^{NAME}-").split()
        if there:
            docker("rm", "--force", *there)
        command("docker", "network", "rm", NAME, check=False)

    def names(self, release: str) -> list[str]:
        return [f"{NAME}-{release}-{number}" for number in (1, 2)]

    def upstreams(self, release: str) -> list[Upstream]:
        """The servers of a release, once they answer."""
        found = []
        for data in json.loads(docker("inspect", *self.names(release))):
            address = data["NetworkSettings"]["Networks"][NAME]["IPAddress"]
            look = ["curl", "-s", "-m", "2", "-o", "/dev/null", f"http://{address}:8000/"]
            until(lambda look=look: command(*look, check=False).returncode == 0, 30, 0.02, what=f"{address} to answer")
            found.append(Upstream(data["Id"][:12], address, 8000))
        return found

    def restart(self, release: str) -> None:
        docker("stop", *self.names(release))
        docker("start", *self.names(release))

    def proxy(self, *words: str) -> int:
        """Starts what stands before them and listens on port 20001; the port of this machine that leads there."""
        docker("run", "--detach", "--name", f"{NAME}-proxy", "--network", NAME, "--publish", "127.0.0.1::20001", *words)
        return int(docker("port", f"{NAME}-proxy", "20001/tcp").rpartition(":")[2])


class Proxy(Protocol):
    port: int

    def turn(self, upstreams: list[Upstream]) -> float:
        """Leads the requests there, until nothing is in flight elsewhere; the seconds that it took."""


class Haproxy:
    """The role's switch."""

    def __init__(self, stage: Stage):
        folder = stage.folder / "switch"
        for name in ("config", "run", "state"):
            (folder / name).mkdir(parents=True)
        (folder / "run").chmod(0o777)
        values = yaml.safe_load((ROOT / "roles/switch/defaults/main.yml").read_text())
        backend = {"name": "shop-web", "switch_port": 20001, "port": 8000, "health": "/", "host": "", "places": 8}
        template = jinja2.Template((ROOT / "roles/switch/templates/haproxy.cfg.j2").read_text(), trim_blocks=True)
        (folder / "config/haproxy.cfg").write_text(template.render(**values, __switch_backends=[backend], __switch_data=folder) + "\n")
        volumes = [f"{folder}/config:/usr/local/etc/haproxy:ro", f"{folder}/run:/run/haproxy", f"{folder}/state:/var/lib/haproxy:ro"]
        mounts = [word for volume in volumes for word in ("--volume", volume)]
        self.port = stage.proxy("--network-alias", "switch", *mounts, image("switch"))
        until((folder / "run/admin.sock").exists, 30, what="the switch to listen")
        self.switch = Switch(over_socket(str(folder / "run/admin.sock")), str(folder / "state/servers"), time.monotonic, time.sleep)

    def turn(self, upstreams: list[Upstream]) -> float:
        began = time.monotonic()
        self.switch.turn({"shop-web": upstreams})
        while self.switch.in_flight(["shop-web"]):
            time.sleep(0.01)
        self.switch.rest(["shop-web"])
        return time.monotonic() - began


def turned(stage: Stage, proxy: Proxy, number: int, least: float = LEAST) -> tuple[list[float], Result]:
    """So many turns under load: the seconds of each, and what became of the requests."""
    serving, other, took = "one", "two", []
    proxy.turn(stage.upstreams(serving))
    with Load("shop.test", "127.0.0.1", None, rate=RATE, visitors=VISITORS, port=proxy.port, least=least) as load:
        answers = load.result.releases
        until(lambda: answers[serving], 30, 0.02, what="the first answers")
        for turn in range(number):
            before = answers[other]
            took.append(proxy.turn(stage.upstreams(other)))
            until(lambda other=other, before=before: answers[other] > before, 30, 0.02, what=f"answers of release {other} after turn {turn + 1}")
            stage.restart(serving)
            serving, other = other, serving
    return took, load.result
