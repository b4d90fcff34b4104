# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _files
from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError
from ansible_collections.longshore.stack.plugins.module_utils._members import App, ReleaseError
from ansible_collections.longshore.stack.plugins.module_utils._parting import Parting
from ansible_collections.longshore.stack.plugins.module_utils._releases import WAS_LIVE, Releases
from ansible_collections.longshore.stack.plugins.module_utils._switch import Switch, SwitchError, parse_places

WEB = {"web": {"name": "shop-web", "port": 8000, "health": "/health"}}


class Shop:
    """A host with releases of the application shop. `run(release)` are the stages of a run that wants this release."""

    def __init__(self, docker, haproxy, path):
        self.docker, self.haproxy, self.path = docker, haproxy, path
        haproxy.resolve = self.address
        self.state_path = path / "switch-state"
        self.switch = Switch(haproxy, str(self.state_path), docker.clock, docker.sleep)
        self.state_path.write_text(haproxy(["show servers state"]))
        self.singletons, self.backends, self.more = ("beat",), WEB, {}

    def address(self, name):
        found = next((c for c in self.docker.containers.values() if c["Id"] == name and c["state"] == "running"), None)
        return found["networks"].get("s_edge", {}).get("IPAddress") if found else {"switch": "172.20.0.9"}.get(name)

    def put(self, release, *processes, policy="no", state="running", **labels):
        """Containers of a release, one for each process."""
        names = {"stack.longshore.name": "s", "stack.longshore.service": "shop", "stack.longshore.release": release, **labels}
        for process in processes:
            networks = {"s_edge": {"IPAddress": f"172.20.1.{len(self.docker.containers) + 1}"}}
            self.docker.add(
                f"s-shop-{release}",
                process,
                Id=f"{release}-{process}{len([c for c in self.docker.containers if c.startswith(f'{release}-{process}')]) or ''}",
                Name=f"/{release}-{process}",
                labels={**names, "stack.longshore.process": process},
                state=state,
                policy=policy,
                networks=networks,
            )

    def run(self, release, check=False):
        app = App("s", "shop", str(self.path), release, self.singletons, self.backends, "s_edge", **{"secrets_path": str(self.path / "secrets"), **self.more})
        return Releases(self.docker.engine, app, self.switch, check, self.docker.clock, self.docker.sleep)

    def lives(self, release, *processes):
        """The release is live as a run leaves it."""
        self.put(release, *processes)
        run = self.run(release)
        run.turn()
        run.go_live()
        run.retire()
        self.docker.calls.clear()
        self.haproxy.asked.clear()

    def running(self):
        return sorted(c["Name"].lstrip("/") for c in self.docker.containers.values() if c["state"] == "running")

    def there(self):
        return sorted(c["Name"].lstrip("/") for c in self.docker.containers.values())

    def serving(self):
        return self.haproxy.serving("shop-web")

    def after_a_reboot(self):
        """What a reboot now would leave: containers that start by themselves, and whom of them the switch leads to."""
        up = {
            name
            for name, c in self.docker.containers.items()
            if c["policy"] == "always" or (c["policy"] == "unless-stopped" and not c.get("stopped_by_hand", c["state"] == "exited"))
        }
        places = parse_places(self.state_path.read_text())
        return up, {place.name for place in places if place.open} & up


@pytest.fixture
def shop(docker, haproxy, tmp_path, monkeypatch):
    monkeypatch.setattr(_files.os, "fchown", lambda *_owner: None)
    return Shop(docker, haproxy, tmp_path)


# -- what there is ----------------------------------------------------------------------------------------------------


def test_only_containers_of_this_applications_releases_are_looked_at(shop):
    shop.put("new", "web")
    shop.put("new", "web", **{"stack.longshore.service": "docs"})
    shop.put("new", "web", **{"stack.longshore.name": "other"})
    shop.put("new", "migrate", **{"com.docker.compose.oneoff": "True"})
    shop.docker.add("s-shop", "web", labels={"stack.longshore.name": "s", "stack.longshore.service": "shop"})
    assert [member.name for member in shop.run("new").observe()] == ["new-web"]


def test_a_bare_host_has_no_releases_in_check_mode_and_no_engine_otherwise(shop):
    shop.docker.refuse = {"ps": "Cannot connect to the Docker daemon"}
    assert shop.run("new", check=True).observe() == []
    with pytest.raises(EngineError, match="Cannot connect"):
        shop.run("new").observe()


def test_nothing_is_marked_where_nothing_is_live(shop):
    assert (shop.run("new").marked(), shop.run("new").marked("previous")) == ("", "")


# -- settled ----------------------------------------------------------------------------------------------------------


def test_a_release_that_went_live_is_settled(shop):
    shop.lives("new", "web", "web", "beat")
    assert shop.run("new").is_settled(shop.run("new").observe())


def test_a_release_without_containers_on_this_host_is_settled_when_it_is_live_and_alone(shop):
    shop.backends = {}
    shop.lives("new")
    run = shop.run("new")
    assert run.is_settled(run.observe(), empty=True) and not run.is_settled(run.observe())
    shop.put("dead", "beat")
    assert not run.is_settled(run.observe(), empty=True)


def spoil_mark(shop):
    os.unlink(shop.path / "live")


def spoil_stopped(shop):
    shop.docker.containers["new-beat"]["state"] = "exited"


def spoil_ill(shop):
    shop.docker.healthy_after["web"] = 1e9


def spoil_policy(shop):
    shop.docker.containers["new-beat"]["policy"] = "no"


def spoil_leftover(shop):
    shop.put("dead", "web", state="exited")


def spoil_switch(shop):
    shop.haproxy.places["shop-web", "a1"]["admin"] = 8


