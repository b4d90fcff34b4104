# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who has a bare machine, a user with sudo, and a copy of this checkout."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import time

from journey_support import ROOT, Host, command, figure

USER = "newcomer"
# What the README asks for.
PACKAGES = "make git"


def pip_settings() -> dict[str, str]:
    """How this machine reaches its package index, as variables: the bare machine has its certificates and not its pip.conf."""
    found = {}
    for line in command(ROOT / ".venv/bin/pip", "config", "list").stdout.splitlines():
        key, _equals, value = line.partition("=")
        found["PIP_" + key.rpartition(".")[2].upper().replace("-", "_")] = str(ast.literal_eval(value))
    return found


class Newcomer:
    def __init__(self, host: Host):
        self.host = host

    def arrive(self) -> None:
        """The user, and the tracked files of this checkout as they are now."""
        self.host.sh(
            f"apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {PACKAGES} >/dev/null && "
            f"useradd --create-home --shell /bin/bash {USER} && echo '{USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{USER} && "
            # A test host trusts what the machine trusts, its own development stack included.
            "rm -f /usr/local/share/ca-certificates/longshore-*.crt && update-ca-certificates --fresh >/dev/null",
            timeout=300,
        )
        settings = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in pip_settings().items())
        self.feed("cat > /etc/profile.d/pip.sh", settings.encode())
        listed = command("git", "-C", ROOT, "ls-files").stdout.splitlines()
        tracked = "\n".join(name for name in listed if (ROOT / name).is_file())
        packed = subprocess.run(["tar", "-C", ROOT, "-T", "-", "-c"], input=tracked.encode(), capture_output=True, check=True)
        self.feed(f"runuser -l {USER} -c 'mkdir stack && tar -C stack -x'", packed.stdout)

    def feed(self, script: str, content: bytes) -> None:
        subprocess.run(["docker", "exec", "-i", self.host.name, "sh", "-c", script], input=content, check=True)

    def sh(self, script: str, timeout: float = 120) -> str:
        """In a session of the user, in the folder of the checkout; both streams."""
        return self.host.sh(f"runuser -l {USER} -c {shlex.quote(f'cd stack && {script}')} 2>&1", timeout=timeout)

    def make(self, target: str, arguments: str = "", timeout: float = 3600) -> tuple[str, float]:
        """Output and seconds of `make`."""
        began = time.monotonic()
        output = self.sh(f"make {target} ARGS={shlex.quote(arguments)}", timeout=timeout)
        seconds = time.monotonic() - began
        figure(f"{seconds:7.1f} s  {self.host.name}: make {target} {arguments}")
        return output, seconds

    def images(self) -> list[str]:
        """What the stack has brought to this machine."""
        return sorted(ref for ref, record in json.loads(self.host.sh("cat /opt/dev/images.json")).items() if record["brought"])


def changed(output: str) -> int:
    return int(re.search(r"^localhost +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)[1])
