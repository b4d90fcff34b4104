# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.longshore.stack.plugins.filter import figures


def test_each_filter_is_documented_and_each_documented_one_is_there():
    documented = {path.stem for path in Path(figures.__file__).parent.glob("*.yml")}
    assert set(figures.FilterModule().filters()) == documented
    assert documented


def test_the_filters_answer_as_their_documentation_says():
    filters = figures.FilterModule().filters()
    assert filters["memory_share"]("512M", 0.25) == 128
    assert len(filters["rabbitmq_hash"]("secret", "app")) == 48
