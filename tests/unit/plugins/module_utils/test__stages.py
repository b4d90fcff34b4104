# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _files, _history, _lease, _stages
from ansible_collections.longshore.stack.plugins.module_utils._compose_project import ProjectError
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError
from ansible_collections.longshore.stack.plugins.module_utils._members import ReleaseError
from ansible_collections.longshore.stack.plugins.module_utils._release import recalled, release_of
from ansible_collections.longshore.stack.plugins.module_utils._stages import FORETOLD, STAGES, Call
from ansible_collections.longshore.stack.plugins.module_utils._switch import Switch
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

GUARDED = sorted(state for state, (_stage, guarded) in STAGES.items() if guarded)
SECRETS = {"app_shop_KEY": "canary-of-the-key", "postgres_shop": "canary-of-the-database"}
APP = {
    "name": "shop",
    "version": "1",
    "needs": ["postgres"],
    "secrets": {"KEY": ""},
    "env": {"MOOD": "value-of-mood", "LEVEL": "info"},
    "processes": [{"name": "web", "port": 8000, "health": {"path": "/health"}}, {"name": "beat", "singleton": True}],
}
LONG = 1000


class Site:
    """A host on which releases of the application shop are made, stage by stage, as the role does it."""

    def __init__(self, docker, haproxy, root):
        self.docker, self.haproxy, self.root = docker, haproxy, root
        self.path = root / "opt/apps/shop"
        self.variables = {"stack_name": "s", "stack_root": f"{root}/opt", "stack_secrets_root": f"{root}/secrets", "stack_data_root": f"{root}/data"}
        self.lease, self.hosts = {}, ["box"]
        (root / "data/switch/state").mkdir(parents=True)

    def view(self, app):
        variables = {**self.variables, "stack_apps": [app]}
        return View("box", {"postgres": ["box"], "app": self.hosts}, lambda _host, name, default=None: variables.get(name, default))

    def release(self, secrets=None, **changes):
        """What the inventory wants with these changes; the image is on the host."""
        app = {**APP, **changes}
        image = {"ref": f"shop:{app['version']}", "id": f"sha256:{app['version']}"}
        self.docker.images[image["ref"]] = image["id"]
        return release_of(self.view(app), app, image, secrets or SECRETS)

    def again(self, record, **changes):
        app = {**APP, **changes}
        return recalled(self.view(app), app, record, SECRETS)

    def call(self, state, made=None, check=False, **more):
        given = {"state": state, "app": "shop", "path": str(self.path), "lease": self.lease, "lease_seconds": 60, "wait_timeout": 300}
        defaults = {name: {} for name in ("run", "record", "scale", "resume", "spec")}
        defaults |= {"fleet_scale": None, "replicas": 0, "part": "all", "watch": {"seconds": 10, "failures": 5}, "release": "", "secrets": []}
        params = {**given, **defaults, **(made or {}), **more}
        return Call(json.loads(json.dumps(params)), check, self.docker.engine, self.docker.clock, self.docker.sleep).run()

    def slices(self, state, release, **more):
        """Every slice of a stage, as the action plugin asks for them."""
        results = [self.call(state, release, **more)]
        while results[-1].get("pending"):
            results.append(self.call(state, release, resume=results[-1]["resume"], **more))
        return results

    def take_lease(self, run="r1"):
        self.lease = {**self.call("leased", run={"id": run, "owner": "ann"})["lease"], "here": True}

    def deploy(self, release, until=None):
        """A whole deploy, or one that ends before a stage: what each of its stages answered."""
        self.docker.now += LONG
        self.take_lease(f"run-{self.docker.now}")
        answers = {}
        for state in ("prepared", "collected", "started", "handed_over", "taken_over", "switched", "watched", "live", "retired", "recorded"):
            if state == until:
                break
            answers[state] = self.slices(state, release)[-1]
        return answers

    def running(self):
        return sorted((c["labels"]["stack.longshore.release"], c["service"]) for c in self.docker.containers.values() if c["state"] == "running")

    def files(self):
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())


@pytest.fixture
def site(docker, haproxy, tmp_path, monkeypatch, me):
    write = _files.Folder.write
    monkeypatch.setattr(_files.Folder, "write", lambda self, relative, content, mode, *_owner: write(self, relative, content, mode, *me))
    monkeypatch.setattr(_files.os, "fchown", lambda *_owner: None)
    made = Site(docker, haproxy, tmp_path)
    state_path = str(tmp_path / "data/switch/state/servers")
    monkeypatch.setattr(_stages, "switch_of", lambda _params, clock, sleep: Switch(haproxy, state_path, clock, sleep))
    made.answer = lambda url: None
    monkeypatch.setattr(Call, "_answers", lambda self, url, host=None: made.answer(url) or "")

    def resolve(name):
        found = next((c for c in docker.containers.values() if c["Id"] == name and c["state"] == "running"), None)
        return "172.20.0.9" if name == "switch" else found and found["networks"]["s_edge"]["IPAddress"]

    add = docker.add

    def with_address(project, service, image="sha256:1", **values):
        return add(project, service, image, **{"networks": {"s_edge": {"IPAddress": f"172.20.1.{len(docker.containers)}"}}, **values})

    docker.add, haproxy.resolve = with_address, resolve
    return made


# -- who may do what --------------------------------------------------------------------------------------------------


def test_every_stage_that_changes_a_host_needs_the_lease():
    assert set(STAGES) - set(GUARDED) == {"leased", "prepared", "recalled", "listed", "noted", "unlocked"}


@pytest.mark.parametrize("state", GUARDED)
def test_without_a_lease_nothing_is_touched(site, state):
    with pytest.raises(ReleaseError, match=f"state {state} needs lease, as state leased returned it"):
        site.call(state, site.release())
    assert (site.docker.calls, site.haproxy.asked) == ([], [])


@pytest.mark.parametrize("state", GUARDED)
@pytest.mark.parametrize("here", [True, False], ids=["on the host that keeps the lease", "on another host"])
def test_a_run_that_was_overtaken_touches_nothing(site, state, here):
    release = site.release()
    site.deploy(release)
    late = {**site.lease, "here": here}
    site.take_lease("later")
    site.call("switched", release)
    site.lease = late
    site.docker.calls.clear()
    site.haproxy.asked.clear()
    with pytest.raises(LeaseError, match="a later run has begun"):
        site.call(state, release)
    assert (site.docker.calls, site.haproxy.asked) == ([], [])


