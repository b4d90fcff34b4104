# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.modules import stack_roots


def call(capsys, tmp_path, **arguments):
    places = {name: str(tmp_path / name) for name in ("root", "data_root", "secrets_root")}
    with patch_module_args({"stack": "shop", **places, **arguments}), pytest.raises(SystemExit):
        stack_roots.main()
    return json.loads(capsys.readouterr().out)


def test_the_directories_are_claimed_and_what_is_not_the_stacks_is_an_answer(capsys, tmp_path, me):
    first = call(capsys, tmp_path)
    assert (first["changed"], first["used"], first["diff"]["prepared"].count("marked ")) == (True, False, 3)
    assert not call(capsys, tmp_path)["changed"]
    assert "belongs to the stack shop" in call(capsys, tmp_path, stack="other")["msg"]
