# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hundred switches in a row, without the deploys around them, under load on kept connections."""

from __future__ import annotations

from journey_support import SOAK, figure
from journey_switches import RATE, Haproxy, Stage, turned

SWITCHES = 100 if SOAK else 5


def test_no_request_fails_over_a_hundred_switches(images):
    with Stage() as stage:
        took, result = turned(stage, Haproxy(stage), SWITCHES)
    figure(f"           {len(took)} switches, the longest {max(took):.3f} s: {result.line()}")
    assert result.failures == [], result.first_failures()
    assert len(took) == SWITCHES and set(result.releases) == {"one", "two"}
    # Of both methods, on connections that are kept and on new ones, more than there were switches.
    assert min(result.statuses[kind][status] for kind in ("kept", "new") for status in (200, 201)) >= SWITCHES, result.statuses
    if SOAK:
        assert result.least_rate() >= 0.9 * RATE, result.line()
