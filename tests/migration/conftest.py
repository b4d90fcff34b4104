# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real migrations: a database, an image with Python, and the module called as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("alembic", "django<6", "psycopg[binary]")


def pytest_configure(config):
    config.addinivalue_line("markers", "docker: needs a container engine and images that the recipes built")


def docker(*arguments: str, check: bool = True) -> str:
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True).stdout.strip()


def image(variable: str, pattern: str) -> str:
    """The image that the variable names, or the newest that a recipe built."""
    found = os.environ.get(variable) or docker("images", "--format", "{{.Repository}}:{{.Tag}}", pattern, check=False).partition("\n")[0]
    if not found:
        pytest.skip(f"no image {pattern} on this engine; build it, or set {variable}")
    return found


@pytest.fixture(scope="session")
def python_image() -> str:
    return image("LONGSHORE_TEST_PYTHON_IMAGE", "longshore/python*")


@pytest.fixture(scope="session")
def packages(python_image, tmp_path_factory) -> Path:
    """Folder with the migration tools, fit for the Python of the image."""
    version = docker("run", "--rm", "--entrypoint", "python3", python_image, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    folder = tmp_path_factory.mktemp("packages")
    options = ["--quiet", "--no-compile", "--only-binary=:all:", "--python-version", version, "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *PACKAGES], check=True)
    # The release mounts the folder read-only; without bytecode each start of a tool would compile all of it.
    docker("run", "--rm", "--entrypoint", "python3", "-v", f"{folder}:/packages", python_image, "-m", "compileall", "-qj2", "/packages")
    return folder


class Database:
    def __init__(self, name: str):
        self.name = name

    def sql(self, statement: str) -> str:
        return docker("exec", self.name, "psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", statement)

    def lock(self, table: str, seconds: int) -> subprocess.Popen:
        """Hold the table in another session."""
        statement = f"BEGIN; LOCK TABLE {table}; SELECT pg_sleep({seconds})"
        holder = subprocess.Popen(["docker", "exec", self.name, "psql", "-h", "127.0.0.1", "-U", "postgres", "-c", statement], stdout=subprocess.DEVNULL)
        until(lambda: self.sql(f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND granted") != "0")
        return holder

    def sessions(self) -> str:
        return self.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'longshore-migration%'")


def until(condition, seconds: float = 60) -> float:
    """Seconds until the condition holds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "waited too long"
        time.sleep(0.1)
    return time.monotonic() - begin


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL of its own, in a network of its own."""
    name = f"lsmigration-{uuid.uuid4().hex[:8]}"
    postgres = image("LONGSHORE_TEST_POSTGRES_IMAGE", "longshore/postgres")
    docker("network", "create", name)
    try:
        docker("run", "-d", "--name", name, "--network", name, "-e", "POSTGRES_HOST_AUTH_METHOD=trust", postgres)
        database = Database(name)
        until(lambda: subprocess.run(["docker", "exec", name, "pg_isready", "-qh", "127.0.0.1"], check=False).returncode == 0, 60)
        yield database
    finally:
        docker("rm", "-fv", name, check=False)
        docker("network", "rm", name, check=False)


@pytest.fixture
def database(server):
    server.sql("DROP SCHEMA public CASCADE")
    server.sql("CREATE SCHEMA public")
    return server


class Release:
    """A release directory whose compose file has a service `migrate`, and the module for it."""

    def __init__(self, path: Path, app: Path, image: str, packages: Path, database: Database):
        self.path, self.app, self.project = path, app, f"{database.name}-{path.name}"
        definition = {
            "services": {
                "migrate": {
                    "image": image,
                    "profiles": ["tools"],
                    "working_dir": "/srv/app",
                    "read_only": True,
                    "cap_drop": ["ALL"],
                    "user": "10001:10001",
                    "volumes": [f"{app}:/srv/app:ro", f"{packages}:/packages:ro"],
                    "networks": ["backend"],
                    "environment": {
                        "PYTHONPATH": "/packages:/srv/app",
                        "PYTHONDONTWRITEBYTECODE": "1",
                        "DATABASE_URL": f"postgresql+psycopg://postgres:canary-4711@{database.name}/postgres",
                        "DATABASE_HOST": database.name,
                        "PGOPTIONS": "-c search_path=public",
                    },
                }
            },
            "networks": {"backend": {"name": database.name, "external": True}},
        }
        path.mkdir(parents=True)
        (path / "compose.yaml").write_text(json.dumps(definition))
        self.arguments = {"project": self.project, "path": str(path), "lock": database.name, "timeout": 120}

    def start(self, check: bool = False, **options) -> subprocess.Popen:
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections"),
            "ANSIBLE_HOME": str(ROOT / ".ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }
        command = [Path(sys.executable).with_name("ansible"), "all", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        command += ["-m", "longshore.stack.migration", "-a", json.dumps({**self.arguments, **options}), *(["--check"] if check else [])]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def migrate(self, check: bool = False, **options) -> dict:
        """What the module answers."""
        said, _errors = self.start(check, **options).communicate()
        assert "canary-4711" not in said
        assert " => {" in said, said
        return {"said": said, "failed": " | FAILED! => {" in said, **json.JSONDecoder().raw_decode(said[said.index(" => {") + 4 :])[0]}


@pytest.fixture
def release(tmp_path, python_image, packages, database):
    """Makes releases of one application in one folder `app`."""
    for folder in (tmp_path, packages):
        # pytest's folders are for their owner alone; the application runs as another user.
        for parent in (folder, *folder.parents[:2]):
            parent.chmod(0o755)
    app = tmp_path / "app"
    app.mkdir()
    yield lambda name: Release(tmp_path / "releases" / name, app, python_image, packages, database)
    docker("rm", "-f", f"{database.name}-migration", check=False)
