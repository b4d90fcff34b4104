# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

KERNEL = "/etc/sysctl.d/90-longshore.conf"
JOURNAL = "/etc/systemd/journald.conf.d/90-longshore.conf"
APT = "/etc/apt/apt.conf.d/90longshore"
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
one_host = pytest.mark.hosts("base-trixie")


def words(run):
    return " ".join(run.output.split())


@pytest.fixture
def hardening(host):
    """A file of somebody else: hardening("/etc/sysctl.d/99-x.conf", "a = 1"); it goes with the test."""
    made = []

    def write(path, content):
        host.check_output("mkdir -p $(dirname %s) && printf '%%s\\n' %s >%s", path, content, path)
        made.append(path)
        return path

    yield write
    for path in made:
        host.check_output("rm %s", path)


# -- kernel ------------------------------------------------------------------------------------------------------------------


def test_a_setting_of_the_kernel_is_in_force_and_in_a_file_that_says_why(host):
    assert host.check_output(f"sysctl -n {KEEPALIVE}") == "300"
    assert f"# From base_sysctl.\n{KEEPALIVE} = 300\n" in host.file(KERNEL).content_string


def test_in_a_container_the_kernel_of_the_machine_is_left_alone_and_that_is_said(host, converge, name):
    assert host.check_output("sysctl vm.overcommit_memory vm.swappiness fs.inotify.max_user_instances") == host.file("/srv/before").content_string.strip()
    assert "vm." not in host.file(KERNEL).content_string
    assert "this host is a container, set it on its machine" in words(converge())


@one_host
def test_what_the_kernel_does_not_take_is_said_and_ends_no_run(host, converge):
    host.check_output("mount --bind /proc/sys/net/ipv4 /proc/sys/net/ipv4 && mount -o remount,ro,bind /proc/sys/net/ipv4")
    try:
        run = converge(base_sysctl={KEEPALIVE: 301})
    finally:
        host.check_output("umount /proc/sys/net/ipv4")
    assert run.rc == 0, run.output
    assert f"{KEEPALIVE} is 300 and cannot be set to 301 here" in words(run)
    assert converge().rc == 0
    assert host.check_output(f"sysctl -n {KEEPALIVE}") == "300"


@one_host
def test_a_setting_that_was_changed_by_hand_is_set_again(host, converge, name):
    host.check_output(f"sysctl -w {KEEPALIVE}=999")
    assert converge("--check").changed(name) == 1
    assert converge().changed(name) == 1
    assert host.check_output(f"sysctl -n {KEEPALIVE}") == "300"


@one_host
def test_after_a_reboot_it_is_there_and_nothing_is_left_to_do(host, reboot, converge, name):
    reboot()
    assert host.check_output(f"sysctl -n {KEEPALIVE}") == "300"
    run = converge()
    assert (run.rc, run.changed(name)) == (0, 0), run.output


# -- beside a hardening role -------------------------------------------------------------------------------------------------


@one_host
@pytest.mark.parametrize(
    ("path", "content", "ours", "said"),
    [
        ("/etc/sysctl.d/50-hardening.conf", f"{KEEPALIVE} = 600", KERNEL, f"{KEEPALIVE} is 600 in"),
        ("/etc/sysctl.d/99-hardening.conf", f"{KEEPALIVE.replace('.', '/')}=600", KERNEL, f"{KEEPALIVE} is 600 in"),
        ("/etc/systemd/journald.conf.d/50-hardening.conf", "[Journal]\nSystemMaxUse=5G", JOURNAL, "SystemMaxUse is 5G in"),
        ("/etc/apt/apt.conf.d/20hardening", 'Unattended-Upgrade::Automatic-Reboot "false";', APT, "Unattended-Upgrade::Automatic-Reboot is false in"),
    ],
    ids=["kernel", "kernel, written otherwise", "journal", "upgrades"],
)
def test_what_another_file_has_settled_is_left_alone_and_said(host, converge, name, hardening, path, content, ours, said):
    hardening(path, content)
    run = converge("--diff")
    assert run.rc == 0, run.output
    assert f"{said} {path}, which is left alone" in words(run)
    assert host.file(path).content_string == f"{content}\n"
    key = said.split()[0]
    assert f"\n{key}" not in host.file(ours).content_string.replace(f"{key}-", "")
    assert converge().changed(name) == 0


@one_host
def test_when_the_other_file_is_gone_the_stack_has_its_way_again(host, converge, name):
    assert converge().rc == 0
    assert f"{KEEPALIVE} = 300" in host.file(KERNEL).content_string
    assert converge().changed(name) == 0


# -- journal, upgrades, time -------------------------------------------------------------------------------------------------


def test_the_journal_is_limited_and_runs_with_that(host):
    assert "SystemMaxUse=1G" in host.check_output("systemd-analyze cat-config systemd/journald.conf")
    started = int(host.check_output("systemctl show --timestamp=unix --property=ExecMainStartTimestamp --value systemd-journald").lstrip("@"))
    assert started >= int(host.check_output("stat -c %%Y %s", JOURNAL))


@one_host
def test_a_journal_that_runs_since_before_its_file_is_restarted(host, converge, name):
    """As after a run that died in between."""
    host.check_output("touch -d '+1 second' %s; sleep 2", JOURNAL)
    run = converge()
    assert run.changed(name) == 1, run.output
    assert converge().changed(name) == 0


def test_security_upgrades_are_installed_and_no_two_hosts_reboot_at_the_same_time(host, name):
    said = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in said
    assert 'Unattended-Upgrade::Automatic-Reboot "true";' in said
    at = {"base-chrony": "03:00", "base-trixie": "04:00"}[name]
    assert f'Unattended-Upgrade::Automatic-Reboot-Time "{at}";' in said
    assert host.run("unattended-upgrade --help").rc == 0


@pytest.mark.hosts("base-chrony")
def test_chrony_that_is_there_gets_the_time_servers(host):
    assert host.file("/etc/chrony/sources.d/longshore.sources").content_string.splitlines()[1:] == ["server ntp1.test iburst", "server 10.20.0.1 iburst"]
    assert not host.package("systemd-timesyncd").is_installed


@one_host
def test_what_is_switched_off_takes_its_file_along(host, converge, name):
    off = {"base_kernel": False, "base_journal": False, "base_upgrades": False, "base_time": False, "base_reboot_window": ""}
    assert converge(**off).rc == 0
    assert [path for path in (KERNEL, JOURNAL, APT) if host.file(path).exists] == []
    assert converge(**off).changed(name) == 0
    assert converge().rc == 0