@pytest.mark.parametrize("new_here", [False, True])
@pytest.mark.parametrize(("state", "opens"), [("taken_back", True), ("stood_by", True), ("watched", False)])
def test_the_way_back_is_open_on_a_full_disk(site, monkeypatch, state, opens, new_here):
    first, second = site.release(), site.release(version="2")
    site.deploy(first)
    served = site.haproxy.serving("shop-web")
    site.deploy(second, until="watched")

    def full(*_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    if new_here:
        (site.path / "fence.json").unlink()
    monkeypatch.setattr(_lease.Leases, "_write", full)
    if opens:
        site.call(state, second)
        assert state == "stood_by" or site.haproxy.serving("shop-web") == served
    else:
        with pytest.raises(OSError, match="No space left"):
            site.call(state, second)


def test_a_run_gives_its_lease_back_on_a_full_disk(site, monkeypatch):
    release = site.release()
    site.deploy(release, until="live")

    def full(*_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_lease.Leases, "_write", full)
    monkeypatch.setattr(_stages._history, "append", full)
    with pytest.raises(OSError, match="No space left"):
        site.call("recorded", release, record={"result": "failed"})
    monkeypatch.undo()
    before = site.lease["number"]
    site.take_lease("other")
    assert site.lease["number"] > before, "nobody has it, and the number grows"


def test_the_host_that_keeps_the_lease_makes_it_last_and_knows_the_stage(site):
    release = site.release()
    site.deploy(release, until="switched")
    before = site.docker.now
    site.call("switched", release, lease_seconds=500)
    lease = json.loads((site.path / "lease.json").read_text())
    assert (lease["stage"], lease["expires"]) == ("switched", before + 500)


def test_a_run_can_hold_its_lease_for_what_it_does_elsewhere(site):
    release = site.release()
    site.deploy(release, until="switched")
    answer, before = site.call("held", release, lease_seconds=360), site.docker.now
    lease = json.loads((site.path / "lease.json").read_text())
    assert (answer["changed"], lease["stage"], lease["expires"]) == (False, "held", before + 360)


def test_the_lease_lasts_as_long_as_commands_may_collect_static_files(site):
    release = site.release()
    site.deploy(release, until="collected")
    release["spec"]["static"] = [{"path": f"/static/{number}", "command": command} for number, command in enumerate((["collect"], ["collect"], []))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "_assets", lambda self: None)
        site.call("collected", release)
    assert json.loads((site.path / "lease.json").read_text())["expires"] == site.docker.now + 60 + 2 * _stages.STATIC_SECONDS


@pytest.mark.parametrize("state", [state for state in GUARDED if state not in FORETOLD])
def test_check_mode_says_what_a_stage_would_do_and_does_nothing(site, state):
    answer = site.call(state, site.release(), check=True)
    assert (answer["changed"], answer["msg"]) == (True, f"shop would be {state.replace('_', ' ')}")
    assert (site.docker.calls, site.haproxy.asked, site.files()) == ([], [], [])


def test_check_mode_neither_takes_nor_ends_a_lease(site):
    site.call("leased", run={"id": "r0", "owner": "ann"}, check=True)
    assert site.files() == []
    site.take_lease()
    answer = site.call("unlocked", check=True)
    assert (answer["changed"], answer["msg"]) == (True, "the lease of ann (run r1) would end")
    assert "ann" in site.call("listed")["holder"]


def test_unlock_says_whose_lease_has_ended(site):
    assert (site.call("unlocked")["changed"], site.call("unlocked")["msg"]) == (False, "nobody has the lease")
    site.take_lease()
    answer = site.call("unlocked")
    assert (answer["changed"], answer["msg"]) == (True, "the lease of ann (run r1) has ended")
    assert site.call("listed")["holder"] == ""


def test_what_a_run_saw_live_must_still_be_live_when_its_turn_comes(site):
    first, second = site.release(), site.release(version="2")
    run = {"id": "late", "owner": "bob", "live": site.call("prepared", second)["live"]}
    site.deploy(first)
    site.docker.now += LONG
    name = first["spec"]["release"]
    with pytest.raises(LeaseError, match=f"nothing was live of shop when this run looked, and by now {name} is: .* Run this again"):
        site.call("leased", second, run=run)
    assert site.call("listed")["holder"] == ""
    site.call("leased", second, run={**run, "live": name})
    assert "bob" in site.call("listed")["holder"]


# -- a whole deploy ---------------------------------------------------------------------------------------------------


def test_a_first_deploy_and_the_same_again(site):
    release = site.release()
    answers = site.deploy(release)
    name = release["spec"]["release"]
    assert (answers["prepared"]["settled"], answers["prepared"]["live"], answers["live"]["live"]) == (False, "", name)
    assert site.running() == [(name, "beat"), (name, "web")]
    assert site.haproxy.serving("shop-web") == [site.docker.only("web")["Id"]]
    assert {c["policy"] for c in site.docker.containers.values()} == {"unless-stopped"}
    again = site.call("prepared", release)
    assert (again["settled"], again["changed"], again["diff"]) == (True, False, [])
    assert site.call("prepared", release, check=True)["changed"] is False


def test_nothing_restarts_by_itself_before_the_release_is_live(site):
    site.deploy(site.release(), until="live")
    assert {c["policy"] for c in site.docker.containers.values()} == {"no"}


def test_the_next_release_starts_beside_the_old_and_takes_over_stage_by_stage(site):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    names = old["spec"]["release"], new["spec"]["release"]
    seen = {}
    for stage in ("started", "handed_over", "switched", "live", "retired"):
        answers = site.deploy(new, until={"started": "handed_over", "handed_over": "switched", "switched": "watched", "live": "retired"}.get(stage))
        seen[stage] = (site.running(), answers.get("live", {}).get("live", ""))
    assert seen["started"][0] == [(names[0], "beat"), (names[0], "web"), (names[1], "web")]
    assert seen["handed_over"][0] == [(names[0], "web"), (names[1], "beat"), (names[1], "web")]
    assert seen["live"] == (seen["switched"][0], names[1])
    assert seen["retired"][0] == [(names[1], "beat"), (names[1], "web")]
    assert site.call("listed")["previous"] == names[0]


def test_a_deploy_that_failed_is_taken_back_and_the_next_one_works(site):
    old, bad, good = site.release(), site.release(version="2"), site.release(version="3")
    site.deploy(old)
    site.deploy(bad, until="live")
    answer = site.call("taken_back", bad)
    assert (answer["live"], answer["of"]) == (old["spec"]["release"], bad["spec"]["release"])
    assert site.running() == [(old["spec"]["release"], "beat"), (old["spec"]["release"], "web")]
    assert site.call("prepared", old)["settled"]
    site.deploy(good)
    assert site.running() == [(good["spec"]["release"], "beat"), (good["spec"]["release"], "web")]


@pytest.mark.parametrize("full", ["compose.yaml", "release.json"])
def test_of_a_release_that_a_full_disk_cannot_take_nothing_stays(site, full):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    before, images = site.files(), dict(site.docker.images)
    write = _files.Folder.write

    def no_room(self, relative, *more):
        if relative == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, relative, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_files.Folder, "write", no_room)
        with pytest.raises(OSError, match="No space left"):
            site.call("prepared", new)
    assert (site.files(), dict(site.docker.images)) == (before, images)


def test_a_host_that_is_alone_hands_over_as_it_takes_over(site):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    site.deploy(new, until="handed_over")
    site.slices("taken_over", new)
    names = [release["spec"]["release"] for release in (old, new)]
    assert site.running() == sorted([(names[0], "web"), (names[1], "beat"), (names[1], "web")])


