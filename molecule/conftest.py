# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all scenarios share."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HOSTS = HERE.parent / "tests/hosts"
# With the import mode of this project a test does not see the files beside it.
sys.path.insert(0, str(HERE / "shared"))
pytest.register_assert_rewrite("s3_buckets", "edge_suite", "edge_client", "edge_container")
S3_PORTS = {"minio": 9000, "seaweedfs": 8333}


@dataclass(frozen=True)
class Run:
    """A finished run of the scenario's converge.yml."""

    rc: int
    output: str

    def changed(self, name: str) -> int:
        """Number of tasks that changed something on the host."""
        recap = re.search(rf"^{re.escape(name)} .*changed=(\d+)", self.output, re.MULTILINE)
        assert recap, self.output
        return int(recap[1])


# What was measured, shown at the end.
FIGURES: list[str] = []


@pytest.fixture
def figure():
    """figure("it took 3 s") is shown at the end of the tests."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)


def pytest_configure(config):
    config.addinivalue_line("markers", "hosts(*names): the hosts that the test is for; without it, all")


def pytest_collection_modifyitems(config, items):
    def wanted(item) -> bool:
        marker = item.get_closest_marker("hosts")
        return marker is None or item.callspec.params["_testinfra_host"].backend.host in marker.args

    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]


@pytest.fixture
def name(host) -> str:
    """Name of the host in the inventory."""
    return host.backend.host


@pytest.fixture
def converge(request, name):
    """Runs converge.yml against the test's host: converge("--check", docker_source="existing") -> Run."""

    def run(*args: str, playbook: str = "converge.yml", **variables) -> Run:
        inventory = request.config.option.ansible_inventory
        command = ["ansible-playbook", "-i", inventory, "--limit", f"{name},localhost", "-e", json.dumps(variables), *args, playbook]
        env = {**os.environ, "ANSIBLE_FORCE_COLOR": "0"}
        done = subprocess.run(command, cwd=request.path.parent.parent, env=env, capture_output=True, text=True, check=False)
        return Run(done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture
def reboot(name):
    """Restarts the test's host and waits for it."""
    return lambda: subprocess.run([HOSTS / "reboot", name], check=True)


@dataclass(frozen=True)
class Service:
    """A container of the stack `molecule` on the test's host."""

    host: object
    container: str

    def __call__(self, command: str):
        """Runs a shell command in the container; the result has rc, stdout and stderr."""
        return self.host.run("docker exec %s sh -c %s", self.container, command)

    def inspect(self, template: str) -> str:
        return self.host.check_output("docker inspect --format %s %s", template, self.container)

    @property
    def id(self) -> str:
        return self.inspect("{{.Id}}")

    @property
    def health(self) -> str:
        return self.inspect("{{.State.Health.Status}}")


@pytest.fixture
def service(host):
    """service("postgres") is the container of a service role, service("traefik", "traefik-pages") another one beside it."""
    return lambda name, beside="": Service(host, f"molecule-{name}-{beside or name}-1")


@pytest.fixture
def role(request) -> str:
    """What the scenario is for."""
    return request.path.parent.parent.name


@pytest.fixture
def s3(host, service, role):
    """Asks S3 over the container's own address, signed as a user: status code and answer."""
    address = service(role).inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def ask(path, user="shop", secret="canary-of-the-shop", *arguments):
        signed = f"--aws-sigv4 aws:amz:us-east-1:s3 --user {user}:{secret}" if user else ""
        said = host.check_output(f"curl -s -w '\\n%{{http_code}}' {signed} {' '.join(arguments)} http://{address}:{S3_PORTS[role]}{path}")
        answer, _newline, code = said.rpartition("\n")
        return int(code), answer

    return ask


@pytest.fixture
def hardened(host):
    """Asserts what every container of a stack has in common. secrets_in_environment: an application was given them so on purpose."""

    def check(container: str, secrets_in_environment: bool = False) -> None:
        data = json.loads(host.check_output("docker inspect %s", container))[0]
        config, limits = data["Config"], data["HostConfig"]
        assert re.fullmatch(r"\d+:\d+", config["User"])
        assert not config["User"].startswith("0:")
        assert limits["ReadonlyRootfs"]
        assert limits["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in limits["SecurityOpt"]
        assert limits["Memory"] > 0
        assert limits["NanoCpus"] > 0
        assert limits["LogConfig"]["Config"]["max-size"] == "10m"
        assert secrets_in_environment or "canary" not in json.dumps(data)

    return check


@pytest.fixture
def no_canary(host):
    """Asserts that no file that everybody may read holds a secret."""

    def check() -> None:
        found = host.run("runuser -u nobody -- find /opt/molecule /etc/longshore /var/lib/molecule /tmp -type f -exec grep -sl canary {} +")
        assert found.stdout.strip() == ""

    return check
