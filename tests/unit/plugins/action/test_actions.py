# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller adds to compose_project, secret and report."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ansible_collections.longshore.stack.plugins.action import compose_project, image, logs, migration, release, report, secret

STACK = {
    "inventory_hostname": "box",
    "stack_name": "s",
    "stack_root": "/opt/s",
    "stack_secrets_root": "/secrets/s",
    "groups": {"postgres": ["box"]},
    "hostvars": {},
}


@pytest.fixture
def act(monkeypatch):
    """Runs an action whose module gives these answers, and its host's shell `said`; `act.sent` is what the module got, `act.shown` what was printed,
    `act.commands` what the shell was given."""

    def run(plugin, arguments, answers=(), variables=None, delegate_to=None, said=None):
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=False, diff=False, action="x", environment=None, delegate_to=delegate_to)
        action = plugin.ActionModule(
            task, SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)), None, None, SimpleNamespace(template=lambda value: value), None
        )
        queue, run.sent, run.shown, run.commands = list(answers), [], [], []

        def execute(name, module_args, task_vars):
            run.sent.append(module_args)
            return queue.pop(0)

        def shell(command):
            run.commands.append(command)
            return {"rc": 1, "stdout": ""} if said is None else {"rc": 0, "stdout": said}

        action._execute_module = execute
        action._low_level_execute_command = shell
        if hasattr(plugin, "Display"):
            monkeypatch.setattr(plugin, "Display", lambda: SimpleNamespace(display=run.shown.append))
        return action.run(task_vars={**STACK, **(variables or {})})

    return run


def test_in_a_stack_a_project_needs_no_more_than_its_service(act):
    act(compose_project, {"service": "valkey"}, [{"changed": False}])
    assert act.sent == [
        {"stack": "s", "project": "s-valkey", "path": "/opt/s/valkey", "secrets_path": "/secrets/s/valkey", "service": "valkey", "resume": {}},
    ]


def test_what_the_task_says_wins_over_the_names_of_the_stack(act):
    act(compose_project, {"service": "valkey", "path": "/elsewhere"}, [{"changed": False}])
    assert (act.sent[0]["path"], act.sent[0]["project"]) == ("/elsewhere", "s-valkey")


def test_an_image_that_the_first_call_of_the_run_has_seen_needs_no_call_of_its_own(act):
    record = {"name": "shop:1", "source": "registry", "ref": "shop:1", "id": "sha256:1", "digest": "sha256:d", "brought": True}
    here = {"Id": "sha256:1", "RepoTags": ["shop:1"], "RepoDigests": ["shop@sha256:d"]}
    known = {"__stack_roots": {"images": {"records": json.dumps({"shop:1": record}), "here": [here]}}}
    answer = {"changed": False, "ref": "shop:1", "id": "sha256:1", "digest": "sha256:d", "source": "registry"}
    assert act(image, {"name": "shop:1", "source": "registry"}, variables=known) == answer
    assert act.sent == []
    for other, variables in (({"name": "shop:2"}, known), ({}, {}), ({"state_path": "/elsewhere"}, known)):
        act(image, {"name": "shop:1", "source": "registry", **other}, [{"changed": False}], variables)
        assert len(act.sent) == 1
    act(image, {"name": "shop:1", "source": "registry", "refresh": True}, [{"changed": False}], known)
    assert len(act.sent) == 1, "the registry may have another one under that name"
    act(image, {"name": "shop:1", "source": "registry"}, [{"changed": False}], known, delegate_to="other")
    assert len(act.sent) == 1


def test_an_image_that_is_had_by_its_digest_needs_no_call_of_its_own_either(act):
    record = {"name": "shop@sha256:d", "source": "registry", "ref": "shop@sha256:d", "id": "sha256:1", "digest": "sha256:d", "brought": True}
    here = {"Id": "sha256:1", "RepoTags": [], "RepoDigests": ["shop@sha256:d"]}
    known = {"__stack_roots": {"images": {"records": json.dumps({"shop@sha256:d": record}), "here": [here]}}}
    assert not act(image, {"name": "shop@sha256:d", "source": "registry"}, variables=known)["changed"]
    assert act.sent == []


def test_a_start_that_takes_long_prints_a_line_and_goes_on(act):
    answers = [{"changed": True, "pending": True, "progress": "waiting for x", "resume": {"started": 1}}, {"changed": False, "actions": {}}]
    assert act(compose_project, {"service": "valkey"}, answers)["changed"]
    assert act.shown[0].startswith("[box] valkey: waiting for x, ")
    assert [sent["resume"] for sent in act.sent] == [{}, {"started": 1}]