def spoil_another_serves_too(shop):
    shop.put("dead", "web")
    shop.haproxy.places["shop-web", "b1"].update(admin=64, name="dead-web")


def spoil_gone(shop):
    shop.docker.containers.clear()


SPOILED = [spoil_mark, spoil_stopped, spoil_ill, spoil_policy, spoil_leftover, spoil_switch, spoil_another_serves_too, spoil_gone]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_a_release_is_not_settled_while_anything_is_left_to_do(shop, spoil):
    shop.lives("new", "web", "beat")
    spoil(shop)
    assert not shop.run("new").is_settled(shop.run("new").observe())


def test_a_release_that_is_kept_warm_is_no_leftover(shop):
    shop.more = {"warm": True}
    shop.lives("old", "web", "beat")
    shop.lives("new", "web", "beat")
    assert shop.running() == ["new-beat", "new-web", "old-web"]
    assert shop.run("new").is_settled(shop.run("new").observe())
    shop.lives("newest", "web", "beat")
    assert shop.running() == ["new-web", "newest-beat", "newest-web"], "one is kept warm, not all of them"


def test_without_web_processes_no_switch_is_asked(shop):
    shop.backends = {}
    shop.lives("new", "worker", "beat")
    assert shop.run("new").is_settled(shop.run("new").observe())
    assert (shop.run("new").turn(), shop.run("new").in_flight(), shop.run("new").retire(), shop.haproxy.asked) == (0.0, 0, Parting(), [])


# -- settling what a dead run left ------------------------------------------------------------------------------------


def test_on_a_host_in_order_settling_does_nothing(shop):
    shop.lives("old", "web", "beat")
    run = shop.run("new")
    run.settle()
    assert run.done == []
    assert not any(command.startswith("set") for command in shop.haproxy.asked)


def test_a_run_that_died_after_its_start_leaves_nothing(shop):
    shop.lives("old", "web", "beat")
    shop.put("dead", "web", "worker")
    run = shop.run("new")
    run.settle()
    assert (shop.there(), shop.serving()) == (["old-beat", "old-web"], ["old-web"])
    assert run.done == ["stop dead-web", "stop dead-worker", "rm dead-web", "rm dead-worker"]


def test_a_run_that_died_after_the_switch_goes_only_when_the_live_release_has_the_requests(shop):
    shop.lives("old", "web", "beat")
    shop.put("dead", "web", "beat")
    shop.run("dead").hand_over()
    shop.run("dead").turn()
    run = shop.run("new")
    run.settle()
    assert run.done == ["switch old", "stop dead-web", "stop dead-beat", "rm dead-web", "rm dead-beat", "start old-beat"], "and never two schedulers"
    assert (shop.running(), shop.serving()) == (["old-beat", "old-web"], ["old-web"])
    assert shop.docker.only("beat")["policy"] == "unless-stopped"


def test_requests_in_flight_of_a_dead_run_have_the_time_of_the_drain_and_then_the_grace_of_its_containers(shop):
    shop.lives("old", "web")
    shop.put("dead", "web")
    shop.run("dead").turn()
    shop.haproxy.busy = {"dead-web": 2}
    told = []
    shop.docker.told = lambda _container, _signal: told.append(shop.docker.now - before)
    before = shop.docker.now
    shop.run("new").settle()
    assert 30 <= told[0] < 31
    assert 40 <= shop.docker.now - before < 41
    assert shop.there() == ["old-web"]


