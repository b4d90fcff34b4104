# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One project directory and its containers, brought to what is wanted."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._compose import (
    START_INTERVAL_API,
    assemble,
    external_networks,
    ipv6_subnet,
    is_active,
    looked_at_early,
    to_yaml,
)
from ansible_collections.longshore.stack.plugins.module_utils._compose_containers import Container, image_ids, observe, plan
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError, Result, exec_within
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder, current_generation, ensure_directory
from ansible_collections.longshore.stack.plugins.module_utils._listeners import HandOver
from ansible_collections.longshore.stack.plugins.module_utils._masking import fragments
from ansible_collections.longshore.stack.plugins.module_utils._names import COMPOSE_FILE, LABEL_SERVICE, LABEL_STACK, STATE_FILE

# RabbitMQ says what is wrong some seventy lines before its end.
LOG_LINES = 80
# A program in Go that gives up says why, and then what each of its threads did, which may be hundreds of lines.
_GO_STACK = re.compile(r"^goroutine \d+ .*:\n(?:\S.*\n\t.*\n?)+\n?", re.MULTILINE)
# A file that this module wrote into the folder of the secrets, or began to write when it was killed.
_SECRET_FILE = re.compile(r".+\.\d+|\.new-.+")


class ProjectError(Exception):
    """The project could not be converged; the text is fit for a user."""


@dataclass(frozen=True)
class Secret:
    """A value of None stands for what the newest file of that name holds: a release that is started again keeps its own secrets."""

    name: str
    value: str | None
    uid: int
    gid: int = 0

    def fragments(self) -> set[str]:
        return fragments(self.value or "")


@dataclass(frozen=True)
class Spec:
    """What is wanted; see the documentation of the module compose_project for each field."""

    stack: str
    service: str
    project: str
    path: str
    state: str = "present"
    definition: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    secrets_path: str = ""
    directories: tuple[dict[str, Any], ...] = ()
    reload: tuple[dict[str, Any], ...] = ()
    provision: tuple[dict[str, Any], ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    wait_timeout: float = 120.0
    # Of a release, whose processes may all be another host's.
    may_be_empty: bool = False
    # No container is made anew that is there, whatever Compose thinks of it.
    as_they_are: bool = False

    def is_chosen(self, service: str) -> bool:
        return not self.services or service in self.services

    def reloaded_files(self) -> dict[str, list[str]]:
        return {entry["service"]: entry["files"] for entry in self.reload}

    def reload_hash(self, service: str) -> str:
        paths = sorted(self.reloaded_files().get(service, []))
        return hashlib.sha256(b"\0".join(path.encode() + b"\0" + self.files[path][0] for path in paths)).hexdigest()[:16]


@dataclass
class Outcome:
    """What one call did; `pending` says that the caller should come back."""

    actions: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    reloaded: list[str] = field(default_factory=list)
    provisioned: list[str] = field(default_factory=list)
    containers: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)
    # Services whose sockets of before were stopped when they listened with others, and those for which it failed, with the reason.
    handed_over: list[str] = field(default_factory=list)
    not_handed_over: dict[str, str] = field(default_factory=dict)
    pending: str = ""
    extra: list[str] = field(default_factory=list)
    # By container, how often it had restarted when the work began; None until that was looked at.
    restarts: dict[str, int] | None = None

    @property
    def changed(self) -> bool:
        acted = any(action != "unchanged" for action in self.actions.values())
        return acted or bool(self.files or self.reloaded or self.provisioned or self.extra)

    def act(self, planned: Mapping[str, str]) -> None:
        """Take over a plan; what an earlier slice of the same work did stays said."""
        self.actions = {**planned, **{name: done for name, done in self.actions.items() if done != "unchanged"}}

    def public(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("actions", "planned", "files", "reloaded", "handed_over", "provisioned", "containers")}

    def carried(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("actions", "files", "before", "after", "extra", "restarts")}

    def diff(self) -> list[dict[str, str]]:
        parts = [{"before_header": p, "after_header": p, "before": self.before[p], "after": self.after[p]} for p in self.before]
        said = [f"{service}: {action}" for service, action in self.actions.items() if action != "unchanged"]
        said += [f"{service}: reloaded" for service in self.reloaded] + self.extra + self.provisioned
        return parts + ([{"prepared": "\n".join(said) + "\n"}] if said else [])


