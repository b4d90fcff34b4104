# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that make the applications' buckets, with a stand-in for the client of each service."""

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
        client, listed = {"seaweedfs": ("weed", "buckets"), "minio": ("mc", "applications")}[role]
        tool = tmp_path / "bin" / client
        tool.parent.mkdir(exist_ok=True)
        tool.write_text("#!/bin/sh" + (WEED if role == "seaweedfs" else MC))
        tool.chmod(0o755)
        shutil.copy(ROLES / role / "files/provision.sh", tmp_path)
        (tmp_path / listed).write_text(wanted)
        log = tmp_path / "log"
        log.write_text("")
        given = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "LOG": str(log), "LIST_FAILS": "", "REFUSED": "", **environment}
        done = subprocess.run(["sh", tmp_path / "provision.sh", *arguments], env=given, capture_output=True, text=True, check=False)
        run.asked = log.read_text().splitlines()
        return done

    return run


def test_seaweedfs_makes_what_is_missing(provision):
    done = provision("seaweedfs", "kept\nnew\n")
    assert (done.returncode, done.stdout) == (0, "changed: bucket new\n")
    assert provision.asked == ["s3.bucket.list", "s3.bucket.create -name new"]


def test_seaweedfs_only_says_in_check_mode(provision):
    assert provision("seaweedfs", "kept\nnew\n", "--check").stdout == "changed: bucket new\n"
    assert provision.asked == ["s3.bucket.list"]


def test_a_bucket_that_cannot_be_made_is_no_change_and_the_reason_is_said(provision):
    done = provision("seaweedfs", "bad\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the name is not allowed" in done.stderr and "s3.bucket.create -name bad" in done.stderr


@pytest.mark.parametrize(("status", "why"), [(1, "not the leader"), (124, "the master did not answer within 20 s")])
def test_a_master_that_does_not_list_its_buckets_is_a_failure_and_no_change(provision, status, why):
    done = provision("seaweedfs", "kept\n", "--check", LIST_FAILS=str(status))
    assert (done.returncode, done.stdout) == (status, "")
    assert why in done.stderr


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
