# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of the images, run the way the stack runs them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.longshore.stack.plugins.action.image import recipe_name

ROLES = Path(__file__).parents[2] / "roles"
RECIPES = {
    recipe_name(dockerfile.parent): dockerfile.parent for dockerfile in [*ROLES.glob("*/files/image/Dockerfile"), *ROLES.glob("*/files/image/*/Dockerfile")]
}


def docker(*args: str, check: bool = True, timeout: float = 60, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=timeout, check=False, input=stdin)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(args)}: {done.stderr or done.stdout}")
    return done


def until(condition, seconds: float = 60, pause: float = 0.2):
    """The first true answer of the condition; the last answer if there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(pause)
    return answer


class Container:
    """A container with the stack's hardening, unless told otherwise."""

    def __init__(self, image: str, *command: str, user: str = "", hardened: bool = True, options: tuple[str, ...] = ()):
        self.name = f"lsimg-{uuid.uuid4().hex[:8]}"
        hardening = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--memory", "768m") if hardened else ()
        as_user = ("--user", user) if user else ()
        docker("run", "--detach", "--name", self.name, *hardening, *as_user, *options, image, *command)

    def exec(self, *command: str, options: tuple[str, ...] = (), check: bool = False, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return docker("exec", *options, self.name, *command, check=check, timeout=timeout)

    def logs(self) -> str:
        done = docker("logs", self.name, check=False)
        return done.stdout + done.stderr

    def inspect(self, template: str) -> str:
        return docker("inspect", "--format", template, self.name).stdout.strip()

    @property
    def address(self) -> str:
        return self.inspect("{{.NetworkSettings.IPAddress}}")

    def exit_code(self, seconds: float = 60) -> int:
        """The exit code of a container that ends by itself."""
        return int(docker("wait", self.name, timeout=seconds).stdout)

    def stop(self, grace: int) -> tuple[int, float]:
        """Exit code and seconds of a stop with the image's own signal."""
        start = time.monotonic()
        docker("stop", "--time", str(grace), self.name, timeout=grace + 10)
        return int(self.inspect("{{.State.ExitCode}}")), time.monotonic() - start

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name, check=False)


class S3:
    """The few requests of S3 that show who may do what, signed (AWS Signature 4) or not."""

    def __init__(self, host: str, key: str = "", secret: str = ""):
        self.host, self.key, self.secret = host, key, secret

    def status(self, method: str, path: str, body: bytes = b"") -> int:
        return self.request(method, path, body)[0]

    def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body; 0 if nobody answers."""
        hashed = hashlib.sha256(body).hexdigest()
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self.host, "x-amz-content-sha256": hashed, "x-amz-date": now}
        if self.key:
            headers["authorization"] = self._authorization(method, path, headers, hashed, now)
        request = urllib.request.Request(f"http://{self.host}{path}", data=body or None, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def _authorization(self, method: str, path: str, headers: dict[str, str], hashed: str, now: str) -> str:
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, hashed])
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"


def http_status(url: str, user: str = "", password: str = "") -> int:
    """Status of a GET; 0 if nobody answers."""
    request = urllib.request.Request(url)
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
