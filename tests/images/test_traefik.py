# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from image_support import docker, http_status, until

STATIC = """entryPoints: {web: {address: ":80"}, traefik: {address: "127.0.0.1:8404"}}
providers: {file: {directory: /etc/edge/dynamic, watch: true}}
ping: {}
"""
ROUTE = "http: {routers: {a: {rule: 'PathPrefix(`/`)', service: s}}, services: {s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:9'}]}}}}\n"


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("traefik")


@pytest.fixture(scope="module")
def folder(images):
    path = images.volume(0)
    os.makedirs(f"{path}/dynamic")
    for place in (path, f"{path}/dynamic"):
        os.chmod(place, 0o755)
    with open(f"{path}/traefik.yml", "w", encoding="utf-8") as file:
        file.write(STATIC)
    return path


@pytest.fixture(scope="module")
def edge(images, ref, folder):
    container = images.run(ref, "--configfile=/etc/edge/traefik.yml", user="65532:65532", options=("--volume", f"{folder}:/etc/edge:ro"))
    assert until(lambda: http_status(f"http://{container.address}/") == 404), container.logs()
    return container


def test_it_serves_port_80_as_an_ordinary_user(edge):
    assert edge.exec("id", "-u").stdout.strip() == "65532"


def test_it_says_whether_it_is_well(edge):
    assert edge.exec("traefik", "healthcheck", "--configfile=/etc/edge/traefik.yml").returncode == 0


def test_a_file_that_is_put_into_its_folder_is_in_force(edge, folder):
    with open(f"{folder}/dynamic/route.yml", "w", encoding="utf-8") as file:
        file.write(ROUTE)
    assert until(lambda: http_status(f"http://{edge.address}/") == 502), edge.logs()


def test_a_stop_is_quick_and_clean(edge):
    code, seconds = edge.stop(grace=20)
    assert (code, seconds < 15) == (0, True)


def test_its_version_is_the_one_that_is_pinned(ref):
    assert "3.7.15" in docker("run", "--rm", "--network", "none", ref, "traefik", "version").stdout