def test_each_stage_of_a_release_that_touches_what_runs_says_a_line(act):
    facts = {"changed": True, "of": "1-x", "live": "0-x", "seconds": 1.25, "switch_seconds": 0.031, "drain_seconds": 2.04, "ended": 4, "cut": 3}
    said = {}
    for state in ("leased", "prepared", "started", "handed_over", "taken_over", "switched", "watched", "live", "retired", "taken_back", "stood_by", "recorded"):
        act(release, {"state": state, "app": "shop"}, [dict(facts)])
        said[state] = act.shown[0].removeprefix("[box] shop 1-x: ") if act.shown else ""
    assert said == {
        **dict.fromkeys(("leased", "recorded"), ""),
        "prepared": "prepared in 1.2 s",
        "handed_over": "what must not run twice stopped elsewhere in 1.2 s",
        "started": "started in 1.2 s",
        "taken_over": "took over what must not run twice in 1.2 s",
        "switched": "switched in 0.03 s",
        "watched": "watched for 1 s, nothing failed",
        "live": "live in 1.2 s",
        "retired": "drained in 2.0 s (4 requests ended by the application then, 3 cut off), older releases retired in 1.2 s",
        "taken_back": "taken back in 1.2 s, 0-x serves",
        "stood_by": "left as it is for the next run in 1.2 s, 0-x is live here",
    }
    act(release, {"state": "prepared", "app": "shop"}, [{**facts, "settled": True}])
    assert act.shown == [], "nothing is left to do"
    act(release, {"state": "recorded", "app": "shop"}, [{**facts, "summary": "live on box"}])
    assert act.shown == ["[box] shop 1-x: live on box"]
    act(release, {"state": "unlocked", "app": "shop"}, [{"changed": True, "of": "", "seconds": 0.1, "msg": "the lease of ann has ended"}])
    assert act.shown == ["[box] shop: the lease of ann has ended"]
    act(release, {"state": "switched", "app": "shop", "replicas": 1}, [dict(facts)])
    assert act.shown == ["[box] shop 1-x: switched 1 of each web process, beside what serves, in 0.03 s"]


def test_after_a_first_deploy_that_was_taken_back_nothing_serves(act):
    act(release, {"state": "taken_back", "app": "shop"}, [{"changed": True, "of": "1-x", "live": "", "seconds": 1.0}])
    assert act.shown == ["[box] shop 1-x: taken back in 1.0 s, nothing serves"]


def test_a_stage_that_failed_or_was_only_foretold_says_no_line(act):
    for answer in ({"failed": True, "msg": "no", "seconds": 1.0}, {"changed": True, "done": [], "msg": "shop would be live"}):
        act(release, {"state": "live", "app": "shop"}, [answer])
        assert act.shown == []


def test_what_an_earlier_call_has_brought_about_is_said_and_not_done_again(act):
    known = {"live": {"changed": True, "of": "1-x", "seconds": 0.4}}
    result = act(release, {"state": "live", "app": "shop", "spec": {"release": "1-x"}, "ahead": known}, [])
    assert (result["changed"], act.sent) == (True, [])
    assert act.shown == ["[box] shop 1-x: live in 0.4 s"]
    # The release of another application, or another state, has its own turn.
    for arguments in ({"state": "live", "spec": {"release": "2-y"}}, {"state": "retired", "spec": {"release": "1-x"}}):
        act(release, {"app": "shop", "ahead": known, **arguments}, [{"changed": False, "of": "", "settled": True}])
        assert [sent["state"] for sent in act.sent] == [arguments["state"]] and "ahead" not in act.sent[0]


def test_a_release_lives_below_the_stack_and_is_asked_slice_by_slice(act):
    answers = [{"changed": True, "pending": True, "progress": "waiting for web", "resume": {"began": 1}}, {"changed": False, "of": "1-x", "seconds": 9.0}]
    assert act(release, {"state": "started", "app": "shop"}, answers)["changed"]
    assert [(sent["path"], sent["resume"]) for sent in act.sent] == [("/opt/s/apps/shop", {}), ("/opt/s/apps/shop", {"began": 1})]
    assert act.shown[1] == "[box] shop 1-x: started in 9.0 s"
    act(release, {"state": "started", "app": "shop", "path": "/elsewhere"}, [{"changed": False}])
    assert act.sent[0]["path"] == "/elsewhere"


def test_a_migration_says_whose_it_is_and_what_became_of_it(act):
    done = {"changed": True, "msg": "migrated", "revision_before": None, "revision_after": "0004", "duration": 1.5}
    act(migration, {"project": "s-shop-1-x", "lock": "s-shop"}, [{"changed": False, "pending": True, "progress": "upgrading"}, done])
    assert act.shown[0].startswith("[box] migration of s-shop: upgrading, ")
    assert act.shown[1] == "[box] migration of s-shop: migrated (0004) in 1.5 s"
    act(migration, {"project": "s-shop-1-x", "lock": "s-shop"}, [{**done, "revision_before": "0003"}])
    assert act.shown == ["[box] migration of s-shop: migrated (0003 -> 0004) in 1.5 s"]
    assert act(migration, {"project": "s-shop-1-x", "release": "1-x"}, [done])["of"] == "1-x"


