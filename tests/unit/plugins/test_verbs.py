# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks and the tasks of the role app decide before they touch a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).parents[3]
PLAYS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((COLLECTION / "playbooks").glob("*.yml"))}


@pytest.mark.parametrize("name", [name for name, plays in PLAYS.items() if "longshore.stack.app" in str(plays)])
def test_what_releases_or_migrates_is_given_the_whole_fleet(name):
    plays = [play for play in PLAYS[name] if "longshore.stack.app" in str(play)]
    assert [play["hosts"] for play in plays] == ["app"]


@pytest.mark.parametrize("name", ["history", "run", "unlock"])
def test_a_verb_for_one_host_works_on_whichever_is_left_by_limit(name):
    assert PLAYS[name][0]["hosts"] == "app"


@pytest.fixture
def decides(playbook):
    """Runs tasks on the application hosts one and two, with the variables of the role, and with results of theirs."""

    def run(results, *tasks, arguments=(), keywords=None, **variables):
        defaults = {"stack_image_source": "registry", "stack_name": "s", "__app_name": "shop", "results": results, **variables}
        files = [str(COLLECTION / "roles/app" / name / "main.yml") for name in ("defaults", "vars")]
        remember = [{"ansible.builtin.set_fact": {name: f"{{{{ results.{name}[inventory_hostname] }}}}"}} for name in results]
        play = {"hosts": "app", "gather_facts": False, "any_errors_fatal": True, "vars": defaults, "vars_files": files, "tasks": [*remember, *tasks]}
        play |= keywords or {}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"children": {"app": {"hosts": dict.fromkeys(("one", "two"), here)}}}}
        return playbook(yaml.safe_dump(inventory), *arguments, play=yaml.safe_dump([play], sort_keys=False))

    return run


def tasks_of(name, *titles):
    """These tasks of a file of the role, wherever they stand in it."""

    def walk(tasks):
        for task in tasks:
            yield task
            for block in ("block", "rescue"):
                yield from walk(task.get(block, []))

    return [task for task in walk(yaml.safe_load((COLLECTION / "roles/app/tasks" / f"{name}.yml").read_text())) if task["name"].startswith(titles)]


def test_a_part_of_the_fleet_is_refused_unless_it_is_wanted_and_then_its_first_host_keeps_the_lease(decides):
    tasks = [*tasks_of("fleet", "Refuse"), {"ansible.builtin.debug": {"msg": "kept by {{ __app_keeper }}"}}]
    status, output = decides({}, *tasks)
    assert (status, "kept by one" in output) == (0, True), output
    status, output = decides({}, *tasks, arguments=("--limit", "two"))
    assert (status, "--limit leaves out one" in output) == (2, True), output
    status, output = decides({}, *tasks, arguments=("--limit", "two", "-e", "app_partial=true"))
    assert (status, "kept by two" in output) == (0, True), output
    status, output = decides({}, *tasks, keywords={"serial": 1})
    assert (status, "the serial of this play makes" in output) == (2, True), output


def test_failures_count_from_the_first_time_that_a_host_had_requests(decides):
    (watch,) = tasks_of("step", "Watch the release")
    seen = watch["longshore.stack.release"]["watch"]["seen"]
    first, second = {"total": 10, "failed": 1}, {"total": 90, "failed": 40}
    took = [{"of": "another", "seen": second}, {"of": "r2", "seen": {}}, {"of": "r2", "seen": first}]
    results = {"__app_took": {"one": took, "two": []}, "__app_switched": {"one": {"skipped": True}, "two": {"seen": second}}}
    debug = {"ansible.builtin.debug": {"msg": f"{{{{ inventory_hostname }}}} from {{{{ ({seen[2:-2]}).failed }}}}"}}
    status, output = decides(results, debug, __app_release={"spec": {"release": "r2"}})
    assert status == 0 and "one from 1" in output and "two from 40" in output, output


def prepared(**hosts):
    return {"__app_prepared": {host: {"of": release, "identity": identity, "live": ""} for host, (release, identity) in hosts.items()}}


def test_a_release_that_is_not_the_same_on_every_host_is_refused(decides):
    (task,) = tasks_of("release", "Refuse what is not the same")
    task["vars"] = {"__app_image_name": "x/shop:1"}
    status, output = decides(prepared(one=("1-a", "sha256:1"), two=("1-b", "sha256:2")), task)
    assert status == 2 and "one: 1-a, made of sha256:1; two: 1-b, made of sha256:2" in output, output
    assert "remove x/shop:1" in output, output
    for other in (("1-a", "sha256:1"), ("1-unknown", "")):
        status, output = decides(prepared(one=("1-a", "sha256:1"), two=other), task)
        assert status == 0, output


