# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.modules import maintenance


def call(capsys, path, state, check=False, **arguments):
    given = {"path": str(path), "apps": ["shop", "api"], "state": state, "_ansible_check_mode": check, **arguments}
    with patch_module_args(given), pytest.raises(SystemExit):
        maintenance.main()
    return json.loads(capsys.readouterr().out)


def test_pages_come_and_go_once(capsys, tmp_path, me):
    assert call(capsys, tmp_path, "present")["changed"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.html", "shop.html"]
    assert not call(capsys, tmp_path, "present")["changed"]
    assert call(capsys, tmp_path, "absent")["changed"] and not list(tmp_path.iterdir())
    assert not call(capsys, tmp_path, "absent")["changed"]


def test_check_mode_shows_the_page_and_writes_none(capsys, tmp_path, me):
    result = call(capsys, tmp_path, "present", check=True, page="<p>closed", apps=["shop"])
    assert (result["changed"], result["diff"][0]["after"], list(tmp_path.iterdir())) == (True, "<p>closed", [])
    assert call(capsys, tmp_path / "nowhere", "present", check=True)["changed"], "on a bare host it goes on"


def test_another_page_replaces_the_one_that_is_shown(capsys, tmp_path, me):
    call(capsys, tmp_path, "present", apps=["shop"])
    assert call(capsys, tmp_path, "present", apps=["shop"], page="other")["changed"]
    assert (tmp_path / "shop.html").read_text() == "other"


def test_without_an_edge_nothing_is_said_to_be_closed(capsys, tmp_path, me):
    assert "the edge does not run here yet" in call(capsys, tmp_path / "nowhere", "present")["msg"]
