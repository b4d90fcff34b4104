# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.modules import secret


def call(capsys, **arguments):
    with patch_module_args(arguments), pytest.raises(SystemExit):
        secret.main()
    return json.loads(capsys.readouterr().out)


def test_a_made_secret_is_long_and_random_and_answered_again(capsys, tmp_path, me):
    first = call(capsys, path=str(tmp_path / "s"), names=["a", "b"])
    assert (first["changed"], first["made"]) == (True, ["a", "b"])
    assert first["secrets"]["a"] != first["secrets"]["b"]
    assert min(map(len, first["secrets"].values())) >= 32
    second = call(capsys, path=str(tmp_path / "s"), names=["a", "b"])
    assert (second["changed"], second["made"], second["secrets"]) == (False, [], first["secrets"])


def test_a_broken_file_is_an_answer_without_its_content(capsys, tmp_path):
    (tmp_path / "made.json").write_text("canary")
    answer = call(capsys, path=str(tmp_path), names=["a"])
    assert "put back a copy" in answer["msg"]
    assert "canary" not in str(answer)
