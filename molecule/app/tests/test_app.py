# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

APP = "label=stack.longshore.service=shop"


@pytest.fixture
def containers(host):
    """By process the running containers of the application."""

    def look():
        ids = host.check_output(f"docker ps -q --filter {APP}").split()
        found = {}
        for data in json.loads(host.check_output(f"docker inspect {' '.join(ids)}")) if ids else []:
            found.setdefault(data["Config"]["Labels"]["stack.longshore.process"], []).append(data)
        return found

    return look


@pytest.fixture
def answer(host, containers):
    """What the web process answers over the edge network."""

    def ask():
        networks = containers()["web"][0]["NetworkSettings"]["Networks"]
        return host.check_output(f"curl -sS -m 5 http://{networks['molecule_edge']['IPAddress']}:8000/")

    return ask


def ids(found):
    return {process: [data["Id"] for data in entries] for process, entries in found.items()}


def test_the_release_runs_and_is_marked_live(host, containers, answer, hardened):
    release = answer().split()[1]
    assert answer() == f"first {release} True"
    assert host.check_output("readlink /opt/molecule/apps/shop/live") == f"releases/{release}"
    assert set(containers()) == {"web", "beat"}


def test_its_secrets_are_files_of_root_alone(host):
    listed = host.check_output("find /etc/longshore -type f -printf '%m %u\\n' | sort -u").splitlines()
    assert set(listed) <= {"400 root", "600 root"}


def test_another_environment_is_another_release_and_the_old_one_goes(host, containers, answer, converge):
    before = ids(containers())
    assert converge(shop_text="second").rc == 0
    assert answer().startswith("second ")
    after = ids(containers())
    assert not set(before["web"]) & set(after["web"])
    assert len(after["web"]) == len(after["beat"]) == 1
    assert host.check_output(f"docker ps -aq --filter {APP} | wc -l") == "2"
    assert len(host.file("/opt/molecule/apps/shop/releases").listdir()) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"shop_migration": ["sh", "-c", "echo the table is not there >&2; exit 3"]}, "the table is not there"),
        ({"shop_migration": ["sleep", "300"]}, "20 s"),
        ({"shop_command": ["sh", "-c", "echo cannot read the configuration; exit 4"]}, "cannot read the configuration"),
        ({"shop_command": ["sleep", "300"]}, "not healthy after"),
    ],
    ids=["the migration fails", "the migration hangs", "the new container crashes", "the new container does not become healthy"],
)
def test_a_release_that_fails_leaves_the_old_one_running(host, containers, answer, converge, fault, said):
    assert converge(shop_text="second").rc == 0
    before = ids(containers())
    broken = converge(shop_text="third", stack_wait_timeout=20, **fault)
    assert broken.rc != 0
    assert said in broken.output
    assert answer().startswith("second ")
    assert ids(containers()) == before
    assert host.check_output(f"docker ps -aq --filter {APP} | wc -l") == "2"


def test_the_next_good_release_goes_live(answer, converge):
    assert converge(shop_text="third").rc == 0
    assert answer().startswith("third ")
