# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make up` on a machine that has nothing: no engine, no systemd, a user who is not root. The order counts."""

from __future__ import annotations

import json

import pytest
from journey_support import HOSTS, Host, command, until
from newcomer import Newcomer, changed

# The images of the recipes are there as if they had been built: what builds them has tests of its own. The application's is built.
SOURCE = "-e stack_image_source=build"


@pytest.fixture(scope="module")
def newcomer(images):
    base = command("docker", "images", "--filter", "reference=longshore/python", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()[:1]
    command(HOSTS / "seed", *images["seeded"], *base, timeout=1800)
    host = Host("journey-newcomer", "trixie", ("--seed", "--sysv"))
    try:
        host.start()
        there = Newcomer(host)
        there.arrive()
        yield there
    finally:
        host.remove()


@pytest.fixture(scope="module")
def up(newcomer) -> str:
    assert newcomer.host.ssh("command -v docker || pidof systemd", check=False).returncode != 0
    return newcomer.make("up", SOURCE)[0]


def test_one_command_ends_with_pages_that_the_machine_trusts(newcomer, up):
    assert "https://app.localhost/" in up, up[-3000:]
    # It asks each service with a time limit of its own, which a machine with other work may miss once.
    until(lambda: json.loads(newcomer.sh("curl -sS https://app.localhost/ready"))["ready"], 30, what="all services to be ready")
    assert "<html" in newcomer.sh("curl -sS https://docs.localhost/").lower()


def test_the_second_time_it_changes_nothing(newcomer, up):
    assert changed(newcomer.make("up", SOURCE)[0]) == 0


def test_destroyed_it_leaves_the_engine_and_nothing_of_the_stack(newcomer, up):
    images = newcomer.images()
    assert len(images) >= 6
    newcomer.make("destroy")
    assert newcomer.host.sh("docker ps -aq; ls -d /opt/dev /var/lib/dev /etc/longshore/secrets/dev 2>/dev/null; true") == ""
    assert newcomer.host.ssh(f"docker image inspect {' '.join(images)}", check=False).stdout.strip() == "[]"
    assert "longshore" not in newcomer.host.sh("ls /usr/local/share/ca-certificates /etc/ssl/certs")
    assert newcomer.host.sh("docker info --format '{{.ServerVersion}}'")


def test_the_checkout_can_be_cleaned_by_its_owner(newcomer, up):
    newcomer.make("clean")
    assert newcomer.sh("find . -user root; ls -A | grep -x -e .venv -e .ansible -e .cache; true") == ""
