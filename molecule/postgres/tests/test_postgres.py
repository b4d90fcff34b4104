# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def postgres(service):
    return service("postgres")


def ask(postgres, sql, user="shop", password="canary-of-the-shop", database="shop"):
    return postgres(f'PGPASSWORD={password} psql -X -At -h 127.0.0.1 -U {user} -d {database} -c "{sql}"')


def test_the_container_is_hardened_and_shows_no_password(hardened, no_canary, postgres):
    hardened(postgres.container)
    no_canary()
    assert postgres.health == "healthy"


def test_the_application_owns_its_database_and_has_its_extension(postgres):
    assert ask(postgres, "CREATE TABLE IF NOT EXISTS own (id int); SELECT current_user").stdout.splitlines()[-1] == "shop"
    assert ask(postgres, "SELECT '[1,2]'::vector").stdout.strip() == "[1,2]"


def test_a_wrong_password_is_refused(postgres):
    refused = ask(postgres, "SELECT 1", password="wrong")
    assert refused.rc != 0
    assert "password authentication failed" in refused.stderr


def test_a_new_configuration_recreates_the_container_and_keeps_the_data(postgres, converge, name):
    ask(postgres, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    before = postgres.id
    assert converge(postgres_config={"work_mem": "9MB"}).changed(name) == 1
    assert postgres.id != before
    assert ask(postgres, "SHOW work_mem").stdout.strip() == "9MB"
    assert ask(postgres, "SELECT id FROM kept").stdout.strip() == "7"


def test_a_password_changed_in_the_inventory_is_rotated(postgres, converge, name):
    assert converge(postgres_password="canary-of-another").changed(name) == 1
    assert ask(postgres, "SELECT 1", "postgres", "canary-of-another", "postgres").stdout.strip() == "1"
    assert ask(postgres, "SELECT 1", "postgres", "canary-of-the-administrator", "postgres").rc != 0
    assert converge().changed(name) == 1


def test_a_role_that_lost_its_password_gets_it_back(postgres, converge, name):
    postgres("psql -X -U postgres -c \"ALTER ROLE shop PASSWORD 'drifted'\"")
    assert ask(postgres, "SELECT 1").rc != 0
    foretold = converge("--check", "--diff")
    assert "password of shop" in foretold.output
    assert ask(postgres, "SELECT 1").rc != 0
    assert converge().changed(name) == 1
    assert ask(postgres, "SELECT 1").stdout.strip() == "1"


def test_what_a_killed_provisioning_left_is_mended(postgres, converge, name):
    as_admin = "psql -X -U postgres -v ON_ERROR_STOP=1 -c"
    assert postgres(f"{as_admin} \"CREATE ROLE other LOGIN PASSWORD 'other'\" -c 'GRANT CONNECT ON DATABASE shop TO PUBLIC'").rc == 0
    assert ask(postgres, "SELECT 1", "other", "other").rc == 0
    assert "database shop closed to other roles" in converge("--check", "--diff").output
    assert converge().changed(name) == 1
    assert "permission denied for database" in ask(postgres, "SELECT 1", "other", "other").stderr
    # The role without its password, and the database not there yet.
    assert postgres(f"{as_admin} 'DROP ROLE other' -c 'ALTER DATABASE shop RENAME TO aside' -c 'ALTER ROLE shop PASSWORD NULL'").rc == 0
    assert converge().changed(name) == 1
    assert ask(postgres, "SELECT current_database()").stdout.strip() == "shop"
    assert postgres(f"{as_admin} 'DROP DATABASE shop' -c 'ALTER DATABASE aside RENAME TO shop'").rc == 0
    assert converge().changed(name) == 0


def test_a_setting_that_the_server_refuses_ends_the_run_with_its_own_words(postgres, converge, name):
    broken = converge(postgres_config={"wal_level": "nonsense"}, stack_wait_timeout=60)
    assert broken.rc != 0
    assert "wal_level" in broken.output
    assert "last lines of molecule-postgres-postgres-1" in broken.output
    assert converge().rc == 0
    assert postgres.health == "healthy"
    assert ask(postgres, "SELECT id FROM kept").stdout.strip() == "7"
