# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the run that left something behind still lives, where this controller can know it."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def identity(pid: int, proc: Path = PROC) -> str:
    """What tells a process from every other one: this boot, this namespace of processes, its number and when it began. Nothing where that is not known."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        # The program's name, in parentheses, may hold blanks.
        began = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
        return f"{boot} {os.readlink(proc / 'self/ns/pid')} {pid} {began}"
    except OSError:
        return ""


def is_dead(of: str, proc: Path = PROC) -> bool:
    """Whether that process was one of this place and is no more. Of another place nobody knows."""
    words, here = of.split(), identity(os.getpid(), proc).split()
    return len(words) == len(here) == 4 and words[:2] == here[:2] and identity(int(words[2]), proc) != of
