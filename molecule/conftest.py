# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all scenarios share."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

HOSTS = Path(__file__).resolve().parent.parent / "tests/hosts"


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
