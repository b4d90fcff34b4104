# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._base import Setting
from ansible_collections.longshore.stack.plugins.module_utils._base_host import APT_FILE, CHRONY_FILE, JOURNAL_FILE, KERNEL_FILE, Base, Wanted
from ansible_collections.longshore.stack.plugins.module_utils._engine import Result
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

SWAP = Setting("vm.swappiness", "10", "Why.")
FILES = Setting("fs.inotify.max_user_instances", "1024", "Why.", True)
JOURNAL = [Setting("SystemMaxUse", "1G")]


class Fake:
    def __init__(self, root):
        self.root, self.told, self.started, self.clock = root, [], "100", False
        self.machine = Machine(root=str(root), run=self.run)
        for name in ("/usr/bin/unattended-upgrade", "/usr/lib/systemd/system/systemd-timesyncd.service", "/run/systemd/system/x"):
            self.put(name)
        self.put("/proc/sys/vm/swappiness", "60\n")
        self.put("/proc/sys/fs/inotify/max_user_instances", "128\n")

    def put(self, name, content=""):
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)
        return path

    def read(self, name):
        return self.machine.read(name)

    def run(self, args, stdin=None, timeout=None, env=None, cwd=None):
        words, rc, out = list(args[1:]), 0, ""
        if words[0] == "show":
            out = f"@{self.started}\n"
        elif words[0].startswith("is-"):
            rc = 0 if self.clock else 1
        else:
            self.told.append(" ".join(words))
            self.clock = self.clock or words[0] == "enable"
            self.started = str(2**31)
        return Result(tuple(args), rc, out, "")


@pytest.fixture
def host(tmp_path):
    return Fake(tmp_path)


def run(host, check=False, **wanted):
    return Base(Wanted(**wanted), host.machine, check).converge()


def test_a_setting_is_written_with_its_reason_and_set(host):
    result = run(host, sysctl=[SWAP])
    assert host.read(KERNEL_FILE.path).endswith("# Why.\nvm.swappiness = 10\n")
    assert host.read("/proc/sys/vm/swappiness") == "10"
    assert result["changes"] == [KERNEL_FILE.path, "vm.swappiness: 60 -> 10"]
    assert run(host, sysctl=[SWAP])["changed"] is False


def test_check_mode_says_the_same_and_writes_nothing(host):
    result = run(host, check=True, sysctl=[SWAP], journal=JOURNAL)
    assert result["changes"] == [KERNEL_FILE.path, "vm.swappiness: 60 -> 10", JOURNAL_FILE.path, "systemd-journald.service restarted"]
    assert "vm.swappiness = 10" in result["diff"]["after"]
    assert (host.read(KERNEL_FILE.path), host.read("/proc/sys/vm/swappiness"), host.told) == (None, "60\n", [])


def test_what_is_large_enough_already_is_left_alone_and_what_was_made_so_stays(host):
    run(host, sysctl=[FILES])
    assert run(host, sysctl=[FILES])["changed"] is False
    assert "max_user_instances = 1024" in host.read(KERNEL_FILE.path)
    host.put("/proc/sys/fs/inotify/max_user_instances", "8192\n")
    host.machine.remove(KERNEL_FILE.path)
    assert run(host, sysctl=[FILES])["changed"] is False


def test_in_a_container_only_the_network_is_its_own(host):
    host.put("/run/systemd/container", "lxc")
    host.put("/proc/sys/net/ipv4/x", "1")
    result = run(host, sysctl=[SWAP, Setting("net.ipv4.x", "2")], time=[])
    assert host.read("/proc/sys/vm/swappiness") == "60\n"
    assert host.read("/proc/sys/net/ipv4/x") == "2"
    assert "vm." not in host.read(KERNEL_FILE.path)
    assert [remark.split(":")[0] for remark in result["remarks"]] == [
        "vm.swappiness is 60, and the stack would have 10",
        "this host is a container",
    ]


def test_what_the_kernel_does_not_have_is_said(host):
    assert run(host, sysctl=[Setting("net.none", "1")])["remarks"] == ["net.none does not exist here"]


def test_a_journal_is_restarted_when_its_file_is_new_and_when_a_dead_run_left_it_behind(host):
    assert run(host, journal=JOURNAL)["changes"] == [JOURNAL_FILE.path, "systemd-journald.service restarted"]
    assert run(host, journal=JOURNAL)["changed"] is False
    host.started = "100"
    assert run(host, journal=JOURNAL)["changes"] == ["systemd-journald.service restarted"]
    assert host.told == ["restart systemd-journald.service"] * 2


def test_what_another_file_has_settled_is_left_alone(host):
    theirs = host.put("/etc/apt/apt.conf.d/20x", 'A::B "0";\n')
    result = run(host, apt=[Setting("A::B", "1"), Setting("A::C", "1")])
    assert host.read(APT_FILE.path).splitlines()[1:] == ['A::C "1";']
    assert theirs.read_text() == 'A::B "0";\n'
    assert result["remarks"] == ["A::B is 0 in /etc/apt/apt.conf.d/20x, which is left alone; the stack would have 1"]


def test_what_is_switched_off_takes_its_file_along(host):
    run(host, sysctl=[SWAP], journal=JOURNAL, apt=[Setting("A::B", "1")])
    assert run(host)["changed"]
    assert [file.path for file in (KERNEL_FILE, JOURNAL_FILE, APT_FILE) if host.read(file.path) is not None] == []
    assert run(host)["changed"] is False


def test_missing_packages_come_first_and_check_mode_shows_the_rest_all_the_same(host):
    (host.root / "usr/bin/unattended-upgrade").unlink()
    (host.root / "usr/lib/systemd/system/systemd-timesyncd.service").unlink()
    result = run(host, apt=[Setting("A::B", "1")], time=[])
    assert (result["install"], result["changed"], host.read(APT_FILE.path)) == (["unattended-upgrades", "systemd-timesyncd"], False, None)
    assert APT_FILE.path in run(host, check=True, apt=[Setting("A::B", "1")], time=[])["changes"]


def test_the_clock_is_kept_by_timesyncd_where_nothing_else_does(host):
    assert run(host, time=[])["changes"] == ["systemd-timesyncd.service enabled and started"]
    assert run(host, time=[])["changed"] is False


def test_a_chrony_that_is_there_stays_and_gets_the_servers(host):
    host.put("/usr/sbin/chronyd")
    assert run(host, time=["ntp1.test"])["changes"] == [CHRONY_FILE.path]
    assert host.read(CHRONY_FILE.path).endswith("server ntp1.test iburst\n")
    assert host.told == ["reload sources"]
    assert run(host, time=["ntp1.test"])["changed"] is False


def test_another_keeper_of_the_time_is_left_alone(host):
    host.put("/usr/sbin/ntpd")
    result = run(host, time=["ntp1.test"])
    assert (result["changed"], "ntpd keeps the time" in result["remarks"][0]) == (False, True)


def test_files_have_the_mode_that_their_readers_need(host):
    run(host, sysctl=[SWAP])
    assert os.stat(host.root / KERNEL_FILE.path.lstrip("/")).st_mode & 0o777 == 0o644
