# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._deploy import WindowError, closed, deploy_options, hooks, parse_window, rollout, uninterrupted

# -- steps of a rollout ------------------------------------------------------------------------------------------------


def steps(hosts, **options):
    found = rollout(deploy_options({"deploy": {"observe": 7, **options}}), hosts)
    assert [step["switched"] for step in found][-1] == hosts, "in the end all hosts are switched"
    return [(step["hosts"], step["replicas"], step["seconds"]) for step in found]


def test_without_a_canary_all_hosts_are_switched_at_once():
    assert steps(["a", "b"]) == [(["a", "b"], 0, 7)]


def test_a_canary_comes_first_and_is_watched_for_its_own_time():
    assert steps(["a", "b"], canary="host", canary_seconds=30) == [(["a"], 0, 30), (["b"], 0, 7)]
    assert steps(["a", "b"], canary="replica", canary_seconds=30) == [(["a"], 1, 30), (["a", "b"], 0, 7)]
    assert steps(["a"], canary="host") == [(["a"], 0, 7)], "one host has nothing to compare with"


def test_hosts_are_switched_so_many_at_a_time():
    assert steps(["a", "b", "c"], max_parallel=2, pause=3) == [(["a", "b"], 0, 3), (["c"], 0, 7)]
    assert steps(["a", "b", "c"], max_parallel=1, canary="host", canary_seconds=9) == [(["a"], 0, 9), (["b"], 0, 10), (["c"], 0, 7)]


def test_a_rollback_is_one_step():
    options = deploy_options({"deploy": {"observe": 7, "canary": "host", "max_parallel": 1}})
    (step,) = rollout(options, ["a", "b"], at_once=True)
    assert (step["hosts"], step["replicas"], step["seconds"]) == (["a", "b"], 0, 7)


def test_a_step_says_who_is_asked_and_what_comes_after():
    found = rollout(deploy_options({"deploy": {"canary": "replica"}}), ["a", "b"])
    assert [step["label"] for step in found] == ["one replica of a, step 1 of 2", "a, b, step 2 of 2"]
    assert [step["switched"] for step in found] == [["a"], ["a", "b"]]


# -- hooks -------------------------------------------------------------------------------------------------------------

APP = {
    "processes": [{"name": "web"}, {"name": "worker"}],
    "hooks": [
        {"stage": "switch", "command": ["warm"]},
        {"stage": "live", "when": "after", "tasks": "announce.yml"},
        {"stage": "switch", "command": ["purge"], "process": "worker", "hosts": "all", "timeout": 5},
        {"stage": "failed", "command": ["alarm"], "when": None},
    ],
}


def test_hooks_come_at_their_place_in_the_order_of_the_inventory():
    found = hooks(APP, "before switch")
    assert [(one["number"], one["command"], one["processes"], one["hosts"], one["timeout"]) for one in found] == [
        (1, ["warm"], ["web", "worker"], "first", 300),
        (3, ["purge"], ["worker"], "all", 5),
    ]
    assert [one["tasks"] for one in hooks(APP, "after live", "before retire")] == ["announce.yml"]
    assert [one["command"] for one in hooks(APP, "failed")] == [["alarm"]]


def test_without_hooks_there_is_nothing_to_run():
    assert hooks({}, "before switch") == hooks(APP, "after switch") == []


# -- windows -----------------------------------------------------------------------------------------------------------


def reason(moment, *windows, zone="UTC"):
    return closed(deploy_options({"deploy": {"windows": list(windows), "time_zone": zone}}), datetime.fromisoformat(moment).replace(tzinfo=UTC))


def test_without_windows_it_is_always_time():
    assert reason("2026-11-24T03:00") == ""


@pytest.mark.parametrize(
    ("moment", "window", "is_open"),
    [
        ("2026-11-24T09:00", "mon-thu 09:00-16:00", True),  # a Tuesday
        ("2026-11-24T08:59", "mon-thu 09:00-16:00", False),
        ("2026-11-24T16:00", "mon-thu 09:00-16:00", False),
        ("2026-11-27T12:00", "mon-thu 09:00-16:00", False),  # a Friday
        ("2026-11-25T01:59", "tue 22:00-02:00", True),
        ("2026-11-24T01:59", "tue 22:00-02:00", False),
        ("2026-11-23T01:00", "sun 22:00-02:00", True),  # Monday morning belongs to Sunday night
        ("2026-11-22T10:00", "sat-mon 09:00-24:00", True),
        ("2026-11-24T10:00", "sat-mon 09:00-24:00", False),
        ("2026-11-24T10:00", "TUE 09:00-24:00", True),
    ],
)
def test_a_window_is_open_on_its_days_at_its_times(moment, window, is_open):
    assert (reason(moment, window) == "") is is_open


def test_outside_the_window_the_time_there_and_the_windows_are_said():
    said = reason("2026-11-24T16:30", "mon-thu 09:00-16:00", "fri 09:00-12:00", zone="Europe/Berlin")
    assert said == "it is tue 17:30 (Europe/Berlin), and releases are made mon-thu 09:00-16:00, fri 09:00-12:00"


def test_one_of_several_windows_is_enough():
    assert reason("2026-11-27T10:00", "mon-thu 09:00-16:00", "fri 09:00-12:00") == ""


@pytest.mark.parametrize("text", ["", "mon", "mon 9-16", "mon 09:00-25:00", "mon 09:00-24:30", "someday 09:00-10:00", "mon 09:00-09:00", "mon,tue 09:00-10:00"])
def test_what_is_no_window_is_refused_with_an_example(text):
    with pytest.raises(WindowError, match="for example mon-thu 09:00-16:00"):
        parse_window(text)


def test_stages_are_uninterrupted_up_to_the_first_place_with_a_hook():
    order = ["after start", "taken_over", "before switch", "switched"]
    assert uninterrupted({}, order) == ["taken_over", "switched"]
    assert uninterrupted({"hooks": [{"stage": "switch", "command": ["true"]}]}, order) == ["taken_over"]
    assert uninterrupted({"hooks": [{"stage": "start", "when": "after", "command": ["true"]}]}, order) == []
    assert uninterrupted({"hooks": [{"stage": "start", "command": ["true"]}]}, order) == ["taken_over", "switched"], "it has run before"
