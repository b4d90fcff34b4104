# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import pytest
from image_support import docker, until

PASSWORD = "kept-in-a-file"


class Server:
    """A container of the image with a password file, and psql inside it over its network address."""

    def __init__(self, images, ref, data, *command, init="", user="999:999", options=()):
        secret = images.file(PASSWORD, 999)
        mounts = ["--volume", f"{data}:/var/lib/postgresql/data", "--volume", f"{secret}:/run/secrets/password:ro"]
        if init:
            mounts += ["--volume", f"{init}:/docker-entrypoint-initdb.d:ro"]
        run = ("--tmpfs", "/run/postgresql:uid=999,gid=999,mode=3777")
        environment = ("--env", "POSTGRES_PASSWORD_FILE=/run/secrets/password", "--env", "POSTGRES_DB=shop", "--env", "POSTGRES_INITDB_ARGS=--no-sync")
        self.container = images.run(ref, *command, user=user, options=(*run, *environment, *mounts, *options))

    def ready(self, seconds=60):
        return until(lambda: self.container.exec("pg_isready", "--quiet", "--host", "127.0.0.1").returncode == 0, seconds)

    def sql(self, statement, password=PASSWORD, database="shop"):
        host = self.container.address
        ask = ("psql", "--no-password", "-tA", "-h", host, "-U", "postgres", "-c", statement, database)
        return self.container.exec(*ask, options=("--env", f"PGPASSWORD={password}"))


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("postgres")


@pytest.fixture(scope="module")
def data(images):
    return images.volume(999)


@pytest.fixture(scope="module")
def server(images, ref, data):
    made = Server(images, ref, data, "postgres", "-c", "work_mem=7MB")
    assert made.ready(), made.container.logs()
    return made


def test_the_right_password_reaches_the_database_and_its_options_are_in_force(server):
    assert server.sql("show work_mem").stdout.strip() == "7MB"


def test_a_wrong_password_and_none_are_refused(server):
    assert "password authentication failed" in server.sql("select 1", password="wrong").stderr
    assert "no password supplied" in server.sql("select 1", password="").stderr


def test_vectors_can_be_stored_and_compared(server):
    server.sql("create extension if not exists vector")
    assert server.sql("select '[1,2,3]'::vector <-> '[1,2,4]'::vector").stdout.strip() == "1"


def test_the_database_sorts_as_upstream_clusters_do(server):
    assert server.sql("select datcollate || ' ' || pg_encoding_to_char(encoding) from pg_database where datname = 'shop'").stdout.strip() == "en_US.utf8 UTF8"


def test_the_server_runs_as_999_and_its_environment_does_not_hold_the_password(server):
    assert server.container.exec("id", "-u").stdout.strip() == "999"
    assert PASSWORD not in server.container.exec("cat", "/proc/1/environ").stdout


def test_a_stop_with_a_client_connected_is_quick_and_clean_and_the_rows_are_there_in_a_new_container(images, ref, data, server):
    server.sql("create table kept (n int); insert into kept values (41), (42)")
    docker("exec", "--detach", server.container.name, "psql", "-h", "/run/postgresql", "-U", "postgres", "-c", "select pg_sleep(60)", "shop")
    count = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'"
    assert until(lambda: server.sql(count).stdout.strip() == "1")
    code, seconds = server.container.stop(grace=30)
    assert (code, seconds < 15) == (0, True)
    server.container.remove()
    again = Server(images, ref, data)
    assert again.ready(), again.container.logs()
    assert again.sql("select sum(n) from kept").stdout.strip() == "83"
    assert "init process" not in again.container.logs()


def test_an_empty_volume_without_a_password_is_refused_with_the_variable_to_set(images, ref):
    container = images.run(ref, user="999:999", options=("--tmpfs", "/var/lib/postgresql/data:uid=999,mode=0700"))
    assert container.exit_code() == 1
    assert "POSTGRES_PASSWORD" in container.logs()


def test_a_password_file_that_is_not_there_is_refused(images, ref):
    container = images.run(ref, user="999:999", options=("--tmpfs", "/var/lib/postgresql/data:uid=999", "--env", "POSTGRES_PASSWORD_FILE=/run/secrets/none"))
    assert container.exit_code() == 1
    assert "/run/secrets/none is missing" in container.logs()


@pytest.fixture
def slow_init(images):
    folder = images.volume(0)
    with open(f"{folder}/10-slow.sql", "w", encoding="utf-8") as file:
        file.write("create table made_by_init (n int);\nselect pg_sleep(3);\ninsert into made_by_init values (1);\n")
    return folder


def test_nobody_reaches_the_cluster_while_it_is_made_and_one_killed_half_way_is_made_again(images, ref, slow_init):
    data = images.volume(999)
    first = Server(images, ref, data, init=slow_init).container
    inside = ("psql", "-tA", "-h", "/run/postgresql", "-U", "postgres", "-c", "select count(*) from pg_stat_activity where query like '%pg_sleep%'", "shop")
    assert until(lambda: first.exec(*inside).stdout.strip() >= "2"), first.logs()
    assert first.exec("pg_isready", "--host", "127.0.0.1").returncode != 0
    docker("kill", first.name)
    first.remove()
    second = Server(images, ref, data, init=slow_init)
    assert second.ready(), second.container.logs()
    assert second.sql("select count(*) from made_by_init").stdout.strip() == "1"


def test_started_as_root_it_gives_the_data_to_999_and_steps_down(images, ref):
    data = images.volume(0)
    capabilities = tuple(word for name in ("CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER") for word in ("--cap-add", name))
    server = Server(images, ref, data, user="", options=("--env", f"POSTGRES_PASSWORD={PASSWORD}", "--env", "POSTGRES_PASSWORD_FILE=", *capabilities))
    assert server.ready(), server.container.logs()
    assert server.container.exec("sh", "-c", "awk '/^Uid/{print $2}' /proc/1/status").stdout.strip() == "999"


def test_a_question_is_answered_without_any_set_up(ref):
    start = time.monotonic()
    assert "17." in docker("run", "--rm", "--network", "none", ref, "postgres", "--version").stdout
    assert time.monotonic() - start < 10
