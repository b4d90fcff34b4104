# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

DAEMON = "/etc/docker/daemon.json"
PASSWORD = "canary-of-the-registry"
# Kills the module that asks for a start or restart, as a power cut would.
DEADLY = '#!/bin/sh\ncase "$*" in *start*) kill -9 $PPID; exit ;; esac\nexec %s "$@"\n'
# A run takes seconds. What does not depend on who starts the engine is tested where systemd does; what depends on its version
# neither, on one host.
systemd_only = pytest.mark.hosts("docker-trixie", "docker-bookworm")
one_host = pytest.mark.hosts("docker-trixie")


def settings(host):
    return json.loads(host.file(DAEMON).content_string)


def systemd(host):
    return host.file("/run/systemd/system").exists


def engine_pid(host):
    return host.check_output("cat /run/docker.pid")


@pytest.fixture
def image(host):
    """An image of the host's own `sleep`: there is no registry to pull one from."""
    host.check_output("tar -ch $(ldd /usr/bin/sleep | grep -o '/[^ ]*') /usr/bin/sleep 2>/dev/null | docker import - sleeper")
    return "sleeper"


@pytest.fixture
def container(host, image):
    """A container that belongs to somebody else."""
    host.check_output(f"docker run -d --name foreign {image} /usr/bin/sleep 1h")
    yield "foreign"
    host.check_output("docker rm -f foreign")


def inspect(host, container, template):
    return host.check_output(f"docker inspect -f '{{{{{template}}}}}' {container}")


@systemd_only
def test_compose_starts_a_container(host, image):
    project = f'{{"services": {{"one": {{"image": "{image}", "command": ["/usr/bin/sleep", "60"]}}}}}}'
    host.check_output(f"mkdir -p /srv/project && echo '{project}' >/srv/project/compose.yaml")
    host.check_output("docker compose --project-directory /srv/project up -d")
    assert "project-one-1" in host.check_output("docker ps --filter status=running")
    host.check_output("docker compose --project-directory /srv/project down -t 0")


@systemd_only
def test_a_setting_that_was_there_before_is_still_there(host):
    assert settings(host)["max-concurrent-downloads"] == 5


@systemd_only
def test_logs_of_containers_are_rotated(host, container):
    assert json.loads(inspect(host, container, "json .HostConfig.LogConfig")) == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def test_root_is_logged_in_to_a_registry_whose_authority_is_the_sites_own(host):
    stored = host.file("/root/.docker/config.json")
    assert "registry.test:5000" in json.loads(stored.content_string)["auths"]
    assert stored.mode == 0o600


@systemd_only
def test_another_run_changes_nothing_and_shows_no_password(converge, name):
    for arguments in ([], ["--check"]):
        run = converge("--diff", "-vvv", *arguments)
        assert (run.rc, run.changed(name)) == (0, 0), run.output
        assert PASSWORD not in run.output


@one_host
def test_a_wrong_password_is_said_without_showing_it(converge, host):
    login = {"registry": "registry.test:5000", "username": "deploy", "password": "canary-that-is-wrong"}
    run = converge("--diff", "-vvv", docker_registry_logins=[login])
    assert run.rc != 0
    assert "registry.test:5000 does not let 'deploy' in" in run.output
    assert login["password"] not in run.output


def test_an_engine_that_was_stopped_is_started(host, converge):
    if systemd(host):
        host.check_output("systemctl stop docker.socket docker.service")
    else:
        host.check_output("service docker stop")
    assert host.run("docker info").rc != 0
    assert converge().rc == 0
    assert host.run("docker info").rc == 0


@systemd_only
def test_settings_that_a_reload_takes_over_cost_no_restart(host, converge, name):
    before = engine_pid(host)
    run = converge(docker_registry_mirrors=["https://mirror.test"])
    assert (run.rc, run.changed(name)) == (0, 1), run.output
    assert json.loads(host.check_output("docker info -f '{{json .RegistryConfig.Mirrors}}'")) == ["https://mirror.test/"]
    assert engine_pid(host) == before


def test_containers_survive_a_restart_of_the_engine(host, converge, container):
    engine, started = engine_pid(host), inspect(host, container, ".State.Pid")
    assert converge(docker_daemon={"default-shm-size": "96m"}).rc == 0
    assert engine_pid(host) != engine
    assert inspect(host, container, ".State.Pid") == started


def test_a_run_killed_between_writing_and_restarting_is_finished_by_the_next(host, converge, name, image):
    command = host.check_output(f"command -v {'systemctl' if systemd(host) else 'service'}")
    wrapper = f"/usr/local/bin/{command.rpartition('/')[2]}"
    host.check_output(f"printf '%s' '{DEADLY % command}' >{wrapper} && chmod 755 {wrapper}")
    killed = converge(docker_daemon={"default-shm-size": "128m"})
    host.check_output(f"rm {wrapper}")
    assert killed.rc != 0
    assert settings(host)["default-shm-size"] == "128m"

    assert converge(docker_daemon={"default-shm-size": "128m"}).rc == 0
    host.check_output(f"docker create --name shm {image} /usr/bin/sleep 1")
    assert inspect(host, "shm", ".HostConfig.ShmSize") == str(128 * 1024 * 1024)
    host.check_output("docker rm shm")
    assert converge(docker_daemon={"default-shm-size": "128m"}).changed(name) == 0


@one_host
def test_a_restart_that_would_stop_foreign_containers_is_left_to_the_operator(host, converge, container):
    before = engine_pid(host)
    run = converge(docker_live_restore=False, docker_daemon={"default-shm-size": "80m"})
    assert run.rc == 0, run.output
    assert "would stop 1 running container" in " ".join(run.output.split())
    assert engine_pid(host) == before
    assert converge().rc == 0


@systemd_only
@pytest.mark.parametrize("arguments", [["--check"], []])
def test_settings_that_the_engine_does_not_know_are_refused_before_anything_changes(host, converge, arguments):
    before, engine = settings(host), engine_pid(host)
    run = converge(*arguments, docker_daemon={"no-such-setting": True})
    assert run.rc != 0
    assert "The engine refuses the settings, nothing was changed" in " ".join(run.output.split())
    assert "no-such-setting" in run.output
    assert settings(host) == before
    assert engine_pid(host) == engine


def test_settings_that_the_engine_does_not_start_with_are_put_back(host, converge):
    before = settings(host)
    run = converge(docker_daemon={"log-opts": {"max-siz": "10m"}})
    assert run.rc != 0
    assert "the old ones were put back, and the engine runs again" in " ".join(run.output.split())
    assert "max-siz" in run.output
    assert settings(host) == before
    assert host.run("docker info").rc == 0


@one_host
def test_settings_that_are_no_json_are_left_alone_and_named(host, converge):
    good = host.file(DAEMON).content_string
    host.check_output(f"echo '{{broken' >{DAEMON}")
    run = converge()
    host.check_output(f"printf '%s' '{good}' >{DAEMON}")
    assert run.rc != 0
    assert f"{DAEMON} is not JSON" in run.output


def test_after_a_reboot_the_engine_answers_and_nothing_is_left_to_do(host, converge, name, reboot):
    reboot()
    assert host.run("docker info").rc == 0
    # The registry of this test is not started at boot: a stored login is believed.
    run = converge()
    assert (run.rc, run.changed(name)) == (0, 0), run.output
