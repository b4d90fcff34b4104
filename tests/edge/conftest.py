# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# With the import mode of this project a test does not see the files beside it.
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "molecule/shared")]
pytest.register_assert_rewrite("edge_suite", "edge_client")


def pytest_terminal_summary(terminalreporter):
    from native import SAMPLES  # its own imports need what pytest has by now

    for line in SAMPLES:
        terminalreporter.write_line(line)
