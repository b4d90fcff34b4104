# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def valkey(service):
    return service("valkey")


def ask(valkey, command, user="shop", password="canary-of-the-shop"):
    return valkey(f"REDISCLI_AUTH={password} valkey-cli --no-auth-warning --user {user} {command}").stdout.strip()


def test_the_container_is_hardened_and_shows_no_password(hardened, no_canary, valkey):
    hardened(valkey.container)
    no_canary()
    assert valkey.health == "healthy"


def test_the_application_may_use_it_but_not_administer_it(valkey):
    assert ask(valkey, "SET greeting hello") == "OK"
    assert ask(valkey, "GET greeting") == "hello"
    assert "NOPERM" in ask(valkey, "CONFIG GET maxmemory")


def test_nobody_gets_in_without_a_password(valkey):
    assert "NOAUTH" in valkey("valkey-cli GET greeting").stdout
    assert "WRONGPASS" in ask(valkey, "PING", password="wrong") + valkey("REDISCLI_AUTH=wrong valkey-cli --user shop PING").stderr


def test_data_outlives_the_container(valkey, converge, name):
    assert ask(valkey, "SET kept 7") == "OK"
    before = valkey.id
    assert converge(valkey_maxmemory_policy="noeviction").changed(name) == 1
    assert valkey.id != before
    assert ask(valkey, "GET kept") == "7"


def test_a_password_changed_in_the_inventory_is_rotated(valkey, converge, name):
    assert converge(valkey_password="canary-of-another").changed(name) == 1
    assert ask(valkey, "PING", "admin", "canary-of-another") == "PONG"
    assert ask(valkey, "PING", "admin", "canary-of-the-administrator") != "PONG"
    assert converge().changed(name) == 1


@pytest.fixture
def probe(converge):
    """What health_probe says of the container: its message on one line, empty when all is good."""

    def run(**variables):
        done = converge(playbook="probe.yml", **variables)
        said = " ".join(done.output.split())
        assert (done.rc == 0) == ("probes not good" not in said), done.output
        return said if done.rc else ""

    return run


def test_health_probe_tells_a_good_container_from_one_that_refuses_or_keeps_silent(probe):
    assert probe() == ""
    assert "1 of 2 probes not good" in probe(probe_command="echo not today; exit 3")
    assert "exited 3, expected 0: not today" in probe(probe_command="echo not today; exit 3")
    assert "no answer within 2 s" in probe(probe_command="sleep 20")


def test_health_probe_tells_a_container_that_does_not_serve_and_waits_for_a_slow_one(host, valkey, probe):
    host.check_output(f"docker pause {valkey.container}")
    assert f"container {valkey.container} is paused" in probe()
    host.check_output(f"docker unpause {valkey.container} && docker stop {valkey.container}")
    said = probe()
    assert "2 of 2 probes not good" in said
    assert f"container {valkey.container} has exited with 0" in said
    # Its health is looked at every second, so it is made slow before the first look.
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {valkey.container})"
    host.check_output(f"docker start {valkey.container} && kill -STOP {pid}")
    assert "is still starting" in probe()
    host.check_output(f"kill -CONT {pid}")
    assert probe(probe_timeout=30) == ""


def test_a_setting_that_the_server_refuses_ends_the_run_with_its_own_words(valkey, converge):
    broken = converge(valkey_config={"no-such-setting": "yes"}, stack_wait_timeout=60)
    assert broken.rc != 0
    assert "no-such-setting" in broken.output
    assert converge().rc == 0
    assert ask(valkey, "GET kept") == "7"
