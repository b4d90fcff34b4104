# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the firewall: only a new connection proves that new rules let it in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.longshore.stack.plugins.action import firewall

TRIED = {"changed": True, "changes": ["rules"], "diff": {"before": "", "after": "x"}}
CUT = AnsibleConnectionFailure("Connection timed out")
TAKEN_BACK = {"failed": True, "msg": "the host has taken the new rules back"}


class Connection:
    _shell = SimpleNamespace(tmpdir=None)

    def __init__(self, said):
        self.said = said

    def reset(self):
        self.said.append("reset")


@pytest.fixture
def run(monkeypatch):
    """Runs the action; each answer of the host is a result or an exception. `run.said` is what it did, `run.now` the time."""

    def act(*answers):
        act.said, act.now, queue = [], 0.0, list(answers)
        arguments = {"stack": "s", "seconds": 20}
        task = SimpleNamespace(args=arguments, async_val=0, check_mode=False, diff=False, action="x", environment=None, delegate_to=None)
        action = firewall.ActionModule(task, Connection(act.said), None, None, None, None)

        def execute(name, module_args=None, task_vars=None):
            act.said.append((module_args or {}).get("trial", "try"))
            answer = queue.pop(0) if len(queue) > 1 or not isinstance(queue[0], Exception) else queue[0]
            if isinstance(answer, Exception):
                raise answer
            return dict(answer)

        def sleep(seconds):
            act.now += seconds

        action._execute_module = execute
        monkeypatch.setattr(firewall, "Display", lambda: SimpleNamespace(display=lambda text: None))
        monkeypatch.setattr(firewall, "time", SimpleNamespace(monotonic=lambda: act.now, sleep=sleep))
        return action.run(task_vars={"inventory_hostname": "box"})

    return act


def test_rules_on_trial_are_confirmed_over_a_new_connection(run):
    result = run({**TRIED, "trial": "t1"}, {"changed": True})
    assert run.said == ["try", "reset", "t1"]
    assert (result["changed"], result["changes"], result["diff"]) == (True, ["rules"], TRIED["diff"])


def test_what_needs_no_trial_needs_no_new_connection(run):
    assert run({"changed": False}) == {"changed": False}
    assert run.said == ["try"]


def test_a_failure_is_handed_on(run):
    assert run({"failed": True, "msg": "no"})["msg"] == "no"


def test_a_cut_connection_is_tried_until_the_host_has_gone_back_and_the_reason_is_said(run):
    result = run({**TRIED, "trial": "t1"}, CUT, CUT, TAKEN_BACK)
    assert result["failed"]
    assert not result["changed"]
    assert "No new connection was possible with the new rules (Connection timed out)" in result["msg"]
    assert "firewall_ssh_port" in result["msg"]


def test_rules_that_cut_the_connection_that_brought_them_are_taken_back_too(run):
    result = run(CUT, CUT, TAKEN_BACK)
    assert result["failed"]
    assert run.said[-1].startswith("unknown")


def test_a_host_that_never_comes_back_is_unreachable_and_not_waited_for_without_end(run):
    with pytest.raises(AnsibleConnectionFailure):
        run({**TRIED, "trial": "t1"}, CUT)
    assert 20 < run.now < 120
