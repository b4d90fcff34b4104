# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that make the applications' databases and buckets, with a stand-in for the client of each service."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[3] / "roles"
WEED = """
read line
echo "$line" >>"$LOG"
case "$line" in
    s3.bucket.list) [ -z "$LIST_FAILS" ] || { echo "error: not the leader" >&2; exit "$LIST_FAILS"; }; echo "  kept	size:0" ;;
    *bad) echo "error: the name is not allowed" >&2; exit 1 ;;
esac
"""
# The filer of SeaweedFS, which knows one bucket.
WGET = """
[ -z "$FILER_SILENT" ] || exit 4
case "$*" in
    *"http://127.0.0.1:8888/buckets/kept/?limit=1") ;;
    *) exit 8 ;;
esac
"""
# FOUND has what is there as name=role|database|open for each application, EXTENSIONS the extensions that each database has.
PSQL = """
case "$*" in *--command*) exit ${REFUSED:+2} ;; esac
for word in "$@"; do case "$word" in name=*) name=${word#name=} ;; role=*) name=${word#role=} ;; extension=*) name=${word#extension=} ;; esac; done
asked=$(tail -n +2 | tr -s '\\n ' ' ')
echo "$name: $asked" >>"$LOG"
case "$asked" in
    *"FROM pg_roles"*) for there in $FOUND; do [ "${there%%=*}" != "$name" ] || echo "${there#*=}"; done ;;
    *"FROM pg_extension"*) for there in $EXTENSIONS; do [ "$there" != "$name" ] || echo 1; done ;;
esac
"""
MC = """
echo "$*" >>"$LOG"
case "$*" in
    "alias set stack"*) [ -z "$REFUSED" ] || { echo "mc: <ERROR> Access Denied." >&2; exit 1; } ;;
    "mb"*bad) echo "mc: <ERROR> the name is not allowed" >&2; exit 1 ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture
def provision(tmp_path):
    """Runs the script of a role beside its list, as provision(role, list, *arguments, VARIABLE=...)."""

    def run(role: str, wanted: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clients, listed = {
            "seaweedfs": ({"weed": WEED, "wget": WGET}, "buckets"),
            "minio": ({"mc": MC}, "applications"),
            "postgres": ({"psql": PSQL}, "applications"),
        }[role]
        tools = tmp_path / "bin"
        tools.mkdir(exist_ok=True)
        for client, script in clients.items():
            (tools / client).write_text("#!/bin/sh" + script)
            (tools / client).chmod(0o755)
        shutil.copy(ROLES / role / "files/provision.sh", tmp_path)
        (tmp_path / listed).write_text(wanted)
        log = tmp_path / "log"
        log.write_text("")
        unset = dict.fromkeys(("LIST_FAILS", "FILER_SILENT", "REFUSED", "FOUND", "EXTENSIONS"), "")
        given = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log), **unset, **environment}
        done = subprocess.run(["sh", tmp_path / "provision.sh", *arguments], env=given, capture_output=True, text=True, check=False)
        run.asked = log.read_text().splitlines()
        return done

    return run


def test_seaweedfs_makes_what_is_missing_and_lists_its_buckets_once(provision):
    done = provision("seaweedfs", "kept\nnew\nnewer\n")
    assert (done.returncode, done.stdout) == (0, "changed: bucket new\nchanged: bucket newer\n")
    assert provision.asked == ["s3.bucket.list", "s3.bucket.create -name new", "s3.bucket.create -name newer"]


def test_seaweedfs_where_nothing_is_missing_does_not_start_its_shell(provision):
    done = provision("seaweedfs", "kept\n\n")
    assert (done.returncode, done.stdout, provision.asked) == (0, "", [])


def test_a_bucket_for_which_the_filer_does_not_answer_is_not_made_where_it_is_listed(provision):
    done = provision("seaweedfs", "kept\n", FILER_SILENT="yes")
    assert (done.returncode, done.stdout, provision.asked) == (0, "", ["s3.bucket.list"])


def test_seaweedfs_only_says_in_check_mode(provision):
    assert provision("seaweedfs", "kept\nnew\n", "--check").stdout == "changed: bucket new\n"
    assert provision.asked == ["s3.bucket.list"]


def test_a_bucket_that_cannot_be_made_is_no_change_and_the_reason_is_said(provision):
    done = provision("seaweedfs", "bad\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the name is not allowed" in done.stderr and "s3.bucket.create -name bad" in done.stderr


@pytest.mark.parametrize(("status", "why"), [(1, "not the leader"), (124, "the master did not answer within 20 s")])
def test_a_master_that_does_not_list_its_buckets_is_a_failure_and_no_change(provision, status, why):
    done = provision("seaweedfs", "new\n", "--check", LIST_FAILS=str(status))
    assert (done.returncode, done.stdout) == (status, "")
    assert why in done.stderr


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ("role|database|", []),
        ("||", ["role shop", "database shop"]),
        ("role||", ["database shop"]),
        ("|database|", ["role shop"]),
        ("role|database|open", ["database shop closed to other roles"]),
        ("|database|open", ["role shop", "database shop closed to other roles"]),
    ],
    ids=["all is there", "nothing is there", "no database", "no role", "open to others", "no role and open to others"],
)
@pytest.mark.parametrize("check", [(), ("--check",)], ids=["", "check mode"])
def test_postgres_finds_with_one_question_what_an_application_lacks(provision, found, changes, check):
    done = provision("postgres", "shop postgres_shop -\n", *check, FOUND=f"other=role|database|open shop={found}")
    assert (done.returncode, done.stdout.splitlines()) == (0, [f"changed: {change}" for change in changes])
    question, *statements = provision.asked
    assert "FROM pg_roles" in question
    # A new database is closed with a statement of its own.
    assert len(statements) == (0 if check else len(changes) + changes.count("database shop"))


def test_postgres_adds_the_extensions_that_a_database_lacks_and_looks_for_none_where_there_is_no_database(provision):
    wanted = "shop postgres_shop vector,hstore\n"
    done = provision("postgres", wanted, FOUND="shop=role|database|", EXTENSIONS="hstore")
    assert (done.returncode, done.stdout) == (0, "changed: extension vector in shop\n")
    done = provision("postgres", wanted, "--check", FOUND="shop=role||", EXTENSIONS="hstore vector")
    assert done.stdout.splitlines() == [f"changed: {what}" for what in ("database shop", "extension vector in shop", "extension hstore in shop")]


def test_a_password_that_does_not_log_in_is_set_again(provision):
    done = provision("postgres", "shop postgres_shop -\n", FOUND="shop=role|database|", REFUSED="yes")
    assert (done.returncode, done.stdout) == (0, "changed: password of postgres\nchanged: password of shop\n")
    assert [line.partition(": ")[0] for line in provision.asked if "ALTER ROLE" in line] == ["postgres", "shop"]


def test_a_login_that_minio_refuses_is_said_in_its_words(provision):
    done = provision("minio", "", REFUSED="yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the administrator cannot log in:\nmc: <ERROR> Access Denied." in done.stderr


def test_a_bucket_that_minio_cannot_make_is_no_change(provision):
    done = provision("minio", "shop s3_shop bad\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the name is not allowed" in done.stderr


def test_minio_only_says_in_check_mode(provision):
    done = provision("minio", "shop s3_shop bad\n", "--check")
    assert (done.returncode, done.stdout) == (0, "changed: bucket bad\nchanged: policy app-shop\nchanged: keys of shop\nchanged: rights of shop\n")
    assert not [line for line in provision.asked if line.startswith("mb")]
