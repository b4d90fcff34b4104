# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from image_support import S3, docker, http_status, until

USER, PASSWORD = "shopadmin", "only-in-the-file"


class Store:
    def __init__(self, images, ref, data):
        user, password = images.file(USER, 1000), images.file(PASSWORD, 1000)
        mounts = ("--volume", f"{data}:/data", "--volume", f"{user}:/run/secrets/user:ro", "--volume", f"{password}:/run/secrets/password:ro")
        names = ("--env", "MINIO_ROOT_USER_FILE=/run/secrets/user", "--env", "MINIO_ROOT_PASSWORD_FILE=/run/secrets/password")
        self.container = images.run(ref, "server", "/data", "--console-address", ":9001", user="1000:1000", options=(*mounts, *names))
        self.s3 = S3(f"{self.container.address}:9000", USER, PASSWORD)

    def ready(self):
        return until(lambda: self.container.exec("mc", "ready", "local").returncode == 0)


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("minio")


@pytest.fixture(scope="module")
def data(images):
    return images.volume(1000)


@pytest.fixture(scope="module")
def store(images, ref, data):
    made = Store(images, ref, data)
    assert made.ready(), made.container.logs()
    return made


def test_what_is_written_comes_back(store):
    assert store.s3.status("PUT", "/files") == 200
    assert store.s3.status("PUT", "/files/hello.bin", b"\x00bytes\xff") == 200
    assert store.s3.request("GET", "/files/hello.bin") == (200, b"\x00bytes\xff")


def test_a_wrong_secret_the_well_known_one_and_none_are_refused(store):
    for client in (S3(store.s3.host, USER, "wrong"), S3(store.s3.host, "minioadmin", "minioadmin"), S3(store.s3.host)):
        assert client.status("GET", "/files/hello.bin") == 403


def test_it_is_alive_from_inside_and_its_console_answers(store):
    assert store.container.exec("curl", "-fsS", "http://127.0.0.1:9000/minio/health/live").returncode == 0
    assert until(lambda: http_status(f"http://{store.container.address}:9001/") == 200)


def test_users_and_policies_are_made_with_the_client_inside(store):
    script = """
        mc --quiet alias set here http://127.0.0.1:9000 "$(cat /run/secrets/user)" "$(cat /run/secrets/password)"
        mc --quiet mb --ignore-existing here/shop
        printf 'app-secret-word\\n' | { read -r word; mc --quiet admin user add here app "$word"; }
        mc --quiet admin policy attach here readwrite --user app
    """
    done = store.container.exec("sh", "-ec", script)
    assert done.returncode == 0, done.stdout + done.stderr
    app = S3(store.s3.host, "app", "app-secret-word")
    assert app.status("PUT", "/shop/a", b"x") == 200


def test_a_stop_is_clean_and_a_new_container_has_the_files(images, ref, data, store):
    assert store.s3.status("PUT", "/kept") == 200
    assert store.s3.status("PUT", "/kept/a", b"still here") == 200
    code, seconds = store.container.stop(grace=30)
    assert (code, seconds < 15) == (0, True)
    store.container.remove()
    again = Store(images, ref, data)
    assert again.ready(), again.container.logs()
    assert again.s3.request("GET", "/kept/a") == (200, b"still here")


def test_a_secret_file_that_is_missing_is_refused_instead_of_the_well_known_password(ref):
    done = docker("run", "--rm", "--network", "none", "--env", "MINIO_ROOT_PASSWORD_FILE=/run/secrets/none", ref, "server", "/data", check=False)
    assert done.returncode == 1
    assert "MINIO_ROOT_PASSWORD_FILE: /run/secrets/none" in done.stderr


def test_it_is_stamped_with_its_version(ref):
    assert "DEVELOPMENT.2026-02-12T20-18-48Z" in docker("run", "--rm", "--network", "none", ref, "minio", "--version").stdout
