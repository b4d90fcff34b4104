# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, Result
from ansible_collections.longshore.stack.plugins.module_utils._lease import Leases
from ansible_collections.longshore.stack.plugins.modules import migration


def call(capsys, **arguments):
    """What the module answers."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        migration.main()
    return json.loads(capsys.readouterr().out)


def test_check_mode_on_a_bare_host_does_not_fail(capsys, tmp_path):
    answer = call(capsys, project="shop-web-1", path=str(tmp_path / "1"), _ansible_check_mode=True, _ansible_diff=True)
    assert (answer["changed"], answer["pending_revisions"], "failed" in answer) == (False, [], False)
    assert "not known: there is no release directory" in answer["msg"]
    assert answer["diff"]["before"] == answer["diff"]["after"]


def test_a_release_that_its_marker_calls_done_is_looked_at_all_the_same(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(migration, "Engine", lambda: Engine(runner=lambda *_, **__: Result((), 1, "", "there is no engine")))
    (tmp_path / "migration.json").write_text(json.dumps({"release": tmp_path.name, "state": "done", "revision": "b2", "time": "2026-01-01T00:00:00+00:00"}))
    answer = call(capsys, project="shop-web-1", path=f"{tmp_path}/")
    assert answer["failed"] and "there is no engine" in answer["msg"]


def test_a_missing_release_is_a_failure_that_names_the_directory(capsys, tmp_path):
    answer = call(capsys, project="shop-web-1", path=str(tmp_path / "1"))
    assert answer["failed"]
    assert str(tmp_path / "1") in answer["msg"]


def test_a_run_that_was_overtaken_does_not_migrate_and_one_that_was_not_keeps_its_lease(capsys, tmp_path, monkeypatch):
    leases = Leases("shop", str(tmp_path / "shop"), lambda: 1000.0)
    monkeypatch.setattr(migration.time, "time", lambda: 1000.0)
    with leases.locked():
        mine = leases.take("r1", "ann", "leased", 10)
    lease = {"run": "r1", "number": mine.number, "app": "shop", "path": leases.path, "seconds": 60}
    arguments = {"project": "shop-web-1", "path": str(tmp_path / "1"), "lease": lease}
    assert "must be written before the migration" in call(capsys, **arguments)["msg"]
    assert (leases.holder().stage, leases.holder().expires) == ("migrate", 1060.0)
    leases.end()
    leases.take("r2", "bob", "leased", 60)
    assert "released by bob (run r2" in call(capsys, **arguments)["msg"]
    assert "is not known" in call(capsys, **arguments, _ansible_check_mode=True)["msg"], "looking needs no lease"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"tool": "command"}, "tool: command needs command"), ({"tool": "django", "check_command": ["x"]}, "are for tool: command only")],
)
def test_options_that_do_not_fit_together_are_refused(capsys, tmp_path, arguments, said):
    assert said in call(capsys, project="shop-web-1", path=str(tmp_path), **arguments)["msg"]


def test_a_marker_that_cannot_be_read_says_what_to_do(capsys, tmp_path):
    (tmp_path / "migration.json").write_text("{")
    assert "remove it to look at the database again" in call(capsys, project="shop-web-1", path=str(tmp_path))["msg"]
