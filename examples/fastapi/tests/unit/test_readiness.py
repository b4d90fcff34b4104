from __future__ import annotations

import asyncio
import threading

from app.readiness import Readiness


def good(_timeout):
    pass


def refusing(_timeout):
    raise ConnectionRefusedError("host db, user admin")


def ask(checks, timeout=2):
    return asyncio.run(Readiness(checks, timeout)())


def test_a_good_dependency_is_ready():
    assert ask({"cache": good})["cache"]["ok"]


def test_the_broken_one_is_named_and_its_details_are_kept_back():
    answers = ask({"cache": good, "database": refusing})
    assert answers["cache"]["ok"]
    assert answers["database"] == {"ok": False, "error": "ConnectionRefusedError"}


def test_the_dependencies_are_asked_at_the_same_time():
    all_there = threading.Barrier(3)

    def meet(timeout):
        all_there.wait(timeout)

    assert all(answer["ok"] for answer in ask({"a": meet, "b": meet, "c": meet}).values())


def test_one_that_hangs_is_given_up_and_holds_back_no_other():
    release = threading.Event()

    async def ask_and_release():
        answers = await Readiness({"cache": good, "storage": lambda _: release.wait()}, timeout=0)()
        release.set()
        return answers

    answers = asyncio.run(ask_and_release())
    assert answers["storage"] == {"ok": False, "error": "TimeoutError"}
    assert answers["cache"]["ok"]