def test_the_verb_migrate_asks_the_database_of_the_live_release_too(decides):
    settled = {"__app_prepared": dict.fromkeys(("one", "two"), {"settled": True})}
    for only, tool, due in ((False, "alembic", False), (True, "alembic", True), (True, "none", False)):
        shown = {"ansible.builtin.debug": {"msg": "due: {{ __app_due }}"}, "run_once": True}
        shown["vars"] = {"app_migrate_only": only, "__app_spec": {"migration": {"tool": tool}}}
        output = decides(settled, shown)[1]
        assert f"due: {due}" in output, output


def test_hosts_that_were_scaled_to_other_numbers_are_brought_in_line_and_said(decides):
    (say,) = tasks_of("due", "Say that hosts differ")
    shown = {"ansible.builtin.debug": {"msg": "due: {{ __app_due }}"}, "run_once": True}
    for one, two, due in (({"web": 2}, {}, True), ({"web": 2}, {"web": 4}, True), ({"web": 2, "api": 1}, {"api": 1, "web": 2}, False), ({}, {}, False)):
        _status, output = decides({"__app_prepared": {"one": {"settled": True, "scale": one}, "two": {"settled": True, "scale": two}}}, say, shown)
        assert f"due: {due}" in output and ("shop was scaled" in output) == due, output
    there = {"one": {"settled": True, "scale": {"web": 2, "api": 1}}, "two": {"settled": True, "scale": {}}}
    _status, output = decides({"__app_prepared": there}, say)
    assert "scaled: one: api 1, web 2; two: as in the inventory. A run gives all of them what one has." in output, output


def test_a_host_that_is_cut_off_while_it_is_scaled_is_named_with_what_mends_it(decides):
    (block,) = tasks_of("scale", "Scale and say")
    shown = {"ansible.builtin.debug": {"msg": "{{ __app_unscaled }}"}, "run_once": True}
    shown["vars"] = {"__app_unscaled": block["vars"]["__app_unscaled"], "__app_failures": ""}
    _status, output = decides({}, {**shown, "vars": {**shown["vars"], "__app_gone": "two "}})
    assert "Not reached: two, which may have the new number. The next run of scale, deploy or site.yml gives all hosts what one has." in output, output
    assert "Not reached" not in decides({}, {**shown, "vars": {**shown["vars"], "__app_gone": ""}})[1]


def test_the_report_is_given_what_each_application_host_was_scaled_to(decides):
    (task,) = [task for task in PLAYS["status"][0]["tasks"] if "longshore.stack.report" in task]
    seen = {"ansible.builtin.debug": {"msg": "{{ scaled | to_json }} {{ notes | to_json }}"}, "run_once": True}
    seen["vars"] = {**task["vars"], **{name: task["longshore.stack.report"][name] for name in ("scaled", "notes")}}
    there = {"one": {"scaled": [], "closed": ["shop"]}, "two": {"scaled": ["shop/web: 4"], "closed": []}}
    _status, output = decides({"__stack_status": there}, seen)
    assert '{"one": [], "two": ["shop/web: 4"]} ["under maintenance: shop"]' in output.replace("\\", ""), output


def test_scale_and_deploy_know_the_numbers_of_the_host_that_keeps_the_lease():
    stages = [*tasks_of("deploy", "Start the new release"), *tasks_of("scale", "Run as many", "Go back to the number")]
    assert ["__app_leased.scale" in task["longshore.stack.release"]["fleet_scale"] for task in stages] == [True] * 3


def test_the_lease_has_room_for_the_longest_stop_of_what_is_there(decides):
    shown = {"ansible.builtin.debug": {"msg": "longest: {{ __app_longest_stop }}"}, "run_once": True}
    variables = {"__app_spec": {"processes": [{"name": "web", "stop_grace": 40}, {"name": "worker"}]}, "__app_deploy": {"drain": 10}}
    assert "longest: 50" in decides({}, {**shown, "vars": variables})[1]
    there = {"__app_prepared": {"one": {"stop_grace": 30.0}, "two": {"stop_grace": 300.0}}}
    assert "longest: 310" in decides(there, {**shown, "vars": variables})[1]


def test_a_release_outside_of_its_windows_is_refused_unless_the_operator_says_so(decides):
    (task,) = tasks_of("due", "Refuse a release outside")
    task["vars"] = {"__app_released": True, "__app_closed": "it is sun 03:00"}
    status, output = decides({}, task)
    assert (status, "shop may not be released now: it is sun 03:00" in output) == (2, True), output
    status, output = decides({}, task, arguments=("-e", "app_outside_window=true"))
    assert status == 0, output
    status, output = decides({"__app_prepared": dict.fromkeys(("one", "two"), {"then": {"leased": {}}})}, task)
    assert status == 0, "it was let in before the window closed"
    task["vars"]["__app_released"] = False
    status, output = decides({}, task)
    assert status == 0, "numbers alone are brought in line at any time"


