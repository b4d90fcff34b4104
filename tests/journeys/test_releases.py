# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases on two application hosts behind two proxies, under load: back and forth, with faults, kills and reboots. The order counts."""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from journey_faults import FAULTS, Fault, begins, schema_back, stages
from journey_fleet import APP, Diary, Fleet, Lookout, Tasks, footprint
from journey_images import LAYER_KILOBYTES, new_version
from journey_support import SOAK, Host, Run, figure, until
from load import Result

SEED = int(os.environ.get("JOURNEY_SEED") or time.time())
# A sample leaves two cores something for the deploys, which then take half the time.
DEPLOYS, ROLLBACKS, TASKS, RATE = (10, 10, 1000, 200) if SOAK else (1, 1, 100, 100)
# Of each kind, always open while releases change.
OPEN = 4
# Seconds of a task that a worker has in its hands when it has to go.
LONG = 30 if SOAK else 15
ENDS = [(how, stage) for stage in stages() for how in ("killed", "cut off")]


def some(of: list, number: int, what: str) -> list:
    """All of it in the whole matrix, else a sample that is printed."""
    if SOAK:
        return of
    sample = random.Random(f"{SEED} {what}").sample(of, number)
    figure(f"           sample of {what} (JOURNEY_SEED={SEED}): {'; '.join(getattr(one, '__name__', str(one)) for one in sample)}")
    return sample


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
    with fleet.load(rate=50, streams=1, sockets=1) as load:
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
    releases: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def storm(fleet) -> Storm:
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
    return Storm(runs, load.result, switches, long, tasks, diary, beats.looks, first_tick, releases)


def test_no_request_fails_while_releases_come_and_go(storm):
    result = storm.load
    figure(f"           {DEPLOYS} deploys, {ROLLBACKS} rollbacks: {result.line()}")
    seconds = [float(took) for run in storm.runs for took in re.findall(r"switched in (\S+) s", run.output)]
    around = max(result.percentile(0.99, moment - 1, moment + 1) for moment in storm.switches)
    figure(f"           switches: {len(seconds)}, the longest {max(seconds):.2f} s; p99 in the second around one at most {around:.0f} ms")
    assert result.failures == [], result.first_failures()
    # A machine with other work answers later, not fewer than this.
    assert result.requests >= 2000 * len(storm.runs), result.line()
    assert result.count("slow") >= 4 and result.count("upload") >= 20, result.line()
    # Every release that was live in between has answered, and one that is gone answers no more.
    assert set(result.releases) == set(storm.releases), (result.releases, storm.releases)


def test_streams_and_sockets_end_properly_at_the_end_of_a_drain(storm):
    for kind, counted in storm.load.open.items():
        # With each change all of them, however long they would have gone on.
        assert counted["ended"] >= OPEN * len(storm.runs), (kind, counted)
        assert counted["broken"] == 0 and counted["opened"] == counted["ended"] + OPEN, (kind, counted)


def test_a_deploy_tells_what_was_ended_at_the_end_of_its_drain_and_that_nothing_was_cut_off(fleet, storm):
    told = [re.findall(r"\((\d+) requests ended by the application then, (\d+) cut off\)", run.output) for run in storm.runs]
    assert {len(lines) for lines in told} == {len(fleet.apps)}, told
    assert {cut for lines in told for _ended, cut in lines} == {"0"}, told
    assert min(sum(int(ended) for ended, _cut in lines) for lines in told) >= 2 * OPEN, told
    figure(f"           open at the end of a drain, on all hosts, and ended by the application: {[sum(int(ended) for ended, _cut in lines) for lines in told]}")


def test_a_rollback_leads_to_the_release_before(storm):
    assert storm.releases[DEPLOYS + 1] == storm.releases[DEPLOYS - 1]


def test_every_task_that_was_sent_meanwhile_is_done(fleet, storm):
    assert storm.tasks.refused == []
    sent = set(storm.tasks.sent)
    assert len(sent) >= TASKS

    def left() -> set[str]:
        return sent - set(fleet.host.sql("SELECT task_id FROM celery_taskmeta WHERE status = 'SUCCESS'").splitlines())

    until(lambda: not left(), what="all tasks to be done")
    repeats = sum(len(storm.diary.who("job done", task)) - 1 for task in sent if storm.diary.who("job done", task))
    figure(f"           {len(sent)} tasks sent while releases changed, all done; {repeats} of them more than once")


def test_a_long_task_is_finished_by_the_worker_that_began_it(fleet, storm):
    there = {box.id for name in fleet.apps for box in fleet.processes(name)}
    began = {task: storm.diary.who("received", task) for task in storm.long}
    done = {task: storm.diary.who("job done", task) for task in storm.long}
    assert done == began and all(len(who) == 1 for who in done.values()), (began, done)
    assert any(who[0] not in there for who in done.values()), "none of them was in the hands of a worker that had to go"


def test_there_are_never_two_beats_and_no_tick_is_lost_for_longer_than_a_switch(fleet, storm):
    assert max(storm.beats) == 1, storm.beats
    gap = fleet.gap(storm.first_tick)
    away = max(len(list(looks)) for looks in "".join(map(str, storm.beats)).split("1"))
    figure(f"           beat: longest gap between ticks {gap:.0f} s (period {fleet.app['env']['TICK_SECONDS']} s), none at {away} looks in a row")
    assert gap <= 30


