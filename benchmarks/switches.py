# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed requests and latency of a hundred switches under keep-alive load, POSTs included: the role's switch, against a proxy that is reloaded.

Usage: make bench ARGS=switches, or with another number benchmarks/switches.py --turns 10. Two releases of two small
servers each stand behind HAProxy with the role's own configuration. Each turn leads the requests to the other release with the code that a deploy runs, waits
until nothing is in flight, then stops and starts the release that is out of service. The other way is Caddy in front of the same servers, told the new
upstreams by a reload, with the same wait before the stop. Visitors are those of tests/journeys/load.py, over plain HTTP on loopback.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jinja2
import yaml
from bench_support import ROOT
from journey_images import make_images
from load import Load

from ansible_collections.longshore.stack.plugins.module_utils._switch import Switch, Upstream, over_socket

NETWORK = "bench-switch"
PORT = 28001
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
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"docker {' '.join(words[:3])}: {done.stderr.strip()}")
    return done.stdout.strip()


def image(role: str) -> str:
    found = docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"longshore/{role}").split()
    return found[0]


class Stage:
    """The servers of two releases, and what stands before them."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "server.py").write_text(SERVER)
        docker("network", "create", NETWORK)
        for release in ("one", "two"):
            for number in (1, 2):
                server = ["--network", NETWORK, "--env", f"RELEASE={release}", "--volume", f"{folder}/server.py:/server.py:ro", image("python")]
                docker("run", "--detach", "--name", f"{NETWORK}-{release}-{number}", *server, "python3", "/server.py")

    def upstreams(self, release: str) -> list[Upstream]:
        """The servers of a release, once they answer."""
        found = []
        for data in json.loads(docker("inspect", *self.names(release))):
            address = data["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
            for _try in range(200):
                if subprocess.run(["curl", "-s", "-m", "2", "-o", "/dev/null", f"http://{address}:8000/"], check=False).returncode == 0:
                    break
                time.sleep(0.02)
            found.append(Upstream(data["Id"][:12], address, 8000))
        return found

    def names(self, release: str) -> list[str]:
        return [f"{NETWORK}-{release}-{number}" for number in (1, 2)]

    def restart(self, release: str) -> None:
        docker("stop", *self.names(release))
        docker("start", *self.names(release))

    def remove(self) -> None:
        there = docker("ps", "--all", "--quiet", "--filter", f"name={NETWORK}").split()
        if there:
            docker("rm", "--force", *there)
        docker("network", "rm", NETWORK)


class Haproxy:
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
        ports = ["--publish", f"127.0.0.1:{PORT}:20001", "--network-alias", "switch", "--network", NETWORK]
        docker("run", "--detach", "--name", f"{NETWORK}-proxy", *ports, *mounts, image("switch"))
        time.sleep(1)
        self.switch = Switch(over_socket(str(folder / "run/admin.sock")), str(folder / "state/servers"), time.monotonic, time.sleep)

    def turn(self, upstreams: list[Upstream]) -> float:
        began = time.monotonic()
        self.switch.turn({"shop-web": upstreams})
        while self.switch.in_flight(["shop-web"]):
            time.sleep(0.01)
        self.switch.rest(["shop-web"])
        return time.monotonic() - began


class Caddy:
    def __init__(self, stage: Stage):
        self.folder = stage.folder / "caddy"
        self.folder.mkdir()
        self.write(["127.0.0.1:9"])
        docker(
            "run", "--detach", "--name", f"{NETWORK}-proxy", "--network", NETWORK, "--publish", f"127.0.0.1:{PORT}:20001",
            "--volume", f"{self.folder}:/etc/caddy:ro", image("caddy"), "caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile",
        )  # fmt: skip
        time.sleep(1)

    def write(self, upstreams: list[str]) -> None:
        (self.folder / "Caddyfile").write_text(f":20001 {{\n\treverse_proxy {' '.join(upstreams)}\n}}\n")

    def turn(self, upstreams: list[Upstream]) -> float:
        began = time.monotonic()
        self.write([f"{one.address}:{one.port}" for one in upstreams])
        docker("exec", f"{NETWORK}-proxy", "caddy", "reload", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
        # It does not say what is in flight; the longest request takes 0.05 s.
        time.sleep(0.2)
        return time.monotonic() - began


def measure(way: type, turns: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        stage = Stage(folder)
        try:
            proxy = way(stage)
            serving, other, took = "one", "two", []
            proxy.turn(stage.upstreams(serving))
            with Load("shop.test", "127.0.0.1", None, rate=200, visitors=20, port=PORT) as load:
                for _turn in range(turns):
                    took.append(proxy.turn(stage.upstreams(other)))
                    stage.restart(serving)
                    serving, other = other, serving
            took.sort()
            print(f"{way.__name__}: {turns} switches, half of them within {took[len(took) // 2]:.3f} s, the longest {took[-1]:.3f} s; {load.result.line()}")
            print(load.result.first_failures(), flush=True)
        finally:
            stage.remove()


def hundred(turns: int = 100) -> None:
    make_images()
    for way in (Haproxy, Caddy):
        measure(way, turns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=100)
    hundred(parser.parse_args().turns)
