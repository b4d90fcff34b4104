# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks and the tasks of the role app decide before they touch a host."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).parents[3]
PLAYS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((COLLECTION / "playbooks").glob("*.yml"))}


@pytest.mark.parametrize("name", [name for name, plays in PLAYS.items() if "longshore.stack.app" in str(plays)])
def test_what_releases_or_migrates_is_given_the_whole_fleet(name):
    plays = [play for play in PLAYS[name] if "longshore.stack.app" in str(play)]
    assert [play["hosts"] for play in plays] == ["app"]


@pytest.mark.parametrize("name", ["history", "run", "unlock"])
def test_a_verb_for_one_host_works_on_whichever_is_left_by_limit(name):
    assert PLAYS[name][0]["hosts"] == "app"
