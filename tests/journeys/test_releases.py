# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases on two application hosts behind two proxies, under load: back and forth, with faults, kills and reboots. The order counts."""

from __future__ import annotations

import json
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from journey_faults import ENDS, FAULTS, Cut, End, Fault, Pause, begins, schema_back, stages
from journey_fleet import APP, PROCESSES, Fleet, Lookout, footprint
from journey_images import LAYER_KILOBYTES, new_version
from journey_storm import (
    DEPLOYS,
    OPEN,
    Storm,
    every_task_is_done,
    no_request_has_failed,
    storm_over,
    the_load_was_there,
    there_was_one_beat,
    what_was_open_has_ended_properly,
)
from journey_support import SEED, SOAK, Host, Run, figure, some, until
from load import LEAST


@pytest.fixture(scope="module")
def fleet(bare_fleet) -> Fleet:
    """The fleet after its first run."""
    if bare_fleet.apps["app2"].ssh(f"test -e {APP}/live", check=False).returncode:
        bare_fleet.play("first run").succeeded()
    until(bare_fleet.ready, what="the application to be ready")
    return bare_fleet


def test_both_application_hosts_serve_behind_both_proxies(fleet):
    fleet.settled()
    before = fleet.served()
    with fleet.load(rate=50) as load:
        until(lambda: load.result.requests > 100, what="some requests")
    assert load.result.failures == [], load.result.first_failures()
    after = fleet.served()
    shares = {name: after[name] - before[name] for name in fleet.apps}
    assert min(shares.values()) >= 20 and sum(shares.values()) >= 100, shares
    assert set(load.result.doors) == {proxy.address for proxy in fleet.proxies.values()} and min(load.result.doors.values()) >= 20, load.result.doors


def test_a_second_run_changes_nothing(fleet):
    run = fleet.play("second run").succeeded()
    assert run.changed == 0, run.changed_tasks


def test_the_visitors_count_what_fails(fleet):
    webs = {host: box.id for name, host in fleet.apps.items() for box in fleet.processes(name) if box.service == "web"}
    # Nothing answers for a while, and how long a request waits for that is not what is looked at.
    with fleet.load(rate=50, streams=1, sockets=1, least=0) as load:
        until(lambda: load.result.requests > 50, what="some requests")
        for host, web in webs.items():
            host.sh(f"docker kill {web}")
        until(lambda: load.result.failures, what="failed requests")
        for host, web in webs.items():
            host.sh(f"docker start {web}")
        mended = load.now
        until(fleet.ready, what="the application to be ready")
    figure(f"           both web containers killed for a moment: {load.result.line()}")
    reasons = {one.reason.split()[0] for one in load.result.failures}
    assert reasons <= {"status", "TimeoutError", "IncompleteReadError", "Broken", "ValueError"}, load.result.first_failures()
    assert min(load.result.open[kind]["broken"] for kind in ("streams", "sockets")) >= 1, load.result.open
    assert load.result.failures[0].moment < mended
    fleet.settled()


# -- back and forth under load ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def storm(fleet) -> Storm:
    return storm_over(fleet)


def test_no_request_fails_while_releases_come_and_go(storm):
    no_request_has_failed(storm)


def test_the_load_was_there_for_the_whole_time(storm):
    the_load_was_there(storm)


def test_streams_and_sockets_end_properly_at_the_end_of_a_drain(storm):
    what_was_open_has_ended_properly(storm)


def test_a_deploy_tells_what_was_ended_at_the_end_of_its_drain_and_that_nothing_was_cut_off(fleet, storm):
    told = [re.findall(r"\((\d+) requests ended by the application then, (\d+) cut off\)", run.output) for run in storm.runs]
    assert {len(lines) for lines in told} == {len(fleet.apps)}, told
    assert {cut for lines in told for _ended, cut in lines} == {"0"}, told
    assert min(sum(int(ended) for ended, _cut in lines) for lines in told) >= 2 * OPEN, told
    figure(f"           open at the end of a drain, on all hosts, and ended by the application: {[sum(int(ended) for ended, _cut in lines) for lines in told]}")


def test_a_rollback_leads_to_the_release_before(storm):
    assert storm.releases[DEPLOYS + 1] == storm.releases[DEPLOYS - 1]


def test_every_task_that_was_sent_meanwhile_is_done(fleet, storm):
    every_task_is_done(fleet, storm)