def test_where_nothing_must_run_alone_nothing_is_handed_over(site):
    release = site.release(processes=[APP["processes"][0]])
    site.deploy(release, until="handed_over")
    assert site.call("handed_over", release)["changed"] is False


def test_a_singleton_that_has_another_name_now_stops_before_the_new_one_starts(site):
    old = site.release()
    site.deploy(old)
    renamed = site.release(processes=[APP["processes"][0], {"name": "scheduler", "singleton": True}])
    site.deploy(renamed, until="taken_over")
    assert (old["spec"]["release"], "beat") not in site.running()


def test_a_singleton_of_a_host_that_is_not_the_first_any_more_stops(site):
    old = site.release()
    site.deploy(old)
    elsewhere = site.release(version="2")
    elsewhere["spec"] |= {"singletons": [], "overlapping": ["web"]}
    elsewhere["spec"]["definition"]["services"].pop("beat")
    site.deploy(elsewhere, until="taken_over")
    assert site.running() == [(old["spec"]["release"], "web"), (elsewhere["spec"]["release"], "web")]


BEAT = [APP["processes"][1]]
MIGRATIONS = pytest.mark.parametrize("migration", [{}, {"migration": {"tool": "alembic", "command": ["alembic"]}}], ids=["without a migration", "with one"])


@MIGRATIONS
def test_an_application_of_singletons_alone_is_live_on_the_other_hosts_without_a_container(site, migration):
    site.hosts = ["first", "box"]
    old, new = (site.release(version=version, processes=BEAT, **migration) for version in "12")
    for release in (old, new):
        answers = site.deploy(release)
        assert (answers["prepared"]["settled"], answers["live"]["live"], site.docker.containers) == (False, release["spec"]["release"], {})
        for check in (False, True):
            again = site.call("prepared", release, check=check)
            assert (again["settled"], again["changed"], again["planned"], again["containers"]) == (True, False, {}, [])
    back = site.again(site.call("recalled")["record"], processes=BEAT, **migration)
    site.deploy(back, until="live")
    assert site.call("taken_back", back)["live"] == new["spec"]["release"]
    site.deploy(back)
    assert site.call("prepared", back)["settled"]
    assert site.docker.said("up") == []


@MIGRATIONS
def test_the_singletons_of_an_application_that_has_nothing_else_go_from_a_host_that_is_not_the_first_any_more(site, migration):
    release = site.release(processes=BEAT, **migration)
    site.deploy(release)
    assert site.running() == [(release["spec"]["release"], "beat")]
    site.hosts = ["first", "box"]
    elsewhere = site.release(processes=BEAT, **migration)
    assert site.call("prepared", elsewhere)["settled"] is False
    site.deploy(elsewhere, until="taken_over")
    assert site.running() == [], "before it starts on the other host"
    site.deploy(elsewhere)
    assert site.docker.containers == {}
    assert site.call("prepared", elsewhere)["settled"]


def test_where_no_singleton_has_its_place_a_hand_over_starts_nothing(site):
    site.hosts = ["first", "box"]
    release = site.release()
    site.deploy(release, until="started")
    assert site.call("taken_over", release)["containers"] == [] and site.running() == []


def test_singletons_alone_cannot_be_scaled_on_the_other_hosts_neither(site):
    site.hosts = ["first", "box"]
    scale = live_shop(site, processes=BEAT)
    with pytest.raises(ValueError, match="beat must not run twice"):
        scale(beat=2)
    with pytest.raises(ValueError, match="has no process 'bat'; it has beat"):
        scale(bat=2)
    assert not scale(beat=None)[-1]["changed"] and site.docker.containers == {}


def test_a_release_that_is_live_on_another_host_leaves_no_host_without_a_scheduler(site):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    site.deploy(new, until="taken_over")
    site.call("unlocked")
    answer = site.call("stood_by", new)
    assert (old["spec"]["release"], "beat") in site.running() and answer["live"] == old["spec"]["release"]
    site.deploy(new)
    assert site.running() == [(new["spec"]["release"], "beat"), (new["spec"]["release"], "web")]


def test_a_run_whose_lease_was_ended_may_still_go_back(site):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    site.deploy(new, until="live")
    site.call("unlocked")
    site.call("taken_back", new)
    assert site.running() == [(old["spec"]["release"], "beat"), (old["spec"]["release"], "web")]


def handed_over_and_tidied_up(site, until):
    """A release whose scheduler has stopped for the hand-over to the next, and whose container somebody has removed; both releases' names."""
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    site.deploy(new, until=until)
    site.docker.engine.run(["rm", next(c["Id"] for c in site.docker.containers.values() if c["service"] == "beat" and c["state"] == "exited")])
    return old["spec"]["release"], new


def test_a_scheduler_whose_stopped_container_was_removed_is_made_again_when_the_release_is_taken_back(site):
    old, new = handed_over_and_tidied_up(site, until="switched")
    site.docker.healthy_after["beat"] = 5
    before = site.docker.now
    answer = site.call("taken_back", new)
    assert f"make beat of {old} again" in answer["done"]
    assert site.running() == [(old, "beat"), (old, "web")]
    assert site.docker.now - before >= 5, "it has its time to become well"
    assert {c["policy"] for c in site.docker.containers.values()} == {"unless-stopped"}
    (up,) = site.docker.said("compose", "up", "--no-deps", "--no-recreate", "beat")
    assert up[2] == str(site.path / "releases" / old), "from its own directory"
    assert site.call("prepared", site.release())["settled"]


def test_a_scheduler_that_cannot_be_made_again_is_said_and_the_others_serve(site):
    old, new = handed_over_and_tidied_up(site, until="switched")
    site.docker.refuse = {"compose up": "no such image"}
    with pytest.raises(ReleaseError, match=f"beat of {old}, which is live, had no container any more and cannot be made again: no such image"):
        site.call("taken_back", new)
    assert site.running() == [(old, "web")] and len(site.haproxy.serving("shop-web")) == 1


def test_what_a_dead_run_and_a_tidy_operator_left_without_a_scheduler_has_one_after_the_next_run_has_settled_it(site):
    old, _dead = handed_over_and_tidied_up(site, until="taken_over")
    third = site.release(version="3")
    site.deploy(third, until="handed_over")
    assert (old, "beat") in site.running()
    site.deploy(third)
    assert site.running() == [(third["spec"]["release"], "beat"), (third["spec"]["release"], "web")]


def test_a_scheduler_that_cannot_be_made_again_does_not_stand_in_the_way_of_the_next_release(site):
    old, _dead = handed_over_and_tidied_up(site, until="taken_over")
    third = site.release(version="3")
    real, site.docker._compose = site.docker._compose, lambda file, *rest: (1, "", "no such image") if old in str(file) else real(file, *rest)
    site.deploy(third)
    assert site.running() == [(third["spec"]["release"], "beat"), (third["spec"]["release"], "web")]


