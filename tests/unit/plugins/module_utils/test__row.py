# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _row
from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError
from ansible_collections.longshore.stack.plugins.module_utils._members import ReleaseError
from ansible_collections.longshore.stack.plugins.module_utils._row import Row

STARTED = {"state": "started", "then": ["taken_over", "switched"], "resume": {}, "record": {}, "run": {}}
PREPARED = {"state": "prepared", "then": ["leased"], "resume": {}, "record": {}, "run": {"id": "r1"}}


@pytest.fixture
def row(monkeypatch):
    """A row of stages that answer what `answers` says, one call after the other; `calls` has the state and the resume of each."""

    class Call:
        def __init__(self, params, *_given):
            self.state, self.resume, self.changed = params["state"], params["resume"], False
            made.record, made.run = params["record"], params["run"]

        def run(self):
            made.calls.append((self.state, self.resume))
            answer = made.answers[self.state].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {"changed": False, "of": self.state, **answer}

    class Made:
        answers, calls = {}, []

        def __call__(self, params, **answers):
            self.answers, self.calls = answers, []
            return Row(params, False, None, None, None)

    monkeypatch.setattr(_row, "Call", Call)
    made = Made()
    return made


def test_each_stage_of_a_row_has_a_result_of_its_own(row):
    result = row(STARTED, started=[{"changed": True}], taken_over=[{}], switched=[{"switch_seconds": 0.1}]).run()
    assert [state for state, _resume in row.calls] == ["started", "taken_over", "switched"]
    assert (result["of"], result["changed"]) == ("started", True)
    assert result["then"] == {"taken_over": {"changed": False, "of": "taken_over"}, "switched": {"changed": False, "of": "switched", "switch_seconds": 0.1}}


def test_a_single_stage_is_a_row_of_one(row):
    assert row({**STARTED, "then": []}, started=[{}]).run()["then"] == {}


def test_a_slice_goes_on_with_the_stage_that_was_not_done(row):
    waits = {"pending": True, "progress": "waiting for beat", "resume": {"began": 7}}
    first = row(STARTED, started=[{}], taken_over=[waits]).run()
    assert first["pending"] and first["progress"] == "waiting for beat"
    result = row({**STARTED, "resume": first["resume"]}, taken_over=[{"seconds": 9}], switched=[{}]).run()
    assert row.calls == [("taken_over", {"began": 7}), ("switched", {})]
    assert result["of"] == "started" and result["then"]["taken_over"]["seconds"] == 9


def test_nothing_comes_after_a_stage_that_fails(row):
    made = row(STARTED, started=[{"changed": True}], taken_over=[ReleaseError("beat is ill")])
    with pytest.raises(ReleaseError, match="beat is ill"):
        made.run()
    assert made.changed and made.call.state == "taken_over"
    assert [state for state, _resume in row.calls] == ["started", "taken_over"]


def test_where_nothing_is_left_to_do_the_row_ends(row):
    result = row(PREPARED, prepared=[{"settled": True, "live": "1-x"}]).run()
    assert result["settled"] and result["then"] == {}


def test_a_lease_that_is_refused_is_left_to_the_call_for_that_state_alone(row):
    result = row(PREPARED, prepared=[{"settled": False, "live": ""}], leased=[LeaseError("ann has it")]).run()
    assert result["of"] == "prepared" and result["then"] == {}
    with pytest.raises(LeaseError, match="ann has it"):
        row({**PREPARED, "state": "leased", "then": []}, leased=[LeaseError("ann has it")]).run()


def test_the_lease_is_of_what_this_row_saw_live(row):
    row(PREPARED, prepared=[{"settled": False, "live": "1-x"}], leased=[{}]).run()
    assert row.run == {"id": "r1", "live": "1-x"}
    row({**PREPARED, "run": {"id": "r1", "live": "0-w"}}, prepared=[{"settled": False, "live": "1-x"}], leased=[{}]).run()
    assert row.run == {"id": "r1", "live": "0-w"}, "a rollback has looked before, when it chose where to go back to"
    row({**PREPARED, "run": {}, "then": []}, prepared=[{"settled": False, "live": "1-x"}]).run()
    assert row.run == {}


def test_the_history_is_told_what_the_row_has_seen(row):
    params = {**STARTED, "state": "live", "then": ["retired", "recorded"], "record": {"result": "live", "seconds": {"start": 5.0, "watch": 3.0}}}
    row(params, live=[{"seconds": 0.3}], retired=[{"seconds": 1.5, "ended": 2, "cut": 1}], recorded=[{"summary": "live on box"}]).run()
    assert row.record == {"result": "live", "ended": 2, "cut": 1, "seconds": {"start": 5.0, "watch": 3.0, "live": 0.3, "retire": 1.5}}
