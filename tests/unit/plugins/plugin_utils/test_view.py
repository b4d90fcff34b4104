# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.longshore.stack.plugins.plugin_utils.view import view_of

VARIABLES = {
    "inventory_hostname": "box",
    "groups": {"postgres": ["db"]},
    "own": "mine",
    "hostvars": {"box": {"own": "from the inventory", "other": "seen"}, "db": {"postgres_port": 15432}},
}


def test_the_hosts_own_variables_are_those_of_the_task_and_are_templated():
    assert view_of(VARIABLES, str.upper).own("own") == "MINE"


def test_a_variable_that_is_asked_for_again_is_not_templated_again():
    asked = []
    view = view_of(VARIABLES, lambda value: asked.append(value) or value)
    assert [view.own("own"), view.own("own"), view.own("x", 1), view.own("x", 2)] == ["mine", "mine", 1, 2]
    assert view_of(VARIABLES, asked.append).own("own") == "mine", "nor for the next lookup of the task"
    assert asked == ["mine"]


def test_another_item_of_a_loop_is_another_value():
    given = {"inventory_hostname": "box", "own": "{{ item }}"}
    assert [view_of({**given, "item": item}, lambda _value, item=item: item).own("own") for item in ("a", "b", "a")] == ["a", "b", "a"]


def test_a_variable_of_another_host_is_the_one_of_the_inventory():
    view = view_of(VARIABLES, lambda value: value)
    assert view.of("db", "postgres_port", 1) == 15432
    assert view.of("box", "other") == "seen"
    assert (view.of("db", "own", "default"), view.of("nobody", "x"), view.hosts("postgres"), view.hosts("x")) == ("default", None, ["db"], [])
