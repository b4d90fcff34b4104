# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._history import append, by_app, forward, lines, moved_on, newest, summary


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def test_a_host_without_a_history_has_an_empty_one(folder):
    assert newest(folder) == []


def test_the_newest_entry_comes_first(folder):
    for number in range(3):
        append(folder, {"release": f"r{number}", "message": "two\nlines"})
    assert [entry["release"] for entry in newest(folder)] == ["r2", "r1", "r0"]
    assert newest(folder)[0]["message"] == "two\nlines"


def test_only_as_many_as_are_asked_for_are_read_back_and_none_is_forgotten(folder):
    for number in range(60):
        append(folder, {"n": number})
    assert [entry["n"] for entry in newest(folder, most=2)] == [59, 58]
    assert len(newest(folder)) == 50
    assert len(newest(folder, most=100)) == 60


def test_everybody_may_read_it_and_what_was_written_is_only_added_to(folder, tmp_path):
    append(folder, {"n": 1})
    before = (tmp_path / "history.jsonl").read_bytes()
    append(folder, {"n": 2})
    assert (tmp_path / "history.jsonl").read_bytes() == before + b'{"n": 2}\n'
    assert (tmp_path / "history.jsonl").stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize("cut", ['{"n": 2, "mess', "\x00\x00", "{"], ids=ascii)
def test_a_line_that_was_cut_short_is_left_out_and_takes_no_other_with_it(folder, tmp_path, cut):
    append(folder, {"n": 1})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write(cut)
    append(folder, {"n": 3})
    assert [entry["n"] for entry in newest(folder)] == [3, 1]


ENTRY = {
    "kind": "deploy",
    "release": "2-b",
    "digest": "sha256:0123456789abcdef",
    "before": "1-a",
    "owner": "ann@desk",
    "ref": "v2",
    "result": "live",
    "started": 100.0,
    "hosts": ["one", "two"],
    "revision_before": "0003",
    "revision_after": "0004",
    "seconds": {"hand_over": 0, "migrate": 1.5, "switch": 0.08, "start": 4},
}
LISTED = {"app": "shop", "history": [ENTRY], "live": "2-b", "previous": "1-a", "kept": ["1-a", "2-b"], "holder": ""}


def test_the_history_is_a_table_with_the_digest_in_short_and_stages_only_where_they_are_asked_for():
    table = lines("shop", LISTED, 20)
    assert table[3].split()[1:4] == ["deploy", "2-b", "0123456789ab"] and "0003 -> 0004" in table[3] and table[3].endswith("live    5.6 s")
    assert table[4] == "kept: 1-a (before it), 2-b (live)"
    failed = {**LISTED, "history": [{**ENTRY, "result": "failed", "message": "one\ntwo", "seconds": {}}, ENTRY]}
    assert [line.strip() for line in lines("shop", failed, 20, full=True) if line.startswith("    ")] == [
        "one",
        "two",
        "migrate 1.50 s, start 4.00 s, switch 0.08 s",
    ]


def test_a_run_that_failed_before_its_release_had_a_name_is_listed_by_its_version():
    entry = {**ENTRY, "release": "", "version": "9.9.9", "digest": "", "before": "", "seconds": {}, "revision_after": ""}
    assert lines("shop", {**LISTED, "history": [entry]}, 20)[3].split()[2] == "9.9.9"


def test_what_several_hosts_kept_is_one_history():
    other = {**LISTED, "history": [{**ENTRY, "started": 200.0}], "holder": "ann has it", "live": "9-z"}
    found = by_app([LISTED, other, {**LISTED, "app": "admin"}])
    assert ([entry["started"] for entry in found["shop"]["history"]], found["shop"]["holder"], found["shop"]["live"]) == ([200.0, 100.0], "ann has it", "2-b")
    assert list(found) == ["shop", "admin"]


def test_the_summary_says_what_is_live_where_and_how_long_the_switch_took():
    assert summary(ENTRY) == (
        "live on one, two, in place of 1-a; schema 0003 -> 0004; the switch took 0.08 s. Stages: migrate 1.50 s, start 4.00 s, switch 0.08 s"
    )
    again = {**ENTRY, "before": "2-b", "revision_before": "", "revision_after": ""}
    assert summary(again).startswith("live on one, two; the switch took")
    assert summary({"result": "failed"}) == ""


def row(release, revision="", **more):
    return {"kind": "deploy", "release": release, "before": "", "result": "live", "revision_after": revision, **more}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([row("2-b", "0004"), row("1-a", "0003")], "1-a was made for schema 0003; the database is at 0004. Nothing is taken back in the database."),
        ([row("9-z", "0005", result="failed"), row("2-b", "0004"), row("1-a", "0003")], "1-a was made for schema 0003; the database is at 0005."),
        ([row("1-a", kind="rollback"), row("2-b", "0004"), row("1-a", "0003")], "1-a was made for schema 0003; the database is at 0004."),
        ([row("2-b", "0003"), row("1-a", "0003")], ""),
        ([row("2-b", "0004"), row("1-a")], ""),
        ([row("2-b"), row("1-a")], ""),
        ([], ""),
    ],
    ids=["moved on", "by a release that failed", "after a rollback", "the same", "not known for the release", "never migrated", "no history"],
)
def test_going_back_says_where_the_schema_is_if_it_has_moved_on(entries, said):
    assert moved_on("1-a", entries).startswith(said) and bool(moved_on("1-a", entries)) == bool(said)


def test_a_rollback_after_a_rollback_says_that_it_goes_forward_and_how_to_go_further_back():
    entries = [{"kind": "scale", "result": "web: 2"}, row("2-b", kind="rollback", before="3-c"), row("3-c", before="2-b")]
    assert forward("3-c", entries, ["1-a", "2-b", "3-c"]) == (
        "The last rollback left 3-c, and this one undoes it. To go back further instead: -e app_release=RELEASE, with one of 1-a."
    )
    assert forward("2-b", entries[2:], ["1-a", "2-b", "3-c"]) == ""
    assert forward("3-c", [{}], []) == ""
