# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from image_support import docker, until

PASSWORD = "only-in-the-file"
CONFIG = f"requirepass {PASSWORD}\nappendonly no\nsave 3600 1\n"


class Server:
    def __init__(self, images, ref, data, config=CONFIG):
        conf = images.file(config, 999)
        mounts = ("--volume", f"{data}:/data", "--volume", f"{conf}:/etc/valkey/valkey.conf:ro")
        self.container = images.run(ref, "valkey-server", "/etc/valkey/valkey.conf", user="999:999", options=mounts)

    def ready(self):
        return until(lambda: "PONG" in self.ask("ping").stdout)

    def ask(self, *command, password=PASSWORD):
        # From the network's side: the loopback is trusted more.
        return self.container.exec("valkey-cli", "-h", self.container.address, *command, options=("--env", f"REDISCLI_AUTH={password}"))


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("valkey")


@pytest.fixture(scope="module")
def data(images):
    return images.volume(999)


@pytest.fixture(scope="module")
def server(images, ref, data):
    made = Server(images, ref, data)
    assert made.ready(), made.container.logs()
    return made


def test_it_serves_with_the_password_of_its_configuration(server):
    server.ask("set", "greeting", "hello")
    assert server.ask("get", "greeting").stdout.strip() == "hello"


def test_a_wrong_password_and_none_are_refused(server):
    assert "NOAUTH" in server.ask("get", "greeting", password="").stdout
    assert "WRONGPASS" in server.ask("get", "greeting", password="wrong").stderr


def test_it_runs_as_999_in_data(server):
    assert server.container.exec("sh", "-c", "awk '/^Uid/{print $2}' /proc/1/status; readlink /proc/1/cwd").stdout.split() == ["999", "/data"]


def test_a_stop_saves_and_a_new_container_has_the_keys(images, ref, data, server):
    server.ask("set", "kept", "42")
    code, seconds = server.container.stop(grace=20)
    assert (code, seconds < 10) == (0, True)
    server.container.remove()
    again = Server(images, ref, data)
    assert again.ready(), again.container.logs()
    assert again.ask("get", "kept").stdout.strip() == "42"


def test_data_that_cannot_be_written_is_refused_at_the_start(images, ref):
    container = images.run(ref, user="999:999", options=("--volume", f"{images.volume(0)}:/data"))
    assert container.exit_code() == 1
    assert "not writable" in container.logs()


def test_without_any_configuration_other_containers_are_served_as_upstream_does(images, ref):
    container = images.run(ref, user="999:999", options=("--tmpfs", "/data:uid=999"))
    assert until(lambda: "PONG" in container.exec("valkey-cli", "-h", container.address, "ping").stdout), container.logs()


def test_a_configuration_that_protects_itself_keeps_its_word(images, ref):
    server = Server(images, ref, images.volume(999), "protected-mode yes\n")
    assert until(lambda: "PONG" in server.container.exec("valkey-cli", "-h", "127.0.0.1", "ping").stdout), server.container.logs()
    assert "DENIED" in server.container.exec("valkey-cli", "-h", server.container.address, "ping").stdout


def test_started_as_root_it_gives_the_data_to_999_and_steps_down(images, ref):
    capabilities = tuple(word for name in ("CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE") for word in ("--cap-add", name))
    container = images.run(ref, options=("--volume", f"{images.volume(0)}:/data", *capabilities))
    assert until(lambda: "PONG" in container.exec("valkey-cli", "ping").stdout), container.logs()
    assert container.exec("sh", "-c", "awk '/^Uid/{print $2}' /proc/1/status; stat -c %u /data").stdout.split() == ["999", "999"]


def test_its_version_is_8_1(ref):
    assert "v=8.1." in docker("run", "--rm", "--network", "none", ref, "valkey-server", "--version").stdout
