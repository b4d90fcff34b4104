# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os
import stat

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._secret import SecretError, made_secrets


@pytest.fixture
def ask(tmp_path, me):
    numbers = itertools.count(1)

    def call(*names, check=False):
        return made_secrets(Folder(str(tmp_path / "s"), check, mode=0o700), names, lambda: f"value{next(numbers)}")

    return call


def test_a_secret_is_made_once_and_then_kept(ask):
    assert ask("a", "b") == ({"a": "value1", "b": "value2"}, ["a", "b"])
    assert ask("b", "c", "a") == ({"b": "value2", "c": "value3", "a": "value1"}, ["c"])
    assert ask("a", "b", "c")[1] == []


def test_one_that_is_not_asked_for_is_not_forgotten(ask):
    ask("a")
    ask("b")
    assert ask("a") == ({"a": "value1"}, [])


def test_only_root_can_read_them(ask, tmp_path):
    ask("a")
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "s", tmp_path / "s/made.json")] == [0o700, 0o600]


def test_check_mode_gives_a_value_for_this_run_and_keeps_nothing(ask, tmp_path):
    assert ask("a", check=True) == ({"a": "value1"}, ["a"])
    assert not (tmp_path / "s").exists()


def test_a_file_that_cannot_be_read_is_left_alone_and_not_shown(ask, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/made.json").write_text('{"a": "canary"')
    with pytest.raises(SecretError, match=r"made.json is not JSON .*put back a copy") as caught:
        ask("a")
    assert "canary" not in str(caught.value)
    assert (tmp_path / "s/made.json").read_text() == '{"a": "canary"'
