# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _firewall_host
from ansible_collections.longshore.stack.plugins.module_utils._engine import Result
from ansible_collections.longshore.stack.plugins.module_utils._firewall import FirewallError, Opening
from ansible_collections.longshore.stack.plugins.module_utils._firewall_host import RULES, TRIAL, UNIT_FILE, Firewall, Wanted
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

SSH = Opening("SSH", "tcp", "22")
EDGE = Opening("the edge", "tcp", "80")


class Fake:
    """A host in a folder. Its kernel keeps the text that was loaded, without what replaces the table, and its timer is a flag."""

    def __init__(self, root: Path, systemd: bool = True):
        self.root, self.table, self.timer, self.active, self.commands, self.refuses = root, "", False, set(), [], ""
        self.firewalld = False
        self.machine = Machine(root=str(root), run=self.run)
        self.put("/usr/sbin/nft", "")
        if systemd:
            self.put("/run/systemd/system/x", "")

    def put(self, name, content):
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)

    def has(self, name):
        return (self.root / name.lstrip("/")).exists()

    def run(self, args, stdin=None, timeout=None, env=None, cwd=None):
        self.commands.append(list(args))
        return Result(tuple(args), *self.answer(list(args), stdin))

    def answer(self, args, stdin):
        if args[0] == "unshare":
            return (1, "", self.refuses) if self.refuses else (0, self.kernel(stdin), "")
        if args[0].endswith("/nft"):
            return self.nft(args[1:], stdin)
        if args[0] == "systemd-run":
            self.timer = True
        elif args[0] == "/bin/sh":
            self.revert()
        elif args[0] == "systemctl":
            return self.systemctl(args[1:])
        return 0, "", ""

    @staticmethod
    def kernel(text):
        return text[text.index("table inet longshore {") :] if "{" in text else ""

    def nft(self, words, stdin):
        if words[0] == "-f":
            self.table = self.kernel(stdin)
        elif words[0] == "delete":
            self.table = ""
        else:
            return (0, self.table, "") if self.table else (1, "", "No such file or directory")
        return 0, "", ""

    def systemctl(self, words):
        if words[0] == "stop":
            self.timer = False
        elif words[0] == "enable":
            self.active |= {"is-enabled", "is-active"}
        elif words[0] == "disable":
            self.active.clear()
        elif words[0] in ("is-enabled", "is-active"):
            return (0 if (self.firewalld if "firewalld" in words else words[0] in self.active) else 1), "", ""
        return 0, "", ""

    def revert(self):
        """What the host does by itself when the time of a trial is over."""
        self.table = self.kernel((self.root / TRIAL.lstrip("/") / "before.nft").read_text())
        (self.root / TRIAL.lstrip("/") / "token").unlink()
        self.timer = False

    def reboot(self):
        for path in (self.root / TRIAL.lstrip("/")).glob("*"):
            path.unlink()
        rules = self.root / RULES.lstrip("/")
        self.timer, self.table = False, self.kernel(rules.read_text()) if rules.exists() and self.active else ""


@pytest.fixture
def host(tmp_path, me):
    return Fake(tmp_path)


def firewall(host, *openings, stack="shop", trusted=("docker0",), **more):
    return Firewall(Wanted(stack, openings or (SSH,), trusted, 60, **more), host.machine, resolve=lambda name: [])


def settle(host, *openings, **more):
    """A whole run: on trial, then confirmed."""
    result = firewall(host, *openings, **more).converge(check=False)
    if result.get("trial"):
        firewall(host, *openings, **more).confirm(result["trial"])
    return result


def test_new_rules_are_on_trial_and_nothing_is_kept_before_they_are_confirmed(host):
    result = firewall(host).converge(check=False)
    assert result["trial"]
    assert "proto-dst 22" in host.table
    assert host.timer
    assert not host.has(RULES)
    host.reboot()
    assert host.table == ""


def test_the_way_back_is_armed_before_the_rules_are_loaded(host):
    firewall(host).converge(check=False)
    armed = next(index for index, words in enumerate(host.commands) if words[0] == "systemd-run")
    loaded = next(index for index, words in enumerate(host.commands) if words[1:2] == ["-f"])
    assert armed < loaded


def test_confirmed_rules_are_kept_and_come_back_after_a_reboot(host):
    settle(host)
    assert not host.timer
    assert host.has(UNIT_FILE)
    host.reboot()
    assert "proto-dst 22" in host.table


def test_a_second_run_changes_nothing(host):
    settle(host)
    result = firewall(host).converge(check=False)
    assert (result["changed"], result["changes"], "trial" in result) == (False, [], False)


def test_without_a_confirmation_the_old_rules_come_back(host):
    settle(host)
    before = host.table
    trial = firewall(host, SSH, EDGE).converge(check=False)["trial"]
    assert host.table != before
    host.revert()
    assert host.table == before
    with pytest.raises(FirewallError, match="has taken the new rules back"):
        firewall(host, SSH, EDGE).confirm(trial)
    host.reboot()
    assert host.table == before


def test_a_confirmation_that_comes_while_the_host_goes_back_is_refused(host):
    """The rules are the old ones already, the note that the trial goes on is still there."""
    trial = firewall(host).converge(check=False)["trial"]
    host.table = ""
    with pytest.raises(FirewallError, match="has taken the new rules back"):
        firewall(host).confirm(trial)
    assert not host.has(RULES)


def test_a_stranger_cannot_confirm_nor_end_a_trial(host):
    firewall(host).converge(check=False)
    with pytest.raises(FirewallError):
        firewall(host).confirm("another")
    assert host.timer
    assert not host.has(RULES)


