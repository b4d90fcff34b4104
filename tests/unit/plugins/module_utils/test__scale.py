# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.longshore.stack.plugins.module_utils._scale import notes, of_all, write


def test_what_is_the_same_on_every_host_is_said_once():
    assert notes({}, "") == notes({"app1": [], "app2": []}, "app1") == []
    found = notes({"app1": ["shop/worker: 0", "shop/web: 4"], "app2": ["shop/web: 4", "shop/worker: 0"]}, "app1")
    assert found == ["scaled by hand: shop/web: 4", "scaled by hand: shop/worker: 0"]


def test_hosts_that_differ_are_named_with_what_each_has_and_what_mends_it():
    (line,) = notes({"app1": ["shop/web: 2"], "app2": ["shop/web: 4"], "app3": []}, "app1")
    assert line.startswith("scaled by hand, and the hosts differ: shop/web: 2 on app1, 4 on app2, as in the inventory on app3.")
    assert "gives all what app1 has" in line
    assert line.endswith("longshore.stack.scale -e app_name=shop -e app_process=web -e app_replicas=2")
    (line,) = notes({"app1": [], "app2": ["shop/web: 4"]}, "app1")
    assert "as in the inventory on app1, 4 on app2" in line and line.endswith("-e app_replicas=inventory")
    # While the one that keeps the lease is away nobody knows its numbers, and they hold when it is back.
    (line,) = notes({"app2": ["shop/web: 4"], "app3": []}, "app1")
    assert "gives all what app1 has" in line and line.endswith("-e app_replicas=NUMBER")


def test_the_report_has_what_each_application_was_scaled_to(tmp_path):
    (tmp_path / "apps/shop").mkdir(parents=True)
    write(str(tmp_path / "apps/shop"), {"web": 4})
    assert notes({"box": of_all(str(tmp_path))}, "box") == ["scaled by hand: shop/web: 4"]
