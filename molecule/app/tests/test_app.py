# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

APP = "label=stack.longshore.service=shop"


@pytest.fixture
def containers(host):
    """By process the running containers of the application."""

    def look():
        ids = host.check_output(f"docker ps -q --filter {APP}").split()
        found = {}
        for data in json.loads(host.check_output(f"docker inspect {' '.join(ids)}")) if ids else []:
            found.setdefault(data["Config"]["Labels"]["stack.longshore.process"], []).append(data)
        return found

    return look


@pytest.fixture
def answer(host):
    """What the application answers at the switch, where the edge asks."""

    def ask(path="/", more=""):
        address = host.check_output("docker inspect -f '{{.NetworkSettings.Networks.molecule_edge.IPAddress}}' molecule-switch-switch-1")
        return host.check_output(f"curl -sS -m 5 {more} http://{address}:20001{path}")

    return ask


@pytest.fixture
def policies(host):
    """By release, the restart policies of its containers."""

    def look():
        found = {}
        for data in json.loads(host.check_output(f"docker inspect $(docker ps -aq --filter {APP})")):
            found.setdefault(data["Config"]["Labels"]["stack.longshore.release"], set()).add(data["HostConfig"]["RestartPolicy"]["Name"])
        return found

    return look


def ids(found):
    return {process: [data["Id"] for data in entries] for process, entries in found.items()}


def test_the_release_runs_and_is_marked_live(host, containers, answer, hardened):
    release = answer().split()[1]
    assert answer() == f"first {release} 18"
    assert host.check_output("readlink /opt/molecule/apps/shop/live") == f"releases/{release}"
    assert set(containers()) == {"web", "beat"}
    for found in containers().values():
        for data in found:
            hardened(data["Id"], secrets_in_environment=True)


def test_plain_compose_in_the_link_to_the_live_release_means_its_containers(host, containers, answer):
    there = {data["Id"] for found in containers().values() for data in found}
    assert set(host.check_output("cd /opt/molecule/apps/shop/live && docker compose ps -q").split()) == there
    assert answer().split()[1] in host.check_output("cd /opt/molecule/apps/shop/live && docker compose exec -T web env")


def test_its_secrets_are_files_of_root_alone(host):
    listed = host.check_output("find /etc/longshore -type f -printf '%m %u\\n' | sort -u").splitlines()
    assert set(listed) <= {"400 root", "600 root"}


def test_another_environment_is_another_release_and_the_old_one_goes(host, containers, answer, converge):
    before = ids(containers())
    assert converge(shop_text="second").rc == 0
    assert answer().startswith("second ")
    after = ids(containers())
    assert not set(before["web"]) & set(after["web"])
    assert len(after["web"]) == len(after["beat"]) == 1
    assert host.check_output(f"docker ps -aq --filter {APP} | wc -l") == "2"
    assert len(host.file("/opt/molecule/apps/shop/releases").listdir()) == 2


def test_releases_that_are_too_old_go_with_their_secrets_and_images(host, converge):
    for text in ("third", "fourth", "fifth", "second"):
        assert converge(shop_text=text).rc == 0
    kept = host.file("/opt/molecule/apps/shop/releases").listdir()
    assert len(kept) == 3
    assert sorted(host.file("/etc/longshore/secrets/molecule/shop").listdir()) == sorted(kept)
    assert sorted(host.check_output("docker images --format '{{.Tag}}' longshore/molecule-shop").split()) == sorted(kept)


def test_a_rollback_brings_back_environment_and_secrets_of_that_release(answer, converge):
    assert converge(shop_text="later", shop_key="canary").rc == 0
    text, later, length = answer().split()
    assert (text, length) == ("later", "6")
    assert converge(app_rollback=True).rc == 0
    text, _release, length = answer().split()
    assert (text, length) == ("second", "18")
    assert converge(app_release=later).rc == 0
    assert answer() == f"later {later} 6"
    assert converge(app_release=later).changed("app-trixie") == 0


def test_only_the_live_release_starts_after_a_reboot(answer, policies, reboot, containers, host):
    before = answer()
    assert policies() == {before.split()[1]: {"unless-stopped"}}
    reboot()
    host.run("for i in $(seq 60); do docker inspect -f '{{.State.Health.Status}}' molecule-switch-switch-1 | grep -qx healthy && break; sleep 0.5; done")
    host.run("for i in $(seq 60); do docker ps --filter health=healthy --filter label=stack.longshore.process=web -q | grep -q . && break; sleep 0.5; done")
    # The switch asks once a second, and a container may have another address now.
    for _try in range(40):
        if answer() == before:
            break
        host.run("sleep 0.5")
    assert answer() == before
    assert {process: len(found) for process, found in containers().items()} == {"web": 1, "beat": 1}