def test_the_trial_of_a_dead_run_is_ended_first_so_that_its_rules_are_nobodys_way_back(host):
    settle(host)
    before = host.table
    firewall(host, SSH, EDGE).converge(check=False)
    firewall(host, EDGE).converge(check=False)
    host.revert()
    assert host.table == before


def test_a_dead_run_that_wanted_the_same_leaves_a_trial_for_the_next(host):
    firewall(host).converge(check=False)
    settle(host)
    host.reboot()
    assert "proto-dst 22" in host.table


def test_rules_that_the_host_does_not_take_change_nothing(host):
    host.refuses = "Error: syntax error"
    with pytest.raises(FirewallError, match="nothing was changed: Error: syntax error"):
        firewall(host).converge(check=False)
    assert (host.table, host.timer, host.has(RULES)) == ("", False, False)


def test_check_mode_shows_the_rules_and_changes_nothing(host):
    result = firewall(host).converge(check=True)
    assert result["changed"]
    assert result["diff"]["before"] == ""
    assert "proto-dst 22" in result["diff"]["after"]
    assert (host.table, host.timer, host.has(RULES), host.has(TRIAL)) == ("", False, False, False)


def test_what_is_missing_on_the_host_is_asked_for_and_check_mode_shows_the_rules_all_the_same(host):
    (host.root / "usr/sbin/nft").unlink()
    result = firewall(host).converge(check=True)
    assert (result["install"], result["changed"]) == (["nftables"], True)
    assert "proto-dst 22" in result["diff"]["after"]


def test_a_missing_file_is_written_without_a_trial_where_the_rules_are_right(host):
    settle(host)
    (host.root / RULES.lstrip("/")).unlink()
    result = firewall(host).converge(check=False)
    assert (result["changes"], "trial" in result, host.has(RULES)) == ([RULES], False, True)


def test_a_unit_that_somebody_switched_off_is_switched_on(host):
    settle(host)
    host.active.clear()
    assert firewall(host).converge(check=False)["changed"]
    assert host.active


def test_taken_away_everything_is_gone(host):
    settle(host)
    assert firewall(host, present=False).converge(check=False)["changed"]
    assert (host.table, host.has(RULES), host.has(UNIT_FILE), host.active) == ("", False, False, set())
    assert not firewall(host, present=False).converge(check=False)["changed"]


@pytest.mark.parametrize("present", [True, False])
def test_the_firewall_of_another_stack_is_left_alone(host, present):
    settle(host)
    with pytest.raises(FirewallError, match="belongs to the stack shop"):
        firewall(host, stack="other", present=present).converge(check=False)


def test_firewalls_beside_it_are_named(host):
    host.put("/etc/ufw/ufw.conf", "ENABLED=yes\n")
    host.firewalld = True
    warnings = firewall(host).converge(check=True)["warnings"]
    assert [warning.split()[0] for warning in warnings] == ["ufw", "firewalld"]


def test_a_ufw_that_is_off_is_not_named(host):
    host.put("/etc/ufw/ufw.conf", "ENABLED=no\n")
    assert firewall(host).converge(check=True)["warnings"] == []


def test_the_way_to_the_network_is_not_taken_for_an_interface_of_containers(host):
    host.put("/proc/net/route", "head\nbr-lan 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n")
    with pytest.raises(FirewallError, match=r"br-lan leads to the network, and firewall_container_interfaces"):
        firewall(host, trusted=("docker0", "br-*")).converge(check=False)
    assert host.table == ""


def test_a_bridge_of_a_private_network_is_not_taken_for_one_of_containers_unless_it_is_listed(host):
    host.put("/proc/net/dev", "head\nhead\n    lo: 0 0\nbr-priv: 0 0\nbr-0123456789ab: 0 0\n")
    with pytest.raises(FirewallError, match=r"br-priv has no name of Docker's.* \(docker0, br-\*\).* for example \[docker0, br-\*, br-priv\]"):
        firewall(host, trusted=("docker0", "br-*")).converge(check=False)
    assert (host.table, host.commands) == ("", [])
    settle(host, trusted=("docker0", "br-*", "br-priv"))
    assert 'iifname "br-priv" accept' in host.table


def test_a_firewall_is_taken_away_whatever_bridges_there_are(host):
    settle(host)
    host.put("/proc/net/dev", "head\nhead\nbr-priv: 0 0\n")
    assert firewall(host, trusted=("br-*",), present=False).converge(check=False)["changed"]


def test_without_systemd_a_job_of_its_own_is_the_way_back_and_the_next_boot_is_somebody_elses(tmp_path, me):
    host, jobs = Fake(tmp_path, systemd=False), []

    class Sleeper:
        def __init__(self, path):
            self.path = path

        def start(self, script):
            jobs.append(script)

        def running(self):
            return bool(jobs)

        def kill(self):
            jobs.clear()

    def one():
        return Firewall(Wanted("shop", (SSH,), ("docker0",), 60), host.machine, job=Sleeper)

    result = one().converge(check=False)
    assert jobs[0].startswith("sleep 60; . ")
    assert "no systemd" in result["warnings"][0]
    one().confirm(result["trial"])
    assert (jobs, host.has(RULES), host.has(UNIT_FILE)) == ([], True, False)
    assert not one().converge(check=False)["changed"]


def test_a_name_is_looked_up_on_the_host():
    assert "127.0.0.1" in _firewall_host.addresses_of("localhost")
    assert _firewall_host.addresses_of("no-such-name.invalid") == []


def test_the_files_are_readable_for_who_they_are_for(host):
    firewall(host).converge(check=False)
    assert os.stat(host.root / TRIAL.lstrip("/")).st_mode & 0o777 == 0o700
