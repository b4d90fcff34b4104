# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole validation as a user runs it: ansible-playbook, an inventory, and what is printed."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

COLLECTION = Path(__file__).parents[4]
PLAY = """
- name: The first play of a run
  hosts: all
  gather_facts: false
  tasks:
    - name: Validate the whole inventory
      longshore.stack.validate_inventory:
      run_once: true
    - name: Touch the hosts
      ansible.builtin.raw: "true"
"""
# Nothing listens at port 1, so each attempt to reach a host would be told as UNREACHABLE.
RIGHT = """
all:
  vars:
    ansible_host: 127.0.0.1
    ansible_port: 1
    stack_name: shop
    stack_environment: dev
    stack_apps:
      - name: shop
        image: registry.mycompany.net/shop
        version: 1.4.2
        needs: [postgres]
        processes:
          - {name: web, port: 8000, memory: "{{ web_memory }}", routes: [{host: "app.{{ stack_domain }}"}]}
    web_memory: 256M
  children:
    postgres: {hosts: {box: {}}}
    proxy: {hosts: {box: {}}}
    app: {hosts: {box: {}}}
"""
WRONG = """
all:
  vars:
    ansible_port: 1
    stack_name: shop
    stack_environment: prod
    stack_domain: example.com
    stack_tls: "off"
    stack_domian: typing-error.net
    postgres_config: {shared_buffers: 9GB}
    stack_apps:
      - name: shop
        image: registry.mycompany.net/shop
        version: 1.4.2
        needs: [postgres, valkey]
        env: {LOG_LEVEL: "{{ nobody_defined_this }}"}
        secrets: {SECRET_KEY: canary-canary}
        processes:
          - {name: web, port: 8000, memory: 512 megs}
  children:
    postgres: {hosts: {db: {ansible_host: CHANGE_ME}}}
    app: {hosts: {web: {ansible_host: 127.0.0.1}}}
"""
WRONG_NAMES = {
    "ansible_host of db",
    "stack_domain",
    "stack_keeper",
    "stack_domian",
    "postgres_config.shared_buffers",
    "stack_apps[shop].needs",
    "stack_apps[shop].env.LOG_LEVEL",
    "stack_apps[shop].secrets.SECRET_KEY",
    "stack_apps[shop].processes[web].memory",
}


@pytest.fixture(name="run")
def run_of(playbook):
    return partial(playbook, play=PLAY)


@pytest.fixture(name="wrong", params=[(), ("--check", "--diff", "-vvv")], ids=["run", "check"])
def wrong_run(request, run):
    return run(WRONG, *request.param)


def test_a_wrong_inventory_ends_the_run_once_with_all_errors_before_any_host_is_touched(wrong):
    status, output = wrong
    assert status == 2
    assert f"The inventory has {len(WRONG_NAMES)} errors; no host was touched." in output
    readable = output.split("\nfatal:")[0]
    assert set(re.findall(r"^ +\d+\. (.+?): ", readable, re.MULTILINE)) == WRONG_NAMES
    assert output.count("\nfatal:") == 1
    assert "UNREACHABLE" not in output
    assert "TASK [Touch the hosts]" not in output
    assert "Traceback" not in output


def test_an_error_names_the_line_of_the_inventory_where_it_was_written(wrong):
    _status, output = wrong
    line = next(number for number, text in enumerate(WRONG.splitlines(), 1) if "512 megs" in text)
    assert re.search(rf"processes\[web\]\.memory: is not a memory size \(value: '512 megs'\)\n.*example: memory: 512M; at: hosts\.yml:{line}\n", output)


def test_no_secret_of_a_wrong_inventory_is_printed(wrong):
    assert "canary" not in wrong[1]


@pytest.mark.parametrize("inventory", sorted(path.parent.name for path in COLLECTION.glob("inventories/*/hosts.yml")))
def test_in_the_inventories_of_the_project_nothing_is_wrong_but_what_a_user_has_to_fill_in(run, inventory):
    status, output = run(COLLECTION / "inventories" / inventory)
    errors = re.findall(r"^ +\d+\. (.*)$", output.split("\nfatal:")[0], re.MULTILINE)
    assert [error for error in errors if not error.endswith("still contains CHANGE_ME")] == []
    assert bool(errors) == ("The inventory has" in output)
    assert status == 2 if errors else "Touch the hosts" in output


def test_a_right_inventory_passes_and_only_then_the_hosts_are_touched(run):
    status, output = run(RIGHT)
    assert "ok: [box]" in output.split("TASK [Touch the hosts]")[0]
    assert "[box]: UNREACHABLE!" in output.split("TASK [Touch the hosts]")[1]
    assert status == 4


def test_a_filter_that_quotes_a_secret_in_its_error_does_not_reveal_it(run):
    inventory = RIGHT.replace("web_memory: 256M", "web_memory: \"{{ vault_password | to_datetime }}\"\n    vault_password: canary-canary")
    status, output = run(inventory)
    assert status == 2
    assert "stack_apps[shop].processes[web].memory: cannot be resolved" in output
    assert "allowed: a value, or a template of defined variables; example: memory: 512M" in " ".join(output.split())
    assert "canary" not in output


def test_variables_that_tasks_registered_are_not_taken_for_variables_of_the_inventory(run):
    inventory = RIGHT.replace("ansible_port: 1", "ansible_connection: local")
    play = PLAY.replace("  tasks:\n", "  pre_tasks:\n    - ansible.builtin.debug: {msg: x}\n      register: stack_something\n  tasks:\n")
    status, output = run(inventory, play=play)
    assert status == 0, output
