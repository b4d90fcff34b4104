# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that users install: built from this checkout, installed into an empty folder, used from there alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JUNK = (".ansible", ".cache", ".ci", ".config", ".git", ".github", ".venv", "__pycache__", ".pytest_cache", "molecule", "tests", "tools", "build", "benchmarks")


def documented_plugins() -> dict[str, set[str]]:
    names = {kind: {path.stem for path in ROOT.glob(f"plugins/{folder}/*.py")} - {"__init__"} for kind, folder in (("module", "modules"), ("lookup", "lookup"))}
    # A file of filters may hold several: each has a documentation file.
    names["filter"] = {path.stem for path in ROOT.glob("plugins/filter/*.yml")}
    return {kind: {f"longshore.stack.{name}" for name in found} for kind, found in names.items() if found}


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("built")
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", target], cwd=ROOT, check=True, capture_output=True)
    [built] = target.glob("longshore-stack-*.tar.gz")
    return built


@pytest.fixture(scope="session")
def installed(archive, tmp_path_factory):
    """Runs an Ansible command that sees the installed collection and not the checkout."""
    home = tmp_path_factory.mktemp("installed")
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    env |= {"ANSIBLE_HOME": str(home / "home"), "ANSIBLE_COLLECTIONS_PATH": str(home / "collections"), "ANSIBLE_LOCALHOST_WARNING": "false"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    result = run("ansible-galaxy", "collection", "install", "--offline", str(archive), "-p", str(home / "collections"))
    assert result.returncode == 0, result.stdout + result.stderr
    return run


def known_to_git(*folders: str) -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).exists()}


def members(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return [member.name for member in tar if member.isfile()]


def test_the_file_holds_nothing_but_what_a_user_needs(archive):
    parts = {name: set(Path(name).parts) for name in members(archive)}
    # Tests that belong to an example application are part of the example.
    junk = [name for name, folders in parts.items() if folders.intersection(JUNK) and not name.startswith("examples/")]
    junk += [name for name, folders in parts.items() if folders.intersection({"__pycache__", ".pytest_cache", ".venv", "node_modules"})]
    assert junk == []


def test_every_file_is_one_that_git_knows(archive):
    assert set(members(archive)) - known_to_git() <= {"MANIFEST.json", "FILES.json"}


def test_what_a_user_needs_is_in_the_file(archive):
    names = set(members(archive))
    assert {"README.md", "LICENSE", "meta/runtime.yml"} <= names
    assert {name for name in known_to_git("plugins", "roles", "playbooks", "inventories", "examples") if not name.endswith("/.gitignore")} <= names


def test_the_file_is_small(archive):
    assert archive.stat().st_size < 1_000_000


@pytest.mark.parametrize(("kind", "names"), documented_plugins().items())
def test_every_installed_plugin_shows_its_documentation(installed, kind, names):
    result = installed("ansible-doc", "--type", kind, "--json", *names)
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)) == names


def test_every_installed_playbook_is_found_by_its_full_name(installed):
    names = [f"longshore.stack.{path.stem}" for path in sorted(ROOT.glob("playbooks/*.yml"))]
    result = installed("ansible-playbook", "-i", "localhost,", "--syntax-check", *names)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(re.findall("^playbook: ", result.stdout, re.MULTILINE)) == len(names)