def test_a_release_that_is_not_kept_is_refused_and_the_kept_ones_are_named(answer, converge):
    before = answer()
    refused = converge(app_release="9.9.9-00000000")
    assert refused.rc != 0
    assert "9.9.9-00000000" in refused.output and before.split()[1] in refused.output
    assert answer() == before


def test_a_run_is_refused_while_another_has_the_lease(host, answer, converge):
    before = answer()
    lease = '{"run": "77", "number": 1, "owner": "ci@runner", "stage": "started", "taken": 1700000000, "expires": 99999999999}'
    host.check_output("echo %s > /opt/molecule/apps/shop/lease.json", lease)
    refused = converge(shop_text="other")
    assert refused.rc != 0
    assert "being released by ci@runner (run 77, stage started" in refused.output
    assert answer() == before
    host.check_output("rm /opt/molecule/apps/shop/lease.json")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"shop_migration": ["sh", "-c", "echo the table is not there >&2; exit 3"]}, "the table is not there"),
        ({"shop_migration": ["sleep", "300"]}, "20 s"),
        ({"shop_command": ["sh", "-c", "echo cannot read the configuration; exit 4"]}, "cannot read the configuration"),
        ({"shop_command": ["sleep", "300"]}, "is unhealthy"),
    ],
    ids=["the migration fails", "the migration hangs", "the new container crashes", "the new container does not become healthy"],
)
def test_a_release_that_fails_leaves_the_old_one_running(host, containers, answer, converge, fault, said):
    assert converge(shop_text="second").rc == 0
    before = ids(containers())
    broken = converge(shop_text="third", stack_wait_timeout=20, **fault)
    assert broken.rc != 0
    assert said in broken.output
    assert answer().startswith("second ")
    assert ids(containers()) == before
    assert host.check_output(f"docker ps -aq --filter {APP} | wc -l") == "2"


def test_the_next_good_release_goes_live(answer, converge):
    assert converge(shop_text="third").rc == 0
    assert answer().startswith("third ")


# -- files that outlive a release ------------------------------------------------------------------------------------------------


STATUS = "-o /dev/null -w '%{http_code}'"


def test_a_volume_outlives_releases_and_all_processes_have_it(host, containers, answer, converge):
    assert converge(shop_text="sixth").rc == 0
    release, notes = answer().split()[1], answer("/notes").splitlines()
    assert notes[-1] == release and len(set(notes)) > 5, "those before have left their notes"
    (beat,) = containers()["beat"]
    assert host.check_output(f"docker exec {beat['Id']} tail -1 /app/media/notes") == release
    assert host.check_output("stat -c '%u:%g %a' /var/lib/molecule/shop/volumes/media") == "10001:10001 750"


def test_static_files_of_the_release_before_are_served_also_after_a_rollback_and_those_of_older_ones_are_not(answer, converge):
    assert converge(shop_text="seventh").rc == 0
    assert [answer(f"/static/{text}.js", STATUS) for text in ("seventh", "sixth", "third")] == ["200", "200", "404"]
    assert answer("/static/sixth.js") == "sixth"
    assert converge(app_rollback=True).rc == 0
    assert answer().startswith("sixth ")
    assert [answer(f"/static/{text}.js", STATUS) for text in ("seventh", "sixth", "third")] == ["200", "200", "200"]


def test_static_files_go_with_their_release(host, converge):
    assert converge(shop_text="eighth").rc == 0
    kept = host.file("/opt/molecule/apps/shop/releases").listdir()
    assert sorted(host.file("/var/lib/molecule/shop/static").listdir()) == sorted(kept)


# -- what is said ----------------------------------------------------------------------------------------------------------------


def test_a_secret_of_the_environment_is_in_no_output_however_much_is_asked_for_and_whatever_tells_it(host, answer, converge):
    tells = ["sh", "-c", "echo the key is $SHOP_KEY; exit 3"]
    foretold = converge("-vvv", "--diff", "--check", shop_text="told")
    failed = converge("-vvv", "--diff", shop_text="told", shop_migration=tells)
    live = converge("-vvv", "--diff", shop_text="told")
    assert (foretold.rc, live.rc) == (0, 0) and answer().startswith("told ")
    assert failed.rc != 0 and "the key is ***" in failed.output
    for run in (foretold, failed, live):
        assert "canary-of-the-shop" not in run.output
    # The bracket keeps the command itself from being found.
    assert host.run("grep -rl 'canary-of-the-[s]hop' /opt/molecule").stdout == ""
    assert host.check_output("grep -rl 'the key is' /opt/molecule/apps/shop/releases") != ""
    assert host.check_output("journalctl --no-pager | grep -c 'canary-of-the-[s]hop' || true") == "0"


