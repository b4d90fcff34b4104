# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys and rollbacks one after the other under load, and what was counted meanwhile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from journey_faults import begins
from journey_fleet import Diary, Fleet, Lookout, Tasks
from journey_support import SOAK, Run, figure, until
from load import Result

# A sample leaves two cores something for the deploys, which then take half the time.
DEPLOYS, ROLLBACKS, TASKS, RATE = (10, 10, 1000, 200) if SOAK else (1, 1, 100, 100)
# Of each kind, always open while releases change.
OPEN = 4
# Seconds of a task that a worker has in its hands when it has to go.
LONG = 30 if SOAK else 15


@dataclass
class Storm:
    """What was seen while releases changed under load."""

    runs: list[Run]
    load: Result
    switches: list[float]
    long: list[str]
    tasks: Tasks
    diary: Diary
    beats: list[int]
    first_tick: int
    hand_overs: list[float]
    releases: list[str] = field(default_factory=list)


def storm_over(fleet: Fleet) -> Storm:
    first_tick, releases, switches, long, runs = fleet.last_tick(), [fleet.settled()], [], [], []

    def watch(line: str) -> None:
        if "switched in" in line:
            switches.append(load.now)
        if begins(line, "Go live") and not long:
            # More of them than there are workers, so that each gets one, also those that are about to go.
            long.extend(tasks.send(number, LONG) for number in range(5))

    with (
        fleet.load(rate=RATE, slow=4, uploads=2, streams=OPEN, sockets=OPEN) as load,
        Lookout(fleet, "beat") as beats,
        Diary(fleet) as diary,
        Tasks(fleet, TASKS) as tasks,
    ):
        for number in range(DEPLOYS + ROLLBACKS):
            if number < DEPLOYS:
                fleet.renew()
            step = fleet.deploy if number < DEPLOYS else fleet.rollback
            runs.append(step(f"{'deploy' if number < DEPLOYS else 'rollback'} under load, {number + 1}", watch=watch).succeeded())
            releases.append(fleet.live())
    fleet.settled()
    hand_overs = [float(row["seconds"]["hand_over"]) for row in fleet.history() if row["result"] == "live"][-len(runs) :]
    return Storm(runs, load.result, switches, long, tasks, diary, beats.looks, first_tick, hand_overs, releases)


def no_request_has_failed(storm: Storm) -> None:
    result = storm.load
    figure(f"           {DEPLOYS} deploys, {ROLLBACKS} rollbacks, {RATE} requests a second wanted: {result.line()}")
    seconds = [float(took) for run in storm.runs for took in re.findall(r"switched in (\S+) s", run.output)]
    around = max(result.percentile(0.99, moment - 1, moment + 1) for moment in storm.switches)
    figure(f"           switches: {len(seconds)}, the longest {max(seconds):.2f} s; p99 in the second around one at most {around:.0f} ms")
    assert result.failures == [], result.first_failures()
    assert result.count("slow") >= 4 and result.count("upload") >= 20, result.line()
    # Every release that was live in between has answered, and one that is gone answers no more.
    assert set(result.releases) == set(storm.releases), (result.releases, storm.releases)


def the_load_was_there(storm: Storm) -> None:
    """The last of all checks: a machine that is too slow for it says nothing of what was answered."""
    # A machine with other work answers later, not fewer than this.
    assert storm.load.requests >= 2000 * len(storm.runs), storm.load.line()
    if SOAK:
        # For the whole time. A sample goes beside other steps, which take what they need.
        assert storm.load.least_rate() >= 0.9 * RATE, storm.load.line()


def what_was_open_has_ended_properly(storm: Storm) -> None:
    for kind, counted in storm.load.open.items():
        # With each change all of them, however long they would have gone on.
        assert counted["ended"] >= OPEN * len(storm.runs), (kind, counted)
        assert counted["broken"] == 0 and counted["opened"] == counted["ended"] + OPEN, (kind, counted)


def every_task_is_done(fleet: Fleet, storm: Storm) -> None:
    assert storm.tasks.refused == []
    sent = set(storm.tasks.sent)
    assert len(sent) >= TASKS

    def left() -> set[str]:
        return sent - set(fleet.host.sql("SELECT task_id FROM celery_taskmeta WHERE status = 'SUCCESS'").splitlines())

    until(lambda: not left(), what="all tasks to be done")
    repeats = sum(len(storm.diary.who("job done", task)) - 1 for task in sent if storm.diary.who("job done", task))
    figure(f"           {len(sent)} tasks sent while releases changed, all done; {repeats} of them more than once")


def there_was_one_beat(fleet: Fleet, storm: Storm) -> None:
    assert max(storm.beats) == 1, storm.beats
    gap, longest = fleet.ticked(storm.first_tick, max(storm.hand_overs)), max(storm.hand_overs)
    away = max(len(list(looks)) for looks in "".join(map(str, storm.beats)).split("1"))
    period = fleet.app["env"]["TICK_SECONDS"]
    figure(f"           beat: longest gap between ticks {gap:.0f} s (period {period} s, longest hand-over {longest:.1f} s), none at {away} looks in a row")
