# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import urllib.request

import pytest
from image_support import docker, http_status, until


def config(text):
    return f':80 {{\n\trespond "{text}"\n}}\n'


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("caddy")


@pytest.fixture(scope="module")
def folder(images):
    path = images.volume(0)
    os.chmod(path, 0o755)
    with open(f"{path}/Caddyfile", "w", encoding="utf-8") as file:
        file.write(config("first"))
    return path


@pytest.fixture(scope="module")
def edge(images, ref, folder):
    mounts = ("--volume", f"{folder}:/etc/caddy:ro", "--volume", f"{images.volume(1000)}:/data", "--volume", f"{images.volume(1000)}:/config")
    container = images.run(ref, user="1000:1000", options=("--cap-add", "NET_BIND_SERVICE", *mounts))
    assert until(lambda: http_status(f"http://{container.address}/") == 200), container.logs()
    return container


def page(container):
    with urllib.request.urlopen(f"http://{container.address}/", timeout=5) as answer:
        return answer.read().decode()


def test_it_serves_port_80_as_an_ordinary_user(edge):
    assert page(edge) == "first"
    assert edge.exec("id", "-u").stdout.strip() == "1000"


def test_its_administration_is_asked_from_inside_and_closed_from_outside(edge):
    assert edge.exec("curl", "-fsS", "http://localhost:2019/config/").returncode == 0
    assert http_status(f"http://{edge.address}:2019/config/") == 0


def test_a_changed_file_is_in_force_after_a_reload(edge, folder):
    with open(f"{folder}/Caddyfile", "w", encoding="utf-8") as file:
        file.write(config("second"))
    assert edge.exec("caddy", "reload", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile").returncode == 0
    assert page(edge) == "second"


def test_a_broken_file_is_refused_and_the_old_one_goes_on(edge, folder):
    before = page(edge)
    with open(f"{folder}/Caddyfile", "w", encoding="utf-8") as file:
        file.write(":80 {\n\tno_such_directive\n}\n")
    assert edge.exec("caddy", "reload", "--config", "/etc/caddy/Caddyfile").returncode != 0
    assert page(edge) == before


def test_a_stop_is_quick_and_clean(edge):
    code, seconds = edge.stop(grace=20)
    assert (code, seconds < 10) == (0, True)


def test_certificates_of_the_own_authority_outlive_the_container(images, ref):
    data, conf = images.volume(1000), images.volume(1000)
    with open(f"{conf}/Caddyfile", "w", encoding="utf-8") as file:
        file.write("{\n\tskip_install_trust\n}\nhttps://shop.localhost {\n\ttls internal\n\trespond hello\n}\n")
    mounts = ("--volume", f"{conf}:/etc/caddy:ro", "--volume", f"{data}:/data", "--tmpfs", "/config:uid=1000")
    roots = []
    for _round in range(2):
        container = images.run(ref, user="1000:1000", options=("--cap-add", "NET_BIND_SERVICE", *mounts))
        root = ("cat", "/data/caddy/pki/authorities/local/root.crt")
        assert until(lambda box=container, command=root: "BEGIN CERTIFICATE" in box.exec(*command).stdout), container.logs()
        roots.append(container.exec(*root).stdout)
        container.remove()
    assert roots[0] == roots[1]


def test_without_a_configuration_it_says_that_it_runs(images, ref):
    container = images.run(ref, hardened=False)
    assert until(lambda: http_status(f"http://{container.address}/") == 200), container.logs()
    assert "Caddy runs" in page(container)


def test_its_version_is_the_one_that_is_pinned(ref):
    assert docker("run", "--rm", "--network", "none", ref, "caddy", "version").stdout.startswith("v2.11.")