# -- canary, hooks, windows ------------------------------------------------------------------------------------------------------


class Visitor(threading.Thread):
    """Asks for a page again and again, on the host, from the beginning of the block to its end: text and status of each answer."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.answers, self.host = [], host

    def run(self):
        address = self.host.check_output("docker inspect -f '{{.NetworkSettings.Networks.molecule_edge.IPAddress}}' molecule-switch-switch-1")
        loop = f"while [ ! -e /tmp/over ]; do curl -s -m 5 -w ' %{{http_code}}\\n' http://{address}:20001/page; sleep 0.1; done"
        lines = self.host.check_output(f"rm -f /tmp/over; {loop}").splitlines()
        self.answers = [(line.split()[0], line.split()[-1]) for line in lines]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.host.check_output("touch /tmp/over")
        self.join(20)


def test_a_canary_serves_beside_the_old_release_before_the_new_one_serves_alone(host, answer, converge):
    assert converge(shop_text="many", shop_replicas=2).rc == 0
    with Visitor(host) as visitor:
        run = converge(shop_text="canary", shop_replicas=2, shop_deploy={"canary": "replica", "canary_seconds": 6})
    assert run.rc == 0 and "switched 1 of each web process, beside what serves" in run.output
    texts = [text for text, status in visitor.answers]
    assert {status for _text, status in visitor.answers} == {"200"}
    together = texts[texts.index("canary") : len(texts) - texts[::-1].index("many")]
    assert together.count("many") > 3 and together.count("canary") > 3, "both have answered in turn"
    assert texts[-1] == "canary"


def test_a_canary_that_answers_with_errors_goes_back_and_the_old_release_has_never_stopped(host, containers, answer, converge):
    before = ids(containers())
    with Visitor(host) as visitor:
        run = converge(shop_text="broken", shop_replicas=2, shop_deploy={"canary": "replica", "canary_seconds": 60})
    assert run.rc != 0 and "requests failed; allowed are 5 %" in run.output
    assert run.output.count(": switched ") == 1 and answer().startswith("canary ")
    assert ids(containers())["web"] == before["web"]
    assert {text for text, status in visitor.answers if status == "200"} == {"canary"}


def test_a_release_that_is_kept_warm_takes_over_again_without_a_start(containers, answer, converge):
    asked = {"shop_replicas": 2, "shop_deploy": {"keep_previous": "warm"}}
    before, serving = {data["Id"]: data["State"]["StartedAt"] for data in containers()["web"]}, answer()
    assert converge(shop_text="cold", **asked).rc == 0
    assert answer().startswith("cold ")
    assert converge(app_rollback=True, **asked).rc == 0
    assert answer() == serving
    found = containers()
    assert before.items() <= {data["Id"]: data["State"]["StartedAt"] for data in found["web"]}.items(), "they ran all the time"
    assert (len(found["web"]), len(found["beat"])) == (4, 1), "the one that was left is warm now"


@pytest.mark.skipif(not os.environ.get("STACK_SOAK"), reason="it takes four releases; make soak runs it, the tests before have each of the two alone")
def test_a_canary_of_the_next_release_leads_nobody_to_the_one_that_is_kept_warm(host, containers, answer, converge):
    asked = {"shop_replicas": 2, "shop_deploy": {"keep_previous": "warm", "canary": "replica", "canary_seconds": 6}}
    before, serving = {data["Id"]: data["State"]["StartedAt"] for data in containers()["web"]}, answer()
    with Visitor(host) as visitor:
        assert converge(shop_text="mixed", **asked).rc == 0
    # The warm one is that of the test before, `cold`.
    assert {text for text, _status in visitor.answers} == {serving.split()[0], "mixed"} and {status for _text, status in visitor.answers} == {"200"}
    assert converge(app_rollback=True, **asked).rc == 0
    assert answer() == serving
    found = {data["Id"]: data["State"]["StartedAt"] for data in containers()["web"]}
    assert len(found) == 4 and len(set(found.items()) & set(before.items())) == 2, "what served before the canary ran all the time"


def test_a_process_that_must_not_overlap_stops_before_the_new_one_starts(host, answer, converge):
    since = host.check_output("date +%s")
    assert converge(shop_text="alone", shop_strategy="recreate").rc == 0
    assert answer().startswith("alone ")
    labels = "--filter label=stack.longshore.process=web --filter label=com.docker.compose.oneoff=False"
    seen = host.check_output(
        f"docker events --since {since} --until $(date +%s) --filter event=start --filter event=die {labels} --format '{{{{.Action}}}}'"
    ).split()
    assert seen.count("start") == 1 and seen[-1] == "start" and seen.count("die") >= 2, seen
    assert converge(shop_text="canary", shop_replicas=2).rc == 0


def test_a_hook_that_fails_before_the_switch_leaves_the_old_release_and_says_why(answer, converge):
    hooks = [{"stage": "switch", "command": ["sh", "-c", "echo $APP_RELEASE: the cache is cold; exit 3"]}, {"stage": "failed", "command": ["echo", "alarm"]}]
    run = converge(shop_text="hooked", shop_replicas=2, shop_hooks=hooks)
    assert run.rc != 0 and answer().startswith("canary ")
    assert re.search(r"exited 3\s+1-\w{8}: the cache is cold", run.output) and "-hook: alarm" in run.output, run.output


def test_hooks_run_in_the_new_release_and_tasks_of_the_user_know_it(host, answer, converge, tmp_path):
    tasks = tmp_path / "announce.yml"
    # The first of them finds the static files of its release, which no container of it has asked for yet.
    commands = {"migrate": "cat /app/static/$SHOP_TEXT.js", "start": "echo $SHOP_TEXT $APP_HOOK"}
    early = [{"stage": stage, "command": ["sh", "-c", command]} for stage, command in commands.items()]
    tasks.write_text('- ansible.builtin.debug: {msg: "announced {{ app_hook.place }} of {{ app_hook.release }}, before {{ app_hook.before }}"}\n')
    hooks = [{"stage": "live", "when": "after", "tasks": str(tasks)}, *early]
    old = answer().split()[1]
    assert host.run("ls /var/lib/molecule/shop/static/*/0/early.js").rc != 0, "it is there before the hook needs it"
    run = converge(shop_text="early", shop_replicas=2, shop_hooks=hooks)
    assert run.rc == 0, run.output
    release = answer().split()[1]
    assert f"announced after live of {release}, before {old}" in run.output and "-hook: early before start" in run.output
    assert "early before start" in host.check_output("cat /opt/molecule/apps/shop/live/hooks.log")
    assert host.check_output("docker ps -aq --filter name=-hook | wc -l") == "0"


def test_outside_of_its_window_a_release_is_refused_and_a_rollback_is_not(answer, converge):
    closed = {"windows": [f"{(datetime.now(UTC) + timedelta(days=2)):%a} 00:00-24:00".lower()]}
    before = answer()
    run = converge(shop_text="late", shop_replicas=2, shop_deploy=closed)
    assert run.rc != 0 and "may not be released now: it is " in run.output and "-e app_outside_window=true" in run.output
    assert answer() == before
    assert converge(shop_text="early", shop_replicas=2, shop_deploy=closed).rc == 0, "there is nothing to release"
    assert converge(shop_text="early", shop_replicas=2, shop_deploy=closed, app_rollback=True).rc == 0
    assert converge(shop_text="late", shop_replicas=2, shop_deploy=closed, app_outside_window=True).rc == 0
    assert answer().startswith("late ")


def test_a_release_that_wants_a_word_is_made_with_it_alone(answer, converge):
    asked = {"shop_text": "said", "shop_replicas": 2, "shop_deploy": {"confirm": True}}
    assert "add -e confirm=molecule" in converge(**asked).output
    assert answer().startswith("late ")
    assert converge(**asked, confirm="molecule").rc == 0
    assert answer().startswith("said ")


# -- scale -----------------------------------------------------------------------------------------------------------------------


def test_more_and_fewer_containers_serve_without_a_failed_request_until_the_number_is_taken_back(host, containers, answer, converge):
    # Beside another playbook than the scenario's own they would be looked for there.
    now = {"shop_text": "scaled", "shop_replicas": 2, "shop_files": str(Path(__file__).parent.parent / "files")}
    assert converge(**now).rc == 0
    two = set(ids(containers())["web"])

    def scale(process, number, *args):
        return converge(*args, playbook="../../playbooks/scale.yml", **now, app_process=process, app_replicas=number)

    looked = scale("web", 4, "--check", "--diff")
    assert looked.rc == 0 and "+web: 4" in looked.output, looked.output
    assert set(ids(containers())["web"]) == two
    with Visitor(host) as visitor:
        more = scale("web", 4)
        four = set(ids(containers())["web"])
        fewer = scale("web", 1)
    assert (more.rc, fewer.rc) == (0, 0), more.output + fewer.output
    assert two < four and len(four) == 4
    assert "scaled by hand: shop/web: 4" in more.output
    assert {status for _text, status in visitor.answers} == {"200"} and len(visitor.answers) > 20
    (one,) = ids(containers())["web"]
    assert one in two
    assert converge(**now).changed("app-trixie") == 0, "it holds over a run that has nothing to release"
    assert scale("web", "inventory").rc == 0 and len(containers()["web"]) == 2
    refused = scale("beat", 2)
    assert refused.rc != 0 and "beat must not run twice" in refused.output
    assert scale("web", "many").rc != 0
