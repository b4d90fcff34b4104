# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples that the documentation of modules and plugins gives: what a reader copies has to work."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.playbook.task import Task

PLUGINS = Path(__file__).parents[3] / "plugins"
COLLECTION = "ansible_collections.longshore.stack.plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
RULES = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")
INVENTORY = """
all:
  vars:
    ansible_connection: local
    stack_name: shop
    stack_root: /opt/shop
    stack_apps: [{name: shop, needs: [postgres], processes: [{name: web, port: 8000, routes: [{host: app.localhost}]}]}]
    vault_password: not-a-real-one
  children:
    postgres: {hosts: {box: {}}}
    proxy: {hosts: {box: {}}}
    app: {hosts: {box: {}}}
"""


class Made(Exception):
    """A module has come to the point where it reads its arguments."""


def validator(module: Any, monkeypatch) -> ArgumentSpecValidator:
    """Of the arguments that the module takes; of those that are documented where an action plugin alone does its work."""
    if not hasattr(module, "main"):
        return ArgumentSpecValidator(yaml.safe_load(module.DOCUMENTATION)["options"])

    def init(self, argument_spec, **options):
        raise Made(argument_spec, {rule: options[rule] for rule in RULES if rule in options})

    monkeypatch.setattr(AnsibleModule, "__init__", init)
    with pytest.raises(Made) as made:
        module.main()
    return ArgumentSpecValidator(made.value.args[0], **made.value.args[1])


def tasks_of(examples: str) -> list[dict[str, Any]]:
    """The tasks of an example, which is a list of tasks or of plays."""
    return [task for entry in yaml.safe_load(examples) for task in (entry["tasks"] if "hosts" in entry else [entry])]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_takes_the_arguments_of_its_examples(name, monkeypatch):
    module = importlib.import_module(f"{COLLECTION}.modules.{name}")
    check, tasks = validator(module, monkeypatch), tasks_of(module.EXAMPLES)
    assert tasks
    for task in tasks:
        assert set(task) - set(Task.fattributes) == {f"longshore.stack.{name}"}
        assert check.validate(task[f"longshore.stack.{name}"] or {}).error_messages == []


def test_a_wrong_example_would_be_found(monkeypatch):
    check = validator(importlib.import_module(f"{COLLECTION}.modules.compose_project"), monkeypatch)
    wrong = {"projekt": "x", "state": "gone", "files": [{"path": "a", "contents": "b"}], "directories": "text"}
    messages = " ".join(check.validate(wrong).error_messages)
    assert all(word in messages for word in ("projekt", "gone", "contents", "directories"))


def test_the_examples_of_lookups_and_filters_are_templates_that_answer(playbook):
    lookups = [importlib.import_module(f"{COLLECTION}.lookup.{path.stem}").EXAMPLES for path in sorted((PLUGINS / "lookup").glob("*.py"))]
    filters = [yaml.safe_load(path.read_text(encoding="utf-8"))["EXAMPLES"] for path in sorted((PLUGINS / "filter").glob("*.yml"))]
    tasks = [task for examples in (*lookups, *filters) for task in tasks_of(examples)]
    status, output = playbook(INVENTORY, play=yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    assert status == 0, output
    assert all(answer in output for answer in ('"postgres"', "switch:27368", "128MB")), output
