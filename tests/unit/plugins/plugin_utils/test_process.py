# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

from ansible_collections.longshore.stack.plugins.plugin_utils.process import identity, is_dead


def test_a_process_that_lives_is_not_dead_and_one_that_ended_is():
    with subprocess.Popen(["sleep", "60"]) as process:
        known = identity(process.pid)
        assert known.split()[2] == str(process.pid)
        assert not is_dead(known)
        process.kill()
    assert is_dead(known)


def test_another_process_with_the_same_number_does_not_stand_for_it():
    boot, namespace, pid, began = identity(os.getpid()).split()
    assert is_dead(f"{boot} {namespace} {pid} {int(began) + 1}")


def test_of_another_boot_or_another_container_nobody_knows():
    boot, namespace, _pid, began = identity(os.getpid()).split()
    assert not is_dead(f"0-1 {namespace} 999999 {began}")
    assert not is_dead(f"{boot} pid:[1] 999999 {began}")
    assert not is_dead("")


def test_where_processes_are_not_known_nobody_is_dead(tmp_path):
    assert identity(os.getpid(), tmp_path) == ""
    assert not is_dead(identity(os.getpid()), tmp_path)
