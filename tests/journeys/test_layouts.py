# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases under load on the smaller layouts: one host that does everything, and two application hosts behind one proxy."""

from __future__ import annotations

import pytest
from journey_storm import every_task_is_done, no_request_has_failed, storm_over, the_load_was_there, there_was_one_beat, what_was_open_has_ended_properly
from journey_support import some, until

# Hosts of the proxy, and of the application.
LAYOUTS = {"one host": (["app1"], ["app1"]), "two application hosts behind one proxy": (["edge"], ["app1", "app2"])}


@pytest.mark.parametrize("layout", [pytest.param(LAYOUTS[name], id=name) for name in some(list(LAYOUTS), 1, "layouts")], indirect=True)
def test_no_request_task_or_tick_is_lost_while_releases_come_and_go(layout):
    layout.play("first run").succeeded()
    until(layout.ready, what="the application to be ready")
    storm = storm_over(layout)
    no_request_has_failed(storm)
    what_was_open_has_ended_properly(storm)
    every_task_is_done(layout, storm)
    there_was_one_beat(layout, storm)
    the_load_was_there(storm)
