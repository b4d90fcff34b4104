# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import signal
import stat
import time

import pytest

from .conftest import docker, until

pytestmark = pytest.mark.docker

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
print('{"level": "info", "message": "a -> b, starting"}')
print("url", os.environ["DATABASE_URL"])
with create_engine(os.environ["DATABASE_URL"], poolclass=NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
import time
from alembic import op
revision, down_revision = {name!r}, {down!r}
def upgrade():
    {body}
"""


def revision(app, name, down, *statements, body=""):
    (app / "versions").mkdir(exist_ok=True)
    (app / "versions" / f"{name}.py").write_text(
        REVISION.format(name=name, down=down, body="; ".join([*(f"op.execute({text!r})" for text in statements), body or "pass"]))
    )


@pytest.fixture
def alembic(release):
    """A release with two revisions."""
    made = release("1")
    (made.app / "alembic.ini").write_text("[alembic]\nscript_location = .\n")
    (made.app / "env.py").write_text(ENV)
    revision(made.app, "a1", None, "CREATE TABLE item (id int)")
    revision(made.app, "b2", "a1", "INSERT INTO item VALUES (7)")
    made.arguments["command"] = ["python3", "-m", "alembic"]
    return made


def test_alembic_migrates_once_and_says_what(alembic, database):
    looked = alembic.migrate(check=True)
    assert (looked["changed"], len(looked["pending_revisions"]), looked["revision_after"]) == (True, 2, "b2")
    assert database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"

    done = alembic.migrate(seed=["python3", "-c", "print('seeded')"])
    assert (done["changed"], done["revision_before"], done["revision_after"]) == (True, None, "b2")
    assert "seeded" in done["output"]
    assert database.sql("SELECT id FROM item") == "7"

    again = alembic.migrate()
    assert (again["changed"], again["revision_after"]) == (False, "b2")
    database.sql("DROP TABLE item, alembic_version")
    restored = alembic.migrate()
    assert (restored["changed"], restored["revision_before"], restored["revision_after"]) == (True, None, "b2")
    assert stat.S_IMODE((alembic.path / "migration.log").stat().st_mode) == 0o600
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={alembic.project}") == ""


def test_a_migration_that_fails_keeps_what_was_done_and_continues_after_the_fix(alembic, database, release):
    revision(alembic.app, "c3", "b2", "ALTER TABLE nothing ADD COLUMN x int")
    failed = alembic.migrate()
    assert failed["failed"]
    assert failed["rc"] == 1
    assert 'relation "nothing" does not exist' in failed["output"]
    assert database.sql("SELECT version_num FROM alembic_version") == "b2"

    revision(alembic.app, "c3", "b2", "ALTER TABLE item ADD COLUMN x int")
    done = alembic.migrate()
    assert (done["changed"], done["revision_before"], done["revision_after"]) == (True, "b2", "c3")


def test_at_the_limit_the_session_that_waits_for_a_lock_is_gone(alembic, database):
    alembic.migrate()
    revision(alembic.app, "c3", "b2", "ALTER TABLE item ADD COLUMN x int")
    holder = database.lock("item", 180)
    try:
        running = alembic.start(timeout=45)
        until(lambda: database.sessions() == "longshore-migration-1")
        said, _errors = running.communicate()
        gone = until(lambda: database.sessions() == "", 10)
        assert database.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0"
    finally:
        holder.kill()
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()")
        holder.wait()
    assert "did not end within 45 s and was stopped" in said
    assert "alembic upgrade head, at most 45 s" in said  # the progress line
    assert gone < 3
    assert alembic.migrate()["revision_after"] == "c3"


def test_a_migration_whose_run_died_goes_on_and_the_next_run_waits_for_it(alembic, release, database):
    revision(alembic.app, "c3", "b2", body="time.sleep(6)")
    running = alembic.start()
    until(lambda: docker("ps", "-q", "--filter", "label=stack.longshore.migration.step=upgrade", "--filter", f"name={database.name}-migration"))
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()

    other = release("2")
    other.arguments["command"] = alembic.arguments["command"]
    refused = other.migrate()
    assert refused["failed"]
    assert "a migration of release 1 runs since" in refused["msg"]

    begin = time.monotonic()
    done = alembic.migrate()
    assert time.monotonic() - begin > 1
    assert (done["changed"], done["revision_before"], done["revision_after"]) == (True, None, "c3")
    assert database.sql("SELECT count(*) FROM item") == "1"
    assert other.migrate()["changed"] is False


def test_a_change_that_was_never_committed_is_not_taken_for_done(alembic, database):
    (alembic.app / "env.py").write_text(ENV.replace("with context.begin_transaction():", "if True:").replace("transaction_per_migration=True", ""))
    failed = alembic.migrate()
    assert failed["failed"]
    assert "exited 0, but this is still pending" in failed["msg"]


def test_django_migrates_its_plan(release, database):
    made = release("1")
    package = made.app / "shop" / "migrations"
    package.mkdir(parents=True)
    for folder in (made.app / "shop", package):
        (folder / "__init__.py").write_text("")
    (made.app / "settings.py").write_text(
        "import os\nSECRET_KEY = 'x'\nUSE_TZ = True\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
        "INSTALLED_APPS = ['django.contrib.contenttypes', 'shop']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'postgres', 'USER': 'postgres', 'HOST': os.environ['DATABASE_HOST']}}\n"
    )
    (made.app / "manage.py").write_text(
        "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\nfrom django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )
    (package / "0001_initial.py").write_text(
        "from django.db import migrations, models\nclass Migration(migrations.Migration):\n    initial = True\n"
        "    operations = [migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True)), ('name', models.TextField())])]\n"
    )
    made.arguments.update(tool="django", command=["python3", "manage.py"])
    looked = made.migrate(check=True)
    assert "shop.0001_initial" in looked["pending_revisions"]
    done = made.migrate()
    assert done["changed"]
    assert "Applying shop.0001_initial... OK" in done["output"]
    assert database.sql("SELECT count(*) FROM shop_item") == "0"
    again = made.migrate()
    assert (again["changed"], again["pending_revisions"]) == (False, [])


def test_any_command_migrates_with_its_own_check(release, database):
    made = release("1")
    (made.app / "migrate.py").write_text(
        "import os, sys, psycopg\n"
        "with psycopg.connect(host=os.environ['DATABASE_HOST'], user='postgres') as connection:\n"
        "    there = connection.execute(\"SELECT to_regclass('public.thing')\").fetchone()[0]\n"
        "    if sys.argv[1] == 'check':\n        there or print('create thing')\n        sys.exit(0 if there else 1)\n"
        "    elif sys.argv[1] == 'version':\n        print('hello')\n        print(1 if there else 0)\n"
        "    else:\n        connection.execute('CREATE TABLE thing (id int)')\n"
    )
    tool = {name: ["python3", "migrate.py", word] for name, word in (("command", "up"), ("check_command", "check"), ("current_command", "version"))}
    made.arguments.update(tool="command", **tool)
    looked = made.migrate(check=True)
    assert (looked["changed"], looked["pending_revisions"]) == (True, ["create thing"])
    done = made.migrate()
    assert (done["changed"], done["revision_before"], done["revision_after"]) == (True, "0", "1")
    assert made.migrate()["changed"] is False
    assert json.loads((made.path / "migration.json").read_text())["release"] == "1"
