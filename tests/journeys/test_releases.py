# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases on two application hosts behind one proxy, under load: back and forth, with faults, kills and reboots. The order counts."""

from __future__ import annotations

import pytest
from journey_fleet import APP, Fleet
from journey_support import until


@pytest.fixture(scope="module")
def fleet(bare_fleet) -> Fleet:
    """The fleet after its first run."""
    if bare_fleet.apps["app2"].ssh(f"test -e {APP}/live", check=False).returncode:
        bare_fleet.play("first run").succeeded()
    until(lambda: bare_fleet.web().ready(), what="the application to be ready")
    return bare_fleet


def test_both_application_hosts_serve_behind_the_proxy(fleet):
    fleet.settled()
    before = fleet.served()
    with fleet.load(rate=50) as load:
        until(lambda: load.result.requests > 100, what="some requests")
    assert load.result.failures == [], load.result.first_failures()
    after = fleet.served()
    shares = {name: after[name] - before[name] for name in fleet.apps}
    assert min(shares.values()) >= 20 and sum(shares.values()) >= 100, shares


def test_a_second_run_changes_nothing(fleet):
    run = fleet.play("second run").succeeded()
    assert run.changed == 0, run.changed_tasks