def test_a_long_task_is_finished_by_the_worker_that_began_it(fleet, storm):
    there = {box.id for name in fleet.apps for box in fleet.processes(name)}
    began = {task: storm.diary.who("received", task) for task in storm.long}
    done = {task: storm.diary.who("job done", task) for task in storm.long}
    assert done == began and all(len(who) == 1 for who in done.values()), (began, done)
    assert any(who[0] not in there for who in done.values()), "none of them was in the hands of a worker that had to go"


def test_there_are_never_two_beats_and_no_tick_is_lost_for_longer_than_a_switch(fleet, storm):
    there_was_one_beat(fleet, storm)


# -- faults ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", some(FAULTS, 1, "faults"), ids=str)
def test_a_release_that_cannot_be_leaves_the_old_one_serving_everywhere(fleet, fault: Fault):
    until(fleet.lease_has_ended, what="the end of the lease")
    old = fleet.settled()
    kept = {name: {box.id for box in fleet.processes(name)} for name in fleet.apps}
    known = {name: fleet.kept(name) for name in fleet.apps}
    with fleet.changed(), fleet.load(rate=60, slow=1, least=0 if fault.crash else LEAST) as load:
        fault.change(fleet)
        run = fleet.play(f"fault: {fault.name}", playbook=fault.playbook, watch=lambda line: fault.watch(fleet, line))
        for name in fleet.apps:
            if name == fault.lost:
                fleet.mend(name)
        fault.after(fleet)
    figure(f"           {fault.name}: {load.result.line()}")
    assert run.rc != 0, run.end
    for expected in fault.said:
        assert re.search(expected, run.output), f"{expected!r} is not said:\n{run.end}"
    if fault.crash:
        figure(f"           of them failed, because the release died while it served: {len(load.result.failures)}")
        assert len(load.result.failures) < load.result.requests / 10, load.result.first_failures()
    else:
        assert load.result.failures == [], load.result.first_failures()
    assert fleet.lease_has_ended(), "a run that came to its end gives the lease back"
    assert fleet.live() == old
    assert set(load.result.releases) - {old} == set() or fault.crash or fault.lost, load.result.releases
    for name in fleet.apps:
        # Where nobody could get in, the next run clears up; what served, serves.
        assert kept[name] <= {box.id for box in fleet.processes(name) if box.running}
        assert name == fault.lost or kept[name] == {box.id for box in fleet.processes(name)}
    fleet.failed.update(*(fleet.kept(name) - known[name] for name in fleet.apps))
    if SOAK or fault.lost:
        good_deploy(fleet, f"good deploy after: {fault.name}")


def good_deploy(fleet: Fleet, title: str) -> None:
    """After a failure: it leaves nothing of what has failed."""
    until(fleet.lease_has_ended, what="the end of the lease")
    fleet.renew()
    before = fleet.lives()
    with fleet.load(rate=60) as load:
        fleet.deploy(title).succeeded()
    assert load.result.failures == [], load.result.first_failures()
    assert fleet.settled() not in before.values()
    fleet.nothing_is_left()


def test_the_next_good_deploy_works_and_a_second_one_at_the_same_time_is_refused(fleet):
    second: list[Run] = []
    thread = threading.Thread(target=lambda: second.append(fleet.deploy("a second deploy meanwhile")))

    def watch(line: str) -> None:
        if begins(line, "Start the new release"):
            thread.start()

    before = fleet.live()
    fleet.renew()
    fleet.deploy("good deploy after the faults", watch=watch).succeeded()
    thread.join()
    assert second[0].rc != 0
    told = re.search(r"example is being released by (\S+)@(\S+) \(run (\S+), stage (\w+), since (\S+)\)", second[0].output)
    assert told and told[4] in ("started", "handed_over", "switched", "watched", "live", "retired"), second[0].end
    assert fleet.settled() != before
    fleet.nothing_is_left()


BY_HOST = r"\[app1\] .*?: switched in .*: Watch the release of example.*\[app2\] .*?: switched in .*: Watch the release of example.*: Go live"
BESIDE = r"\[app1\] .*?: switched 1 of each web process, beside what serves, in .*: Watch the release of example.*: switched in .*: Go live"
# Options of the deploy, and what the run tells then.
STEPS = {
    "a host as canary": ({"canary": "host", "canary_seconds": 5}, BY_HOST),
    "a replica as canary": ({"canary": "replica", "canary_seconds": 5}, BESIDE),
    "one host at a time": ({"max_parallel": 1, "pause": 3}, BY_HOST),
}