def test_a_process_of_which_the_live_release_wants_none_is_not_made(site):
    processes = [*APP["processes"], {"name": "other", "strategy": "recreate", "replicas": 0}]
    old, new = site.release(processes=processes), site.release(processes=processes, version="2")
    site.deploy(old)
    site.deploy(new, until="switched")
    site.call("taken_back", new)
    assert {service for _release, service in site.running()} == {"beat", "web"} and not site.docker.said("--no-recreate")


# -- runs that were killed -----------------------------------------------------------------------------------------------


def rows(site):
    return [(row["kind"], row["run"], row["owner"], row["release"], row["result"]) for row in site.call("listed")["history"]]


def test_a_run_that_was_killed_is_noted_once_by_the_one_that_takes_over_its_lease(site):
    release = site.release()
    site.lease = {**site.call("leased", release, run={"id": "r1", "owner": "ann", "kind": "rollback"})["lease"], "here": True}
    site.call("prepared", release)
    site.call("started", release)
    with pytest.raises(LeaseError):
        site.call("leased", release, run={"id": "r2", "owner": "bob"})
    assert rows(site) == [], "it may live"
    site.docker.now += LONG
    for _again in range(2):
        site.call("leased", release, run={"id": "r2", "owner": "bob", "kind": "deploy"})
    assert rows(site) == [("rollback", "r1", "ann", release["spec"]["release"], "died in started")]
    listed = site.call("listed")
    assert _history.lines("shop", listed, 10)[3].endswith("died in started  -")


def test_a_run_whose_lease_was_ended_is_noted_and_one_that_gave_it_back_is_not(site):
    release = site.release()
    site.deploy(release, until="recorded")
    site.call("recorded", record={"kind": "deploy", "release": "x", "run": "r", "owner": "ann", "result": "live", "started": 1})
    site.take_lease("r2")
    assert len(rows(site)) == 1
    site.call("unlocked", check=True)
    assert len(rows(site)) == 1
    site.call("unlocked")
    site.take_lease("r3")
    assert rows(site)[0] == ("deploy", "r2", "ann", "", "died in leased") and len(rows(site)) == 2


# -- containers of single commands ------------------------------------------------------------------------------------


def command(site, name, run="", **values):
    """A one-off container of the application, as a hook, a migration or the verb run makes it."""
    labels = {"stack.longshore.name": "s", "stack.longshore.service": "shop", "stack.longshore.release": "1-x", "com.docker.compose.oneoff": "True"}
    labels |= {"stack.longshore.run": run} if run else {}
    return site.docker.add("s-shop-1-x", "web", Name=f"/{name}", labels={**labels, **values.pop("labels", {})}, **values)


def commands(site):
    return sorted(c["Name"].lstrip("/") for c in site.docker.containers.values() if c["labels"].get("com.docker.compose.oneoff") == "True")


def test_what_a_dead_run_had_begun_does_not_go_on_beside_the_next_one(site):
    command(site, "hook", run="dead")
    command(site, "migration", run="dead", state="exited")
    command(site, "copy", run="dead", state="created")
    command(site, "seed-by-hand")
    command(site, "of-another-application", run="dead", labels={"stack.longshore.service": "docs"})
    release = site.release()
    site.deploy(release, until="started")
    command(site, "mine", run=site.lease["run"])
    assert {"rm hook", "rm migration", "rm copy"} <= set(site.call("started", release)["done"])
    assert commands(site) == ["mine", "of-another-application", "seed-by-hand"]
    assert site.docker.said("stop", "-t"), "a command may stop what it does"


def test_a_command_of_a_dead_run_that_cannot_be_ended_is_said_before_anything_starts(site):
    command(site, "hook", run="dead")
    release = site.release()
    site.deploy(release, until="started")
    site.docker.refuse = {"rm": "device or resource busy"}
    with pytest.raises(ReleaseError, match="hook, which a run left that died, cannot be removed: device or resource busy"):
        site.call("started", release)
    assert site.running() == []


def test_a_command_that_somebody_else_removes_at_this_moment_is_no_failure(site):
    left = command(site, "hook", run="dead")
    release = site.release()
    site.deploy(release, until="started")
    real = site.docker._answer

    def gone_meanwhile(words, timeout):
        site.docker.containers.pop(left["Id"], None) if words[0] == "stop" else None
        return (1, "", "No such container") if words[0] == "rm" else real(words, timeout)

    site.docker._answer = gone_meanwhile
    site.call("started", release)
    assert commands(site) == []


def test_at_the_end_of_a_release_nothing_is_left_of_commands_that_have_ended_a_while_ago(site):
    release = site.release()
    site.deploy(release, until="retired")
    ended = {"state": "exited", "finished": site.docker.now - 61}
    command(site, "ended", **ended)
    command(site, "ended-just-now", state="exited", finished=site.docker.now - 59)
    command(site, "never-started", state="created", created="1970-01-01T00:00:00Z")
    command(site, "just-made", state="created")
    command(site, "works")
    command(site, "of-another-stack", **ended, labels={"stack.longshore.name": "other"})
    assert {"rm ended", "rm never-started"} <= set(site.slices("retired", release)[-1]["done"])
    assert commands(site) == ["ended-just-now", "just-made", "of-another-stack", "works"]


# -- prepared ---------------------------------------------------------------------------------------------------------


def test_prepared_writes_the_release_names_its_image_and_starts_nothing(site):
    release = site.release()
    spec = release["spec"]
    answer = site.call("prepared", release)
    assert (answer["changed"], answer["settled"], answer["planned"]) == (True, False, {"web": "created", "beat": "created"})
    assert site.docker.images[spec["image"]["name"]] == "sha256:1"
    assert answer["identity"] == "sha256:1"
    assert site.docker.containers == {}
    assert sorted(os.listdir(spec["path"])) == [".longshore.json", "compose.yaml", "release.json"]
    assert sorted(os.listdir(spec["secrets_path"])) == ["credentials.1", "environment.1"]
    site.docker.calls.clear()
    assert not site.call("prepared", release)["changed"]
    assert not site.docker.said("tag")


def test_prepared_says_how_long_a_container_may_take_to_stop_of_what_is_there_and_of_what_comes(site):
    patient = [{**APP["processes"][0], "stop_grace": 300}, APP["processes"][1]]
    assert site.call("prepared", site.release())["stop_grace"] == 30
    assert site.call("prepared", site.release(processes=patient))["stop_grace"] == 300
    site.deploy(site.release(processes=patient))
    site.docker.only("web")["stop"] = {"StopTimeout": 300}
    assert site.call("prepared", site.release())["stop_grace"] == 300, "the inventory has less by now"


def test_no_secret_is_in_the_directory_of_a_release_nor_in_what_is_answered(site):
    release = site.release()
    answers = site.deploy(release)
    texts = [path.read_text() for path in (site.root / "opt").rglob("*") if path.is_file()]
    assert not any("canary" in text for text in [*texts, repr(answers)])
    assert "canary-of-the-key" in (site.root / "secrets/shop" / release["spec"]["release"] / "environment.1").read_text()


