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


def test_release_tells_what_is_live_and_what_was_done(call, docker, tmp_path):
    docker.add("s-shop-old", "web", labels=LABELS)
    alone = call(release, stack="s", app="shop", keep="new", state="live", path=str(tmp_path))
    assert "no container of the release new runs" in alone["msg"]
    docker.add("s-shop-new", "web", labels={**LABELS, "stack.longshore.release": "new"})
    answer = call(release, stack="s", app="shop", keep="new", state="live", path=str(tmp_path))
    assert (answer["changed"], answer["live"], answer["done"]) == (True, "new", ["live new", "stop s-shop-old-web-1", "rm s-shop-old-web-1"])
    assert not call(release, stack="s", app="shop", keep="new", state="live", path=str(tmp_path))["changed"]


def test_stack_containers_says_what_it_did_before_it_failed(call, docker, tmp_path):
    docker.add("s-shop-old", "web", labels=LABELS)
    docker.refuse = {"rm": "device is busy"}
    roots = {name: str(tmp_path / name) for name in ("root", "data_root", "secrets_root")}
    answer = call(stack_containers, stack="s", state="absent", **roots)
    assert (answer["failed"], answer["changed"], answer["done"][0]) == (True, True, "stopped s-shop-old-web-1")
    assert "device is busy" in answer["msg"]


@pytest.mark.parametrize(
    ("module", "arguments"),
    [(release, {"stack": "s", "app": "a", "keep": "n", "state": "live"}), (stack_containers, {"stack": "s", "state": "stopped"}), (status, {"stack": "s"})],
    ids=["release", "stack_containers", "status"],
)
def test_without_an_engine_the_answer_says_what_to_install(call, module, arguments):
    answer = call(module, no_engine, **arguments)
    assert answer["failed"]
    assert "install the engine first" in answer["msg"]


def test_status_of_a_bare_host_in_check_mode_is_empty(call):
    assert call(status, no_engine, stack="s", _ansible_check_mode=True)["containers"] == []
