# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The visitors of the journeys count what fails, and do not pass for a load when there was none; with a server of the test's own on loopback."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections.abc import Callable

import load as visitors  # conftest.py says where it is
import pytest
from load import Load, NoLoad


def after(load: Load, what: Callable[[Load], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what(load):
        assert time.monotonic() < end, load.result.line()
        time.sleep(0.02)


def test_all_that_is_answered_well_is_counted_and_nothing_has_failed(server):
    with server.load() as load:
        after(load, lambda load: load.result.requests >= 150)
    result = load.result
    assert result.failures == [] and result.requests >= 150
    assert set(result.statuses) == {"first", "kept", "new"} and set(result.releases) == {"one"}
    assert result.statuses["kept"][201] > 0 and result.count("kept") > result.count("new") > 0


@pytest.mark.parametrize("answer", [{}, [], "one", None, 3], ids=repr)
def test_an_answer_that_does_not_say_what_it_should_is_a_failure_and_the_others_go_on_asking(server, answer):
    server.answers["GET /version"] = answer
    with server.load() as load:
        after(load, lambda load: load.result.releases or len(load.result.failures) >= 50)
    failures = load.result.failures
    assert {one.request for one in failures} == {"GET /version"} and "not what was asked for" in failures[0].reason
    assert len(failures) >= 50 and load.result.releases == {}


def test_a_preparation_that_is_answered_with_something_else_has_failed(server):
    server.answers["POST /items"] = {}
    with server.load() as load:
        after(load, lambda load: load.result.requests >= 50)
    assert [one.kind for one in load.result.failures] == ["first"] * visitors.ITEMS


def test_nobody_who_answers_makes_failures(server):
    server.over.set()
    server.thread.join(10)
    with server.load(least=0) as load:
        after(load, lambda load: load.result.count("kept") >= 10)
    assert len(load.result.failures) == load.result.requests >= 10


def test_visitors_who_die_are_told_at_the_end_of_the_block(server, monkeypatch):
    with pytest.raises(NoLoad, match=r"gone before the end: RuntimeError\('no more'\)") as told, server.load() as load:
        after(load, lambda load: load.result.requests >= 50)
        monkeypatch.setattr(load, "_next", dead)
        load.thread.join(10)
    assert isinstance(told.value.__cause__, RuntimeError)


def test_visitors_who_never_came_are_told_at_once(server, monkeypatch):
    monkeypatch.setattr(Load, "_request", dead)
    with pytest.raises(NoLoad, match=r"no visitors: RuntimeError\('no more'\)"), server.load():
        pytest.fail("the block has begun")


def dead(*_: object, **_options: object) -> None:
    raise RuntimeError("no more")


def test_a_preparation_without_end_is_told(server, monkeypatch):
    monkeypatch.setattr(visitors, "PATIENCE", 0.3)
    server.wait = 1
    with pytest.raises(NoLoad, match="the preparation is not over after 0.3 s"), server.load():
        pytest.fail("the block has begun")


def test_visitors_without_an_end_are_told(server, monkeypatch):
    monkeypatch.setattr(visitors, "TIMEOUT", 0.2)
    with pytest.raises(NoLoad, match="do not come to an end"), server.load() as load:
        begun = threading.Event()

        async def forever(*_: object, **_options: object) -> None:
            begun.set()
            await asyncio.sleep(3)

        monkeypatch.setattr(load, "_request", forever)
        assert begun.wait(10)


def test_far_fewer_answers_than_were_wanted_are_no_load_unless_that_is_allowed(server):
    def ask(**options: float) -> Load:
        server.wait = 0
        with server.load(visitors=4, **options) as load:
            server.wait = 0.2
            # Four visitors come to twenty requests a second.
            time.sleep(3.5)
        return load

    with pytest.raises(NoLoad, match=r"\d+ of about [2-4]\d\d requests that were due were answered, and 50% must be: .* left out"):
        ask(least=visitors.LEAST)
    assert ask(least=0.01).result.failures == []


def test_why_the_block_ended_is_told_before_there_having_been_no_load(server, monkeypatch):
    with pytest.raises(ValueError, match="another reason") as told, server.load() as load:
        monkeypatch.setattr(load, "_next", dead)
        load.thread.join(10)
        raise ValueError("another reason")
    assert "there was no load: the visitors were gone" in told.value.__notes__[0]


def test_on_its_own_it_ends_with_a_status_and_says_why(server, monkeypatch, capsys):
    monkeypatch.setattr(visitors.ssl, "create_default_context", lambda cafile: None)
    words = ["load.py", "--name", "shop.test", "--address", "127.0.0.1", "--authority", "none.crt", "--port", str(server.port), "--rate", "10"]
    monkeypatch.setattr(sys, "argv", [*words, "--seconds", "1"])
    assert visitors.main() == 0
    monkeypatch.setattr(Load, "_next", dead)
    assert visitors.main() == 1
    # Whoever looks first, the beginning of the block or its end.
    assert re.search("no visitors: RuntimeError|the visitors were gone before the end", capsys.readouterr().out)


def test_the_least_rate_is_that_of_the_seconds_in_a_row_that_had_the_fewest():
    steady = [(moment / 10, 0.01) for moment in range(300)]
    assert visitors.Result(times=steady).least_rate() == 10
    stalled = [(due, took) for due, took in steady if not 12 <= due < 13]
    assert visitors.Result(times=stalled).least_rate() == 8
    assert visitors.Result(times=[]).least_rate() == 0
