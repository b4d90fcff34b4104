# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import signal
import time

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _docker_engine
from ansible_collections.longshore.stack.plugins.module_utils._docker_engine import converge
from ansible_collections.longshore.stack.plugins.module_utils._docker_settings import Login, Wanted
from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError, Result
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

DAEMON = "/etc/docker/daemon.json"
WANTED = {"log-opts": {"max-size": "10m", "max-file": "3"}, "live-restore": True}


class Fake:
    """A host in a folder, with an engine that behaves: it has the settings of the moment it was started or told to reload."""

    def __init__(self, root):
        self.root, self.commands, self.signals = str(root), [], []
        self.loaded, self.pid, self.containers, self.refuses, self.version = None, 0, [], set(), "26.1.5"
        self.dies_at, self.compose = (), {"Name": "compose", "Version": "v2.26.1", "Path": "/usr/libexec/docker/cli-plugins/docker-compose"}
        self.machine = Machine(root=self.root, run=self.run, sleep=lambda seconds: None, monotonic=time.monotonic, kill=self.kill, fetch=self.fetch)
        self.answers = {}
        self.put("/proc/stat", "cpu 1\nbtime 1000000000\n")
        self.put("/etc/os-release", 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
        self.put("/run/systemd/system/x", "")

    def put(self, name, content):
        path = self.root + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(path, 0o755)
        os.utime(path, (1, 1))  # long ago

    def install(self):
        for name in ("/usr/bin/docker", "/usr/sbin/dockerd", "/usr/lib/systemd/system/docker.service"):
            self.put(name, "")

    def settings(self):
        text = self.machine.read(DAEMON)
        return json.loads(text) if text else {}

    def start(self):
        if self.refuses & self.settings().keys():
            return
        self.loaded, self.pid = self.settings(), self.pid + 100
        fields = " ".join(["S", *["0"] * 18, "5"])
        self.put("/run/docker.pid", str(self.pid))
        self.put(f"/proc/{self.pid}/stat", f"{self.pid} (dockerd) {fields}")
        self.put(f"/proc/{self.pid}/cmdline", "/usr/sbin/dockerd\0")

    def kill(self, pid, number):
        self.signals.append(number)
        self.loaded = {**self.loaded, **{key: value for key, value in self.settings().items() if key == "live-restore"}}

    def fetch(self, url):
        if url not in self.answers:
            raise OSError("no such host")
        return self.answers[url]

    def info(self):
        return {
            "ServerVersion": self.version,
            "LiveRestoreEnabled": self.loaded.get("live-restore", False),
            "ContainersRunning": len(self.containers),
            "ClientInfo": {"Plugins": [self.compose] if self.compose else []},
        }

    def run(self, args, **ignored):
        line = " ".join(args)
        self.commands.append(line)
        for part in self.dies_at:
            if part in line:
                raise KeyboardInterrupt
        if args[:2] == ["docker", "info"]:
            return Result(tuple(args), 0, json.dumps({} if self.loaded is None else self.info()), "")
        if args[:2] == ["docker", "ps"]:
            return Result(tuple(args), 0, "\n".join(json.dumps({"Labels": labels}) for labels in self.containers), "")
        if "--version" in args:
            return Result(tuple(args), 0, f"Docker version {self.version}, build x", "")
        if args[:2] == ["systemctl", "is-failed"]:
            return Result(tuple(args), 0 if self.loaded is None else 1, "", "")
        if line in ("systemctl start docker.service", "systemctl restart docker.service"):
            self.loaded = None
            self.machine.remove("/run/docker.pid")
            self.start()
        return Result(tuple(args), 0, "", "")

    def converge(self, check=False, **wanted):
        return converge(Wanted(**wanted), self.machine, check)


@pytest.fixture
def bare(tmp_path):
    return Fake(tmp_path)


@pytest.fixture
def host(bare):
    bare.install()
    bare.start()
    return bare


def test_a_second_run_changes_nothing_and_asks_two_questions(host):
    assert host.converge()["changed"]
    assert host.loaded == WANTED
    host.commands.clear()
    assert host.converge()["changes"] == []
    assert host.commands == ["docker info --format {{json .}}", "systemctl is-enabled --quiet docker.service"]


def test_check_mode_says_what_would_happen_and_does_nothing(host):
    result = host.converge(check=True)
    assert result["changes"] == ["/etc/docker/daemon.json: live-restore, log-opts", "engine restarted"]
    assert json.loads(result["diff"][0]["after"]) == WANTED
    assert (host.settings(), host.loaded, host.signals) == ({}, {}, [])


def test_only_what_a_reload_cannot_do_restarts_the_engine(host):
    host.put(DAEMON, json.dumps({"log-opts": WANTED["log-opts"]}))
    host.start()
    before = host.pid
    assert host.converge()["action"] == "reload"
    assert (host.pid, host.loaded["live-restore"], host.signals) == (before, True, [signal.SIGHUP])


@pytest.mark.parametrize("version", ["19.03.15", "20.9.0"])
def test_an_engine_that_is_too_old_is_refused_before_anything_is_changed(host, version):
    host.version = version
    with pytest.raises(EngineError, match=f"This host has engine {version}, needed is 20.10 or newer: upgrade it"):
        host.converge()
    assert host.settings() == {}


@pytest.mark.parametrize(("there", "needed"), [("v2.26.1", False), ("2.20.0+ds1-0ubuntu1", False), ("v2.5.1", True), (None, True)])
def test_compose_is_needed_where_there_is_none_or_an_old_one_of_a_package(host, there, needed):
    host.compose = {**host.compose, "Version": there} if there else None
    assert host.converge()["compose_needed"] is needed


def test_an_old_compose_that_the_client_would_take_before_a_new_one_is_refused(host):
    host.compose.update(Version="v2.5.1", Path="/root/.docker/cli-plugins/docker-compose")
    with pytest.raises(EngineError, match=r"has Compose v2.5.1 in /root/.docker/cli-plugins/docker-compose, needed is 2.20 or newer.* remove it"):
        host.converge()


@pytest.mark.parametrize("moment", ["restart docker", "reset-failed"])
def test_a_run_that_dies_before_the_restart_is_finished_by_the_next(host, moment):
    host.dies_at = (moment,)
    with pytest.raises(KeyboardInterrupt):
        host.converge()
    assert (host.settings(), host.loaded) == (WANTED, {})
    host.dies_at = ()
    assert host.converge()["action"] == "restart"
    assert host.loaded == WANTED
    assert host.converge()["action"] == "none"


def test_a_file_that_is_newer_than_the_engine_needs_a_restart(host):
    host.put(DAEMON, json.dumps(WANTED))
    os.utime(host.root + DAEMON)
    assert host.converge()["action"] == "restart"


def test_with_containers_the_engine_takes_over_live_restore_before_it_restarts(host):
    host.containers = ["com.example=1"]
    assert host.converge()["action"] == "restart"
    assert host.signals == [signal.SIGHUP]


def test_foreign_containers_that_would_stop_keep_the_engine_from_restarting(host):
    host.containers = ["com.example=1"]
    result = host.converge(live_restore=False)
    assert result["action"] == "pending"
    assert "would stop 1 running container" in result["warnings"][0]
    assert host.loaded == {}
    assert host.converge(live_restore=False)["changed"] is False
    assert host.converge(live_restore=False, restart="always")["action"] == "restart"


def test_settings_that_the_engine_does_not_start_with_are_put_back(host):
    host.converge()
    host.refuses = {"bip"}
    with pytest.raises(EngineError, match="the old ones were put back, and the engine runs again"):
        host.converge(daemon={"bip": "nonsense"})
    assert host.settings() == host.loaded == WANTED


def test_what_is_put_back_keeps_the_containers_alive_that_were_left_running(host):
    host.containers, host.refuses = ["com.example=1"], {"log-opts"}
    with pytest.raises(EngineError):
        host.converge()
    assert host.loaded == {"live-restore": True}


@pytest.mark.parametrize("content", ["{broken", "[]"])
def test_a_file_that_is_no_settings_is_left_alone_and_named(host, content):
    host.put(DAEMON, content)
    with pytest.raises(EngineError, match="/etc/docker/daemon.json is not"):
        host.converge()
    assert host.machine.read(DAEMON) == content


def test_an_engine_that_does_not_run_is_started_and_enabled_for_the_next_boot(bare):
    bare.install()
    assert bare.converge()["action"] == "start"
    assert bare.loaded == WANTED


def test_a_bare_host_without_docker_s_repository_uses_the_distribution_and_says_why(bare):
    plan = bare.converge()["install"]
    assert (plan["source"], plan["packages"]) == ("distribution", ["ca-certificates", "docker.io", "docker-cli", "docker-compose"])
    assert "https://download.docker.com/linux/debian cannot be reached: no such host" in plan["reason"]


@pytest.mark.parametrize(
    ("source", "message"),
    [("docker", "docker_source is 'docker', but https://download.docker.com/linux/debian cannot be reached"), ("existing", "this host has no engine")],
)
def test_a_source_that_was_demanded_and_is_not_there_is_an_error(bare, source, message):
    with pytest.raises(EngineError, match=message):
        bare.converge(source=source)


def test_a_repository_with_another_key_is_refused(bare, monkeypatch):
    monkeypatch.setattr(_docker_engine, "fingerprints", lambda key: ["EVIL"])
    bare.answers = {"https://mirror.test/debian/dists/trixie/Release": b"", "https://mirror.test/debian/gpg": b"key"}
    with pytest.raises(EngineError, match="has the key EVIL, expected is 9DC8"):
        bare.converge(repository="https://mirror.test")
    assert not bare.machine.exists("/etc/apt/keyrings")


def test_a_reachable_repository_with_the_right_key_is_written_for_apt(bare, monkeypatch):
    monkeypatch.setattr(_docker_engine, "fingerprints", lambda key: [Wanted.fingerprint])
    bare.answers = {"https://mirror.test/debian/dists/trixie/Release": b"", "https://mirror.test/debian/gpg": b"key"}
    assert bare.converge(repository="https://mirror.test")["install"]["source"] == "docker"
    sources = bare.machine.read("/etc/apt/sources.list.d/longshore-docker.sources")
    assert "URIs: https://mirror.test/debian\nSuites: trixie\n" in sources
    assert bare.machine.read("/etc/apt/keyrings/longshore-docker.asc") == "key"


def test_certificates_are_trusted_before_the_repository_is_asked_where_the_host_can(bare):
    seen = []
    bare.machine.fetch = lambda url: seen.append(bare.machine.read("/usr/local/share/ca-certificates/site.crt")) or bare.fetch(url)
    bare.converge(certificates={"site.pem": "PEM\n"})
    bare.put("/usr/sbin/update-ca-certificates", "")
    bare.converge(check=True, certificates={"site.pem": "PEM\n"})
    result = bare.converge(certificates={"site.pem": "PEM\n"})
    assert seen == [None, None, "PEM\n"]
    assert (result["changes"][0], bare.commands.count("update-ca-certificates")) == ("certificates trusted: site.pem", 1)


def test_a_host_without_systemd_and_with_a_low_limit_gets_the_cure_before_the_packages(bare, monkeypatch):
    os.unlink(bare.root + "/run/systemd/system/x")
    os.rmdir(bare.root + "/run/systemd/system")
    monkeypatch.setattr(Machine, "files_allowed", lambda self: 20000)
    bare.converge(source="distribution")
    assert "ulimit()" in bare.machine.read("/etc/default/docker")


def test_certificates_that_came_after_the_engine_s_start_restart_it_once(host):
    host.converge()
    host.put("/etc/ssl/certs/ca-certificates.crt", "PEM\n")
    assert host.converge(certificates={"site.pem": "PEM\n"})["action"] == "restart"
    assert host.machine.read("/usr/local/share/ca-certificates/site.crt") == "PEM\n"
    assert host.converge(certificates={"site.pem": "PEM\n"})["action"] == "none"


def test_a_login_that_is_stored_is_left_alone_and_a_new_one_goes_through_stdin(host, monkeypatch):
    monkeypatch.setenv("HOME", "/root")
    login = Login("registry.test", "me", "canary")
    assert "logged in to registry.test as me" in host.converge(logins=[login])["changes"]
    assert "docker login --username me --password-stdin registry.test" in host.commands
    host.put("/root/.docker/config.json", json.dumps({"auths": {"registry.test": {"auth": "bWU6Y2FuYXJ5"}}}))
    assert host.converge(logins=[login])["changes"] == []