def test_the_record_of_a_release_has_all_that_a_later_run_needs_to_start_it_again(site):
    release = site.release()
    site.deploy(release)
    record = site.call("recalled", release=release["spec"]["release"])["record"]
    again = site.again(record, version="9", env={}, processes=[])
    assert again["spec"] == release["spec"]
    answer = site.call("prepared", again)
    assert (answer["settled"], answer["changed"]) == (True, False)


def test_check_mode_foretells_on_a_bare_host(site):
    release = site.release()
    site.docker.refuse = {"": "Cannot connect to the Docker daemon"}
    answer = site.call("prepared", release, check=True)
    assert (answer["changed"], answer["settled"], answer["planned"]) == (True, False, {"web": "created", "beat": "created"})
    assert site.files() == []


def test_the_diff_is_between_releases_and_shows_keys_of_the_environment_without_their_values(site):
    site.deploy(site.release())
    answer = site.call("prepared", site.release(version="2", env={"MOOD": "other-mood", "LEVEL": "info", "EXTRA": "extra"}), check=True)
    (diff,) = answer["diff"]
    before, after = diff["before"].splitlines(), diff["after"].splitlines()
    gone, come = [line for line in before if line not in after], [line for line in after if line not in before]
    assert any("shop:1" in line for line in gone)
    assert any("shop:2" in line for line in come)
    assert any("MOOD" in line for line in gone)
    assert {word for line in come for word in ("MOOD", "EXTRA", "LEVEL") if word in line} == {"MOOD", "EXTRA"}
    assert "LEVEL" in diff["after"]
    for value in ("value-of-mood", "other-mood", "canary"):
        assert value not in repr(diff)


def test_an_image_that_is_not_there_yet_is_shown_as_not_known(site):
    release = site.release()
    release["spec"]["image"] = {**release["spec"]["image"], "id": ""}
    answer = site.call("prepared", release, check=True)
    assert "not known before it is there" in answer["diff"][0]["after"]
    assert not site.docker.said("tag")


@pytest.mark.parametrize("state", ["leased", "unlocked"])
def test_whoever_is_refused_or_ends_a_lease_does_not_wait_for_a_call_at_work(site, monkeypatch, state):
    site.take_lease("first")
    monkeypatch.setattr(Folder, "locked", lambda _self: pytest.fail("waits for the lock"))
    if state == "leased":
        with pytest.raises(LeaseError, match="is being released by ann"):
            site.call("leased", run={"id": "second", "owner": "bob"})
    else:
        assert site.call("unlocked")["msg"] == "the lease of ann (run first) has ended"


# -- started ----------------------------------------------------------------------------------------------------------


def test_a_start_that_takes_long_goes_in_slices_and_settles_only_once(site):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    site.docker.healthy_after["web"] = 30
    site.deploy(new, until="started")
    old_web = next(c for c in site.docker.containers.values() if c["service"] == "web")
    old_web["started"] -= LONG
    answers = site.slices("started", new)
    assert len(answers) > 2
    assert all("-web-" in answer["progress"] for answer in answers[:-1])
    assert [entry["health"] for entry in answers[-1]["containers"]] == ["healthy"]
    assert 30 <= answers[-1]["seconds"] < 31, "measured over all slices"
    assert answers[0]["changed"]


def test_a_release_that_does_not_get_healthy_in_time_says_so_with_its_last_words(site):
    site.docker.healthy_after["web"] = LONG
    site.deploy(site.release(), until="started")
    with pytest.raises(ProjectError, match=r"not healthy after 60 s: .*web-\d+ \(starting\)\n--- last lines of .*\nfirst line\nlast words"):
        site.slices("started", site.release(), wait_timeout=60)


def test_a_container_that_ends_at_once_is_not_waited_for(site):
    release = site.release()
    site.deploy(release, until="started")
    add, site.docker.add = site.docker.add, lambda *args, **values: add(*args, **values, state="exited")
    before = site.docker.now
    with pytest.raises(ProjectError, match="ended with exit status 1"):
        site.slices("started", release)
    assert site.docker.now == before


def test_a_web_process_that_is_healthy_inside_and_does_not_answer_from_outside_is_an_error(site):
    release = site.release()
    site.deploy(release, until="started")
    site.answer = lambda url: f"{url}: refused"
    with pytest.raises(ReleaseError, match=r"-web-\d+ is healthy, but does not answer from outside: http://172.20.1.\d+:8000/health: refused\n--- last"):
        site.slices("started", release)


def test_a_web_process_without_a_health_path_is_not_asked(site):
    release = site.release(processes=[{"name": "web", "port": 8000}])
    site.answer = lambda url: f"{url}: refused"
    site.deploy(release)
    assert site.haproxy.serving("shop-web") == [site.docker.only("web")["Id"]]


def test_what_takes_requests_may_start_before_the_rest(site):
    app = {"processes": [*APP["processes"], {"name": "worker"}]}
    release = site.release(**app)
    site.deploy(release, until="started")
    name = release["spec"]["release"]
    site.slices("started", release, part="serving")
    assert site.running() == [(name, "web")]
    site.call("switched", release)
    site.docker.calls.clear()
    site.slices("started", release, part="rest")
    assert site.running() == [(name, "web"), (name, "worker")]
    assert not any(call[0] in ("stop", "rm") for call in site.docker.calls)


def test_a_run_that_has_the_lease_prepares_again_what_an_earlier_one_has_pruned(site):
    site.deploy(site.release())
    late = site.release(version="2")
    site.take_lease("first")
    site.call("prepared", late)
    # The end of the run before: what never was live goes.
    site.call("retired", site.release())
    assert not os.path.exists(late["spec"]["path"])
    site.call("recorded")
    site.lease = {**site.call("leased", late, run={"id": "second", "owner": "bob"})["lease"], "here": True}
    assert os.path.exists(f"{late['spec']['path']}/compose.yaml")
    site.slices("started", late)
    assert (late["spec"]["release"], "web") in site.running()


def test_a_run_that_cannot_be_prepared_again_gives_the_lease_back(site):
    release = site.release()
    release["secrets"] = [{**secret, "value": None} for secret in release["secrets"]]
    with pytest.raises(ProjectError, match="was kept for this project and is gone"):
        site.call("leased", release, run={"id": "r1", "owner": "ann"})
    assert "run" not in json.loads((site.path / "lease.json").read_text())


# -- watched, retired -------------------------------------------------------------------------------------------------


def test_a_release_is_watched_in_slices_against_what_was_so_at_the_first_look(site):
    release = site.release()
    site.deploy(release, until="watched")
    before, web = site.docker.now, site.docker.only("web")["Id"]
    site.haproxy.counted = {web: {"stot": 500, "hrsp_5xx": 400}}
    first = site.call("watched", release, watch={"seconds": 20, "failures": 5})
    assert (first["pending"], first["progress"]) == (True, "watching the release, 12 s to go")
    site.haproxy.counted = {web: {"stot": 600, "hrsp_5xx": 405}}
    second = site.call("watched", release, watch={"seconds": 20, "failures": 5}, resume=first["resume"])
    site.haproxy.counted = {web: {"stot": 600, "hrsp_5xx": 406}}
    with pytest.raises(ReleaseError, match="6 of 100 requests failed"):
        site.call("watched", release, watch={"seconds": 20, "failures": 5}, resume=second["resume"])
    site.haproxy.counted = {web: {"stot": 600, "hrsp_5xx": 405}}
    last = site.slices("watched", release, watch={"seconds": 20, "failures": 5}, resume=second["resume"])[-1]
    assert "pending" not in last
    assert 20 <= site.docker.now - before < 21


