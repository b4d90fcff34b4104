# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Production on a bare Debian 12, whose first runs are killed again and again, and whose releases change under load."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import journey_facts as facts
import pytest
from journey_support import SEED, SOAK, Stack, figure
from load import Load

KILLS = 3
# So many tasks a first run has at least, also one that goes on where the application is live already: the kills are drawn from all of them.
TASKS = 50
# A load that leaves the host's two cores to the runs; the journeys of releases have more.
RATE = 50
# Where a release is killed, and how many seconds later at most. What comes after the last one takes longer than that.
KILLED_RELEASES = {"Prepare the release": 6, "Migrate the database": 6, "Start the new release": 15, "Watch the release": 6}


class Countdown:
    """Says yes at the n-th task that no run before has begun."""

    def __init__(self, seen: set[str], number: int):
        self.seen, self.left, self.hit = seen, number, ""

    def __call__(self, line: str) -> bool:
        task = re.match(r"TASK \[(.*)\] \**$", line)
        if not task or task[1] in self.seen:
            return False
        self.seen.add(task[1])
        self.left -= 1
        self.hit = task[1] if self.left == 0 else self.hit
        return self.left == 0


def killed_runs(play: Callable, choice: random.Random, seen: set[str]) -> int:
    """Runs that are killed, each further on than the one before: at every task in the whole matrix, else at some of them. seen: tasks that have begun."""
    sample = sorted(choice.sample(range(2, TASKS + 1), KILLS))
    number = 0
    while SOAK or number < KILLS:
        countdown = Countdown(seen, 1 if SOAK else sample[number] - len(seen))
        run = play(f"killed run {number + 1}", kill=countdown, delay=choice.uniform(0, 2))
        if not run.killed:
            # It came to its end before its task did.
            run.succeeded()
            break
        number += 1
        figure(f"           killed at: {countdown.hit} (task {len(seen)})")
    return number


@pytest.fixture(scope="module")
def live(bookworm) -> Stack:
    figure(f"           sample of the moments of kills (JOURNEY_SEED={SEED})")
    seen: set[str] = set()
    assert killed_runs(bookworm.play, random.Random(SEED), seen) > 0
    last = bookworm.play("the run after the killed ones").succeeded()
    seen.update(re.findall(r"^TASK \[(.*)\] \**$", last.output, re.MULTILINE))
    assert TASKS <= len(seen) < TASKS + 40, f"a first run has {len(seen)} tasks; mend TASKS, so that kills come everywhere"
    return bookworm


def test_a_bare_host_becomes_the_stack_although_runs_were_killed(live):
    facts.recovers(live)
    facts.everything(live)


def test_the_run_after_that_changes_nothing(live):
    assert live.play("second run").succeeded().changed == 0


def test_a_release_that_was_killed_on_its_way_is_finished(live):
    keepsake = facts.Keepsake.leave(live)
    live.app["version"] = "1.1.1"
    choice = random.Random(SEED)
    at, most = choice.choice(list(KILLED_RELEASES.items()))
    delay = choice.uniform(0, most)
    figure(f"           sample of the stages at which the run of a release is killed (JOURNEY_SEED={SEED}): {at}")
    with visitors(live) as load:
        run = live.play(f"a release, killed {delay:.1f} s after: {at}", kill=lambda line: line.startswith("TASK") and f": {at} " in line, delay=delay)
        assert run.killed, run.end
        live.play("the release, run again").succeeded()
    none_has_failed(load, 2)
    facts.one_release_lives(live)
    facts.everything(live, "1.1.1")
    keepsake.is_there(live)
    assert live.play("after the release").succeeded().changed == 0


def test_no_request_fails_while_a_release_comes_and_goes(live):
    live.app["env"]["RENEWED"] = 1
    with visitors(live) as load:
        live.play("deploy under load", playbook="playbooks/deploy.yml").succeeded()
        live.play("rollback under load", playbook="playbooks/rollback.yml").succeeded()
    none_has_failed(load, 2)


def visitors(stack: Stack) -> Load:
    return Load("app.prod.test", stack.host.address, stack.authority(), rate=RATE, slow=2, uploads=1)


def none_has_failed(load: Load, releases: int) -> None:
    figure(f"           under load: {load.result.line()}")
    assert load.result.failures == [], load.result.first_failures()
    assert len(load.result.releases) == releases and load.result.count("slow") and load.result.count("upload"), load.result.line()


def test_a_reboot_brings_everything_back(live):
    keepsake = facts.Keepsake.leave(live)
    live.host.reboot()
    facts.recovers(live)
    keepsake.is_there(live)
