from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import settings
from tests.conftest import SERVICES_GIVEN, UNIQUE

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items):
    if SERVICES_GIVEN:
        return
    skip = pytest.mark.skip(reason="no services: DATABASE_URL and its companions are not set")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


class Schema:
    """A schema of the given database, with the migrations in it. PGOPTIONS points every connection there."""

    def __init__(self, name):
        self.name = name
        self._alembic = Config(str(ROOT / "alembic.ini"))

    def execute(self, statement, *values):
        url = settings().database_url.replace("postgresql+psycopg", "postgresql", 1)
        with psycopg.connect(url, options=f"-c search_path={self.name}") as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def migrate(self, revision):
        step = command.downgrade if revision == "base" else command.upgrade
        step(self._alembic, revision)

    def assert_models_agree(self):
        command.check(self._alembic)


def _made(name):
    schema = Schema(name)
    schema.execute(f"CREATE SCHEMA {name}")
    return schema


@pytest.fixture(scope="session")
def schema():
    schema = _made(UNIQUE)
    schema.migrate("head")
    yield schema
    schema.execute(f"DROP SCHEMA {schema.name} CASCADE")


@pytest.fixture
def empty_schema(monkeypatch):
    schema = _made(f"{UNIQUE}_empty")
    monkeypatch.setenv("PGOPTIONS", f"-c search_path={schema.name}")
    yield schema
    schema.execute(f"DROP SCHEMA {schema.name} CASCADE")


@pytest.fixture
def client(schema):
    with TestClient(create_app()) as client:
        yield client
