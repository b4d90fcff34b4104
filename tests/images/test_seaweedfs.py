# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from image_support import S3, docker, http_status, until

KEY, SECRET = "shopkey", "only-in-s3-json"
SHOP = {"name": "shop", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
QUICK = ("-master.electionTimeout=1s", "-master.volumePreallocate=false")
SERVER = ("server", "-s3", "-s3.config=/run/secrets/s3.json", "-ip=localhost", "-ip.bind=0.0.0.0", *QUICK)
MINI = ("mini", "-s3.config=/run/secrets/s3.json")


class Store:
    def __init__(self, images, ref, data, *command):
        secret = images.file(json.dumps({"identities": [SHOP]}), 1000)
        mounts = ("--volume", f"{data}:/data", "--volume", f"{secret}:/run/secrets/s3.json:ro")
        self.container = images.run(ref, *(command or SERVER), user="1000:1000", options=mounts)
        self.s3 = S3(f"{self.container.address}:8333", KEY, SECRET)

    def ready(self):
        return until(lambda: self.s3.status("GET", "/") == 200 and self.s3.status("PUT", "/probe") in (200, 409))


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("seaweedfs")


@pytest.fixture(scope="module")
def store(images, ref):
    made = Store(images, ref, images.volume(1000))
    assert made.ready(), made.container.logs()
    return made


def test_what_is_written_comes_back(store):
    assert store.s3.status("PUT", "/files") == 200
    assert until(lambda: store.s3.status("PUT", "/files/hello.bin", b"\x00bytes\xff") == 200, 30)
    assert store.s3.request("GET", "/files/hello.bin") == (200, b"\x00bytes\xff")


def test_a_wrong_secret_and_none_are_refused(store):
    assert S3(store.s3.host, KEY, "wrong").status("GET", "/files/hello.bin") == 403
    assert S3(store.s3.host).status("GET", "/files/hello.bin") == 403
    assert S3(store.s3.host).status("PUT", "/files/other.bin", b"x") == 403


def test_its_health_is_asked_from_inside(store):
    assert store.container.exec("curl", "-fsS", "http://127.0.0.1:8333/healthz").returncode == 0


def test_it_runs_as_1000(store):
    assert store.container.exec("sh", "-c", "awk '/^Uid/{print $2}' /proc/1/status").stdout.strip() == "1000"


def test_mini_stops_quickly_and_a_new_container_on_the_same_data_has_the_files(images, ref):
    data = images.volume(1000)
    store = Store(images, ref, data, *MINI)
    assert store.ready(), store.container.logs()
    assert store.s3.status("PUT", "/kept") == 200
    assert until(lambda: store.s3.status("PUT", "/kept/a", b"still here") == 200)
    code, seconds = store.container.stop(grace=30)
    assert (code, seconds < 20) == (0, True)
    store.container.remove()
    again = Store(images, ref, data, *MINI)
    assert again.ready(), again.container.logs()
    assert until(lambda: again.s3.request("GET", "/kept/a") == (200, b"still here"))


def test_weed_itself_is_in_the_path(ref):
    assert " 4." in docker("run", "--rm", "--network", "none", ref, "version").stdout
    assert " 4." in docker("run", "--rm", "--network", "none", "--entrypoint", "weed", ref, "version").stdout


def test_the_filer_answers_on_its_port(store):
    assert http_status(f"http://{store.container.address}:8888/") == 200