@pytest.mark.parametrize("way", some(list(STEPS), 1, "ways to go step by step"))
def test_one_host_or_one_container_serves_the_new_release_and_is_watched_before_all_are_switched(fleet, way):
    options, steps = STEPS[way]
    fleet.renew()
    before = fleet.live()
    # The way is the deploy's and not the release's.
    with fleet.changed(), fleet.load(rate=60) as load:
        fleet.app["deploy"] |= options
        run = fleet.deploy(f"step by step: {way}").succeeded()
    assert load.result.failures == [], load.result.first_failures()
    assert re.search(steps, run.output, re.DOTALL) and run.output.count(": switched in ") == 2, run.end
    assert fleet.settled() != before


# -- the deployer dies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", some(ENDS, 1, "stages at which a run ends before its time"), ids=str)
def test_a_run_that_ends_half_way_fails_no_request_and_the_next_one_settles_the_fleet(fleet, end: End):
    fleet.settled()
    if end.verb == "deploy":
        fleet.renew()
    elif not fleet.goes_back():
        good_deploy(fleet, "a release from which to go back")
    first_tick, known = fleet.last_tick(), {name: fleet.kept(name) for name in fleet.apps}
    step = {"deploy": fleet.deploy, "rollback": fleet.rollback}[end.verb]
    choice, pause = random.Random(f"{SEED} {end}"), Pause(end.stage)
    with fleet.load(rate=60, slow=1) as load, Lookout(fleet, "beat") as beats:
        if end.cut:
            with Cut(fleet, end, choice.uniform(0, 0.5)) as cut:
                run = step(str(end), watch=lambda line: (pause.first(line), cut.line(line)))
                assert cut.made, f"the run came to its end before:\n{run.end}"
            assert run.rc != 0 and "UNREACHABLE" in run.output, run.end
        else:
            run = step(str(end), watch=pause.first, kill=lambda line: begins(line, end.stage), delay=choice.uniform(0, 1))
            assert run.killed, run.end
        fleet.failed.update(*(fleet.kept(name) - known[name] for name in fleet.apps))
        # Whoever comes from elsewhere waits for its end; the same controller sees that the other run is dead.
        if SOAK and stages(end.verb).index(end.stage) % 4 == 1:
            until(fleet.lease_has_ended, what="the end of the lease")
        fleet.deploy(f"the run after: {end}", watch=pause.second).succeeded()
        away = pause.over()
    assert load.result.failures == [], load.result.first_failures()
    assert max(beats.looks) == 1 and beats.looks[-1] == 1, beats.looks
    fleet.settled()
    fleet.nothing_is_left()
    gap = fleet.ticked(first_tick, away)
    figure(f"           {end}: {load.result.line()}; longest gap between ticks {gap:.0f} s, beat was to be away for at most {away:.1f} s")


# -- reboots ---------------------------------------------------------------------------------------------------------------------


def alone(fleet: Fleet, releases: dict[str, str]) -> bool:
    """Each of these hosts runs its release, all processes of it, and no other."""
    there = {name: [box for box in fleet.processes(name) if box.running] for name in releases}
    return all(sorted(box.service for box in boxes) == PROCESSES[name] and {box.release for box in boxes} == {releases[name]} for name, boxes in there.items())


REBOOTS = [stage for stage in stages("deploy") if stage.startswith(("Start", "Stop", "Lead", "Watch", "Go live", "Retire"))]


@pytest.mark.parametrize("stage", some(REBOOTS, 1, "reboots during a deploy"))
def test_after_a_reboot_during_a_deploy_the_release_runs_that_is_recorded_as_live_and_nothing_else(fleet, stage):
    old, reboots, known = fleet.settled(), [], {name: fleet.kept(name) for name in fleet.apps}

    def watch(line: str) -> None:
        if begins(line, stage) and not reboots:
            # Somewhere within the stage, and in each run with this seed at the same moment.
            reboots.append(threading.Timer(random.Random(f"{SEED} {stage}").uniform(0, 0.5), fleet.apps["app1"].reboot))
            reboots[0].start()

    fleet.renew()
    run = fleet.deploy(f"app1 reboots at: {stage}", watch=watch)
    assert run.rc != 0, run.end
    reboots[0].join(120)
    if "did not go live" in run.output:
        until(lambda: alone(fleet, dict.fromkeys(fleet.apps, old)), what=f"{old} alone to run")
        assert fleet.live() == old
        fleet.failed.update(*(fleet.kept(name) - known[name] for name in fleet.apps))
    else:
        # Past the commit the other host waits for the next run, which is to bring in line this one and to retire what is old there.
        until(lambda: alone(fleet, {"app1": fleet.lives()["app1"]}), what="the live release alone to run")
    good_deploy(fleet, "the deploy after the reboot")


