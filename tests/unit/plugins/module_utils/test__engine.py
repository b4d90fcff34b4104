# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError, Result, exec_within

NOT_THERE = 'OCI runtime exec failed: exec failed: unable to start container process: exec: "timeout": executable file not found in $PATH: unknown\n'


class Container:
    """Answers one after the other; each takes so many seconds."""

    def __init__(self, *answers: tuple[int, str, str], seconds: float = 0):
        self.answers, self.seconds, self.now, self.asked = list(answers), seconds, 0.0, []

    def __call__(self, words, limit):
        self.asked.append((words, limit))
        self.now += self.seconds
        return Result((), *self.answers.pop(0))

    def run(self, seconds=20.5):
        return exec_within(self, ["reload", "now"], seconds, lambda: self.now)


def test_a_command_has_its_limit_in_the_container_and_the_client_a_longer_one():
    container = Container((0, "done", ""))
    assert container.run().stdout == "done"
    assert container.asked == [(["timeout", "-k", "5", "21", "reload", "now"], 31)]


@pytest.mark.parametrize("rc", [124, 137, 143])
def test_a_command_that_was_ended_there_has_taken_too_long(rc):
    with pytest.raises(EngineError, match="reload was ended after 21 s") as error:
        Container((rc, "", ""), seconds=21).run()
    assert isinstance(error.value.__cause__, subprocess.TimeoutExpired)


@pytest.mark.parametrize("rc", [124, 137, 143])
def test_a_command_that_ends_so_by_itself_is_its_own_answer(rc):
    assert Container((rc, "", "killed"), seconds=1).run().rc == rc


@pytest.mark.parametrize(
    "refusal",
    [(126, NOT_THERE, ""), (127, "", NOT_THERE), (1, "", "timeout: unrecognized option: k\nusage"), (1, "", "timeout: invalid option -- 'k'\nusage")],
)
def test_an_image_without_the_tool_has_the_limit_of_the_client_alone(refusal):
    container = Container(refusal, (3, "", "its own words"))
    assert container.run().rc == 3
    assert container.asked[1] == (["reload", "now"], 20.5)


def test_a_command_that_is_not_there_is_not_asked_for_twice():
    container = Container((127, "", "timeout: failed to run command 'reload': No such file or directory"))
    assert (container.run().rc, len(container.asked)) == (127, 1)
