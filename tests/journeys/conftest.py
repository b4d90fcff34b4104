# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh hosts with the production inventory on them. Images are made once per machine and linked into the hosts."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# With the import mode of this project a test does not see the files beside it.
sys.path.insert(0, str(Path(__file__).parent))
import journey_images  # noqa: E402  # found by the line above
from journey_fleet import Fleet  # noqa: E402
from journey_support import FIGURES, Host, Stack, command, figure  # noqa: E402


def pytest_collection_modifyitems(items):
    if not shutil.which("docker") or command("docker", "version", check=False).returncode:
        reason = "no container engine answers here"
    elif os.geteuid():
        reason = "test hosts need root"
    else:
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("runs of ansible-playbook, and other figures")
        for line in FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def images():
    return journey_images.make_images()


@pytest.fixture(scope="session")
def archive(images):
    return journey_images.make_archive(images)


def stack_on(suite, archive, s3):
    host = Host(f"journey-{suite}", suite)
    host.start()
    stack = Stack(host, s3, archive)
    stack.fill_in()
    return stack


@pytest.fixture(scope="module")
def trixie(images, archive):
    """A bare Debian 13 with the inventory that describes it. S3 is MinIO where this machine has its image."""
    if not images["minio"]:
        figure("           S3 is SeaweedFS: this machine has no image of MinIO, which nobody publishes and only the tests of the images build, where they can")
    stack = stack_on("trixie", archive, "minio" if images["minio"] else "seaweedfs")
    yield stack
    stack.host.remove()


@pytest.fixture(scope="module")
def bookworm(archive):
    """A bare Debian 12 with the inventory that describes it."""
    stack = stack_on("bookworm", archive, "seaweedfs")
    yield stack
    stack.host.remove()


@contextlib.contextmanager
def fleet_of(title: str, archive: Path, proxies: list[str], apps: list[str]) -> Iterator[Fleet]:
    """Debian 13 hosts whose engine is there already, because it is not what is tested on them; the first proxy has the data services."""
    hosts = {name: Host(f"{title}-{name}", "trixie", ("--seed", "--engine")) for name in dict.fromkeys([*proxies, *apps])}
    try:
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(Host.start, hosts.values()))
        chosen = {"proxies": {name: hosts[name] for name in proxies}, "apps": {name: hosts[name] for name in apps}}
        fleet = Fleet(hosts[proxies[0]], "seaweedfs", archive, **chosen)
        fleet.fill_in()
        yield fleet
    finally:
        for host in hosts.values():
            host.remove()


@pytest.fixture(scope="module")
def bare_fleet(archive):
    with fleet_of("releases", archive, ["edge", "edge2"], ["app1", "app2"]) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def layout(request, archive):
    """The hosts of a layout that the test names: of its proxies, of its application."""
    with fleet_of("layout", archive, *request.param) as fleet:
        yield fleet
