# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re

import pytest
from image_support import docker, http_status, until

PAGE = "pid /tmp/nginx.pid; error_log stderr; events {{}} http {{ keepalive_min_timeout 30s; server {{ listen 80; return {status}; }} }}\n"


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("nginx")


@pytest.fixture(scope="module")
def folder(images):
    path = images.volume(0)
    os.chmod(path, 0o755)
    write(path, PAGE.format(status=204))
    return path


@pytest.fixture(scope="module")
def edge(images, ref, folder):
    command = ("nginx", "-c", "/etc/edge/nginx.conf", "-g", "daemon off;")
    places = ("--volume", f"{folder}:/etc/edge:ro", "--tmpfs", "/tmp", "--tmpfs", "/var/cache/nginx:uid=101")
    container = images.run(ref, *command, user="101:101", options=places)
    assert until(lambda: http_status(f"http://{container.address}/") == 204), container.logs()
    return container


def write(folder, text):
    with open(f"{folder}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(text)


def test_it_serves_port_80_as_an_ordinary_user(edge):
    assert edge.exec("id", "-u").stdout.strip() == "101"
    assert edge.exec("curl", "-fsS", "http://127.0.0.1/").returncode == 0


def test_a_changed_file_is_in_force_after_a_reload_and_a_broken_one_is_refused(edge, folder):
    write(folder, PAGE.format(status=202))
    assert edge.exec("sh", "-c", "nginx -t -q -c /etc/edge/nginx.conf && kill -HUP 1").returncode == 0
    assert until(lambda: http_status(f"http://{edge.address}/") == 202), edge.logs()
    write(folder, "no_such_directive;\n")
    assert edge.exec("nginx", "-t", "-q", "-c", "/etc/edge/nginx.conf").returncode != 0
    assert http_status(f"http://{edge.address}/") == 202


def test_a_stop_is_quick_and_clean(edge):
    code, seconds = edge.stop(grace=20)
    assert (code, seconds < 10) == (0, True)


def test_its_version_knows_what_is_written_for_it(ref):
    said = docker("run", "--rm", "--network", "none", ref, "sh", "-c", "nginx -v 2>&1").stdout
    # The recipe takes what Debian's unstable suite has by now.
    assert tuple(map(int, re.search(r"nginx/(\d+)\.(\d+)", said).groups())) >= (1, 30), said