class Project:
    """Converges one Spec. Engine, clock and sleep are given, so that a test needs neither."""

    def __init__(self, spec: Spec, engine: Engine, check: bool, clock: Callable[[], float], sleep: Callable[[float], None]):
        self.spec, self.engine, self.check, self.clock, self.sleep = spec, engine, check, clock, sleep
        self.folder = Folder(spec.path, check)
        self.outcome = Outcome()
        # What this call found in the place of each file that it wrote or took away.
        self.found: dict[str, bytes | None] = {}
        # By service, what earlier calls kept of files that it had not taken over.
        self.kept: dict[str, Any] = {}

    def compose(self, *args: str, timeout: float | None = None) -> Result:
        base = ["compose", "--project-directory", self.spec.path, "-f", self._compose_file(), "-p", self.spec.project]
        return self.engine.run([*base, *args], timeout=timeout)

    def _compose_file(self) -> str:
        return os.path.join(self.spec.path, COMPOSE_FILE)

    def run(self, slice_seconds: float, started: float) -> Outcome:
        """Converge; when containers are still starting after slice_seconds, come back with `pending` set."""
        if self.spec.state == "absent":
            return self._remove()
        if self.spec.state == "stopped" and not self.spec.definition:
            return self._stop()
        self._consistent()
        secrets = self._secret_paths()
        whole = self._whole(secrets)
        state = self._state()
        self._write(whole, secrets, state)
        if self.spec.state == "stopped":
            return self._stop()
        if self.spec.state == "prepared":
            return self._prepared(whole)
        containers = self._observe()
        images = self._images(whole)
        planned = plan(whole, containers, images, self.spec.is_chosen)
        self.outcome.act(planned)
        if self.check:
            return self._foretell(state, containers)
        if self.outcome.restarts is None:
            self.outcome.restarts = {container.id: container.restarts for container in containers}
        if any(action != "unchanged" for action in planned.values()):
            self._up(whole, images, state)
            before, containers = containers, self._observe()
            self._settle_actions(before, containers)
        try:
            pending = self._wait(whole, containers, slice_seconds, started)
        except ProjectError:
            # A run that was killed before the reload, and a reboot: the container started again with files that it had never taken.
            self._put_back(state, *(name for name, action in self.outcome.actions.items() if action in ("unchanged", "started")))
            raise
        if pending:
            self.outcome.pending = pending
            return self.outcome
        self._reload(state)
        self._provision()
        self._finish(secrets)
        return self.outcome

    # -- what is wanted --------------------------------------------------------------------------------------------------

    def _consistent(self) -> None:
        """Refuse what names something that is not there, before anything is written."""
        services = self.spec.definition.get("services") or {}
        if not services and not self.spec.may_be_empty:
            raise ProjectError(f"{self.spec.project}: the definition has no services; to end the project use state: stopped or absent")
        for reserved in {COMPOSE_FILE, STATE_FILE} & set(self.spec.files):
            raise ProjectError(f"{self.spec.project}: files must not have {reserved}, which this module writes itself")
        seen = set()
        for entry in self.spec.reload:
            unknown = sorted(set(entry["files"]) - set(self.spec.files))
            if unknown:
                raise ProjectError(f"reload of {entry['service']} names the file {unknown[0]!r}; files has {', '.join(sorted(self.spec.files)) or 'none'}")
            if entry["service"] in seen:
                raise ProjectError(f"reload names the service {entry['service']} twice; give all its files in one entry")
            seen.add(entry["service"])
        for entry in (*self.spec.reload, *self.spec.provision):
            if entry["service"] not in services:
                raise ProjectError(f"{self.spec.project} has no service {entry['service']!r} to reload or provision; it has {', '.join(sorted(services))}")

    def _secret_paths(self) -> dict[str, str]:
        try:
            return {s.name: current_generation(self.spec.secrets_path, s.name, s.value)[0] for s in self.spec.secrets}
        except FileNotFoundError as error:
            raise ProjectError(f"{self.spec.project}: {error}; it was kept for this project and is gone, so the project cannot be started") from error

    def _whole(self, secrets: Mapping[str, str]) -> dict[str, Any]:
        contents = {path: content for path, (content, _mode) in self.spec.files.items()}
        labels = {LABEL_STACK: self.spec.stack, LABEL_SERVICE: self.spec.service, **self.spec.labels}
        try:
            return assemble(self.spec.project, self.spec.definition, contents, self.spec.reloaded_files(), secrets, labels)
        except ValueError as error:
            raise ProjectError(str(error)) from error

    # -- the directory ---------------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        try:
            return json.loads(self.folder.read(STATE_FILE) or b"{}")
        except ValueError:
            return {}

    def _write(self, whole: Mapping[str, Any], secrets: Mapping[str, str], state: dict[str, Any]) -> None:
        for entry in self.spec.directories:
            if ensure_directory(entry["path"], entry["uid"], entry["gid"], int(entry["mode"], 8), self.check):
                self.outcome.extra.append(f"directory {entry['path']}")
        for secret in self.spec.secrets:
            if secret.value is None:
                continue
            if Folder(self.spec.secrets_path, self.check, mode=0o700).write(
                os.path.basename(secrets[secret.name]), secret.value.encode(), 0o400, secret.uid, secret.gid
            ):
                self.outcome.extra.append(f"secret {secret.name}")
        wanted = {COMPOSE_FILE: (self._compose_text(whole), 0o644), **self.spec.files}
        self._keep_previous(state)
        # Said before they are written, so that a run that is killed leaves no file that nobody knows.
        self._own(state, {*state.get("files", []), *wanted})
        for path, (content, mode) in wanted.items():
            old = self.folder.read(path)
            if self.folder.write(path, content, mode):
                self._differs(path, old, content)
        for path in sorted(set(state.get("files", [])) - set(wanted)):
            old = self.folder.read(path)
            if old is not None:
                self.folder.remove(path)
                self._differs(path, old, None)
        self._own(state, wanted)

    def _compose_text(self, whole: Mapping[str, Any]) -> bytes:
        """For the engine that is there; a file that was written for another one stays until something else of it changes."""
        plain, early = (to_yaml(text).encode() for text in (whole, looked_at_early(whole)))
        there = self.folder.read(COMPOSE_FILE)
        if there in (plain, early):
            return there
        if plain == early:
            return plain
        try:
            return early if self.engine.api_version() >= START_INTERVAL_API else plain
        except EngineError:
            if self.check:
                return plain
            raise

    def _own(self, state: dict[str, Any], paths: Iterable[str]) -> None:
        if not self.check and state.get("files") != sorted(paths):
            state["files"] = sorted(paths)
            self._save(state)

    def _differs(self, path: str, old: bytes | None, new: bytes | None) -> None:
        self.found[path] = old
        self.outcome.files.append(path)
        self.outcome.before[path] = (old or b"").decode(errors="replace")
        self.outcome.after[path] = (new or b"").decode(errors="replace")

    def _save(self, state: Mapping[str, Any]) -> None:
        self.folder.write(STATE_FILE, (json.dumps(state, indent=1, sort_keys=True) + "\n").encode(), 0o644)

    # -- the containers --------------------------------------------------------------------------------------------------

    def _observe(self) -> list[Container]:
        try:
            return observe(self.engine, self.spec.project)
        except EngineError:
            if self.check:  # a bare host has no engine yet, and nothing runs on it
                return []
            raise

    def _images(self, whole: Mapping[str, Any]) -> dict[str, str]:
        try:
            return image_ids(self.engine, whole)
        except EngineError:
            if self.check:
                return {}
            raise

    def _up(self, whole: Mapping[str, Any], images: Mapping[str, str], state: dict[str, Any]) -> None:
        missing = [service["image"] for name, service in whole["services"].items() if is_active(service) and name not in images]
        if missing:
            raise ProjectError(f"{self.spec.project}: the image {missing[0]} is not on this host; run the module longshore.stack.image first")
        self._have_networks()
        self._try_out(state)
        anew = ["--no-recreate"] if self.spec.as_they_are else []
        result = self.compose("up", "--detach", "--remove-orphans", *anew, "--no-build", "--pull", "never", *self.spec.services)
        if not result.ok:
            raise ProjectError(f"docker compose up of {self.spec.project} failed: {result.reason()}\n{self._logs(self._observe())}")

    def _have_networks(self) -> None:
        networks = external_networks(self.spec.definition)
        there = {item["Name"]: item for item in self.engine.inspect("network", list(networks))}
        for name, ipv6 in networks.items():
            if name not in there:
                more = ["--ipv6", "--subnet", ipv6_subnet(name)] if ipv6 else []
                self.engine.must(["network", "create", "--label", f"{LABEL_STACK}={self.spec.stack}", *more, name])
            elif ipv6 and not there[name].get("EnableIPv6"):
                raise ProjectError(
                    f"{self.spec.project}: the network {name} has no IPv6, and stack_edge_ipv6 wants it. It has to be made again: take away what is in it "
                    f"(docker network inspect {name}) and then `docker network rm {name}`, or set stack_edge_ipv6: false"
                )

    def _try_out(self, state: dict[str, Any]) -> None:
        """What a service would refuse when it starts must not take the place of what it runs with."""
        for entry in self.spec.reload:
            service, command = entry["service"], entry.get("check")
            if not command or self.outcome.actions.get(service) != "recreated":
                continue
            name = f"{self.spec.project}-{service}-check"
            self.engine.run(["rm", "--force", name])
            try:
                result = self.compose(
                    *("run", "--rm", "--no-deps", "-T", "--name", name, "--entrypoint", command[0], service, *command[1:]), timeout=self.spec.wait_timeout
                )
                reason = "" if result.ok else result.reason()
            except EngineError as error:
                if not isinstance(error.__cause__, subprocess.TimeoutExpired):
                    raise
                self.engine.run(["rm", "--force", name])
                reason = f"{' '.join(command)} did not end within {self.spec.wait_timeout:g} s"
            if reason:
                for path, content in self.found.items():
                    self._as_it_was(state, path, content)
                # With its files each of the others has what was kept for it.
                state["previous"] = {**self.kept, service: state["previous"].get(service, {})}
                self._put_back(state, service)
                self._save(state)
                raise ProjectError(f"{service} would refuse its new configuration, so its container stays as it is: {reason}")

    def _as_it_was(self, state: dict[str, Any], path: str, content: bytes | None) -> None:
        if content is not None:
            self._own(state, {*state.get("files", []), path})
            self.folder.write(path, content, self.spec.files.get(path, (b"", 0o644))[1])
        elif self.folder.read(path) is not None:
            self.folder.remove(path)

    def _settle_actions(self, before: list[Container], after: list[Container]) -> None:
        """Say what really happened: Compose also recreates what its own hash finds changed."""
        old = {container.id: container for container in before}
        for container in after:
            # Of what is scaled some stay and some are new, as it was planned.
            if self.outcome.actions.get(container.service) in (None, "scaled"):
                continue
            previous = old.get(container.id)
            if previous is None:
                known = any(c.service == container.service for c in before)
                self.outcome.actions[container.service] = "recreated" if known else "created"
            elif previous.started != container.started:
                self.outcome.actions[container.service] = "started"

    def _wait(self, whole: Mapping[str, Any], there: list[Container], slice_seconds: float, started: float) -> str:
        """Wait until all is healthy. Returns what is still waited for, or nothing; raises when it is hopeless or too late."""
        earlier = self.outcome.restarts or {}
        wanted = {name for name, service in whole["services"].items() if is_active(service) and self.spec.is_chosen(name)}
        slice_end = self.clock() + slice_seconds
        while True:
            containers = [container for container in there if container.service in wanted]
            waiting = [container for container in containers if not container.ready(self.clock())]
            absent = wanted - {container.service for container in containers}
            if not waiting and not absent:
                self.outcome.containers = [self._describe(container) for container in containers]
                return ""
            for container in waiting:
                hopeless = container.hopeless(earlier.get(container.id, 0))
                if hopeless:
                    raise ProjectError(f"{container.name} {hopeless}\n{self._logs([container])}")
            names = ", ".join([*(f"{c.name} ({c.condition})" for c in waiting), *(f"{name} (absent)" for name in sorted(absent))])
            now = self.clock()
            if now - started > self.spec.wait_timeout:
                raise ProjectError(f"not healthy after {self.spec.wait_timeout:.0f} s: {names}\n{self._logs(waiting)}")
            if now > slice_end:
                return f"waiting for {names}"
            self.sleep(0.25)
            there = self._observe()

    def _describe(self, container: Container) -> dict[str, Any]:
        action = self.outcome.actions.get(container.service, "unchanged")
        return {"service": container.service, "name": container.name, "state": container.state, "health": container.health, "action": action}

    def _logs(self, containers: list[Container]) -> str:
        parts = []
        for container in containers:
            said = self.engine.run(["logs", "--tail", "1000", container.id])
            text = "\n".join(_GO_STACK.sub("", said.stdout + said.stderr).strip().splitlines()[-LOG_LINES:])
            parts.append(f"--- last lines of {container.name}:\n{text or '(it logged nothing)'}")
        return "\n".join(parts)

    # -- without a restart -----------------------------------------------------------------------------------------------

    def _keep_previous(self, state: dict[str, Any]) -> None:
        """Keep what the service runs with beside what is about to be written, until it has taken that: what is refused must not wait for a restart."""
        previous = state.setdefault("previous", {})
        self.kept = dict(previous)
        # Also what goes away, which may be read until then.
        leaving = sorted(set(state.get("files", [])) - {COMPOSE_FILE, *self.spec.files})
        for service, paths in self.spec.reloaded_files().items():
            there = {path: self.folder.read(path) for path in (*paths, *leaving)}
            differs = any(there[path] != self.spec.files[path][0] for path in paths)
            # What an earlier run kept stays: it is the last that the service has taken.
            if differs and service not in previous and any(content is not None for content in there.values()):
                previous[service] = {path: content and content.decode(errors="surrogateescape") for path, content in there.items()}
                self._save(state)

    def _put_back(self, state: dict[str, Any], *services: str) -> None:
        for service in services:
            for path, text in state.get("previous", {}).get(service, {}).items():
                self._as_it_was(state, path, None if text is None else text.encode(errors="surrogateescape"))
            if state.get("previous", {}).pop(service, None):
                self._save(state)

    def _outdated(self, state: Mapping[str, Any], service: str) -> bool:
        """Whether the service runs, or may run, with other files than these."""
        return state.get("reloaded", {}).get(service) != self.spec.reload_hash(service) or service in state.get("previous", {})

    def _reload(self, state: dict[str, Any]) -> None:
        applied = state.setdefault("reloaded", {})
        for entry in self.spec.reload:
            service = entry["service"]
            if not self._outdated(state, service):
                continue
            if self.outcome.actions.get(service) not in ("created", "recreated", "started"):
                handing = self._hand_over(service, entry.get("ports", ()))
                try:
                    with handing.during():
                        result = self._exec("reload", service, entry["command"])
                except ProjectError:
                    # Nobody knows which files it has taken, so the next run tells it again.
                    applied.pop(service, None)
                    self._put_back(state, service)
                    raise
                if not result.ok:
                    self._put_back(state, service)
                    if handing.done:
                        self._listen_again(state, entry)
                    raise ProjectError(f"{service} refused its new configuration and keeps the old one: {result.reason()}")
                self.outcome.reloaded.append(service)
                if handing.done:
                    self.outcome.handed_over.append(service)
                elif handing.reason:
                    self.outcome.not_handed_over[service] = handing.reason
            applied[service] = self.spec.reload_hash(service)
            state["previous"].pop(service, None)
            self._save(state)

    def _listen_again(self, state: dict[str, Any], entry: Mapping[str, Any]) -> None:
        """It had begun with what it then refused, and its old sockets listen no more: with the old files it makes others."""
        service = entry["service"]
        applied = state["reloaded"].pop(service, None)
        self._save(state)
        result = self._exec("reload", service, entry["command"])
        if not result.ok:
            raise ProjectError(
                f"{service} refused its new configuration when it ran with it already, and takes the old one no more: {result.reason()}; run this again, "
                "or restart its container"
            )
        state["reloaded"] |= {service: applied} if applied else {}
        self._save(state)

    def _hand_over(self, service: str, ports: Collection[int]) -> HandOver:
        names = [container["name"] for container in self.outcome.containers if container["service"] == service] if ports else []
        there = self.engine.inspect("container", names)
        return HandOver(there[0]["State"]["Pid"] if there else 0, ports)

    def _exec(self, what: str, service: str, command: list[str]) -> Result:
        """Run it in the container, without Compose, which would read the whole project first."""
        names = sorted(container["name"] for container in self.outcome.containers if container["service"] == service)
        if not names:
            raise ProjectError(f"{what} of {service}: it has no container")
        try:
            return exec_within(lambda words, seconds: self.engine.run(["exec", names[0], *words], timeout=seconds), command, self.spec.wait_timeout, self.clock)
        except EngineError as error:
            if not isinstance(error.__cause__, subprocess.TimeoutExpired):
                raise
            raise ProjectError(
                f"{what} of {service} did not end within {self.spec.wait_timeout:g} s: {' '.join(command)}; the next run tries it again"
            ) from error

    def _provision(self, *arguments: str) -> None:
        for entry in self.spec.provision:
            # What a run began that was killed on the controller goes on here; two at once would get in each other's way.
            with self.folder.locked():
                result = self._exec("provisioning", entry["service"], [*entry["command"], *arguments])
            if not result.ok:
                raise ProjectError(f"provisioning of {entry['service']} failed: {result.reason()}")
            lines = (line.strip() for line in result.stdout.splitlines())
            self.outcome.provisioned += [line.removeprefix("changed: ") for line in lines if line.startswith("changed: ")]

    def _foretell(self, state: Mapping[str, Any], containers: list[Container]) -> Outcome:
        for entry in self.spec.reload:
            service = entry["service"]
            if self.outcome.actions.get(service) == "unchanged" and self._outdated(state, service):
                self.outcome.reloaded.append(service)
        self.outcome.containers = [self._describe(container) for container in containers]
        if containers and all(action == "unchanged" for action in self.outcome.actions.values()) and all(c.ready(self.clock()) for c in containers):
            self._provision("--check")
        return self.outcome

    def _finish(self, secrets: Mapping[str, str]) -> None:
        """What no running container uses any more goes: older generations of the secrets."""
        keep = {os.path.basename(path) for path in secrets.values()}
        if self.spec.secrets_path and os.path.isdir(self.spec.secrets_path):
            for name in sorted(set(os.listdir(self.spec.secrets_path)) - keep):
                full = os.path.join(self.spec.secrets_path, name)
                if _SECRET_FILE.fullmatch(name) and not os.path.isdir(full):
                    os.unlink(full)

    # -- the other states ------------------------------------------------------------------------------------------------

    def _prepared(self, whole: Mapping[str, Any]) -> Outcome:
        """Everything is written, nothing is started; the plan says what a start would do."""
        containers = self._observe()
        self.outcome.planned = plan(whole, containers, self._images(whole))
        if not self.check and any(action != "unchanged" for action in self.outcome.planned.values()):
            # A one-off container of the project, such as a migration, may come before the start.
            self._have_networks()
        self.outcome.containers = [self._describe(container) for container in containers]
        return self.outcome

    def _stop(self) -> Outcome:
        containers = self._observe()
        running = [container for container in containers if container.state in ("running", "restarting", "paused")]
        stopped = {container.service for container in running}
        self.outcome.actions = {container.service: "stopped" if container.service in stopped else "unchanged" for container in containers}
        if running and not self.check:
            self._end(["stop"], ["stop"], running)
        return self.outcome

    def _remove(self) -> Outcome:
        containers = self._observe()
        self.outcome.actions = {container.service: "removed" for container in containers}
        paths = [path for path in (self.spec.path, self.spec.secrets_path) if path and os.path.exists(path)]
        self.outcome.extra += [f"removed {path}" for path in paths]
        if self.check:
            return self.outcome
        self._end(["down", "--remove-orphans", "--volumes"], ["rm", "--force", "--volumes"], containers)
        for path in paths:
            shutil.rmtree(path)
        return self.outcome

    def _end(self, by_compose: list[str], by_engine: list[str], containers: list[Container]) -> None:
        """Through Compose, which knows the order and the project's own networks; without its file container by container."""
        if os.path.exists(self._compose_file()):
            result = self.compose(*by_compose)
            if not result.ok and containers:
                raise ProjectError(f"docker compose {by_compose[0]} of {self.spec.project} failed: {result.reason()}")
        elif containers:
            self.engine.must([*by_engine, *(container.id for container in containers)])
