# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

SECRETS = "/etc/longshore/secrets/molecule"
MADE = f"{SECRETS}/made.json"
ROOTS = ("/opt/molecule", "/var/lib/molecule", SECRETS)


@pytest.fixture
def made(host):
    """The secrets that the stack has made."""
    return lambda: json.loads(host.file(MADE).content_string)


@pytest.fixture
def used(host):
    """The stack is on the host already: a service has left its data."""
    host.check_output("mkdir -p /var/lib/molecule/valkey")
    yield
    host.check_output("rmdir /var/lib/molecule/valkey")


@pytest.fixture
def kept(host):
    """What the test does to the secrets is undone by a copy."""
    host.check_output(f"cp -p {MADE} /root/")
    yield
    host.check_output(f"mv /root/made.json {MADE}")


@pytest.mark.parametrize("root", ROOTS)
def test_each_directory_says_whose_it_is(host, root):
    assert host.file(f"{root}/.longshore-stack").content_string == "molecule\n"


def test_what_nobody_gave_is_made_and_only_root_reads_it(host, made, no_canary):
    assert sorted(made()) == ["app_shop_SHOP_KEY", "valkey_admin", "valkey_shop"]
    assert min(map(len, made().values())) >= 32
    assert len(set(made().values())) == 3
    file, folder = host.file(MADE), host.file(SECRETS)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    assert (folder.user, folder.mode) == ("root", 0o700)
    no_canary()


def test_another_run_changes_nothing_keeps_every_secret_and_shows_none(converge, name, made):
    before = made()
    run = converge("--diff", "-vvv")
    assert (run.rc, run.changed(name)) == (0, 0)
    assert made() == before
    assert not [secret for secret in (*before.values(), "canary-of-the-inventory") if secret in run.output]


def test_a_new_application_gets_secrets_beside_those_that_are_kept(converge, name, made, used, kept):
    before = made()
    second = {"name": "second", "image": "registry.example.org/second", "version": "1", "secrets": {"KEY": ""}, "processes": []}
    first = {"name": "shop", "image": "registry.example.org/shop", "version": "1", "needs": ["valkey"], "secrets": {"SHOP_KEY": ""}, "processes": []}
    assert converge(stack_apps=[first, second]).changed(name) == 1
    assert {key: value for key, value in made().items() if key != "app_second_KEY"} == before
    assert made()["app_second_KEY"]


def test_lost_secrets_of_a_stack_that_is_there_are_not_made_anew(host, converge, made, used, kept):
    before = made()
    host.check_output(f"rm {MADE}")
    run = converge()
    assert run.rc != 0
    assert f"has no {MADE}, but the stack is already on stack-trixie" in run.output
    assert not host.file(MADE).exists
    host.check_output(f"cp -p /root/made.json {MADE}")
    assert converge().rc == 0
    assert made() == before


def test_a_directory_with_somebody_elses_files_is_refused_before_anything_is_written(host, converge):
    host.check_output("mkdir -p /var/lib/other && echo theirs >/var/lib/other/file")
    run = converge(stack_name="other")
    assert run.rc != 0
    assert "/var/lib/other has files that are not the stack's" in run.output
    assert host.check_output("find /var/lib/other -type f") == "/var/lib/other/file"
    assert not host.file("/opt/other").exists
    assert not host.file("/etc/longshore/secrets/other").exists


def test_a_wrong_inventory_ends_with_all_its_errors_before_the_host_is_touched(host, converge):
    run = converge("-vv", stack_name="wrong", stack_environment="production", stack_domian="x.net", ansible_ssh_executable="/bin/false")
    assert run.rc != 0
    assert "The inventory has 2 errors; no host was touched." in run.output
    assert "stack_environment: is not one of the choices (value: 'production')" in run.output
    assert "stack_domian: no role knows this variable; did you mean stack_domain?" in run.output
    assert "UNREACHABLE" not in run.output
    assert not host.file("/opt/wrong").exists
