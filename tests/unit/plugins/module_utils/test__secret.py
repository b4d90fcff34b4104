# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os
import stat
import threading

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._secret import SecretError, made_secrets


@pytest.fixture
def ask(tmp_path, me):
    numbers = itertools.count(1)

    def call(*names, check=False, users=()):
        return made_secrets(Folder(str(tmp_path / "s"), check, mode=0o700), names, lambda: f"value{next(numbers)}", users)

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


@pytest.mark.parametrize("check", [False, True])
def test_a_host_without_them_does_not_make_new_ones_for_a_stack_that_is_there(ask, tmp_path, check):
    with pytest.raises(SecretError, match=r"no .*/s/made.json, but the stack is already on db1, app1\. Put the file there"):
        ask("a", users=["db1", "app1"], check=check)
    assert not (tmp_path / "s/made.json").exists()
    (tmp_path / "s").mkdir(exist_ok=True)
    (tmp_path / "s/made.json").write_text("{}")
    assert ask("a", users=["db1"]) == ({"a": "value1"}, ["a"])


def test_two_at_a_time_wait_for_each_other(ask, tmp_path):
    held, answers = Folder(str(tmp_path / "s"), mode=0o700), []
    with held.locked():
        second = threading.Thread(target=lambda: answers.append(ask("a")))
        second.start()
        held.write("made.json", b'{"a": "the first one\'s"}', 0o600)
        assert answers == []
    second.join(5)
    assert answers == [({"a": "the first one's"}, [])]