def test_an_image_that_was_brought_says_so_in_a_line_and_one_that_was_there_does_not(act):
    here = {"ref": "x/shop@sha256:1", "id": "sha256:2", "digest": "sha256:1", "source": "registry"}
    act(image, {"name": "x/shop@sha256:1", "source": "registry"}, [{"changed": True, **here}])
    assert act.shown == ["[box] shop image: there by registry in 0.0 s"]
    act(image, {"name": "x/shop@sha256:1", "source": "registry"}, [{"changed": False, **here}])
    assert act.shown == []


def test_the_host_is_asked_only_for_the_secrets_that_nobody_gave(act):
    apps = [{"name": "shop", "needs": ["postgres"], "secrets": {"KEY": "given"}}]
    answer = {"changed": True, "secrets": {"postgres_admin": "made", "postgres_shop": "made"}, "made": ["postgres_admin", "postgres_shop"]}
    result = act(secret, {"path": "/secrets/s"}, [answer], {"stack_apps": apps})
    assert act.sent == [{"path": "/secrets/s", "names": ["postgres_admin", "postgres_shop"]}]
    assert result["secrets"] == {"postgres_admin": "made", "postgres_shop": "made", "app_shop_KEY": "given"}


def test_secrets_that_were_all_made_before_are_read_from_their_file(act):
    assert act(secret, {"path": "/s s", "names": ["a"]}, said='{"a": "made", "b": "other"}') == {"changed": False, "secrets": {"a": "made"}, "made": []}
    assert act.commands == ["cat '/s s/made.json'"]
    for said in ('{"b": "other"}', "not json", "[]", None):
        assert act(secret, {"path": "/s", "names": ["a"]}, [{"changed": True, "secrets": {"a": "new"}, "made": ["a"]}], said=said)["made"] == ["a"]


def test_where_all_secrets_are_given_no_host_is_asked(act):
    assert act(secret, {"path": "/secrets/s"}, [], {"postgres_password": "p"}) == {"changed": False, "secrets": {"postgres_admin": "p"}, "made": []}


def test_a_failure_of_the_host_is_handed_on(act):
    assert act(secret, {"path": "/s", "names": ["a"]}, [{"failed": True, "msg": "no"}]) == {"failed": True, "msg": "no"}


def test_the_report_has_title_table_and_notes(act):
    entry = {"service": "postgres", "process": "", "release": "", "image": "postgres:17", "state": "running", "health": "healthy"}
    entry |= {"age": 9e9, "up": 61.0, "restarts": 0, "address": "172.20.0.7"}
    assert act(report, {"stack": "s", "hosts": {"box": [entry]}, "notes": ["look here"], "scaled": {"box": ["shop/web: 4"]}}) == {"changed": False}
    assert act.shown == [
        "",
        "s",
        "-",
        "host  service   version      health   changed       address",
        "box   postgres  postgres:17  healthy  up 1 min 1 s  postgres:5432",
        "look here",
        "scaled by hand: shop/web: 4",
        "",
    ]


def test_the_report_says_how_to_reach_consoles_as_the_user_of_the_run(act, monkeypatch):
    monkeypatch.setattr(report.context, "CLIARGS", {"remote_user": "deploy"})
    entry = {"service": "rabbitmq", "process": "", "release": "", "image": "rabbitmq:4", "state": "running", "health": "healthy"}
    entry |= {"age": 9e9, "up": 61.0, "restarts": 0, "address": "172.20.0.5"}
    act(report, {"stack": "s", "hosts": {"box": [entry]}, "notes": ["look here"]})
    line = "consoles on box: http://127.0.0.1:15672 (rabbitmq), after: ssh -N -L 15672:172.20.0.5:15672 deploy@box"
    assert act.shown[-3:] == [line, "look here", ""]


def test_a_host_that_has_no_such_container_says_so_and_one_whose_containers_said_nothing_does_not(act):
    asked = {"stack": "s", "apps": ["shop"], "process": "beat"}
    act(logs, asked, [{"changed": False, "sources": [], "lines": []}])
    assert act.shown == ["[box] no container of shop/beat is on this host"]
    act(logs, asked, [{"changed": False, "sources": ["shop/beat-1"], "lines": []}])
    assert act.shown == []
    act(logs, asked, [{"failed": True, "msg": "no engine"}])
    assert act.shown == []
    act(logs, asked, [{"changed": False, "sources": ["shop/beat-1"], "lines": [["2026-11-24T10:00:00.123456789Z", "shop/beat-1", "tick"]]}])
    assert act.shown == ["2026-11-24T10:00:00.123Z [box] shop/beat-1: tick"]


def test_the_report_of_a_run_says_how_long_it_took(act, monkeypatch):
    monkeypatch.setattr(report.time, "time", lambda: 1185.0)
    act(report, {"stack": "s", "hosts": {}, "started": "1000"})
    assert act.shown[1] == "s, took 3 min 5 s"


def test_who_has_the_lease_is_part_of_what_is_listed(act):
    assert act(release, {"state": "listed", "app": "shop"}, [{"changed": False, "holder": "ann has it"}])["holder"] == "ann has it"
