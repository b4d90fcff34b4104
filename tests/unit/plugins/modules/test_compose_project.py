# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.module_utils import _compose_project
from ansible_collections.longshore.stack.plugins.modules import compose_project

PASSWORD, KEY = "canary-password", "canary-it's-a-key"
ENVIRONMENT = f"PASSWORD='{PASSWORD}'\nKEY=\"{KEY}\"\n"


@pytest.fixture
def call(docker, tmp_path, me, monkeypatch, capsys):
    """Runs the module for a project with secrets; answers what it prints."""
    docker.images = {"web:1": "sha256:1"}
    monkeypatch.setattr(compose_project, "Engine", lambda: docker.engine)
    monkeypatch.setattr(compose_project, "time", SimpleNamespace(time=docker.clock, sleep=docker.sleep))
    monkeypatch.setattr(_compose_project.Secret.__init__, "__defaults__", (me[1],))

    def run(**changes):
        arguments = {
            "stack": "s",
            "service": "shop",
            "project": "s-shop",
            "path": str(tmp_path / "shop"),
            "secrets_path": str(tmp_path / "secrets"),
            "definition": {"services": {"web": {"image": "web:1", "secrets": ["password"], "env_file": [str(tmp_path / "secrets/environment.1")]}}},
            "files": [{"path": "./config/a.conf", "content": "a"}],
            "secrets": [{"name": "password", "value": PASSWORD, "uid": me[0]}, {"name": "environment", "value": ENVIRONMENT, "uid": me[0]}],
            "wait_timeout": 20,
            "_ansible_diff": True,
            **changes,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            compose_project.main()
        run.printed = "".join(capsys.readouterr())
        return json.loads(run.printed)

    return run


def test_the_answer_tells_what_was_done_and_the_second_that_nothing_was(call):
    first = call()
    assert (first["changed"], first["actions"], first["files"]) == (True, {"web": "created"}, ["compose.yaml", "config/a.conf"])
    second = call()
    assert (second["changed"], second["diff"]) == (False, [])


def test_a_long_start_comes_back_as_pending_and_is_resumed_with_its_own_answer(call, docker):
    docker.healthy_after = {"web": 12}
    first = call()
    assert (first["pending"], first["progress"]) == (True, "waiting for s-shop-web-1 (starting)")
    second = call(resume=first["resume"])
    assert ("pending" in second, second["changed"], second["actions"]) == (False, True, {"web": "created"})
    assert second["diff"] == first["diff"]


def test_the_time_limit_counts_over_all_slices(call, docker):
    docker.healthy_after = {"web": 1000}
    answer, slices = call(), 1
    while answer.get("pending"):
        answer, slices = call(resume=answer["resume"]), slices + 1
    assert (answer["failed"], answer["changed"], slices) == (True, True, 3)
    assert answer["msg"].startswith("not healthy after 20 s: s-shop-web-1 (starting)\n--- last lines of s-shop-web-1:")


@pytest.mark.parametrize("short", ["0", "1", "7", "created"])
def test_a_secret_as_short_as_a_part_of_a_number_does_not_spoil_what_is_resumed(call, docker, me, short):
    docker.healthy_after = {"web": 12}
    secrets = [{"name": "password", "value": short, "uid": me[0]}, {"name": "environment", "value": "", "uid": me[0]}]
    docker.add("s-shop", "web", restarts=17, labels={"stack.longshore.config": "of yesterday"})
    first = call(secrets=secrets)
    assert first["pending"]
    docker.now += 5
    second = call(secrets=secrets, resume=first["resume"])
    assert ("pending" in second, "failed" in second, second["changed"]) == (False, False, True)


@pytest.mark.parametrize("check", [True, False])
def test_no_secret_is_in_an_answer(call, docker, check):
    docker.healthy_after = {"web": 12}
    first = call(_ansible_check_mode=check)
    assert "canary" not in call.printed
    call(resume=first.get("resume", {}), _ansible_check_mode=check)
    assert "canary" not in call.printed


@pytest.mark.parametrize("quoted", [*ENVIRONMENT.splitlines(), PASSWORD, KEY])
def test_no_secret_is_in_an_error_that_quotes_the_env_file(call, docker, quoted):
    docker.refuse = {"compose up": f"failed to read environment.1: unexpected character in variable name <{quoted}>"}
    assert call()["msg"].startswith("docker compose up of s-shop failed: failed to read environment.1: unexpected character in variable name <")
    assert "canary" not in call.printed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": [{"path": "../outside", "content": ""}]}, "give a relative path such as config/app.conf"),
        ({"files": [{"path": "a", "content": "", "mode": "rw"}]}, "rw"),
        ({"stack": ""}, "compose_project needs stack"),
        ({"secrets_path": ""}, "compose_project needs secrets_path"),
        ({"definition": {"services": {"web": {}}}}, "service web has no image"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_an_answer_and_no_traceback(call, changes, said):
    answer = call(**changes)
    assert answer["failed"]
    assert said in answer["msg"]


def test_what_the_disk_refuses_is_an_answer_that_names_the_path(call, tmp_path):
    (tmp_path / "shop").write_text("a file where the directory should be")
    answer = call()
    assert answer["failed"]
    assert str(tmp_path / "shop") in answer["msg"]


def test_a_path_may_be_written_in_another_way_and_is_still_the_mounted_file(call):
    services = {"web": {"image": "web:1", "volumes": ["./config:/etc/web:ro"]}}
    call(definition={"services": services})
    assert call(definition={"services": services}, files=[{"path": "config//a.conf", "content": "b"}])["actions"] == {"web": "recreated"}