def test_requests_that_fail_between_the_switch_and_the_first_look_count(site):
    site.deploy(site.release())
    release = site.release(version="2")
    site.deploy(release, until="switched")
    seen = site.call("switched", release)["seen"]
    assert seen == {"total": 0, "failed": 0}
    new = next(c for c in site.docker.containers.values() if c["service"] == "web" and c["labels"]["stack.longshore.release"] == release["spec"]["release"])
    site.haproxy.counted = {new["Id"]: {"stot": 40, "hrsp_5xx": 30}}
    with pytest.raises(ReleaseError, match="30 of 40 requests failed"):
        site.call("watched", release, watch={"seconds": 20, "failures": 5, "seen": seen})


def switched_over(site):
    old, new = site.release(), site.release(version="2", deploy={"drain": 20})
    site.deploy(old)
    web = site.docker.only("web")["Id"]
    site.deploy(new, until="retired")
    return new, web


def test_requests_in_flight_are_waited_for_in_slices_and_none_is_cut(site):
    new, old_web = switched_over(site)
    site.haproxy.busy = {old_web: 3}
    first = site.call("retired", new)
    assert first["progress"] == "draining: 3 requests in flight, 12 s at most"
    assert old_web in site.docker.containers
    site.haproxy.busy = {}
    last = site.call("retired", new, resume=first["resume"])
    assert (last["cut"], round(last["drain_seconds"]), old_web in site.docker.containers) == (0, 8, False)


def test_what_is_still_in_flight_at_the_end_of_the_drain_is_cut_off_and_counted(site):
    new, old_web = switched_over(site)
    site.haproxy.busy = {old_web: 3}
    last = site.slices("retired", new)[-1]
    assert (last["cut"], round(last["drain_seconds"]), old_web in site.docker.containers) == (3, 20, False)


def test_with_nothing_in_flight_nobody_waits(site):
    new, old_web = switched_over(site)
    before = site.docker.now
    assert site.call("retired", new)["drain_seconds"] == site.docker.now - before == 0
    assert old_web not in (site.root / "data/switch/state/servers").read_text(), "nor does a restart of the switch know it"


# -- recalled, listed, recorded ---------------------------------------------------------------------------------------


def test_an_earlier_release_is_found_by_its_mark_or_by_its_name(site):
    old, new = site.release(), site.release(version="2")
    site.deploy(old)
    with pytest.raises(ReleaseError, match=f"shop: there is no release before the live one; kept are: {old['spec']['release']}"):
        site.call("recalled")
    site.deploy(new)
    assert site.call("recalled")["record"]["release"] == old["spec"]["release"]
    assert site.call("recalled", release=new["spec"]["release"])["record"]["release"] == new["spec"]["release"]


def test_a_rollback_is_refused_where_a_run_died_between_its_two_marks(site):
    old = site.release()
    site.deploy(old)
    os.symlink(os.readlink(site.path / "live"), site.path / "previous")
    name = old["spec"]["release"]
    with pytest.raises(ReleaseError, match=f"what was before {name} is not known. Go back to one .*RELEASE: {name}; or deploy"):
        site.call("recalled")
    assert site.call("recalled", release="live")["record"]["release"] == old["spec"]["release"]


def test_a_release_that_is_not_kept_is_refused_with_those_that_are(site):
    with pytest.raises(ReleaseError, match="the release 0-x of shop is not kept here; kept are: none"):
        site.call("recalled", release="0-x")
    name = site.release()["spec"]["release"]
    site.deploy(site.release())
    with pytest.raises(ReleaseError, match=f"the release 0-x of shop is not kept here; kept are: {name}"):
        site.call("recalled", release="0-x")
    (site.path / "releases" / name / "release.json").write_text("{")
    with pytest.raises(ReleaseError, match=f"the release {name} of shop has no release.json, so it cannot be recalled; deploy its version instead"):
        site.call("recalled", release=name)


def test_a_release_whose_image_is_gone_is_refused_and_one_whose_name_alone_is_gone_is_not(site):
    spec = site.release()["spec"]
    site.deploy(site.release())
    del site.docker.images[spec["image"]["name"]]
    site.docker.images["sha256:1"] = "sha256:1"
    assert site.call("recalled", release=spec["release"])["record"]["release"] == spec["release"]
    del site.docker.images["sha256:1"]
    with pytest.raises(ReleaseError, match=rf"the image of {spec['release']} \(shop:1\) is not on this host any more, and came from no registry"):
        site.call("recalled", release=spec["release"])


def test_an_image_that_is_gone_and_came_from_a_registry_is_to_be_pulled_by_its_digest(site):
    release = site.release()
    release["spec"]["image"] |= {"ref": "registry.test:5000/shop:1", "digest": "sha256:d"}
    site.deploy(release)
    name = release["spec"]["release"]
    assert site.call("recalled", release=name)["pull"] == ""
    del site.docker.images[release["spec"]["image"]["name"]]
    assert site.call("recalled", release=name)["pull"] == "registry.test:5000/shop@sha256:d"


def test_going_back_says_what_it_means(site):
    old, new = site.release(), site.release(version="2")
    names = [made["spec"]["release"] for made in (old, new)]
    for made, revision in ((old, "0003"), (new, "0004")):
        site.deploy(made, until="recorded")
        site.call("recorded", record={"kind": "deploy", "release": made["spec"]["release"], "before": "", "result": "live", "revision_after": revision})
    (note,) = site.call("recalled")["notes"]
    assert note.startswith(f"{names[0]} was made for schema 0003; the database is at 0004")
    assert site.call("recalled", release="live")["notes"] == []
    site.deploy(site.again(site.call("recalled")["record"]), until="recorded")
    site.call("recorded", record={"kind": "rollback", "release": names[0], "before": names[1], "result": "live"})
    (note,) = site.call("recalled")["notes"]
    assert note.startswith(f"The last rollback left {names[1]}, and this one undoes it")
    assert site.call("recalled", release=names[1])["notes"] == []


