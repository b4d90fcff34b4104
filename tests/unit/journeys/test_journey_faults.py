# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a journey lets beat be away, by the lines of two runs."""

from __future__ import annotations

import journey_faults  # conftest.py says where it is
import pytest

START, STOP_BEAT, START_BEAT, SWITCH, WATCH = (
    "Start the new release of", "Stop elsewhere what must not run twice in", "Start here what must not run twice in", "Lead requests to the release of",
    "Watch the release of",
)  # fmt: skip


@pytest.fixture
def away(monkeypatch):
    """Seconds that beat may be away when a run ends at a stage; the runs are moments and what they print."""

    def told(stage: str, first: list[tuple[float, str]], second: list[tuple[float, str]]) -> float:
        pause = journey_faults.Pause(stage)
        for see, lines in ((pause.first, first), (pause.second, second)):
            for moment, line in lines:
                monkeypatch.setattr(journey_faults.time, "monotonic", lambda moment=moment: moment)
                see(f"TASK [longshore.stack.app : {line} example] ****" if line[0].isupper() else line)
        return pause.over()

    return told


NEXT = [(100, START), (110, STOP_BEAT), (112, START_BEAT), (113, "ok: [app1]"), (116, SWITCH), (120, WATCH), (130, "changed: [app1]")]


def test_before_beat_is_stopped_only_the_next_run_counts(away):
    assert away(START, [(1, START), (3, "ok: [app1]")], NEXT) == 6


def test_a_run_that_ends_between_stop_and_start_counts_until_the_next_one_is_past_its_own(away):
    assert away(STOP_BEAT, [(1, START), (40, STOP_BEAT), (41, "changed: [app1]")], NEXT) == 76
    assert away(START_BEAT, [(1, START), (40, STOP_BEAT), (45, START_BEAT)], NEXT) == 76


def test_after_the_hand_over_a_run_counts_from_where_it_ends(away):
    first = [(1, START), (10, STOP_BEAT), (12, START_BEAT), (30, SWITCH), (80, WATCH), (82, "changed: [app1]")]
    assert away(WATCH, first, NEXT) == 36
    assert away(WATCH, first[:5], [(81, START), (82, STOP_BEAT), (83, START_BEAT), (84, SWITCH)]) == 20, "its own hand-over was the longer one"


def test_a_next_run_without_a_hand_over_counts_to_its_end(away):
    assert away(SWITCH, [(10, STOP_BEAT), (12, START_BEAT), (30, SWITCH)], [(100, START), (110, "ok: [app1]")]) == 80


def test_the_stages_are_those_that_the_role_has():
    there = {verb: journey_faults.stages(verb) for verb in journey_faults.VERBS}
    for name in (START, STOP_BEAT, START_BEAT, SWITCH, WATCH):
        assert all(name in names for names in there.values()), (name, there)
    assert set(journey_faults.TOUCHED) <= {name for names in there.values() for name in names}, there