@pytest.mark.skipif(not SOAK, reason="after a deploy a host also reboots in the journeys of one host")
def test_after_a_reboot_of_all_hosts_the_live_release_runs_and_nothing_else(fleet):
    release = fleet.settled()
    with ThreadPoolExecutor(len(fleet.apps)) as pool:
        list(pool.map(Host.reboot, fleet.apps.values()))
    until(lambda: alone(fleet, dict.fromkeys(fleet.apps, release)), what=f"{release} alone to run")
    until(fleet.ready, what="the application to be ready")
    assert fleet.settled() == release


# -- what is shown, kept and taken back ------------------------------------------------------------------------------------------


def test_check_mode_shows_the_image_and_names_of_variables_and_changes_nothing(fleet):
    def all_there() -> dict[str, str]:
        look = f"ls -laR {APP} /etc/longshore; ls -A /run/longshore/look 2>/dev/null; docker ps -aq --no-trunc | sort; docker images -q | sort"
        return {name: host.sh(look) for name, host in fleet.apps.items()}

    before = all_there()
    with fleet.changed():
        fleet.app["env"]["BRAND_NEW"] = "its-value-4711"
        run = fleet.deploy("check mode", "--check", "--diff").succeeded()
    assert re.search(r"^\+ .*BRAND_NEW: ", run.output, re.MULTILINE), run.end
    assert re.search(r"identity: \"?sha256:[0-9a-f]{64}", run.output), run.end
    assert "its-value-4711" not in run.output
    # Another environment is another release, but no migration.
    assert "is not known" not in run.output and not [task for task in run.changed_tasks if "Migrate" in task], run.end
    assert all_there() == before


def test_the_history_says_who_released_what_and_what_became_of_it(fleet):
    run = fleet.play("history", playbook="playbooks/history.yml").succeeded()
    rows = fleet.history()
    # Not all faults come that far.
    failed = {"failed" for run in fleet.runs if re.search(r"^TASK .*: Record the failed release", run.output, re.MULTILINE)}
    assert {row["kind"] for row in rows} == {"deploy", "rollback"} and {row["result"] for row in rows} >= {"live", *failed}
    assert fleet.live() in run.output and rows[-1]["owner"] in run.output, run.end
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+ +deploy +1\.0\.0-\w+ +[0-9a-f]{12} +1\.0\.0-\w+ +\S+@\S+ .* live +\d", run.output), run.end


def test_as_many_releases_are_kept_as_the_inventory_says(fleet):
    for name, host in fleet.apps.items():
        kept, previous = host.sh(f"ls {APP}/releases").splitlines(), host.sh(f"basename $(readlink {APP}/previous)")
        assert len(kept) == fleet.app["deploy"]["keep"] and {fleet.live(), previous} <= set(kept), (name, kept)
        tags = host.sh("docker images --format '{{.Tag}}' longshore/prod-example").splitlines()
        assert sorted(tags) == sorted(kept), name


@pytest.mark.skipif(not SOAK, reason="what a rollback brings back, and a rotation, are in the scenario of the role and the journey of Debian 13")
def test_a_rollback_brings_back_image_environment_and_own_secrets_and_logs_in_with_todays_password(fleet):
    def of_web() -> tuple[str, str, str]:
        """Image, a variable of the environment, a secret of its own."""
        (web,) = [box for box in fleet.processes("app2") if box.service == "web"]
        inside = fleet.apps["app2"].sh(f"docker exec {web.id} sh -c 'echo $RENEWED; cat /run/secrets/API_TOKEN'").split("\n")
        return fleet.apps["app2"].sh(f"docker inspect -f '{{{{.Image}}}}' {web.id}"), *inside

    old, before = fleet.settled(), of_web()
    fleet.renew()
    fleet.app.update({"version": "1.1.1", "secrets": {"API_TOKEN": "of a later release"}, "credentials": {"postgres": f"rotated-in-the-journey-{SEED}"}})
    fleet.play("another version, secret and password of the database").succeeded()
    assert fleet.settled() != old
    now = of_web()
    assert [a == b for a, b in zip(before, now, strict=True)] == [False] * 3, (before, now)
    fleet.rollback("rollback after a rotation").succeeded()
    assert fleet.settled() == old
    assert of_web() == before
    until(fleet.ready, 60, what="the application to be ready")
    assert fleet.web().add("after the rotation") > 0
    assert f"rotated-in-the-journey-{SEED}" in fleet.apps["app2"].sh(f"cat /etc/longshore/secrets/prod/example/{old}/DATABASE_URL.*")