@pytest.mark.parametrize(
    ("settled", "scale", "arguments", "due", "released"),
    [
        (True, 4, (), False, False),
        (False, 4, (), True, True),
        (True, 2, (), True, False),
        (True, 2, ("-e", "app_migrate_only=true"), False, True),
    ],
)
def test_numbers_that_differ_are_due_and_release_nothing(decides, settled, scale, arguments, due, released):
    shown = {"ansible.builtin.debug": {"msg": "due {{ __app_due | bool }}, released {{ __app_released | bool }}"}, "run_once": True}
    there = {"one": {"settled": True, "scale": {"web": 4}}, "two": {"settled": settled, "scale": {"web": scale}}}
    shown["vars"] = {"__app_migrates": False}
    assert f"due {due}, released {released}" in decides({"__app_prepared": there}, shown, arguments=arguments)[1]


def test_a_rollback_and_check_mode_are_not_refused_outside_of_the_windows(decides):
    (task,) = tasks_of("due", "Refuse a release outside")
    task["vars"] = {"__app_released": True, "__app_closed": "it is sun 03:00"}
    for arguments in (("-e", "app_rollback=true"), ("-e", "app_release=1-a"), ("--check",)):
        status, output = decides({}, task, arguments=arguments)
        assert status == 0, output


ROWS = ("prepared", "started", "watched", "live")


def rows_of(decides, arguments=(), steps=1, **variables):
    """By the task that does it, the stages that are done in the same remote call."""
    shown = {"ansible.builtin.debug": {"msg": "rows: {{ [" + ", ".join(f"__app_with_{name}" for name in ROWS) + "] | to_json }}"}, "run_once": True}
    spec = {"alone": ["beat"], "singletons": ["beat"], "backends": {"web": {}}}
    shown["vars"] = {"__app_steps": [{}] * steps, "__app_release": {"spec": spec}, "__app_deploy": {"confirm": False}, "__app_closed": "", **variables}
    status, output = decides({}, shown, arguments=arguments, stack_apps=[{"name": "shop", "hooks": variables.get("hooks", [])}])
    assert status == 0, output
    text = output.split("rows: ")[1].split("]]")[0].replace("\n", " ").replace("\\", "") + "]]"
    return dict(zip(ROWS, json.loads(text), strict=True))


def test_one_host_needs_few_remote_calls_for_the_stages_of_a_release(decides):
    alone = ("--limit", "one", "-e", "app_partial=true")
    start, end = ["taken_over", "switched"], ["retired", "recorded"]
    assert rows_of(decides, alone) == {"prepared": ["leased"], "started": start, "watched": ["live", *end], "live": end}
    assert not any(rows_of(decides).values()), "two hosts wait for each other after each stage"
    assert not any(rows_of(decides, (*alone, "--check")).values())
    # What takes requests of an earlier release has them before the rest changes hands.
    assert rows_of(decides, (*alone, "-e", "app_rollback=true"))["started"] == ["switched"]
    assert rows_of(decides, alone, steps=2) == {"prepared": ["leased"], "started": [], "watched": [], "live": []}


def test_a_release_that_is_to_be_refused_does_not_take_the_lease(decides):
    alone = ("--limit", "one", "-e", "app_partial=true")
    assert rows_of(decides, alone, __app_closed="it is sun 03:00")["prepared"] == []
    assert rows_of(decides, alone, __app_deploy={"confirm": True})["prepared"] == []
    assert rows_of(decides, (*alone, "-e", "confirm=s"), __app_deploy={"confirm": True})["prepared"] == ["leased"]


def test_a_hook_runs_between_the_stages_that_it_stands_between(decides):
    alone = ("--limit", "one", "-e", "app_partial=true")
    for stage, when, rows in (
        ("start", "after", {"started": []}),
        ("switch", "before", {"started": ["taken_over"]}),
        ("live", "before", {"watched": [], "live": ["retired", "recorded"]}),
        ("live", "after", {"watched": ["live"], "live": []}),
        ("retire", "after", {"watched": ["live", "retired"], "live": ["retired"]}),
    ):
        found = rows_of(decides, alone, hooks=[{"stage": stage, "when": when, "command": ["true"]}])
        assert {name: found[name] for name in rows} == rows, (stage, when)


