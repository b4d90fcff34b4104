# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that ask the engine and little else: release, stack_containers, status."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.modules import release, stack_containers, status

LABELS = {"stack.longshore.name": "s", "stack.longshore.service": "shop", "stack.longshore.release": "old", "stack.longshore.process": "web"}


def no_engine(args, **_options):
    raise FileNotFoundError(args[0])


@pytest.fixture
def call(docker, monkeypatch, capsys):
    def run(module, runner=docker, **arguments):
        monkeypatch.setattr(module, "Engine", lambda: Engine(runner=runner))
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


def stage(state, path, **more):
    return {"state": state, "app": "shop", "path": str(path), "spec": {"stack": "s", "release": "new"}, "lease": {"run": "r", "number": 1}, **more}


def test_release_tells_what_is_live_and_what_was_done(call, docker, tmp_path):
    docker.add("s-shop-old", "web", labels=LABELS)
    docker.add("s-shop-new", "web", labels={**LABELS, "stack.longshore.release": "new"})
    went_live = call(release, **stage("live", tmp_path))
    assert (went_live["changed"], went_live["live"], went_live["of"], went_live["done"]) == (True, "new", "new", ["live new"])
    assert call(release, **stage("retired", tmp_path))["done"] == ["stop s-shop-old-web-1", "rm s-shop-old-web-1"]
    assert not call(release, **stage("retired", tmp_path))["changed"]


def test_release_without_a_directory_says_where_it_comes_from(call):
    assert "release needs path" in call(release, state="unlocked", app="shop")["msg"]


def test_stack_containers_says_what_it_did_before_it_failed(call, docker, tmp_path):
    docker.add("s-shop-old", "web", labels=LABELS)
    docker.refuse = {"rm": "device is busy"}
    roots = {name: str(tmp_path / name) for name in ("root", "data_root", "secrets_root")}
    answer = call(stack_containers, stack="s", state="absent", **roots)
    assert (answer["failed"], answer["changed"], answer["done"][0]) == (True, True, "stopped s-shop-old-web-1")
    assert "device is busy" in answer["msg"]


@pytest.mark.parametrize(
    ("module", "arguments"),
    [(release, stage("live", "")), (stack_containers, {"stack": "s", "state": "stopped"}), (status, {"stack": "s"})],
    ids=["release", "stack_containers", "status"],
)
def test_without_an_engine_the_answer_says_what_to_install(call, tmp_path, module, arguments):
    answer = call(module, no_engine, **{**arguments, **({"path": str(tmp_path)} if "path" in arguments else {})})
    assert answer["failed"]
    assert "install the engine first" in answer["msg"]


def test_status_of_a_bare_host_in_check_mode_is_empty(call):
    assert call(status, no_engine, stack="s", _ansible_check_mode=True)["containers"] == []