def test_a_migration_alone_runs_once_for_the_fleet_and_leaves_what_serves(fleet):
    old = fleet.settled()
    schema_back(fleet)
    with fleet.changed():
        fleet.renew()
        fleet.app["version"] = "1.1.1"
        fleet.play("migrate", playbook="playbooks/migrate.yml").succeeded()
    assert fleet.host.sql("SELECT version_num FROM alembic_version") == "0004"
    row = fleet.history()[-1]
    assert [row[key] for key in ("kind", "result", "revision_before", "revision_after")] == ["migrate", "migrated", "0003", "0004"]
    assert fleet.settled() == old


def test_a_command_runs_once_with_the_environment_of_the_live_release(fleet):
    words = json.dumps({"app_command": ["python3", "-c", "import os; print('I am of', os.environ['APP_RELEASE'])"]})
    run = fleet.play("run", "-e", words, playbook="playbooks/run.yml").succeeded()
    assert run.output.count(f"I am of {fleet.live()}") == 1, run.end
    fleet.settled()


def test_the_logs_of_every_host_are_shown(fleet):
    run = fleet.play("logs", "-e", "app_process=web", "-e", "app_lines=5", playbook="playbooks/logs.yml").succeeded()
    for name in fleet.apps:
        assert 1 <= len(re.findall(rf"\[{name}\] example/web-1: ", run.output)) <= 5, run.end


def test_maintenance_is_shown_by_every_proxy_and_ends(fleet):
    fleet.play("maintenance on", "-e", "maintenance=on", playbook="playbooks/maintenance.yml").succeeded()
    answers = [web.get("/version") for web in fleet.webs()]
    fleet.play("maintenance off", "-e", "maintenance=off", playbook="playbooks/maintenance.yml").succeeded()
    assert [(answer.status, "retry-after" in answer.headers) for answer in answers] == [(503, True)] * 2
    assert [web.get("/version").status for web in fleet.webs()] == [200] * 2


def test_unlock_ends_the_lease_of_a_dead_run(fleet):
    holder = {"run": "77", "number": 1, "owner": "ci@runner", "stage": "started", "taken": 1700000000, "expires": 99999999999}
    fleet.apps["app1"].sh(f"echo '{json.dumps(holder)}' > {APP}/lease.json")
    run = fleet.play("unlock", playbook="playbooks/unlock.yml").succeeded()
    assert "the lease of ci@runner (run 77) has ended" in run.output, run.end
    assert fleet.lease_has_ended()


def test_more_web_containers_come_and_go_without_a_failed_request(fleet):
    def scale(number: str) -> set[tuple[str, int]]:
        fleet.play(f"scale to {number}", "-e", "app_process=web", "-e", f"app_replicas={number}", playbook="playbooks/scale.yml").succeeded()
        return {(name, len([box for box in fleet.processes(name) if box.service == "web" and box.well])) for name in fleet.apps}

    fleet.settled()
    with fleet.load(rate=60, slow=1) as load:
        more, again = scale("2"), scale("inventory")
    figure(f"           scaled to 2 and back: {load.result.line()}")
    assert (more, again) == ({("app1", 2), ("app2", 2)}, {("app1", 1), ("app2", 1)})
    assert load.result.failures == [], load.result.first_failures()
    fleet.settled()


@pytest.mark.skipif(not SOAK, reason="thirty deploys are for the soak")
def test_the_disk_does_not_grow_over_thirty_deploys_of_versions_with_layers_of_their_own(fleet, images, tmp_path):
    seen = []
    for number in range(30):
        fleet.app["version"] = f"2.0.{number}"
        with new_version(images["applications"]["longshore.test/example:1.1.1"], f"longshore.test/example:2.0.{number}", tmp_path) as archive:
            fleet.app["archive"] = str(archive)
            fleet.deploy(f"version 2.0.{number}").succeeded()
        seen.append({name: footprint(host) for name, host in fleet.apps.items()})
    figure(f"           kilobytes, images, releases and secrets after each of {len(seen)} deploys: {[list(look['app1'].values()) for look in seen]}")
    fleet.settled()
    # From there on each deploy prunes what an earlier one of them brought.
    full = seen[2 * fleet.app["deploy"]["keep"]]
    for name, last in seen[-1].items():
        assert {**last, "kilobytes": 0} == {**full[name], "kilobytes": 0}, (name, full, last)
        assert last["kilobytes"] - full[name]["kilobytes"] < 2 * LAYER_KILOBYTES, (name, full, last)
        tags = fleet.apps[name].sh("docker images --format '{{.Tag}}' longshore.test/example").split()
        assert sorted(tag for tag in tags if tag.startswith("2.0.")) == ["2.0.27", "2.0.28", "2.0.29"], tags
