# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.longshore.stack.plugins.plugin_utils.slices import progress_line, run_slices


def replay(*results):
    queue, seen = list(results), []

    def execute(resume):
        seen.append(resume)
        return queue.pop(0)

    return execute, seen


def test_a_module_that_is_done_at_once_prints_nothing():
    execute, _seen = replay({"changed": False, "ref": "x"})
    lines = []
    assert run_slices(execute, lines.append, "valkey image") == {"changed": False, "ref": "x"}
    assert lines == []


def test_each_pending_slice_prints_what_is_waited_for_and_hands_its_state_on():
    execute, seen = replay({"pending": True, "progress": "building step 4/9", "resume": {"job": "j"}}, {"changed": True})
    lines, times = [], iter([0, 40])
    assert run_slices(execute, lines.append, "postgres image", clock=lambda: next(times)) == {"changed": True}
    assert lines == ["postgres image: building step 4/9, 40 s"]
    assert seen == [{}, {"job": "j"}]


def test_a_change_of_any_slice_and_every_warning_once_are_in_the_result():
    execute, _seen = replay({"pending": True, "changed": True, "warnings": ["a"]}, {"changed": False, "warnings": ["a", "b"]})
    result = run_slices(execute, lambda line: None, "x")
    assert (result["changed"], result["warnings"]) == (True, ["a", "b"])


def test_a_failure_ends_the_loop_although_it_says_pending():
    execute, seen = replay({"failed": True, "msg": "no", "pending": True}, {"changed": True})
    assert run_slices(execute, lambda line: None, "x")["msg"] == "no"
    assert len(seen) == 1


def test_at_the_limit_the_result_says_what_was_waited_for():
    execute, _seen = replay({"pending": True, "progress": "waiting"}, {"pending": True, "progress": "waiting"})
    times = iter([0, 5, 11])
    result = run_slices(execute, lambda line: None, "x", limit=10, clock=lambda: next(times))
    assert result["failed"]
    assert result["msg"] == "x: waiting after 11 s; the limit is 10 s"


def test_a_line_tells_the_limit_where_there_is_one():
    assert progress_line("x", "waiting", 3, 60) == "x: waiting, 3 s of at most 60 s"
