# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._compose import to_yaml
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, Result
from ansible_collections.longshore.stack.plugins.module_utils._logs import LogsError, last_lines

SAID = {
    "w1": ("2026-11-24T10:00:01.1Z started\n2026-11-24T10:00:03.1Z token canary-token\n", "2026-11-24T10:00:02.1Z warning\n"),
    "w2": ("2026-11-24T10:00:02.5Z second\n", ""),
    "b1": ("2026-11-24T10:00:00.1Z tick\n", ""),
}


def container(name, process, service="shop"):
    labels = {"stack.longshore.service": service, **({"stack.longshore.process": process} if process else {})}
    return {"Id": name, "Name": f"/s-shop-1-{process}-{name[1:]}", "Config": {"Labels": labels, "Env": ["API_TOKEN=canary-token", "A=b"]}}


THERE = [container("w1", "web"), container("w2", "web"), container("b1", "beat"), container("d1", "web", "docs"), container("p1", "", "postgres")]


@pytest.fixture
def engine():
    asked = []

    def answer(args, **_options):
        asked.append(list(args[1:]))
        if args[1] == "ps":
            return Result((), 0, "\n".join(one["Id"] for one in THERE), "")
        if args[1] == "logs":
            return Result((), 0, *SAID[args[-1]])
        return Result((), 0, json.dumps(THERE), "")

    found = Engine(runner=answer)
    found.asked = asked
    return found


def test_lines_of_all_processes_come_in_the_order_of_writing_and_without_secrets(engine):
    rows = last_lines(engine, "s", ["shop"], "", [], 100, "")["lines"]
    assert [(source, text) for _moment, source, text in rows] == [
        ("shop/beat-1", "tick"),
        ("shop/web-1", "started"),
        ("shop/web-1", "warning"),
        ("shop/web-2", "second"),
        ("shop/web-1", "token ***"),
    ]


def test_what_the_secret_files_of_the_release_hold_is_masked(engine, monkeypatch, tmp_path):
    (tmp_path / "STRIPE_SK.1").write_text("sk-canary")
    (tmp_path / "compose.yaml").write_text(to_yaml({"services": {}, "secrets": {"STRIPE_SK": {"file": str(tmp_path / "STRIPE_SK.1")}}}))
    monkeypatch.setitem(THERE[0]["Config"]["Labels"], "com.docker.compose.project.config_files", str(tmp_path / "compose.yaml"))
    monkeypatch.setitem(SAID, "w1", ("2026-11-24T10:00:01.1Z charged with sk-canary\n", ""))
    assert "charged with ***" in [text for _moment, _source, text in last_lines(engine, "s", ["shop"], "web", [], 100, "")["lines"]]


def test_one_process_is_read_and_only_as_much_as_was_asked_for(engine):
    rows = last_lines(engine, "s", ["shop"], "beat", [], 5, "15m")["lines"]
    assert [text for _moment, _source, text in rows] == ["tick"]
    assert [words for words in engine.asked if words[0] == "logs"] == [["logs", "--timestamps", "--tail", "5", "--since", "15m", "b1"]]


@pytest.mark.parametrize("known", [[], ["web", "beat"]])
def test_what_is_no_process_is_refused_with_those_that_are(engine, known):
    with pytest.raises(LogsError, match=r"'wep' is no process of shop; allowed: beat, web, for example -e app_process=beat"):
        last_lines(engine, "s", ["shop"], "wep", known, 100, "")


def test_a_process_that_runs_on_another_host_is_no_error(engine):
    assert last_lines(engine, "s", ["shop"], "worker", ["web", "worker"], 100, "") == {"sources": [], "lines": []}
    assert last_lines(engine, "s", ["shop"], "web", ["web", "worker"], 100, "9h")["sources"] == ["shop/web-1", "shop/web-2"]


def test_on_a_host_without_the_application_a_process_that_is_none_is_refused_as_well(engine):
    with pytest.raises(LogsError, match="'wep' is no process of api; allowed: web, "):
        last_lines(engine, "s", ["api"], "wep", ["web"], 100, "")
