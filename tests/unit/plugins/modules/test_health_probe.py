# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import socket

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.longshore.stack.plugins.modules import health_probe


def call(capsys, **arguments):
    """What the module answers."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        health_probe.main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_good_targets_make_no_change_and_are_listed(capsys, listening):
    answer = call(capsys, probes=[{"name": "db", "kind": "tcp", "host": "127.0.0.1", "port": listening}])
    assert answer["changed"] is False
    assert [(entry["name"], entry["ok"]) for entry in answer["probes"]] == [("db", True)]


def test_it_also_asks_in_check_mode(capsys, closed):
    answer = call(capsys, timeout=0, probes=[{"name": "db", "kind": "tcp", "host": "127.0.0.1", "port": closed}], _ansible_check_mode=True)
    assert answer["failed"]


def test_one_message_names_everything_that_is_broken(capsys, closed, listening):
    probes = [{"name": name, "kind": "tcp", "host": "127.0.0.1", "port": port} for name, port in (("a", closed), ("b", listening), ("c", closed))]
    answer = call(capsys, timeout=0, probes=probes)
    assert answer["msg"].startswith("2 of 3 probes not good")
    assert f"a: connection refused by 127.0.0.1:{closed}" in answer["msg"]
    assert f"c: connection refused by 127.0.0.1:{closed}" in answer["msg"]
    assert len(answer["probes"]) == 3


def test_a_long_wait_is_handed_back_in_slices_and_ends_at_the_deadline(capsys, closed, monkeypatch):
    monkeypatch.setattr(health_probe, "SLICE_SECONDS", 0.3)
    arguments = {"timeout": 1.0, "probes": [{"name": "db", "kind": "tcp", "host": "127.0.0.1", "port": closed, "interval": 0.1}]}
    first = call(capsys, **arguments)
    assert first["pending"]
    assert first["progress"] == f"waiting for db (connection refused by 127.0.0.1:{closed})"
    slices, answer = 1, first
    while answer.get("pending"):
        answer, slices = call(capsys, **arguments, resume=answer["resume"]), slices + 1
    assert answer["failed"]
    assert answer["probes"][0]["attempts"] > first["probes"][0]["attempts"]
    assert 0.8 < answer["elapsed"] < 1.5
    assert slices > 2


def test_the_value_of_a_header_is_never_shown_but_the_name_of_the_host_is(capsys, closed):
    headers = {"Authorization": "Bearer canary-4711", "Host": "app.example.test"}
    probe = {"name": "app.example.test", "url": f"http://127.0.0.1:{closed}/?echo=Bearer canary-4711", "headers": headers}
    with patch_module_args({"timeout": 0, "probes": [probe]}), pytest.raises(SystemExit):
        health_probe.main()
    out = capsys.readouterr().out
    assert "canary-4711" not in out
    assert "app.example.test" in json.loads(out)["msg"]


def test_a_probe_without_its_target_is_refused(capsys):
    assert "url" in call(capsys, probes=[{"name": "web"}])["msg"]
