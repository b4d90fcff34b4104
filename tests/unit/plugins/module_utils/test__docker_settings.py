# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import re

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._docker_settings import (
    DOCKER_HUB,
    Login,
    Wanted,
    fingerprints,
    older,
    packages,
    restart_allowed,
    settings,
    step_to,
    without_passwords,
)

ROTATION = {"max-size": "10m", "max-file": "3"}
# Made for this test with `gpg --quick-generate-key`, which named the fingerprint.
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawL08xYJKwYBBAHaRw8BAQdAPe3OFhuvKT7iUX2y+FgUppAZgapIXW69AwhR
JqJxrNO0GlRlc3QgS2V5IDxrZXlAZXhhbXBsZS5vcmc+iJAEExYIADgWIQQU0zzW
yZ6e7q5+qVesLu1lFPh3qQUCawL08wIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIX
gAAKCRCsLu1lFPh3qamkAP9XHi0zgI04cguEbPnpaqXwguojddbjpLbQRDMEsi3g
0AD9H9fdE+rnRkNQpR4Qly81QxTe1jzGc0zPS8PM0tAmJgI=
=DXGg
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "14D33CD6C99E9EEEAE7EA957AC2EED6514F877A9"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("20.9.9", True), ("20.10.24+dfsg1", False), ("26.1", False), ("v19.03.15", True), ("100.0", False), ("dev", False), ("", False)],
)
def test_versions_are_compared_as_numbers_and_what_is_none_is_taken_as_new(version, expected):
    assert older(version, (20, 10)) is expected


def test_what_somebody_else_has_set_stays():
    present = {"bip": "10.1.0.1/24", "log-opts": {"tag": "x", "max-size": "1g"}}
    assert settings(present, Wanted(), swarm=False) == {"bip": "10.1.0.1/24", "log-opts": {"tag": "x", **ROTATION}, "live-restore": True}


def test_what_the_inventory_says_of_the_daemon_wins_over_everything():
    wanted = Wanted(daemon={"live-restore": False, "log-opts": {"max-file": "9"}}, registry_mirrors=["https://mirror.test"])
    assert settings({"registry-mirrors": ["https://old.test"]}, wanted, swarm=False) == {
        "live-restore": False,
        "log-opts": {"max-size": "10m", "max-file": "9"},
        "registry-mirrors": ["https://mirror.test"],
    }


@pytest.mark.parametrize(("present", "daemon"), [({"log-driver": "journald"}, {}), ({}, {"log-driver": "journald"})])
def test_a_log_driver_without_files_gets_no_rotation(present, daemon):
    assert "log-opts" not in settings(present, Wanted(daemon=daemon), swarm=False)


def test_a_node_of_a_swarm_has_no_live_restore():
    assert "live-restore" not in settings({}, Wanted(), swarm=True)
    assert settings({"live-restore": True}, Wanted(), swarm=True)["live-restore"] is False


@pytest.mark.parametrize(
    ("applied", "new", "certificates", "step"),
    [
        ({"debug": True}, {"debug": True}, False, "none"),
        ({}, {"registry-mirrors": ["https://mirror.test"], "live-restore": True}, False, "reload"),
        ({"live-restore": True}, {"live-restore": True, "bip": "10.1.0.1/24"}, False, "restart"),
        ({"bip": "10.1.0.1/24"}, {}, False, "restart"),
        ({}, {}, True, "restart"),
        (None, {}, False, "restart"),
    ],
)
def test_the_smallest_step_that_the_running_engine_needs(applied, new, certificates, step):
    assert step_to(applied, new, certificates) == step


@pytest.mark.parametrize(
    ("policy", "survive", "labels", "allowed"),
    [
        ("auto", True, ["com.example=1"], True),
        ("auto", False, ["stack.longshore.name=shop,x=y"], True),
        ("auto", False, ["stack.longshore.name=shop", ""], False),
        ("always", False, [""], True),
        ("never", True, [], False),
    ],
)
def test_a_restart_may_not_stop_what_is_not_of_a_stack(policy, survive, labels, allowed):
    assert restart_allowed(policy, survive, labels) is allowed


@pytest.mark.parametrize(
    ("release", "vendor", "expected"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, False, ["docker.io"]),
        ({"ID": "debian", "VERSION_ID": "13"}, False, ["docker.io", "docker-cli", "docker-compose"]),
        ({"ID": "debian"}, False, ["docker.io", "docker-cli", "docker-compose"]),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, False, ["docker.io", "docker-compose-v2"]),
        ({"ID": "debian", "VERSION_ID": "12"}, True, ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"]),
    ],
)
def test_the_packages_of_each_system(release, vendor, expected):
    assert packages(release, vendor, apparmor=False) == ["ca-certificates", *expected]
    assert packages(release, vendor, apparmor=True)[-1] == "apparmor"


def test_the_fingerprint_of_a_key_is_the_one_that_gpg_names():
    assert fingerprints(KEY) == [FINGERPRINT]


def test_a_second_key_in_the_file_does_not_go_unseen():
    head, body, foot = re.match(r"(.*?\n\n)(.*)(=DXGg.*)", KEY, re.DOTALL).groups()
    twice = base64.b64encode(base64.b64decode(body) * 2).decode()
    assert fingerprints(f"{head}{twice}\n{foot}") == [FINGERPRINT] * 2


@pytest.mark.parametrize("text", ["", "no key", KEY + KEY, KEY.replace("mDME", "mDMF"), KEY.replace("mDMEawL08xYJ", "")])
def test_a_file_that_is_not_one_sound_key_has_no_fingerprint_to_trust(text):
    assert fingerprints(text) != [FINGERPRINT]


def test_passwords_in_urls_are_not_shown():
    text = '{"http-proxy": "http://me:canary@proxy.test:3128", "registry-mirrors": ["https://mirror.test"]}'
    assert without_passwords(text) == text.replace("canary", "********")


@pytest.mark.parametrize("registry", ["docker.io", "", "index.docker.io"])
def test_docker_hub_has_one_name_for_the_client(registry):
    assert Login(registry, "me", "canary").key == DOCKER_HUB


def test_a_login_does_not_show_its_password():
    assert "canary" not in repr(Login("registry.test", "me", "canary"))
