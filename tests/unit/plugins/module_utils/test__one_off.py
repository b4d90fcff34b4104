# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._compose import to_yaml
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, Result
from ansible_collections.longshore.stack.plugins.module_utils._one_off import Command, OneOff, OneOffError, merge_streams, tail


def test_both_streams_are_shown_in_the_order_of_writing():
    out = "2026-01-01T00:00:00.1Z one\n2026-01-01T00:00:00.3Z three\n"
    err = "2026-01-01T00:00:00.2Z two\n2026-01-01T00:00:00.4Z   four\n"
    assert merge_streams(out, err) == "one\ntwo\nthree\n  four"


def test_a_tail_is_the_last_lines():
    assert tail("a\nb\nc\n", 2) == "b\nc"


class Docker:
    """An engine in which a command runs for some seconds and says a line."""

    def __init__(self):
        self.now, self.seconds, self.rc, self.says = 1_800_000_000.0, 2, 0, "done with canary-password"
        self.environment = {"DB_PASSWORD": "canary-password"}
        self.containers: dict[str, dict] = {}
        self.ran: list[list[str]] = []

    def __call__(self, args, timeout=None, **_options):
        words = list(args[1:])
        if words[0] == "compose":
            return self._config() if "config" in words else self._run(words[words.index("run") :])
        return {"inspect": self._inspect, "container": self._inspect, "wait": self._wait, "logs": self._logs}.get(words[0], self._end)(words, timeout)

    def _config(self):
        return Result((), 0, json.dumps({"services": {"web": {"environment": self.environment}}}), "")

    def _run(self, words):
        name = words[words.index("--name") + 1]
        assert name not in self.containers
        self.ran.append(words[words.index("web") + 1 :])
        self.labels = [words[n + 1] for n, word in enumerate(words) if word == "-l"]
        self.containers[name] = {"end": self.now + self.seconds}
        return Result((), 0, f"{name}\n", "")

    def _inspect(self, words, _timeout):
        found = [name for name in words if name in self.containers]
        state = {"Running": True, "StartedAt": "2026-01-01T00:00:00.0Z"}
        answers = [{"Id": name, "Config": {"Labels": {}}, "State": state} for name in found]
        return Result((), 0 if found else 1, json.dumps(answers), "" if found else "Error: No such container")

    def _wait(self, words, timeout):
        end = self.containers[words[-1]]["end"]
        if end > self.now + timeout:
            self.now += timeout
            raise subprocess.TimeoutExpired("docker wait", timeout)
        self.now = max(self.now, end)
        return Result((), 0, f"{self.rc}\n", "")

    def _logs(self, _words, _timeout):
        return Result((), 0, f"2026-01-01T00:00:00.1Z {self.says}\n", "")

    def _end(self, words, _timeout):
        if words[0] == "rm":
            self.containers.pop(words[-1], None)
        return Result((), 0, "", "")


@pytest.fixture
def docker():
    return Docker()


def command(docker, path, *words, timeout=60):
    place = OneOff(Engine(runner=docker), "s-shop-hook", "hook", "s-shop-1", str(path), "web", "1")
    return Command(place, words or ("announce",), timeout, {"A": "b"}, str(path / "hooks.log"), lambda: docker.now)


def slices(docker, path, **options):
    """All answers of the slices that a command takes."""
    answers, resume = [], {}
    while not answers or answers[-1].get("pending"):
        answers.append(command(docker, path, **options).run(8, resume))
        resume = answers[-1].get("resume", {})
    return answers


def test_a_command_runs_once_and_what_it_says_is_kept_without_secrets(docker, tmp_path):
    (answer,) = slices(docker, tmp_path)
    assert (answer["changed"], answer["output"], answer["duration"]) == (True, "done with ***", 2)
    assert docker.ran == [["announce"]] and not docker.containers
    kept = (tmp_path / "hooks.log").read_text()
    assert "announce: exit status 0\ndone with ***" in kept and "canary" not in kept
    assert (tmp_path / "hooks.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["files", "env"])
def test_the_secrets_of_the_release_are_masked_in_either_form(docker, tmp_path, form):
    if form == "files":
        files, docker.environment = {"STRIPE_SK": "sk-canary-4711"}, {"STRIPE_SK_FILE": "/run/secrets/STRIPE_SK"}
    else:
        files, docker.environment = {"environment": "STRIPE_SK='sk-canary-4711'\n"}, {"STRIPE_SK": "sk-canary-4711"}
    for name, content in files.items():
        (tmp_path / f"{name}.1").write_text(content)
    compose = {"services": {"web": {"image": "x"}}, "secrets": {name: {"file": str(tmp_path / f"{name}.1")} for name in files}}
    (tmp_path / "compose.yaml").write_text(to_yaml(compose))
    docker.rc, docker.says = 1, "no such charge: sk-canary-4711"
    with pytest.raises(OneOffError, match=r"no such charge: \*\*\*$") as error:
        slices(docker, tmp_path)
    assert "canary" not in str(error.value.facts) + (tmp_path / "hooks.log").read_text()


def test_what_compose_says_of_a_command_that_does_not_start_is_masked_too(docker, tmp_path):
    (tmp_path / "environment.1").write_text("STRIPE_SK='sk-canary-4711'\n")
    (tmp_path / "compose.yaml").write_text(to_yaml({"services": {}, "secrets": {"environment": {"file": str(tmp_path / "environment.1")}}}))
    docker._run = lambda _words: Result((), 1, "", "cannot read line STRIPE_SK='sk-canary-4711'")
    with pytest.raises(OneOffError, match=r"cannot start announce in service web: cannot read line \*\*\*"):
        slices(docker, tmp_path)


def test_a_long_command_says_what_it_does_meanwhile(docker, tmp_path):
    docker.seconds = 20
    answers = slices(docker, tmp_path)
    assert len(answers) == 3 and docker.ran == [["announce"]]
    assert answers[0]["progress"] == "announce, at most 60 s: done with ***"
    assert answers[-1]["duration"] == 20


def test_a_command_that_fails_is_an_error_with_its_last_words(docker, tmp_path):
    docker.rc = 3
    with pytest.raises(OneOffError, match=r"^announce exited 3\ndone with \*\*\*$") as error:
        slices(docker, tmp_path)
    assert error.value.facts["rc"] == 3 and not docker.containers


def test_a_command_that_hangs_is_ended_at_its_limit(docker, tmp_path):
    docker.seconds = 1e9
    with pytest.raises(OneOffError, match=r"^announce did not end within 20 s and was stopped. Its last output: done with \*\*\*$"):
        slices(docker, tmp_path, timeout=20)
    assert not docker.containers and "stopped at the time limit" in (tmp_path / "hooks.log").read_text()


def test_what_a_dead_run_left_is_cleared_away(docker, tmp_path):
    docker.containers["s-shop-hook"] = {"end": 1e12}
    (answer,) = slices(docker, tmp_path)
    assert answer["changed"] and docker.ran == [["announce"]]


def test_a_container_says_under_whose_lease_it_works(docker, tmp_path):
    work = command(docker, tmp_path)
    work.run(8, {})
    assert not any(label.startswith("stack.longshore.run=") for label in docker.labels)
    work.container.run = "run-7"
    work.run(8, {})
    assert "stack.longshore.run=run-7" in docker.labels
