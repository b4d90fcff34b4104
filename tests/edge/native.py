# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy of the edge as a plain process in a network of its own, with the configuration that its role would write: no host and no container."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from edge_client import Edge
from edge_upstream import serve

from ansible_collections.longshore.stack.plugins.module_utils import _routes
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View
from ansible_collections.longshore.stack.plugins.plugin_utils.passwords import bcrypt

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = yaml.safe_load((ROOT / "molecule/shared/edge_vars/all.yml").read_text(encoding="utf-8"))
# What was chosen from a matrix; conftest.py shows it.
SAMPLES: list[str] = []
CLONE_NEWNET = 0x40000000
# From there a load balancer would ask.
TRUSTED = ["127.0.0.2/32"]
# Nginx's workers stay root: what pytest gives for files is root's alone, and becomes so again whenever another pytest begins.
AS_ROOT = {"http {": "user root; http {"}


def program(name: str) -> str:
    """The proxy's program: the one beside this Python, else any other."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    if not found:
        pytest.skip(f"there is no {name} here")
    return found


def own_network() -> None:
    """Moves this thread, and what it starts from now on, into a network with nothing but loopback, so that every port is free."""
    if os.geteuid():
        pytest.skip("a network of its own needs root")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network of its own")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # As the roles set it in the container.
    Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text("1", encoding="ascii")


@contextmanager
def processes() -> Iterator[None]:
    """What the suite's inventory leads to."""
    servers = [serve(port, name) for port, name in ((20001, "web"), (20002, "docs"), (20003, "plain"))]
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def edge_of(number: int | None = 0, peers: tuple[str, ...] = (), groups: Mapping[str, Sequence[str]] | None = None, **variables) -> _routes.Edge:
    """The edge of the suite's inventory, all on this host. number: of the change, each of which has another route. peers: the other proxies.

    groups: with the addresses of other hosts; this one is `box`, on which every container has the same address.
    """
    shared = served({**INVENTORY, **variables})
    if number is not None:
        shared["stack_routes"] = [*shared["stack_routes"], {"host": f"n{number}.shop.test", "redirect": "https://app.shop.test"}]
    view = View("box", {"proxy": ["box"], "app": ["box"], **(groups or {})}, lambda _host, name, default=None: shared.get(name, default))
    found = _routes.edge(view, bcrypt, variables.get("certificates", ()))
    here = re.compile("^(switch|rabbitmq|minio|seaweedfs):")
    routes = tuple(dataclasses.replace(one, upstreams=tuple(here.sub("127.0.0.1:", at) for at in one.upstreams)) for one in found.routes)
    return dataclasses.replace(found, routes=routes, acme=dataclasses.replace(found.acme, peers=peers))


def served(inventory: dict) -> dict:
    """The inventory without what its proxy has not got."""
    lacks = _routes.refusals(inventory.get("stack_proxy", "caddy"), list(_routes.OPTIONS))

    def kept(routes: list) -> list:
        return [{name: value for name, value in route.items() if name not in lacks} for route in routes]

    processes = [[{**process, "routes": kept(process["routes"])} for process in app["processes"]] for app in inventory["stack_apps"]]
    apps = [{**app, "processes": those} for app, those in zip(inventory["stack_apps"], processes, strict=True)]
    return {**inventory, "stack_apps": apps, "stack_routes": kept(inventory["stack_routes"])}


def replaced(text: str, places: dict) -> str:
    """The text with the places of the container's files as they are here."""
    return re.sub("|".join(map(re.escape, places)), lambda found: str(places[found[0]]), text)


def role_variable(role: str, name: str) -> str:
    return yaml.safe_load((ROOT / f"roles/{role}/vars/main.yml").read_text(encoding="utf-8"))[name]


def page_at(path: Path) -> Callable[[str], None]:
    """What puts a page of maintenance there, and takes it away where it is given no text."""

    def maintenance(text: str) -> None:
        if text:
            path.write_text(text, encoding="utf-8")
        else:
            path.unlink()

    return maintenance


def answers(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def speaks(edge: Edge) -> bool:
    try:
        return edge.ask("/", secure=bool(edge.https_port)).status == 200
    except OSError:
        return False


class Program:
    """A running proxy. log: what it said."""

    def __init__(self, words: list[str], folder: Path, ready: Callable[[], bool], environment: dict[str, str] | None = None):
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder), **(environment or {})})
        end = time.monotonic() + 30
        while not ready():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text(encoding="utf-8")
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(45)


def certificate_of(folder: Path, number: int, names: tuple[str, ...]) -> Path:
    """A certificate that signs itself, where a role would put it; its key beside it, as the secret `tls_<number>`."""
    path, key = folder / f"{number}.pem", folder / f"tls_{number}"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=edge"]
    names_of = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    subprocess.run([*words, "-addext", names_of, "-keyout", str(key), "-out", str(path)], check=True, capture_output=True)
    return path
