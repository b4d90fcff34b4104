# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError
from ansible_collections.longshore.stack.plugins.module_utils._releases import Member, Plan, Releases, decide, must_serve


def member(release, process, running=True):
    return Member(f"{release}/{process}", f"{release}-{process}", release, process, running)


OLD_WEB, OLD_BEAT, OLDER = member("old", "web"), member("old", "beat"), member("older", "web", running=False)
NEW_WEB, NEW_BEAT = member("new", "web"), member("new", "beat", running=False)
STOPPED_BEAT = member("old", "beat", running=False)


@pytest.mark.parametrize(
    ("state", "there", "live", "plan"),
    [
        ("stopped", [OLD_WEB, OLD_BEAT], "old", Plan(stop=(OLD_BEAT,), live="old")),
        ("stopped", [OLD_WEB, STOPPED_BEAT], "old", Plan(live="old")),
        ("stopped", [NEW_WEB, member("new", "beat")], "new", Plan(live="new")),
        ("stopped", [], "", Plan()),
        ("live", [OLD_WEB, STOPPED_BEAT, OLDER, NEW_WEB], "old", Plan(stop=(OLD_WEB,), remove=(OLD_WEB, STOPPED_BEAT, OLDER), live="new")),
        ("live", [NEW_WEB], "new", Plan(live="new")),
        ("live", [NEW_WEB], "", Plan(live="new")),
        ("taken_back", [OLD_WEB, STOPPED_BEAT, NEW_WEB, NEW_BEAT], "old", Plan(start=(STOPPED_BEAT,), stop=(NEW_WEB,), remove=(NEW_WEB, NEW_BEAT), live="old")),
        ("taken_back", [OLD_WEB, OLDER], "old", Plan(live="old")),
        ("taken_back", [NEW_WEB], "", Plan(stop=(NEW_WEB,), remove=(NEW_WEB,))),
        ("taken_back", [NEW_WEB, NEW_BEAT], "new", Plan(live="new")),
    ],
    ids=[
        "stopped: the singleton of the old release stops, its web process serves on",
        "stopped: what is stopped already is left alone",
        "stopped: the new release itself is not touched",
        "stopped: a first deploy has nothing to stop",
        "live: all other releases go, the running ones are stopped first",
        "live: nothing to do the second time",
        "live: a first release is marked",
        "taken_back: the new one goes, what was stopped in the live one runs again",
        "taken_back: a release older than the live one is not started",
        "taken_back: a failed first deploy leaves nothing",
        "taken_back: the live release is never removed",
    ],
)
def test_what_happens_to_which_containers(state, there, live, plan):
    assert decide(state, "new", ["beat"], there, live) == plan


@pytest.mark.parametrize("there", [[OLD_WEB], [OLD_WEB, NEW_BEAT]], ids=["nothing of it", "only a stopped container of it"])
def test_a_release_of_which_nothing_runs_does_not_push_out_the_others(there):
    with pytest.raises(EngineError, match="no container of the release new runs"):
        must_serve("live", "new", there)
    must_serve("live", "new", [*there, NEW_WEB])
    must_serve("taken_back", "new", there)


@pytest.fixture
def shop(docker, tmp_path):
    def add(release, process, state="running", **labels):
        names = {
            "stack.longshore.name": "s",
            "stack.longshore.service": "shop",
            "stack.longshore.release": release,
            "stack.longshore.process": process,
            **labels,
        }
        return docker.add(f"s-shop-{release}", process, labels=names, state=state)["Id"]

    docker.live = lambda: os.path.basename(os.readlink(tmp_path / "live")) if (tmp_path / "live").is_symlink() else ""
    docker.release = lambda check=False: Releases(docker.engine, "s", "shop", str(tmp_path), check)
    docker.put = add
    return docker


def go(releases, state, processes=()):
    releases.run(decide(state, "new", processes, releases.observe(), releases.live()))
    return releases.done


def test_a_release_goes_live_once_and_the_link_says_which(shop):
    os.symlink("releases/old", shop.release().path + "/live")
    old, new = shop.put("old", "web"), shop.put("new", "web")
    assert go(shop.release(), "live") == ["live new", "stop s-shop-old-web-1", "rm s-shop-old-web-1"]
    assert (set(shop.containers), shop.live()) == ({new}, "new")
    assert shop.said("stop", old) == [["stop", old]], "without --time, so that the container's own grace counts"
    assert go(shop.release(), "live") == []


def test_killed_after_the_mark_the_next_run_retires_the_old(shop):
    new = shop.put("new", "web")
    shop.put("old", "web")
    shop.refuse = {"stop": "killed"}
    with pytest.raises(EngineError):
        go(shop.release(), "live")
    assert shop.live() == "new"
    shop.refuse = {}
    go(shop.release(), "live")
    assert set(shop.containers) == {new}


def test_other_applications_and_stacks_are_never_touched(shop):
    others = {shop.put("old", "web", **{"stack.longshore.service": "docs"}), shop.put("old", "web", **{"stack.longshore.name": "t"})}
    service = shop.add("s-shop", "web", labels={"stack.longshore.name": "s", "stack.longshore.service": "shop"})["Id"]
    assert go(shop.release(), "live") == ["live new"]
    assert set(shop.containers) == others | {service}


def test_a_singleton_that_was_stopped_runs_again_when_the_new_release_is_taken_back(shop):
    os.symlink("releases/old", shop.release().path + "/live")
    beat, web, new = shop.put("old", "beat"), shop.put("old", "web"), shop.put("new", "web")
    assert go(shop.release(), "stopped", ["beat"]) == ["stop s-shop-old-beat-1"]
    assert shop.containers[beat]["state"] == "exited"
    go(shop.release(), "taken_back", ["beat"])
    assert {name: c["state"] for name, c in shop.containers.items()} == {beat: "running", web: "running"}
    assert (new in shop.containers, shop.live()) == (False, "old")


def test_check_mode_names_it_all_and_does_nothing(shop):
    shop.put("old", "web")
    assert go(shop.release(check=True), "live") == ["live new", "stop s-shop-old-web-1", "rm s-shop-old-web-1"]
    assert len(shop.containers) == 1
    assert shop.live() == ""
    assert {call[0] for call in shop.calls} == {"ps", "container"}