SHOWN = {"ansible.builtin.debug": {"msg": "outcome: {{ __app_outcome }}"}, "vars": {"__app_release": {"spec": {"release": "2-b"}}}, "run_once": True}


def test_a_release_that_an_earlier_run_has_made_live_on_a_host_is_gone_on_with_and_not_taken_back(decides):
    results = prepared(one=("2-b", "sha256:1"), two=("2-b", "sha256:1"))
    _status, output = decides(results, SHOWN)
    assert "outcome: did not go live; what ran before still serves." in output, output
    results["__app_prepared"]["one"]["live"] = "2-b"
    _status, output = decides(results, SHOWN)
    assert "outcome: is live on one, but the run did not come to its end; run again." in output, output
    _status, output = decides(
        {**prepared(one=("2-b", ""), two=("2-b", "")), "__app_live": {"one": {"of": "2-b", "live": "1-a"}, "two": {"of": "2-b", "live": "2-b"}}}, SHOWN
    )
    assert "outcome: is live on two, but" in output, output
    # What the call said that failed after it, or the look of the one that was to go back.
    _status, output = decides({**prepared(one=("2-b", "")), "__app_taken_back": {"one": {"of": "2-b", "live": "2-b"}}}, SHOWN, arguments=("--limit", "one"))
    assert "outcome: is live on one, but" in output, output


def test_what_another_play_of_the_run_saw_live_does_not_count_for_this_release(decides):
    watched = {"__app_watched": {"one": {"of": "3-c", "live": "2-b"}, "two": {"of": "3-c", "live": "2-b"}}}
    _status, output = decides({**prepared(one=("2-b", ""), two=("2-b", "")), **watched}, SHOWN)
    assert "outcome: did not go live" in output, output


def test_past_the_commit_point_the_hosts_stand_by_and_before_it_they_go_back(decides):
    (task,) = tasks_of("deploy", "Take back the release")
    seen = {"ansible.builtin.debug": {"msg": "state: {{ state }}"}, "vars": {**SHOWN["vars"], "state": task["longshore.stack.release"]["state"]}}
    results = prepared(one=("2-b", "sha256:1"), two=("2-b", "sha256:1"))
    assert "when" not in task and "state: taken_back" in decides(results, seen)[1]
    results["__app_prepared"]["two"]["live"] = "2-b"
    assert "state: stood_by" in decides(results, seen)[1]


def test_a_rollback_does_not_guess_where_hosts_differ_in_what_is_live(decides):
    (task,) = tasks_of("recall", "Refuse to guess")
    wanted = {"__app_wanted": dict.fromkeys(("one", "two"), {"record": {"release": "1-a"}, "live": "2-b"})}
    split = {**wanted, "__app_recalled_there": {"one": {"skipped": True}, "two": {"live": "1-a"}}}
    status, output = decides(split, task)
    assert (status, "do not agree on what is live of shop: 2-b, 1-a" in output) == (2, True), output
    for same in ((split, "-e", "app_release=1-a"), ({**wanted, "__app_recalled_there": {"one": {"skipped": True}, "two": {"live": ""}}},)):
        status, output = decides(same[0], task, arguments=same[1:])
        assert status == 0, output


def test_what_fails_before_the_lease_is_told_to_the_history_and_to_the_hooks(decides, tmp_path):
    (whole,) = tasks_of("release", "Have the same release")
    fail = {"ansible.builtin.fail": {"msg": "no such image"}, "when": "inventory_hostname == 'two'"}
    (tell,) = whole["rescue"]
    tell["ansible.builtin.include_tasks"] = str(COLLECTION / "roles/app/tasks/unprepared.yml")
    alarm = tmp_path / "alarm.yml"
    alarm.write_text("- ansible.builtin.copy: {content: '{{ app_hook | to_json }}', dest: '{{ playbook_dir }}/alarm.json', mode: '0644'}\n")
    hooks = [{"stage": "failed", "tasks": str(alarm)}, {"stage": "failed", "command": ["true"]}]
    apps = [{"name": "shop", "image": "x/shop", "version": "9.9.9", "hooks": hooks, "processes": [{"name": "web"}]}]
    status, output = decides({}, {**whole, "block": [fail]}, stack_apps=apps, stack_root=str(tmp_path / "opt"))
    assert status == 2 and "shop 9.9.9 was not released; what ran before still serves.\\n[two] no such image" in output, output
    row = json.loads((tmp_path / "opt/apps/shop/history.jsonl").read_text())
    wanted = {"kind": "deploy", "result": "failed", "release": "", "version": "9.9.9", "hosts": ["one", "two"], "before": "", "image": "x/shop:9.9.9"}
    assert {key: row[key] for key in wanted} == wanted and "[two] no such image" in row["message"] and row["started"] > 1_700_000_000
    told = json.loads((tmp_path / "alarm.json").read_text())
    assert (told["version"], told["place"], told["message"]) == ("9.9.9", "failed", row["message"])