# -- faults ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", some(FAULTS, 2, "faults"), ids=lambda fault: fault.name)
def test_a_release_that_cannot_be_leaves_the_old_one_serving_everywhere(fleet, fault: Fault):
    until(fleet.lease_has_ended, what="the end of the lease")
    old = fleet.settled()
    kept = {name: {box.id for box in fleet.processes(name)} for name in fleet.apps}
    with fleet.changed(), fleet.load(rate=60, slow=1) as load:
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
    if SOAK or fault.lost:
        good_deploy(fleet, f"good deploy after: {fault.name}")


def good_deploy(fleet: Fleet, title: str) -> None:
    until(fleet.lease_has_ended, what="the end of the lease")
    fleet.renew()
    before = fleet.live()
    with fleet.load(rate=60) as load:
        fleet.deploy(title).succeeded()
    assert load.result.failures == [], load.result.first_failures()
    assert fleet.settled() != before


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


# -- the deployer dies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "stage"), some(ENDS, 1, "stages at which the deployer's run ends"))
def test_a_deploy_that_ends_half_way_fails_no_request_and_the_next_one_settles_the_fleet(fleet, how, stage):
    fleet.settled()
    fleet.renew()
    first_tick = fleet.last_tick()
    delay = random.Random(f"{SEED} {stage}").uniform(0, 2)
    with fleet.load(rate=60, slow=1) as load, Lookout(fleet, "beat") as beats:
        if how == "killed":
            run = fleet.deploy(f"killed at: {stage}", kill=lambda line: begins(line, stage), delay=delay)
            assert run.killed, run.end
        else:
            run = fleet.deploy(f"cut off at: {stage}", watch=lambda line: begins(line, stage) and threading.Timer(delay, fleet.cut, ("app2",)).start())
            fleet.mend("app2")
        # Whoever comes from elsewhere waits for its end; the same controller sees that the other run is dead.
        if SOAK and stages().index(stage) % 2:
            until(fleet.lease_has_ended, what="the end of the lease")
        fleet.deploy(f"the run after: {how} at {stage}").succeeded()
    assert load.result.failures == [], load.result.first_failures()
    assert max(beats.looks) == 1 and beats.looks[-1] == 1, beats.looks
    fleet.settled()
    figure(f"           {how} at '{stage}': {load.result.line()}; longest gap between ticks {fleet.gap(first_tick):.0f} s")


# -- reboots ---------------------------------------------------------------------------------------------------------------------


def reboot_during_a_deploy(fleet: Fleet) -> None:
    old, rebooted = fleet.settled(), threading.Event()

    def reboot() -> None:
        fleet.apps["app1"].reboot()
        rebooted.set()

    with fleet.changed():
        fleet.renew()
        run = fleet.deploy("app1 reboots", watch=lambda line: begins(line, "Switch to") and threading.Thread(target=reboot).start())
    assert run.rc != 0, run.end
    assert rebooted.wait(120)
    assert fleet.live() == old
    until(lambda: one_release_runs(fleet, old), what=f"{old} alone to run")
    good_deploy(fleet, "the deploy after the reboot")


def one_release_runs(fleet: Fleet, release: str) -> bool:
    there = [box for name in fleet.apps for box in fleet.processes(name) if box.running]
    return sorted(box.service for box in there) == ["beat", "web", "web", "worker", "worker"] and {box.release for box in there} == {release}


def reboot_after_a_deploy(fleet: Fleet) -> None:
    release = fleet.settled()
    with ThreadPoolExecutor(len(fleet.apps)) as pool:
        list(pool.map(Host.reboot, fleet.apps.values()))
    until(lambda: one_release_runs(fleet, release), what=f"{release} alone to run")
    until(fleet.ready, what="the application to be ready")
    assert fleet.settled() == release


@pytest.mark.parametrize("reboot", some([reboot_during_a_deploy, reboot_after_a_deploy], 1, "reboots"), ids=lambda reboot: reboot.__name__)
def test_after_a_reboot_the_live_release_runs_and_nothing_else(fleet, reboot):
    reboot(fleet)


# -- what is shown, kept and taken back ------------------------------------------------------------------------------------------


def test_check_mode_shows_the_image_and_names_of_variables_and_changes_nothing(fleet):
    def all_there() -> dict[str, str]:
        look = f"ls -laR {APP} /etc/longshore; ls -A /run/longshore/look 2>/dev/null; docker ps -aq --no-trunc; docker images -q"
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


def history(fleet: Fleet) -> list[dict]:
    return [json.loads(line) for line in fleet.apps["app1"].sh(f"cat {APP}/history.jsonl").splitlines()]


def test_the_history_says_who_released_what_and_what_became_of_it(fleet):
    run = fleet.play("history", playbook="playbooks/history.yml").succeeded()
    rows = history(fleet)
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
    row = history(fleet)[-1]
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
        with new_version(images["applications"]["longshore.test/example:1.0.0"], f"longshore.test/example:2.0.{number}", tmp_path) as archive:
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
