# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._history import append, newest


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def test_a_host_without_a_history_has_an_empty_one(folder):
    assert newest(folder) == []


def test_the_newest_entry_comes_first(folder):
    for number in range(3):
        append(folder, {"release": f"r{number}", "message": "two\nlines"})
    assert [entry["release"] for entry in newest(folder)] == ["r2", "r1", "r0"]
    assert newest(folder)[0]["message"] == "two\nlines"


def test_only_as_many_as_are_asked_for_are_read_back_and_none_is_forgotten(folder):
    for number in range(60):
        append(folder, {"n": number})
    assert [entry["n"] for entry in newest(folder, most=2)] == [59, 58]
    assert len(newest(folder)) == 50
    assert len(newest(folder, most=100)) == 60


def test_everybody_may_read_it_and_what_was_written_is_only_added_to(folder, tmp_path):
    append(folder, {"n": 1})
    before = (tmp_path / "history.jsonl").read_bytes()
    append(folder, {"n": 2})
    assert (tmp_path / "history.jsonl").read_bytes() == before + b'{"n": 2}\n'
    assert (tmp_path / "history.jsonl").stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize("cut", ['{"n": 2, "mess', "\x00\x00", "{"], ids=ascii)
def test_a_line_that_was_cut_short_is_left_out_and_takes_no_other_with_it(folder, tmp_path, cut):
    append(folder, {"n": 1})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write(cut)
    append(folder, {"n": 3})
    assert [entry["n"] for entry in newest(folder)] == [3, 1]
