# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _base
from ansible_collections.longshore.stack.plugins.module_utils._base import APT, JOURNAL, SYSCTL, Setting, host_settings, unsettled
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

GROUPS = {"all": ["one", "two", "three"], "valkey": ["one"], "proxy": ["two"]}
GIVEN = {"base_journal_size": "1G", "base_journal_days": 30, "base_swappiness": 10, "base_reboot_window": "03:00-04:30"}


def wanted(host, **variables):
    given = {**GIVEN, **variables}
    found = host_settings(View(host, GROUPS, lambda name, variable, default=None: given.get(variable, default)))
    return {kind: {one["key"]: one["value"] for one in settings} if kind != "time" and settings is not None else settings for kind, settings in found.items()}


def test_the_kernel_is_set_for_the_services_of_the_host():
    assert wanted("one")["sysctl"]["vm.overcommit_memory"] == "1"
    assert "net.core.rmem_max" not in wanted("one")["sysctl"]
    assert wanted("two")["sysctl"]["net.core.rmem_max"] == "7500000"
    assert "vm.overcommit_memory" not in wanted("two")["sysctl"]
    assert "net.core.rmem_max" not in wanted("two", stack_tls="off")["sysctl"]


def test_each_setting_of_the_kernel_has_its_reason():
    view = View("one", GROUPS, lambda name, variable, default=None: GIVEN.get(variable, default))
    assert [setting.key for setting in _base.kernel_settings(view) if not setting.why] == []


def test_what_the_user_gives_wins():
    given = wanted("one", base_sysctl={"vm.swappiness": 1, "net.ipv4.ip_forward": True}, base_swappiness=60)["sysctl"]
    assert (given["vm.swappiness"], given["net.ipv4.ip_forward"]) == ("1", "1")
    assert "vm.swappiness" not in wanted("one", base_swappiness=-1)["sysctl"]


def test_each_host_reboots_at_a_time_of_its_own():
    times = [wanted(host)["apt"]["Unattended-Upgrade::Automatic-Reboot-Time"] for host in sorted(GROUPS["all"])]
    assert times == ["03:00", "03:30", "04:00"]


def test_a_window_may_lead_over_midnight():
    assert [_base.reboot_time("23:30-00:30", number, 2) for number in range(2)] == ["23:30", "00:00"]


def test_without_a_window_nothing_reboots():
    apt = wanted("one", base_reboot_window="")["apt"]
    assert apt["Unattended-Upgrade::Automatic-Reboot"] == "false"
    assert "Unattended-Upgrade::Automatic-Reboot-Time" not in apt


def test_what_is_switched_off_is_wanted_no_more():
    found = wanted("one", base_kernel=False, base_journal=False, base_upgrades=False, base_time=False)
    assert found == {"sysctl": None, "journal": None, "apt": None, "time": None}


@pytest.mark.parametrize(("window", "minutes"), [("03:00-05:00", (180, 120)), ("23:00-01:00", (1380, 120)), ("3-5", None), ("25:00-26:00", None), ("", None)])
def test_windows(window, minutes):
    assert _base.window_minutes(window) == minutes


# -- files ---------------------------------------------------------------------------------------------------------------


SWAP = Setting("vm.swappiness", "10", "Why.")
FILES = Setting("fs.inotify.max_user_instances", "1024", least=True)


def test_a_file_is_read_as_it_is_written():
    assert SYSCTL.parse(SYSCTL.render([SWAP, FILES])) == {"vm.swappiness": "10", "fs.inotify.max_user_instances": "1024"}
    assert JOURNAL.parse(JOURNAL.render([Setting("SystemMaxUse", "1G")])) == {"SystemMaxUse": "1G"}
    assert APT.parse(APT.render([Setting("A::B", "1", "Why."), Setting("A::List::", "x")])) == {"A::B": "1"}


def test_ways_to_write_a_setting_that_mean_the_same():
    assert SYSCTL.parse("-net/ipv4/x=1\n # net.x = 1\n;y = 2\n\nvm.z =  3  4 ") == {"net.ipv4.x": "1", "vm.z": "3  4"}
    assert APT.parse('// A::B "1";\nA::C "2";') == {"A::C": "2"}


def test_what_somebody_else_has_settled_in_another_way_is_left_and_said():
    ours, remarks = unsettled([SWAP, FILES], {"/etc/sysctl.d/99-x.conf": {"vm.swappiness": "1"}})
    assert ours == [FILES]
    assert remarks == ["vm.swappiness is 1 in /etc/sysctl.d/99-x.conf, which is left alone; the stack would have 10"]


@pytest.mark.parametrize(("value", "kept"), [("1024", [FILES]), ("8192", []), ("128", [])])
def test_a_larger_value_of_somebody_else_is_as_good_and_not_made_smaller(value, kept):
    ours, remarks = unsettled([FILES], {"/etc/x": {FILES.key: value}})
    assert ours == kept
    assert bool(remarks) == (value == "128")