def test_a_rollback_brings_image_environment_and_own_secrets_back_and_todays_credentials(site):
    old = site.release()
    site.deploy(old)
    rotated = {"app_shop_KEY": "another-key", "postgres_shop": "rotated"}
    site.deploy(site.release(version="2", secrets=rotated, env={"MOOD": "other-mood"}))
    record = site.call("recalled")["record"]
    app = {**APP, "version": "2"}
    back = recalled(site.view(app), app, record, rotated)
    site.deploy(back)
    assert site.running() == [(old["spec"]["release"], "beat"), (old["spec"]["release"], "web")]
    secrets = site.root / "secrets/shop" / old["spec"]["release"]
    assert (secrets / "environment.1").read_text() == "KEY='canary-of-the-key'\n"
    assert sorted(os.listdir(secrets)) == ["credentials.2", "environment.1"], "a credential that was rotated is given anew, and only then the old one goes"
    assert "rotated" in (secrets / "credentials.2").read_text()
    web = (site.path / "releases" / old["spec"]["release"] / "compose.yaml").read_text()
    assert "value-of-mood" in web
    listed = site.call("listed")
    assert (listed["live"], listed["previous"][:2]) == (old["spec"]["release"], "2-")


def test_a_rollback_to_a_release_whose_own_secrets_are_gone_is_refused_before_anything_starts(site):
    old = site.release()
    site.deploy(old)
    site.deploy(site.release(version="2"))
    back = site.again(site.call("recalled")["record"])
    os.unlink(site.root / "secrets/shop" / old["spec"]["release"] / "environment.1")
    before = site.running()
    with pytest.raises(ProjectError, match="there is no secret environment in .*; it was kept for this project and is gone"):
        site.call("prepared", back)
    assert site.running() == before


def test_what_became_of_a_run_is_recorded_and_its_lease_is_free_for_the_next(site):
    site.take_lease()
    assert site.call("recorded", record={"release": "1-x", "result": "failed"})["changed"] is False
    listed = site.call("listed")
    assert (listed["history"], listed["holder"]) == ([{"release": "1-x", "result": "failed"}], "")
    site.take_lease("r2")
    assert "run r2, stage leased" in site.call("listed")["holder"]


def test_a_run_that_failed_before_it_had_the_lease_is_noted_and_nobody_loses_the_lease(site):
    site.deploy(site.release())
    site.take_lease()
    assert site.call("noted", record={"version": "9.9.9", "result": "failed"})["changed"] is False
    listed = site.call("listed")
    assert listed["history"][0] == {"version": "9.9.9", "result": "failed", "before": site.release()["spec"]["release"], "started": site.docker.now}
    assert "run r1" in listed["holder"]


def test_a_host_without_releases_lists_none(site):
    listed = site.call("listed")
    assert [listed[name] for name in ("kept", "history", "previous", "live", "holder")] == [[], [], "", "", ""]


# -- scaled -----------------------------------------------------------------------------------------------------------


def live_shop(site, **changes):
    """A shop whose release is live, and the call that scales it, as the verb makes it."""
    site.deploy(site.release(**changes))

    def scale(check=False, **numbers):
        made = site.again(site.call("recalled", release="live")["record"], **changes)
        site.docker.now += LONG
        site.take_lease(f"scale-{site.docker.now}")
        return site.slices("scaled", made, scale=numbers, check=check)

    return scale


def webs(site):
    return sorted(name for name, container in site.docker.containers.items() if container["service"] == "web" and container["state"] == "running")


def test_more_containers_start_beside_those_that_serve_and_get_their_share(site):
    scale = live_shop(site)
    (first,) = webs(site)
    answer = scale(web=3)[-1]
    assert (answer["changed"], answer["numbers"], answer["before"]) == (True, {"web": 3, "beat": 1}, {"web": None})
    assert len(webs(site)) == 3 and first in webs(site)
    assert site.docker.said("compose", "up", "--no-recreate", "web"), "what serves stays, whatever an upgraded Compose thinks of it"
    assert site.haproxy.serving("shop-web") == webs(site)
    assert {container["policy"] for container in site.docker.containers.values()} == {"unless-stopped"}
    again = scale(web=3)[-1]
    assert not again["changed"], again


def test_fewer_containers_are_drained_before_they_stop(site):
    scale = live_shop(site)
    scale(web=3)
    site.haproxy.busy = dict.fromkeys(webs(site), 2)
    site.docker.now += LONG
    site.take_lease("down")
    made = site.again(site.call("recalled", release="live")["record"])
    first = site.call("scaled", made, scale={"web": 1})
    assert first["progress"].startswith("draining: 4 requests in flight"), first
    assert len(webs(site)) == 3 and len(site.haproxy.serving("shop-web")) == 1
    site.haproxy.busy = {}
    last = site.call("scaled", made, scale={"web": 1}, resume=first["resume"])
    assert not last.get("pending") and webs(site) == site.haproxy.serving("shop-web") and len(webs(site)) == 1


def test_the_number_holds_over_deploys_and_rollbacks_until_it_is_taken_back(site):
    scale = live_shop(site)
    scale(web=2)
    answers = site.deploy(site.release(version="2"))
    assert answers["prepared"]["settled"] is False and len(webs(site)) == 2
    assert site.call("prepared", site.release(version="2"))["settled"]
    scale(web=None)
    assert len(webs(site)) == 1 and json.loads((site.path / "scale.json").read_text()) == {}


def test_a_number_for_which_the_switch_has_no_places_is_said_before_anything_starts(site):
    live_shop(site)
    (site.path / "scale.json").write_text('{"web": 4}')
    fewer = site.release(version="2")
    site.deploy(fewer, until="started")
    wanted = "web has 4 containers and the switch has 3 places for them; site.yml gives it more, or take back its scale: ansible-playbook .* "
    with pytest.raises(ReleaseError, match=f"{wanted}-e app_name=shop -e app_process=web -e app_replicas=inventory"):
        site.call("started", fewer)
    assert len(webs(site)) == 1
    (site.path / "scale.json").write_text("{}")
    more = site.release(version="3", processes=[{**APP["processes"][0], "replicas": 4}, APP["processes"][1]])
    site.deploy(more, until="started")
    with pytest.raises(ReleaseError, match="web has 4 containers and the switch has 3 places for them; site.yml gives it more$"):
        site.call("started", more)


def test_a_release_records_its_own_number_and_not_the_one_that_it_was_scaled_to(site):
    scale = live_shop(site)
    scale(web=2)
    record = site.call("recalled", release="live")["record"]
    assert record["definition"]["services"]["web"]["scale"] == 1


def test_check_mode_tells_the_numbers_and_changes_nothing(site):
    scale = live_shop(site)
    before, there = site.files(), webs(site)
    site.docker.calls.clear()
    answer = scale(check=True, web=2)[-1]
    assert (answer["changed"], answer["diff"][0]["before"], answer["diff"][0]["after"]) == (True, "web: 1\nbeat: 1\n", "web: 2\nbeat: 1\n")
    assert (site.files(), webs(site)) == (before, there)
    assert not scale(check=True, web=None)[-1]["changed"]


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"wbe": 2}, "has no process 'wbe'; it has beat, web"),
        ({"beat": 2}, "beat must not run twice"),
        ({"web": 0}, "allowed: 1 to 8; to take it off the air use maintenance"),
        ({"web": 9}, "allowed: 1 to 8; the switch has no more places until the inventory has more replicas"),
    ],
)
def test_a_number_that_cannot_be_is_refused_before_anything_is_touched(site, numbers, reason):
    scale = live_shop(site)
    before = site.files()
    with pytest.raises(ValueError, match=reason):
        scale(**numbers)
    assert len(webs(site)) == 1 and site.files() == before


