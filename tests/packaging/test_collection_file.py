# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that users install: built from this checkout, installed into an empty folder, used from there alone."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JUNK = (".ansible", ".cache", ".ci", ".config", ".git", ".github", ".venv", "__pycache__", ".pytest_cache", "molecule", "tests", "tools", "build", "benchmarks")
PLUGIN_TYPES = {"modules": "module", "lookup": "lookup", "filter": "filter"}


def plugins(folder: str) -> list[str]:
    return sorted({path.stem for path in (ROOT / "plugins" / folder).glob("*") if path.suffix in (".py", ".yml") and path.stem != "__init__"})


def documented_plugins() -> list[tuple[str, str]]:
    # A file of filters holds several: each has its own documentation file.
    names = [(kind, name) for folder, kind in PLUGIN_TYPES.items() if folder != "filter" for name in plugins(folder)]
    return names + [("filter", path.stem) for path in sorted((ROOT / "plugins/filter").glob("*.yml"))]


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
    known = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert set(members(archive)) - set(known.stdout.splitlines()) <= {"MANIFEST.json", "FILES.json"}


def test_what_a_user_needs_is_in_the_file(archive):
    names = set(members(archive))
    assert {"README.md", "LICENSE", "meta/runtime.yml"} <= names
    for folder in ("plugins", "roles", "playbooks"):
        wanted = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", folder], cwd=ROOT, check=True, capture_output=True, text=True)
        assert set(wanted.stdout.splitlines()) <= names


def test_the_file_is_small(archive):
    assert archive.stat().st_size < 1_000_000


@pytest.mark.parametrize(("kind", "name"), documented_plugins())
def test_an_installed_plugin_shows_its_documentation(installed, kind, name):
    result = installed("ansible-doc", "--type", kind, f"longshore.stack.{name}")
    assert result.returncode == 0, result.stderr
    assert f"longshore.stack.{name}" in result.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("playbooks/*.yml")))
def test_an_installed_playbook_is_found_by_its_full_name(installed, name):
    result = installed("ansible-playbook", "-i", "localhost,", f"longshore.stack.{name}", "--syntax-check")
    assert result.returncode == 0, result.stdout + result.stderr