def hook_on(decides, service, hook, processes=("web", "worker"), arguments=()):
    """A hook's command on a fleet whose first host alone has the singleton beat: it is run with the variable of the role."""
    here = {"one": ["beat", *processes], "two": list(processes)}
    results = {"__app_release": {host: {"spec": {"definition": {"services": dict.fromkeys(names, {})}}} for host, names in here.items()}}
    seen = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} has {{ __app_hook_service }}"}}
    apps = [{"name": "shop", "processes": [{"name": name} for name in ("beat", "web", "worker")], "hooks": [{"stage": "switch", "command": ["warm"], **hook}]}]
    seen["vars"] = {"__app_hook": "{{ lookup('longshore.stack.wiring', 'hooks', of='shop', places=['before switch']) | first }}"}
    status, output = decides(results, seen, arguments=arguments, stack_apps=apps)
    assert status == 0 and all(f"{host} has {name}" in output for host, name in service.items()), output


def test_a_hook_runs_in_the_first_process_that_its_host_has(decides):
    hook_on(decides, {"one": "beat", "two": "web"}, {"hosts": "all"})
    hook_on(decides, {"two": "web"}, {}, arguments=("--limit", "two"))


def test_a_hook_runs_in_a_process_that_an_earlier_release_has(decides):
    hook_on(decides, {"two": "worker"}, {}, processes=("worker",))


def test_a_hook_keeps_the_process_that_it_names(decides):
    hook_on(decides, {"one": "worker", "two": "worker"}, {"process": "worker"})


def test_logs_know_the_processes_of_the_inventory_also_those_of_other_hosts(decides):
    task = next(task for task in PLAYS["logs"][0]["tasks"] if "longshore.stack.logs" in task)
    seen = {"ansible.builtin.debug": {"msg": "known: {{ known | to_json }}"}, "vars": {**task["vars"], "known": task["longshore.stack.logs"]["known"]}}
    shop = {"name": "shop", "processes": [{"name": "beat", "singleton": True}, {"name": "web"}]}
    apps = [shop, {"name": "docs", "processes": [{"name": "site"}]}, {"name": "x"}]
    for app_name, known in (("", ["beat", "web", "site"]), ("shop", ["beat", "web"]), ("gone", [])):
        _status, output = decides({}, seen, stack_apps=apps, arguments=("-e", f"app_name={app_name}"))
        assert output.replace("\\", "").count(f"known: {json.dumps(known)}") == 2, output


def test_a_command_in_the_live_release_has_a_process_of_its_host(decides):
    (play,) = PLAYS["run"]
    seen = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} runs it in {{ __run_process }}"}, "vars": play["vars"]}
    apps = [{"name": "shop", "processes": [{"name": "beat", "singleton": True}, {"name": "web"}]}]
    _status, output = decides({}, seen, stack_apps=apps)
    assert "one runs it in beat" in output and "two runs it in web" in output, output
    _status, output = decides({}, seen, stack_apps=apps, arguments=("--limit", "two", "-e", "app_process=worker"))
    assert "two runs it in worker" in output, output


@pytest.mark.parametrize(
    ("back", "started"),
    [
        ({"one": {"failed": False}, "two": {"failed": False}}, True),
        # There it may still run for the release that failed.
        ({"one": {"failed": True, "msg": "no engine"}, "two": {"failed": False}}, False),
    ],
)
def test_what_must_not_run_twice_starts_where_it_ran_before_when_it_has_stopped_where_its_place_is_now(decides, back, started):
    (task,) = tasks_of("deploy", "Start where it ran before")
    spec = {"release": "2-b", "version": "2", "alone": ["beat"]}
    results = {"__app_taken_back": back, "__app_release": {"one": {"spec": {**spec, "singletons": ["beat"]}}, "two": {"spec": {**spec, "singletons": []}}}}
    shown = {"ansible.builtin.debug": {"msg": "starts on {{ inventory_hostname }}"}, "when": task["when"]}
    why = {"ansible.builtin.debug": {"msg": "why: {{ __app_reason | to_json }}"}, "run_once": True}
    _status, output = decides(results, shown, why)
    assert ("starts on two" in output, "starts on one" in output) == (started, False), output
    assert ("[one] was not taken back: no engine" in output) == (not started), output
    assert ("what ran before still serves" in output) == started, output
