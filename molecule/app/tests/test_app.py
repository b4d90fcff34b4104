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
def answer(host):
    """What the application answers at the switch, where the edge asks."""

    def ask():
        address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.molecule_edge.IPAddress}}' molecule-switch-switch-1")
        return host.check_output(f"curl -sS -m 5 http://{address}:20001/")

    return ask


@pytest.fixture
def policies(host):
    """By release, the restart policies of its containers."""

    def look():
        found = {}
        for data in json.loads(host.check_output(f"docker inspect $(docker ps -aq --filter {APP})")):
            found.setdefault(data["Config"]["Labels"]["stack.longshore.release"], set()).add(data["HostConfig"]["RestartPolicy"]["Name"])
        return found

    return look


def ids(found):
    return {process: [data["Id"] for data in entries] for process, entries in found.items()}


def test_the_release_runs_and_is_marked_live(host, containers, answer, hardened):
    release = answer().split()[1]
    assert answer() == f"first {release} 18"
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


def test_releases_that_are_too_old_go_with_their_secrets_and_images(host, converge):
    for text in ("third", "fourth", "fifth", "second"):
        assert converge(shop_text=text).rc == 0
    kept = host.file("/opt/molecule/apps/shop/releases").listdir()
    assert len(kept) == 3
    assert sorted(host.file("/etc/longshore/secrets/molecule/shop").listdir()) == sorted(kept)
    assert sorted(host.check_output("docker images --format '{{.Tag}}' longshore/molecule-shop").split()) == sorted(kept)


def test_a_rollback_brings_back_environment_and_secrets_of_that_release(answer, converge):
    assert converge(shop_text="later", shop_key="canary").rc == 0
    text, later, length = answer().split()
    assert (text, length) == ("later", "6")
    assert converge(app_rollback=True).rc == 0
    text, _release, length = answer().split()
    assert (text, length) == ("second", "18")
    assert converge(app_release=later).rc == 0
    assert answer() == f"later {later} 6"
    assert converge(app_release=later).changed("app-trixie") == 0


def test_only_the_live_release_starts_after_a_reboot(answer, policies, reboot, containers, host):
    before = answer()
    assert policies() == {before.split()[1]: {"unless-stopped"}}
    reboot()
    host.run("for i in $(seq 60); do docker inspect -f '{{.State.Health.Status}}' molecule-switch-switch-1 | grep -qx healthy && break; sleep 0.5; done")
    host.run("for i in $(seq 60); do docker ps --filter health=healthy --filter label=stack.longshore.process=web -q | grep -q . && break; sleep 0.5; done")
    assert answer() == before
    assert {process: len(found) for process, found in containers().items()} == {"web": 1, "beat": 1}


def test_a_release_that_is_not_kept_is_refused_and_the_kept_ones_are_named(answer, converge):
    before = answer()
    refused = converge(app_release="9.9.9-00000000")
    assert refused.rc != 0
    assert "9.9.9-00000000" in refused.output and before.split()[1] in refused.output
    assert answer() == before


def test_a_run_is_refused_while_another_has_the_lease(host, answer, converge):
    before = answer()
    lease = '{"run": "77", "number": 1, "owner": "ci@runner", "stage": "started", "taken": 1700000000, "expires": 99999999999}'
    host.check_output("echo %s > /opt/molecule/apps/shop/lease.json", lease)
    refused = converge(shop_text="other")
    assert refused.rc != 0
    assert "being released by ci@runner (run 77, stage started" in refused.output
    assert answer() == before
    host.check_output("rm /opt/molecule/apps/shop/lease.json")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"shop_migration": ["sh", "-c", "echo the table is not there >&2; exit 3"]}, "the table is not there"),
        ({"shop_migration": ["sleep", "300"]}, "20 s"),
        ({"shop_command": ["sh", "-c", "echo cannot read the configuration; exit 4"]}, "cannot read the configuration"),
        ({"shop_command": ["sleep", "300"]}, "is unhealthy"),
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