def test_a_process_without_requests_may_be_scaled_to_nothing_and_back(site):
    scale = live_shop(site, processes=[*APP["processes"], {"name": "worker"}])
    scale(worker=0)
    assert "worker" not in {service for _release, service in site.running()}
    assert site.call("prepared", site.release(processes=[*APP["processes"], {"name": "worker"}]))["settled"]
    scale(worker=None)
    assert "worker" in {service for _release, service in site.running()}


def test_containers_that_do_not_answer_get_no_requests_and_go(site):
    scale = live_shop(site)
    (first,) = webs(site)
    site.answer = lambda url: None if site.docker.containers[first]["networks"]["s_edge"]["IPAddress"] in url else "connection refused"
    with pytest.raises(ReleaseError, match="does not answer from outside: connection refused"):
        scale(web=2)
    assert webs(site) == [first] == site.haproxy.serving("shop-web")
    assert not (site.path / "scale.json").exists()
    site.answer = lambda url: None
    assert site.call("prepared", site.release())["settled"]


@pytest.mark.parametrize("stage", ["scaled", "started"])
def test_what_serves_is_not_made_anew_while_it_does(site, stage):
    first = site.release()
    site.deploy(first)
    before = site.running()
    site.take_lease("later")
    rotated = site.again(first["spec"])
    rotated["secrets"] = [{**one, "value": "another"} if one["name"] == "credentials" else one for one in rotated["secrets"]]
    files = site.files()
    with pytest.raises(ReleaseError, match="web would be made anew while it serves: what the stack gives it has changed since. A deploy starts"):
        site.slices(stage, rotated, scale={"web": 2} if stage == "scaled" else {})
    assert site.running() == before
    assert {os.path.basename(path) for path in set(site.files()) ^ set(files)} <= {"scale.json"}, "nor written to"


@pytest.mark.parametrize("stage", ["scaled", "started"])
@pytest.mark.parametrize("busy", [0, 1])
def test_what_would_be_made_anew_is_not_made_less_either(site, stage, busy):
    first, scale = site.release(), live_shop(site)
    scale(web=3)
    before = webs(site)
    site.haproxy.busy = dict.fromkeys(before, busy)
    site.docker.now += LONG
    site.take_lease("later")
    rotated = site.again(first["spec"])
    rotated["secrets"] = [{**one, "value": "another"} if one["name"] == "credentials" else one for one in rotated["secrets"]]
    with pytest.raises(ReleaseError, match="web would be made anew"):
        site.slices(stage, rotated, **({"scale": {"web": 1}} if stage == "scaled" else {"fleet_scale": {"web": 1}}))
    assert webs(site) == before == site.haproxy.serving("shop-web")


def test_only_the_live_release_is_scaled(site):
    scale = live_shop(site)
    site.take_lease("other")
    with pytest.raises(ReleaseError, match="only what is live is scaled"):
        site.call("scaled", site.release(version="2"), scale={"web": 2})
    site.docker.now += LONG
    assert scale(web=1)[-1]["numbers"] == {"web": 1, "beat": 1}


def test_a_deploy_brings_a_host_to_the_numbers_of_the_one_that_keeps_the_lease(site):
    release = site.release()
    scale = live_shop(site)
    scale(web=3)
    assert site.call("prepared", release)["scale"] == {"web": 3}
    site.haproxy.busy = dict.fromkeys(webs(site), 2)
    site.docker.now += LONG
    site.take_lease("next")
    first = site.call("started", release, fleet_scale={"web": 2})
    assert first["progress"].startswith("draining: 2 requests in flight") and len(webs(site)) == 3
    site.haproxy.busy = {}
    assert site.call("started", release, fleet_scale={"web": 2}, resume=first["resume"])["changed"]
    site.deploy(release)
    assert len(webs(site)) == 2 and webs(site) == site.haproxy.serving("shop-web")
    again = site.call("prepared", release)
    assert (again["settled"], again["scale"]) == (True, {"web": 2})


def test_what_a_call_of_a_dead_run_writes_while_the_next_one_waits_for_its_turn_does_not_hold(site, monkeypatch):
    release = site.release()
    live_shop(site)
    site.docker.now += LONG
    site.take_lease("next")
    guard = Call._guard
    monkeypatch.setattr(Call, "_guard", lambda self: (guard(self), (site.path / "scale.json").write_text('{"web": 4}')))
    site.call("started", release, fleet_scale={})
    assert json.loads((site.path / "scale.json").read_text()) == {}


def test_the_lease_comes_with_the_numbers_that_hold_once_it_is_there(site):
    scale = live_shop(site)
    scale(web=2)
    site.docker.now += LONG
    assert site.call("leased", run={"id": "next", "owner": "ann"})["scale"] == {"web": 2}


def test_scaling_brings_every_host_in_line_also_one_that_has_the_number_already(site):
    processes = [*APP["processes"], {"name": "worker"}]
    scale = live_shop(site, processes=processes)
    scale(web=2, worker=3)
    made = site.again(site.call("recalled", release="live")["record"], processes=processes)
    site.docker.now += LONG
    site.take_lease("next")
    answer = site.slices("scaled", made, scale={"web": 2}, fleet_scale={"worker": 1})[-1]
    assert (answer["numbers"], answer["before"]) == ({"web": 2, "beat": 1, "worker": 1}, {"web": None})
    assert json.loads((site.path / "scale.json").read_text()) == {"web": 2, "worker": 1}
    # As where another host could not follow: back to what the host that keeps the lease had.
    site.slices("scaled", made, scale=answer["before"], fleet_scale={"worker": 1})
    assert json.loads((site.path / "scale.json").read_text()) == {"worker": 1} and len(webs(site)) == 1


def test_a_run_that_died_while_it_scaled_down_leaves_nothing_that_the_next_deploy_stops_undrained(site):
    scale = live_shop(site)
    scale(web=3)
    # As if it had been killed after it had written the number.
    (site.path / "scale.json").write_text("{}")
    site.haproxy.busy = dict.fromkeys(webs(site), 1)
    site.docker.now += LONG
    site.take_lease("next")
    release = site.release()
    assert not site.call("prepared", release)["settled"]
    assert site.call("started", release)["progress"].startswith("draining: 2 requests in flight")
    assert len(webs(site)) == 3
    site.haproxy.busy = {}
    site.deploy(release)
    assert webs(site) == site.haproxy.serving("shop-web") and len(webs(site)) == 1


def test_the_old_release_stays_until_the_new_one_is_seen_to_serve(site):
    new, old_web = switched_over(site)
    (mine,) = [one for name, one in site.docker.containers.items() if one["service"] == "web" and name != old_web]
    mine["state"] = "exited"
    with pytest.raises(ReleaseError, match="is exited"):
        site.call("retired", new)
    assert old_web in site.docker.containers