def test_a_run_that_is_begun_again_after_its_switch_goes_on_with_it(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    shop.run("new").hand_over()
    shop.run("new").turn()
    run = shop.run("new")
    run.settle()
    assert run.done == []
    assert (shop.serving(), shop.running()) == (["new-web"], ["new-beat", "new-web", "old-web"])


def test_a_run_that_is_begun_again_does_not_spare_what_is_ill(shop):
    shop.lives("old", "web")
    shop.put("new", "web")
    shop.run("new").turn()
    shop.haproxy.ill = {"new-web"}
    shop.run("new").settle()
    assert (shop.serving(), shop.running()) == (["old-web"], ["new-web", "old-web"])


def test_a_live_release_that_was_stopped_is_started_and_waited_for(shop):
    shop.lives("old", "web", "beat")
    for container in shop.docker.containers.values():
        container["state"] = "exited"
    shop.docker.healthy_after["web"] = 5
    run = shop.run("new")
    before = shop.docker.now
    run.settle()
    assert run.done == ["start old-web", "start old-beat"]
    assert (shop.serving(), shop.docker.now - before) == (["old-web"], 5.0)


def test_where_the_live_release_runs_no_more_what_serves_for_it_stays(shop):
    shop.lives("old", "web")
    shop.put("dead", "web")
    shop.run("dead").turn()
    del shop.docker.containers["old-web"]
    shop.put("old", "web", state="exited")
    shop.docker.refuse = {"start": "no such mount"}
    run = shop.run("new")
    run.settle()
    assert (run.done, shop.serving()) == ([], ["dead-web"])


def test_a_live_release_that_is_ill_does_not_stand_in_the_way_of_the_one_that_mends_it(shop):
    shop.lives("old", "web", "beat")
    shop.haproxy.ill = {"old-web"}
    run = shop.run("new")
    run.settle()
    shop.put("new", "web")
    run.turn()
    assert (shop.serving(), run.done) == (["new-web"], ["switch new"])


def test_a_live_release_that_cannot_be_reached_does_not_get_the_requests_of_a_dead_run(shop):
    shop.lives("old", "web")
    shop.put("dead", "web")
    shop.run("dead").turn()
    shop.haproxy.ill = {"old-web"}
    run = shop.run("new")
    run.settle()
    assert (run.done, shop.serving(), shop.there()) == ([], ["dead-web"], ["dead-web", "old-web"])
    shop.put("new", "web")
    run.turn()
    run.go_live()
    run.retire()
    assert (shop.serving(), shop.there()) == (["new-web"], ["new-web"])


def test_a_first_deploy_that_died_is_not_cut_off_before_the_next_serves(shop):
    shop.put("dead", "web")
    shop.run("dead").turn()
    shop.run("new").settle()
    assert shop.serving() == ["dead-web"]


def test_workers_of_a_dead_run_go_where_there_is_no_switch(shop):
    shop.backends = {}
    shop.put("dead", "worker", "beat")
    shop.run("new").settle()
    assert shop.there() == []


def test_two_dead_schedulers_are_none_too_many(shop):
    """A singleton of another release that could not be removed keeps that of the live one from starting."""
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    shop.run("new").hand_over()
    shop.run("new").settle()
    assert [name for name in shop.running() if name.endswith("beat")] == ["new-beat"]


# -- singletons -------------------------------------------------------------------------------------------------------


def test_singletons_of_other_releases_stop_and_would_come_back_after_a_reboot(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web")
    run = shop.run("new")
    run.hand_over()
    assert run.done == ["stop old-beat"]
    old = shop.docker.containers["old-beat"]
    assert (old["state"], old["policy"]) == ("exited", "always")
    words = [call[0] for call in shop.docker.calls if call[0] in ("update", "stop")]
    assert words == ["update", "stop"], "killed between the two, a reboot still starts it"
    assert shop.docker.said("stop") == [["stop", "old-beat"]], "without --time, so that the container's own grace counts"
    shop.run("new").hand_over()
    assert len(shop.docker.said("stop")) == 1


def test_a_singleton_of_a_dead_run_does_not_come_back_after_a_reboot(shop):
    shop.lives("old", "web", "beat")
    shop.put("dead", "web", "beat")
    shop.run("dead").hand_over()
    shop.run("new").hand_over()
    assert {name: c["policy"] for name, c in shop.docker.containers.items() if name.endswith("beat")} == {"old-beat": "always", "dead-beat": "no"}


# -- the switch and the look after it ---------------------------------------------------------------------------------


def test_a_release_takes_the_requests_in_one_turn(shop):
    shop.lives("old", "web")
    shop.put("new", "web", "web")
    run = shop.run("new")
    assert run.turn() >= 0
    assert (run.done, shop.serving()) == (["switch new"], ["new-web", "new-web1"])


def test_a_canary_leaves_the_others_serving_and_only_its_own_requests_are_judged(shop):
    shop.lives("old", "web", "web")
    shop.put("new", "web", "web")
    run = shop.run("new")
    run.turn(replicas=1)
    assert (run.done, shop.serving()) == (["switch 1 of new"], ["new-web", "old-web", "old-web1"])
    seen = run.watch({}, 5)
    shop.haproxy.counted = {"old-web": {"stot": 100, "hrsp_5xx": 100}, "new-web": {"stot": 100, "hrsp_5xx": 1}}
    run.watch(seen, 5)
    shop.haproxy.counted["new-web"]["hrsp_5xx"] = 90
    with pytest.raises(ReleaseError, match="90 of 100 requests failed"):
        run.watch(seen, 5)
    run.fall_back()
    assert shop.serving() == ["old-web", "old-web1"]
    run.turn()
    assert shop.serving() == ["new-web", "new-web1"]


def test_what_must_not_run_twice_has_no_canary(shop):
    shop.singletons, shop.backends = ("beat", "admin"), {**WEB, "admin": {"name": "shop-admin", "port": 8000, "health": "/"}}
    shop.haproxy.places |= {("shop-admin", slot): {"admin": 5, "name": "switch", "port": 8000} for slot in ("a1", "b1")}
    shop.lives("old", "web", "admin")
    shop.put("new", "web", "admin")
    run = shop.run("new")
    run.hand_over()
    run.turn(replicas=1)
    assert (shop.serving(), shop.haproxy.serving("shop-admin")) == (["new-web", "old-web"], ["new-admin"])


def test_a_run_that_died_during_its_canary_leaves_the_old_release_alone_after_the_next(shop):
    shop.lives("old", "web", "web", "beat")
    shop.put("new", "web", "web")
    shop.run("new").turn(replicas=1)
    assert shop.after_a_reboot()[1] == {"old-web", "old-web1"}, "a restart of the switch knows no canary"
    shop.run("next").settle()
    assert (shop.serving(), shop.running()) == (["old-web", "old-web1"], ["old-beat", "old-web", "old-web"])


@pytest.mark.parametrize("state", ["exited", "created", "restarting"])
def test_a_release_of_which_nothing_runs_does_not_take_the_requests(shop, state):
    shop.lives("old", "web")
    shop.put("new", "web", state=state)
    with pytest.raises(ReleaseError, match="no container of the release new runs for shop-web, so the switch is left alone"):
        shop.run("new").turn()
    assert shop.serving() == ["old-web"]


def test_a_container_that_dies_under_observation_is_an_error_with_its_last_words(shop):
    shop.put("new", "web", "beat")
    run = shop.run("new")
    run.turn()
    seen = run.watch({}, 5)
    shop.docker.containers["new-beat"]["state"] = "exited"
    with pytest.raises(ReleaseError, match=r"after the switch new-beat is exited \(exit status 1\)\n--- last lines of new-beat:\nfirst line\nlast words"):
        run.watch(seen, 5)


def test_an_ill_release_loses_its_requests_at_once(shop):
    shop.lives("old", "web")
    shop.put("new", "web")
    shop.run("new").turn()
    shop.run("new").fall_back()
    assert (shop.serving(), shop.there()) == (["old-web"], ["new-web", "old-web"])


def test_a_container_that_falls_ill_under_observation_is_an_error(shop):
    shop.put("new", "web")
    shop.docker.healthy_after["web"] = 1e9
    with pytest.raises(ReleaseError, match="after the switch new-web is starting"):
        shop.run("new").watch({}, 5)


@pytest.mark.parametrize(
    ("asked", "failed", "passes"),
    [(100, 5, True), (100, 6, False), (19, 19, True), (20, 2, False), (0, 0, True)],
    ids=["as many as allowed", "one more", "too few to tell", "enough to tell", "nobody came"],
)
def test_requests_that_fail_after_the_switch_are_counted_against_what_is_allowed(shop, asked, failed, passes):
    shop.put("new", "web")
    run = shop.run("new")
    run.turn()
    shop.haproxy.counted = {"new-web": {"stot": 1000, "hrsp_5xx": 900}}
    seen = run.watch({}, 5)
    shop.haproxy.counted = {"new-web": {"stot": 1000 + asked, "hrsp_5xx": 900 + failed}}
    if passes:
        assert run.watch(seen, 5) == seen, "measured from the switch on, however often one looks"
    else:
        with pytest.raises(ReleaseError, match=f"after the switch {failed} of {asked} requests failed; allowed are 5 %"):
            run.watch(seen, 5)


# -- going live -------------------------------------------------------------------------------------------------------


class Journal:
    """Writes down what a stage did and, after each step, what a reboot would leave."""

    def __init__(self, shop, monkeypatch):
        self.shop, self.steps = shop, []
        for owner, name in ((Releases, "_policy"), (Releases, "_mark"), (Switch, "keep")):
            monkeypatch.setattr(owner, name, self.noted(name, getattr(owner, name)))

    def noted(self, name, real):
        def step(this, *arguments):
            real(this, *arguments)
            if arguments[0]:
                shown = [member.name for member in arguments[0]] if name == "_policy" else []
                self.steps.append(
                    (
                        " ".join([name.strip("_"), *shown, *(arguments[1:] if name == "_policy" else arguments[:1] if name == "_mark" else [])]),
                        self.shop.after_a_reboot(),
                    )
                )

        return step


def test_going_live_leaves_at_every_step_what_serves_after_a_reboot_and_no_two_schedulers(shop, monkeypatch):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    run = shop.run("new")
    run.hand_over()
    assert shop.after_a_reboot() == ({"old-web", "old-beat"}, {"old-web"}), "until then all of the old release, and nothing of the new"
    run.turn()
    assert shop.after_a_reboot() == ({"old-web", "old-beat"}, {"old-web"})
    journal = Journal(shop, monkeypatch)
    run.go_live()
    assert [step for step, _left in journal.steps] == [
        "policy old-beat no",
        "policy new-web new-beat unless-stopped",
        "mark previous",
        "mark live",
        "keep",
        "policy old-web no",
    ]
    for step, (up, served) in journal.steps:
        assert served, f"after {step!r} nobody would serve"
        assert len({name for name in up if name.endswith("beat")}) <= 1, f"after {step!r} two schedulers would run"
    assert shop.after_a_reboot() == ({"new-web", "new-beat"}, {"new-web"})
    assert (run.marked(), run.marked("previous")) == ("new", "old")


def test_going_live_a_second_time_changes_nothing_and_forgets_no_release(shop):
    shop.lives("old", "web")
    shop.lives("new", "web")
    run = shop.run("new")
    run.go_live()
    assert (run.done, run.marked(), run.marked("previous")) == ([], "new", "old")
    assert not shop.docker.said("update")


def test_killed_in_the_middle_of_going_live_the_next_run_finishes(shop, monkeypatch):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    run = shop.run("new")
    run.hand_over()
    run.turn()

    def killed(backends):
        raise SwitchError("killed")

    monkeypatch.setattr(shop.switch, "keep", killed)
    with pytest.raises(SwitchError):
        run.go_live()
    monkeypatch.undo()
    monkeypatch.setattr(_files.os, "fchown", lambda *_owner: None)
    again = shop.run("new")
    again.settle()
    again.hand_over()
    again.turn()
    again.go_live()
    again.retire()
    assert (shop.running(), shop.serving(), again.marked("previous")) == (["new-beat", "new-web"], ["new-web"], "old")
    assert again.is_settled(again.observe())


# -- retiring ---------------------------------------------------------------------------------------------------------


def retiring(shop, **stop):
    """A release that has taken over, while visitors have two requests open with the old one; the definition of that one's containers."""
    shop.lives("old", "web", "beat")
    shop.put("older", "web", state="exited")
    shop.put("new", "web")
    run = shop.run("new")
    run.turn()
    run.go_live()
    shop.haproxy.busy = {"old-web": 2, "new-web": 9}
    for container in shop.docker.containers.values():
        container["stop"] = stop
    assert run.in_flight() == 2
    return run


def cut_off(shop):
    return [command for command in shop.haproxy.asked if command.startswith("shutdown")]


def test_all_other_releases_stop_and_go(shop):
    run = retiring(shop)
    shop.haproxy.busy = {"new-web": 9}
    assert run.retire() == Parting()
    assert (shop.there(), shop.haproxy.busy, cut_off(shop)) == (["new-web"], {"new-web": 9}, [])
    assert not shop.docker.said("kill"), "with nothing in flight the engine stops them"


def test_an_application_ends_what_is_still_open_at_the_end_of_the_drain(shop):
    run = retiring(shop, StopSignal="SIGQUIT")
    seen = []

    def told(container, signal):
        seen.append((container["Name"], signal))
        if container["Name"] == "/old-web":
            shop.haproxy.busy.pop("old-web")

    shop.docker.told = told
    assert run.retire() == Parting(ended=2, cut=0)
    assert seen == [("/old-web", "SIGQUIT"), ("/old-beat", "SIGQUIT")], "each is told as its image says, the others at the same time"
    assert (shop.there(), shop.haproxy.busy, cut_off(shop)) == (["new-web"], {"new-web": 9}, [])
    assert run.done[-5:] == ["stop old-web", "stop old-beat", "rm old-web", "rm old-beat", "rm older-web"]


def test_what_an_application_does_not_end_within_its_grace_is_cut_off_and_counted(shop):
    run = retiring(shop, StopTimeout=25)
    shop.docker.stubborn = {"web"}
    before = shop.docker.now
    assert run.retire() == Parting(ended=0, cut=2)
    assert 25 <= shop.docker.now - before < 26
    assert len(cut_off(shop)) == 1
    assert (shop.there(), shop.haproxy.busy) == (["new-web"], {"new-web": 9})


def test_what_breaks_off_when_an_application_stops_counts_as_cut_off(shop):
    run = retiring(shop)
    shop.haproxy.counted = {"old-web": {"eresp": 4}}

    def told(_container, _signal):
        shop.haproxy.busy.pop("old-web", None)
        shop.haproxy.counted = {"old-web": {"eresp": 5}}

    shop.docker.told = told
    assert run.retire() == Parting(ended=1, cut=1)


def test_a_worker_has_its_own_grace_while_nothing_is_open_any_more(shop):
    run = retiring(shop, StopTimeout=60)
    shop.docker.stubborn, before = {"beat"}, shop.docker.now
    shop.docker.told = lambda _container, _signal: shop.haproxy.busy.pop("old-web", None)
    assert run.retire() == Parting(ended=2)
    assert 60 <= shop.docker.now - before < 61


def test_what_is_open_with_a_release_that_is_kept_warm_is_cut_off(shop):
    shop.more = {"warm": True}
    run = retiring(shop)
    assert run.retire() == Parting(ended=0, cut=2)
    assert shop.running() == ["new-web", "old-web"]


# -- taking back ------------------------------------------------------------------------------------------------------


def test_a_release_that_is_taken_back_ends_what_it_has_open_by_itself(shop):
    shop.lives("old", "web")
    shop.put("new", "web")
    shop.run("new").turn()
    shop.haproxy.busy = {"new-web": 1}
    shop.docker.told = lambda _container, _signal: shop.haproxy.busy.pop("new-web", None)
    shop.run("new").take_back()
    assert (shop.there(), shop.serving(), cut_off(shop)) == (["old-web"], ["old-web"], [])


@pytest.mark.parametrize("stage", ["started", "handed over", "switched"])
def test_after_any_stage_the_old_release_is_whole_again(shop, stage):
    shop.lives("old", "web", "worker", "beat")
    shop.put("new", "web", "worker")
    run = shop.run("new")
    if stage != "started":
        run.hand_over()
        shop.put("new", "beat")
    if stage == "switched":
        run.turn()
    run = shop.run("new")
    run.take_back()
    assert (shop.there(), shop.running(), shop.serving()) == (["old-beat", "old-web", "old-worker"],) * 2 + (["old-web"],)
    if stage == "switched":
        assert run.done[0] == "switch old", "the requests go first, then the release"
    assert {c["policy"] for c in shop.docker.containers.values()} == {"unless-stopped"}
    assert shop.run("old").is_settled(shop.run("old").observe())


def test_a_scheduler_starts_again_only_when_the_other_is_gone(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    shop.run("new").hand_over()
    run = shop.run("new")
    run.take_back()
    assert run.done.index("rm new-beat") < run.done.index("start old-beat")


def test_what_must_not_run_twice_does_not_start_here_while_it_may_run_where_the_release_has_its_place_for_it(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web")
    shop.run("new").hand_over()
    shop.more = {"elsewhere": frozenset({"beat"})}
    shop.run("new").settle()
    assert "old-beat" not in shop.running()
    shop.run("new").take_back()
    assert (shop.there(), shop.running()) == (["old-beat", "old-web"], ["old-web"])
    shop.more = {}
    shop.run("new").take_back()
    assert shop.running() == ["old-beat", "old-web"]


def test_what_has_its_place_elsewhere_stays_down_and_what_must_not_overlap_here_starts(shop):
    shop.singletons = ("beat", "importer")
    shop.lives("old", "web", "beat", "importer")
    shop.put("new", "web")
    shop.run("new").hand_over()
    shop.more = {"elsewhere": frozenset({"beat"})}
    shop.run("new").settle()
    assert [name for name in shop.running() if name.startswith("old")] == ["old-importer", "old-web"]
    shop.run("new").hand_over()
    shop.run("new").take_back()
    assert shop.running() == ["old-importer", "old-web"]


def test_what_a_dead_run_left_running_goes_with_a_release_that_failed_before_it_started(shop):
    shop.lives("old", "web", "beat")
    shop.put("dead", "web", "worker")
    shop.run("dead").turn()
    (shop.path / "releases/dead").mkdir(parents=True)
    run = shop.run("new")
    run.take_back()
    run.drop_unborn()
    assert (shop.there(), shop.serving()) == (["old-beat", "old-web"], ["old-web"])
    assert not (shop.path / "releases/dead").exists()


def test_requests_go_back_to_the_port_of_the_release_that_takes_them(shop):
    shop.lives("old", "web")
    record = {"backends": {"web": {"name": "shop-web", "port": 8000}}}
    (shop.path / "releases/old").mkdir(parents=True, exist_ok=True)
    (shop.path / "releases/old/release.json").write_text(json.dumps(record))
    shop.backends = {"web": {"name": "shop-web", "port": 9000}}
    shop.put("new", "web")
    shop.run("new").turn()
    there = shop.run("new").observe()
    assert {release: shop.run("new").upstreams(there, release)["shop-web"][0].port for release in ("old", "new")} == {"old": 8000, "new": 9000}
    shop.run("new").fall_back()
    assert shop.serving() == ["old-web"]
    assert {place["port"] for place in shop.haproxy.places.values() if place["name"] == "old-web"} == {8000}


def test_a_release_that_answers_nobody_is_ill_long_before_its_engine_says_so(shop):
    shop.lives("old", "web")
    shop.put("new", "web")
    run = shop.run("new")
    run.turn()
    shop.haproxy.ill.add("new-web")
    for look in (lambda: run.watch({}, 5), run.confirm):
        before = shop.docker.now
        with pytest.raises(ReleaseError, match="after the switch new-web does not answer any more"):
            look()
        assert 3 <= shop.docker.now - before < 4, "a switch that was started again has the time to find it"
    shop.haproxy.ill.clear()
    run.watch({}, 5)
    run.confirm()


def test_a_failed_first_deploy_leaves_nothing(shop):
    shop.put("new", "web", "beat")
    shop.run("new").turn()
    shop.run("new").take_back()
    assert (shop.there(), shop.run("new").marked()) == ([], "")


def test_the_live_release_is_never_taken_back(shop):
    shop.lives("new", "web", "beat")
    shop.run("new").take_back()
    assert (shop.running(), shop.serving()) == (["new-beat", "new-web"], ["new-web"])


def test_a_release_older_than_the_live_one_is_not_started(shop):
    shop.lives("old", "web")
    shop.put("older", "web", state="exited")
    shop.put("new", "web")
    shop.run("new").take_back()
    assert shop.running() == ["old-web"]


def test_a_web_process_that_must_not_overlap_gets_its_requests_back_as_well(shop):
    shop.singletons = ("web",)
    shop.lives("old", "web")
    run = shop.run("new")
    run.hand_over()
    shop.put("new", "web")
    run.turn()
    shop.run("new").take_back()
    assert (shop.running(), shop.serving()) == (["old-web"], ["old-web"])


def test_a_web_process_that_only_the_new_release_has_does_not_keep_the_others_from_going_back(shop, haproxy):
    haproxy.places |= {("shop-api", slot): {"admin": 5, "name": "switch", "port": 80} for slot in ("a1", "b1")}
    shop.lives("old", "web")
    shop.backends = {**WEB, "api": {"name": "shop-api", "port": 80, "health": ""}}
    shop.put("new", "web", "api")
    shop.run("new").turn()
    shop.run("new").take_back()
    assert (shop.there(), shop.serving(), haproxy.serving("shop-api")) == (["old-web"], ["old-web"], [])


def test_a_web_process_that_the_switch_does_not_know_is_refused_before_anything_starts_and_can_be_taken_back(shop):
    shop.lives("old", "web")
    shop.backends = {**WEB, "api": {"name": "shop-api", "port": 80, "health": ""}}
    with pytest.raises(SwitchError, match="the switch does not know shop-api"):
        shop.run("new").expected()
    shop.put("new", "web", "api")
    shop.run("new").take_back()
    assert (shop.there(), shop.serving()) == (["old-web"], ["old-web"])


def test_where_the_old_release_cannot_serve_any_more_the_new_one_is_left_serving(shop):
    shop.lives("old", "web")
    shop.put("new", "web")
    shop.run("new").turn()
    shop.put("old", "web")
    for name in ("old-web", "old-web1"):
        shop.docker.containers[name]["state"] = "dead"
    shop.docker.engine.run(["rm", "old-web1"])
    real = shop.docker._answer
    shop.docker._answer = lambda words, timeout: (0, "", "") if words[0] == "start" else real(words, timeout)
    with pytest.raises(ReleaseError, match="old does not run any more, so new is left serving; the next run settles it"):
        shop.run("new").take_back()
    assert shop.serving() == ["new-web"]


def test_where_the_old_release_is_not_reached_any_more_the_new_one_is_left_serving(shop):
    shop.lives("old", "web")
    shop.put("new", "web")
    shop.run("new").turn()
    shop.haproxy.ill = {"old-web"}
    with pytest.raises(SwitchError, match="does not reach old-web"):
        shop.run("new").take_back()
    assert shop.serving() == ["new-web"]


def test_an_ill_live_release_does_not_keep_a_failed_one_from_being_removed(shop):
    shop.lives("old", "web")
    shop.haproxy.ill = {"old-web"}
    shop.put("new", "web")
    shop.run("new").take_back()
    assert shop.there() == ["old-web"]


def test_where_the_switch_does_not_answer_there_is_one_scheduler_all_the_same(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    run = shop.run("new")
    run.hand_over()

    def dead(_commands):
        raise SwitchError("the switch does not answer")

    run.switch.ask = dead
    with pytest.raises(SwitchError, match="does not answer"):
        run.take_back()
    assert "old-beat" in shop.running() and "new-beat" not in shop.running()
    assert shop.docker.containers["old-beat"]["policy"] == "unless-stopped"


# -- live elsewhere, and not here --------------------------------------------------------------------------------------


def half_way(shop, *processes, turned=True):
    """A release that has come as far as this on a host, while another host has it live; what it stands by with."""
    shop.lives("old", "web", "worker", "beat")
    shop.put("new", *processes)
    run = shop.run("new")
    run.hand_over()
    if turned:
        run.turn()
    return run


def test_where_the_new_scheduler_never_came_the_old_one_runs_again(shop):
    run = half_way(shop, "web", "worker", turned=False)
    run.stand_by()
    assert shop.running() == ["new-web", "new-worker", "old-beat", "old-web", "old-worker"]
    assert (shop.serving(), shop.docker.containers["old-beat"]["policy"]) == (["old-web"], "unless-stopped")


@pytest.mark.parametrize("state", ["exited", "restarting"])
def test_a_new_scheduler_that_is_ill_makes_room_for_the_old_one(shop, state):
    run = half_way(shop, "web", "beat", turned=False)
    shop.docker.containers["new-beat"]["state"] = state
    run.stand_by()
    assert [name for name in shop.running() if name.endswith("beat")] == ["old-beat"]
    assert shop.docker.containers["new-beat"]["state"] == "exited"


def test_what_is_well_of_the_new_release_goes_on_serving(shop):
    run = half_way(shop, "web", "beat")
    run.stand_by()
    assert (shop.serving(), "old-beat" in shop.running(), "new-beat" in shop.running()) == (["new-web"], False, True)


@pytest.mark.parametrize("ill", ["for the switch", "for the engine", "gone"])
def test_a_release_that_is_ill_when_it_should_go_live_loses_its_requests(shop, ill):
    run = half_way(shop, "web", "beat")
    if ill == "for the switch":
        shop.haproxy.ill = {"new-web"}
    elif ill == "for the engine":
        shop.docker.healthy_after["web"] = 10
        shop.docker.containers["old-web"]["started"] -= 100
    else:
        shop.docker.containers["new-web"]["state"] = "exited"
    run.stand_by()
    assert (shop.serving(), run.marked()) == (["old-web"], "old")
    assert [name for name in shop.running() if name.endswith("beat")] == ["new-beat"], "one scheduler"


def test_a_scheduler_does_not_start_where_its_place_is_no_more(shop):
    half_way(shop, "web")
    shop.more = {"elsewhere": frozenset({"beat"})}
    shop.run("new").stand_by()
    assert not [name for name in shop.running() if name.endswith("beat")]


def test_where_the_release_is_live_or_nothing_is_there_is_nothing_to_do(shop):
    shop.put("new", "web", "beat", state="exited")
    shop.run("new").stand_by()
    assert shop.running() == []
    shop.lives("live", "web", "beat")
    run = shop.run("live")
    run.stand_by()
    assert run.done == []


def test_the_next_run_goes_on_after_it_stood_by(shop):
    run = half_way(shop, "web", turned=False)
    run.stand_by()
    again = shop.run("new")
    again.settle()
    again.hand_over()
    shop.put("new", "beat")
    again.turn()
    again.go_live()
    again.retire()
    assert (shop.running(), shop.serving()) == (["new-beat", "new-web"], ["new-web"])


# -- between the switch and the end -----------------------------------------------------------------------------------


def restart_of_the_switch(shop):
    """It comes back with what the file of states says."""
    for place in parse_places(shop.state_path.read_text()):
        shop.haproxy.places[place.backend, place.slot].update(admin=place.admin, name=place.name)


def switched_over(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    run = shop.run("new")
    run.settle()
    run.hand_over()
    run.turn()
    assert shop.serving() == ["new-web"]
    return run


@pytest.mark.parametrize("look", [lambda run: run.watch({}, 5), lambda run: run.confirm()], ids=["watched", "at the commit"])
def test_an_old_scheduler_that_an_engine_brings_back_beside_the_new_one_is_stopped_again(shop, look):
    shop.lives("old", "web", "beat")
    shop.put("new", "web", "beat")
    run = shop.run("new")
    run.hand_over()
    run.turn()
    shop.docker.containers["old-beat"]["state"] = "running"
    look(run)
    assert "old-beat" not in shop.running() and {"old-web", "new-web", "new-beat"} <= set(shop.running())


def test_an_old_scheduler_runs_on_where_the_new_one_does_not(shop):
    shop.lives("old", "web", "beat")
    shop.put("new", "web")
    run = shop.run("new")
    run.turn()
    run.watch({}, 5)
    assert "old-beat" in shop.running()


def test_a_switch_that_forgot_the_release_while_it_was_watched_is_noticed(shop):
    run = switched_over(shop)
    restart_of_the_switch(shop)
    assert shop.serving() == ["old-web"]
    with pytest.raises(ReleaseError, match="the switch leads requests for shop-web elsewhere"):
        run.watch({}, 5)


def test_a_switch_that_forgot_the_release_before_it_went_live_is_told_again(shop):
    run = switched_over(shop)
    run.watch({}, 5)
    restart_of_the_switch(shop)
    run.go_live()
    assert (run.marked(), shop.serving()) == ("new", ["new-web"])
    run.retire()
    assert (shop.running(), shop.serving(), shop.after_a_reboot()[1]) == (["new-beat", "new-web"], ["new-web"], {"new-web"})


def test_a_release_that_died_after_it_was_watched_does_not_go_live(shop):
    run = switched_over(shop)
    run.watch({}, 5)
    shop.docker.containers["new-web"]["state"] = "exited"
    with pytest.raises(ReleaseError, match="after the switch new-web is exited"):
        run.go_live()
    run.take_back()
    assert (run.marked(), shop.running(), shop.serving()) == ("old", ["old-beat", "old-web"], ["old-web"])


def test_counters_that_begin_anew_are_no_failures(shop):
    run = switched_over(shop)
    shop.haproxy.counted = {"new-web": {"stot": 500, "hrsp_5xx": 1}}
    seen = run.watch({}, 5)
    shop.haproxy.counted = {"new-web": {"stot": 30, "hrsp_5xx": 0}}
    assert run.watch(seen, 5) == {"total": 30, "failed": 0}


# -- pruning ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(shop):
    """Makes directories of releases that were live, the first the longest ago, each with secrets and an image."""

    def put(*names, was_live=True):
        for age, name in enumerate(names):
            folder = shop.path / "releases" / name
            folder.mkdir(parents=True)
            (folder / "release.json").write_text(json.dumps({"image": {"name": f"longshore/s-shop:{name}"}}))
            (shop.path / "secrets" / name).mkdir(parents=True)
            shop.docker.images[f"longshore/s-shop:{name}"] = f"sha256:{name}"
            if was_live:
                (folder / WAS_LIVE).touch()
                os.utime(folder / WAS_LIVE, (1000 + age, 1000 + age))

    return put


def kept(shop):
    """The releases of which directory, secrets and image are there; all three or none."""
    folders, secrets = (sorted(os.listdir(shop.path / name)) for name in ("releases", "secrets"))
    images = sorted(name.rpartition(":")[2] for name in shop.docker.images)
    assert folders == secrets == images
    return folders


def test_the_newest_are_kept_and_the_others_go_whole(shop, shelf):
    shelf("r1", "r2", "r3", "r4", "r5")
    shop.more = {"keep": 3}
    shop.lives("r5", "web")
    run = shop.run("r5")
    assert run.prune() == ["r2", "r1"]
    assert run.done == ["prune r2", "prune r1"]
    assert kept(shop) == ["r3", "r4", "r5"]
    assert run.prune() == []


def test_releases_that_never_were_live_push_out_none_that_was(shop, shelf):
    shelf("r1", "r2", "r3")
    shelf("bad1", "bad2", "new", was_live=False)
    shop.more = {"keep": 3}
    shop.lives("r3", "web")
    shop.lives("new", "web")
    assert sorted(shop.run("new").prune()) == ["bad1", "bad2", "r1"]
    assert kept(shop) == ["new", "r2", "r3"]


def test_of_a_release_whose_run_died_before_it_had_a_directory_nothing_stays(shop, shelf):
    shelf("r1")
    shop.lives("r1", "web")
    (shop.path / "secrets/dead").mkdir()
    assert shop.run("r1").prune() == ["dead"]
    assert kept(shop) == ["r1"]


def test_of_releases_that_failed_one_after_the_other_only_the_last_is_left_to_look_at(shop, shelf):
    shelf("r1")
    shop.lives("r1", "web")
    for name in ("bad1", "bad2", "bad3"):
        shelf(name, was_live=False)
        shop.put(name, "web")
        run = shop.run(name)
        run.take_back()
        run.drop_unborn()
        assert kept(shop) == sorted(["r1", name])
    assert (shop.serving(), shop.running()) == (["r1-web"], ["r1-web"])


def test_the_last_to_go_live_is_the_newest_however_old_its_directory(shop, shelf):
    shelf("r1", "r2", "r3")
    shop.more = {"keep": 2}
    shop.lives("r1", "web")
    assert shop.run("r1").prune() == ["r2"]
    assert kept(shop) == ["r1", "r3"]


def test_what_is_live_was_live_before_or_still_runs_is_never_pruned_however_old(shop, shelf):
    shelf("previous", "running", "live", "r4", "r5")
    shop.more = {"keep": 1}
    shop.lives("previous", "web")
    shop.lives("live", "web")
    shop.put("running", "worker")
    shop.run("live").prune()
    assert kept(shop) == ["live", "previous", "running"]


def test_a_release_without_a_record_or_image_goes_as_well(shop, shelf):
    shelf("r1", "r2", "r3")
    (shop.path / "releases" / "r1" / "release.json").unlink()
    (shop.path / "releases" / "r2" / "release.json").write_text("{")
    shop.more = {"keep": 1}
    assert sorted(shop.run("r3").prune()) == ["r1", "r2"]
    assert sorted(os.listdir(shop.path / "releases")) == ["r3"]


def test_a_host_without_releases_has_nothing_to_prune(shop):
    assert shop.run("new").prune() == []


def test_thirty_deploys_leave_as_many_releases_as_are_to_be_kept(shop, shelf):
    for number in range(30):
        name = f"r{number:02}"
        shelf(name, was_live=False)
        run = shop.run(name)
        run.settle()
        shop.put(name, "web", "beat")
        run.hand_over()
        run.turn()
        run.go_live()
        run.retire()
        run.prune()
        assert (shop.serving(), shop.running()) == ([f"{name}-web"], [f"{name}-beat", f"{name}-web"])
    assert kept(shop) == ["r25", "r26", "r27", "r28", "r29"]


def test_with_a_release_goes_the_image_that_was_fetched_for_it(shop, shelf, me):
    shelf("r1", "r2", "r3")
    shop.more = {"keep": 2, "root": str(shop.path)}
    records = {}
    for name in ("r1", "r2", "r3"):
        image = {"name": f"longshore/s-shop:{name}", "ref": f"shop:{name}", "id": f"sha256:{name}"}
        (shop.path / "releases" / name / "release.json").write_text(json.dumps({"image": image}))
        shop.docker.images[image["ref"]] = image["id"]
        records[image["ref"]] = {**image, "name": image["ref"], "source": "registry", "digest": "", "brought": True}
    (shop.path / "images.json").write_text(json.dumps(records))
    shop.lives("r2", "web")
    shop.lives("r3", "web")
    run = shop.run("r3", check=True)
    run.prune()
    assert "shop:r1" in shop.docker.images
    run = shop.run("r3")
    assert run.prune() == ["r1"]
    assert run.done == ["prune image shop:r1", "prune r1"]
    assert sorted(shop.docker.images) == ["longshore/s-shop:r2", "longshore/s-shop:r3", "shop:r2", "shop:r3"]
