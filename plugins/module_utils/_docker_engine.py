# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a host: what is there, what is wanted, and the smallest step from one to the other.

What the running engine was started with cannot be asked: `docker info` shows little of daemon.json. So a note in /run says which settings
this very process (pid and start) has taken over, and it is written before daemon.json is. A run that dies between two steps therefore
leaves a host on which the next run sees that the engine does not have yet what the file says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._docker_settings import (
    DOCKER_HUB,
    OLDEST_COMPOSE,
    OLDEST_ENGINE,
    Login,
    Wanted,
    changed_keys,
    fingerprints,
    older,
    packages,
    restart_allowed,
    settings,
    step_to,
    without_passwords,
)
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

FILES_OF_SYSV = 1048576  # open files that the SysV script of Debian's engine asks for
# The script ends at a limit that it cannot set; this stands before it and lets it go on.
SYSV_CURE = '\n# The start script asks for more open files than this host allows, and would end there.\nulimit() { command ulimit "$@" 2>/dev/null || true; }\n'
SLACK = 2.0  # seconds; the start of a process is known no better


@dataclass(frozen=True)
class Process:
    """The running daemon: one start of it, not just its number."""

    pid: int
    ticks: str
    started: float

    @property
    def instance(self) -> str:
        return f"{self.pid}:{self.ticks}"


class Host:
    """Brings one host's engine to what is wanted. `changes` says in the user's words what was, or in check mode would be, done."""

    CONFIG = "/etc/docker/daemon.json"
    NOTE = "/run/longshore/docker-engine.json"
    CERTIFICATES = "/usr/local/share/ca-certificates"
    BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
    DEFAULTS = "/etc/default/docker"
    # Where the client looks for plugins after the folders of its user: the role's first, then those of packages.
    PLUGINS = ("/usr/local/lib/", "/usr/local/libexec/", "/usr/lib/", "/usr/libexec/")
    KEY = "/etc/apt/keyrings/longshore-docker.asc"
    SOURCES = "/etc/apt/sources.list.d/longshore-docker.sources"

    def __init__(self, wanted: Wanted, machine: Machine, check: bool = False):
        self.wanted, self.machine, self.check = wanted, machine, check
        self.engine = Engine(runner=machine.runner)
        self.changes: list[str] = []
        self.warnings: list[str] = []
        self.before: dict[str, str] = {}
        self.after: dict[str, str] = {}
        self.info: dict[str, Any] = {}
        self.look()

    # What is there.

    def look(self) -> None:
        """Ask the engine; `info` is empty when it does not answer."""
        self.daemon = self.machine.which("dockerd")
        self.info = {}
        if not self.machine.which("docker"):
            return
        result = self.engine.run(["info", "--format", "{{json .}}"], timeout=30)
        try:
            info = json.loads(result.stdout)
        except ValueError:
            return
        # An old client prints an empty answer with the errors in it, and succeeds.
        self.info = info if info.get("ServerVersion") else {}

    @property
    def running(self) -> bool:
        return bool(self.info)

    @property
    def installed(self) -> bool:
        return self.running or bool(self.daemon and self.machine.which("docker"))

    @property
    def origin(self) -> str:
        """Where the engine came from: docker (its own packages), distribution, other, or none."""
        for package, origin in (("docker-ce", "docker"), ("docker.io", "distribution")):
            # A package that was removed may have left its settings, and with them this list.
            if "/dockerd\n" in (self.machine.read(f"/var/lib/dpkg/info/{package}.list") or ""):
                return origin
        return "other" if self.installed else "none"

    @property
    def compose(self) -> str:
        """Version of Compose, empty where there is none."""
        version = self.compose_plugin.get("Version", "")
        if not self.running and self.machine.which("docker"):
            result = self.engine.run(["compose", "version", "--short"], timeout=30)
            version = result.stdout.strip() if result.ok else ""
        return version.removeprefix("v")

    @property
    def compose_plugin(self) -> dict[str, Any]:
        plugins = (self.info.get("ClientInfo") or {}).get("Plugins") or []
        return next((plugin for plugin in plugins if plugin.get("Name") == "compose" and not plugin.get("Err")), {})

    @property
    def process(self) -> Process | None:
        """The daemon as a process of this host, None where there is none."""
        pid = (self.machine.read("/run/docker.pid") or "").strip()
        if not pid.isdigit():
            return None
        stat = self.machine.read(f"/proc/{pid}/stat")
        boot = re.search(r"^btime (\d+)", self.machine.read("/proc/stat") or "", re.MULTILINE)
        if not stat or not boot or "dockerd" not in stat:
            return None
        ticks = stat.rpartition(")")[2].split()[19]
        return Process(int(pid), ticks, int(boot[1]) + int(ticks) / os.sysconf("SC_CLK_TCK"))

    @property
    def manager(self) -> str:
        """What starts the engine: systemd, sysv or none."""
        if self.machine.systemd:
            units = ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system")
            return "systemd" if any(self.machine.exists(f"{folder}/docker.service") for folder in units) else "none"
        return "sysv" if self.machine.exists("/etc/init.d/docker") else "none"

    def present_settings(self) -> dict[str, Any]:
        text = self.machine.read(self.CONFIG)
        try:
            present = json.loads(text) if text and text.strip() else {}
        except ValueError as error:
            raise EngineError(f"{self.CONFIG} is not JSON ({error}); it was left alone. Repair it, then run this again.") from error
        if not isinstance(present, dict):
            raise EngineError(f"{self.CONFIG} is not a JSON object; it was left alone. Repair it, then run this again.")
        return present

    def note(self, process: Process | None) -> dict[str, Any]:
        """What this process is known to have taken over: its settings, the digest of the certificates."""
        try:
            note = json.loads(self.machine.read(self.NOTE) or "{}")
        except ValueError:
            note = {}
        return note if process and note.get("instance") == process.instance else {}

    def write_note(self, process: Process | None, daemon: Mapping[str, Any], certificates: str) -> None:
        if process and not self.check:
            self.machine.write(self.NOTE, json.dumps({"instance": process.instance, "daemon": daemon, "certificates": certificates}), mode=0o600)

    # Installing: the packages themselves are the role's task.

    def install(self) -> dict[str, Any]:
        """Choose where the engine comes from and prepare it; returns what the package manager has to do."""
        wanted, release = self.wanted, self.machine.release
        if wanted.source == "existing":
            raise EngineError("docker_source is 'existing', but this host has no engine. Install one, or set docker_source to auto, docker or distribution.")
        if release.get("ID") not in ("debian", "ubuntu"):
            name = release.get("PRETTY_NAME", "this system")
            raise EngineError(f"No engine here, and {name} is neither Debian nor Ubuntu: install an engine, then run this again.")
        source, reason = wanted.source, f"docker_source is {wanted.source}"
        if self.origin == "distribution":  # its client is missing: a package of its own since Debian 13
            source, reason = self.origin, "completes what is there"
        elif source != "distribution":
            if self.wanted.certificates and self.machine.which("update-ca-certificates"):
                # The way to the repository may lead through a proxy that only they vouch for.
                self.trust(None, {})
            source, reason = self.vendor(release)
        names = packages(release, source == "docker", self.machine.apparmor)
        self.changes.append(f"engine installed from {source} ({reason}): {' '.join(names)}")
        self.after["packages"] = "\n".join(names) + "\n"
        self.cure_sysv(source == "distribution")
        return {"source": source, "reason": reason, "packages": names}

    def vendor(self, release: Mapping[str, str]) -> tuple[str, str]:
        """Docker's own repository if it can be used; else, unless it was demanded, the distribution."""
        base = f"{self.wanted.repository}/{release['ID']}"
        try:
            self.machine.fetch(f"{base}/dists/{release['VERSION_CODENAME']}/Release")
            key = self.machine.fetch(f"{base}/gpg").decode("ascii")
        except (OSError, ValueError) as error:
            reason = f"{base} cannot be reached: {getattr(error, 'reason', error)}"
            if self.wanted.source == "docker":
                raise EngineError(f"docker_source is 'docker', but {reason}. Set docker_source to distribution, or allow this address.") from error
            return "distribution", reason
        found, expected = fingerprints(key), self.wanted.fingerprint.replace(" ", "").upper()
        if found != [expected]:
            raise EngineError(f"{base}/gpg has the key {', '.join(found) or '(none)'}, expected is {expected}: nothing was installed.")
        self.prepare_repository(base, release["VERSION_CODENAME"], key)
        return "docker", f"{base} answers, key {expected}"

    def prepare_repository(self, base: str, codename: str, key: str) -> None:
        folder = self.machine.path("/etc/apt/sources.list.d")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            # Two entries with different keys for one repository are an error for apt.
            if base in (self.machine.read(f"/etc/apt/sources.list.d/{name}") or "") and not self.SOURCES.endswith(name):
                return
        if not self.check:
            self.machine.write(self.KEY, key, mode=0o644)
            self.machine.write(self.SOURCES, f"Types: deb\nURIs: {base}\nSuites: {codename}\nComponents: stable\nSigned-By: {self.KEY}\n", mode=0o644)

    def cure_sysv(self, distribution: bool) -> None:
        """Let the SysV script of Debian's engine survive a low limit of open files; also before it is installed, for that starts it."""
        script = self.machine.read("/etc/init.d/docker") or ("ulimit -n" if distribution else "")
        text = self.machine.read(self.DEFAULTS) or ""
        if self.machine.systemd or "ulimit -n" not in script or "ulimit()" in text or self.machine.files_allowed() >= FILES_OF_SYSV:
            return
        self.changes.append(f"{self.DEFAULTS}: the start script survives this host's limit of open files")
        if not self.check:
            self.machine.write(self.DEFAULTS, text + SYSV_CURE)

    # Converging an installed engine.

    def converge(self) -> str:
        """Everything but packages; returns what the engine needed: none, start, reload, restart or pending."""
        self.judge_versions()
        wanted, present = self.wanted, self.present_settings()
        swarm = (self.info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive"
        new, process = settings(present, wanted, swarm), self.process
        if self.running and process is None:
            if new != present:
                self.warnings.append("The engine is not a process of this host: its settings were left alone.")
            self.log_in()
            return "none"
        note = self.note(process)
        applied = note.get("daemon")
        if applied is None and process and self.machine.modified(self.CONFIG) <= process.started + SLACK:
            applied = present
        if new != present:
            self.validate(new, process)
        digest, certificates_new = self.trust(process, note)
        self.write_settings(present, new, process, applied, "" if certificates_new else digest)
        self.enable()
        if process is None:
            self.start(present, new)
            self.judge_versions()
            done = "start"
        else:
            done = self.take_over(step_to(applied, new, certificates_new), present, new)
        if done in ("start", "reload", "restart"):
            self.write_note(self.process, new, digest)
        self.log_in()
        return done

    def judge_versions(self) -> None:
        """Refuse what the collection is not written for. An old Compose is the role's to replace, where the client would take the role's before it."""
        version, needed = self.info.get("ServerVersion", ""), "needed is {}.{} or newer"
        if older(version, OLDEST_ENGINE):
            raise EngineError(f"This host has engine {version}, {needed.format(*OLDEST_ENGINE)}: upgrade it, then run this again.")
        version, path = self.compose_plugin.get("Version", ""), self.compose_plugin.get("Path", "")
        if older(version, OLDEST_COMPOSE) and path and not path.startswith(self.PLUGINS):
            says = f"This host has Compose {version} in {path}, {needed.format(*OLDEST_COMPOSE)}"
            raise EngineError(f"{says}. The client takes it before any other: remove it, then run this again.")

    def validate(self, new: Mapping[str, Any], process: Process | None) -> None:
        """Let the engine itself judge the settings, together with the options it was started with."""
        if not self.daemon:
            return
        options = (self.machine.read(f"/proc/{process.pid}/cmdline") or "").split("\0")[1:-1] if process else []
        with tempfile.TemporaryDirectory(prefix="longshore-") as folder:
            config, pid = os.path.join(folder, "daemon.json"), os.path.join(folder, "pid")
            with open(config, "w", encoding="utf-8") as file:
                json.dump(new, file)
            with open(pid, "w", encoding="utf-8") as file:
                file.write(str(os.getpid()))
            version = self.machine.run([self.daemon, "--version"]).stdout
            major = re.search(r"version (\d+)", version)
            if major and int(major[1]) >= 23:
                result = self.machine.run([self.daemon, *options, "--validate", f"--config-file={config}"])
                good = result.ok
            elif "pidfile" in new:
                return
            else:
                # No --validate: with the pid file of a process that lives (this one) it ends right after it has read its settings.
                result = self.machine.run([self.daemon, *options, f"--pidfile={pid}", f"--config-file={config}"], timeout=20)
                good = "pid file found" in result.stderr
        if not good:
            said = without_passwords(result.reason().replace(config, self.CONFIG).splitlines()[-1])
            wrong = json.dumps({key: new[key] for key in sorted(self.wanted.daemon)}, default=str)
            raise EngineError(f"The engine refuses the settings, nothing was changed. It says: {said} (docker_daemon: {without_passwords(wrong)})")

    def trust(self, process: Process | None, note: Mapping[str, Any]) -> tuple[str, bool]:
        """Have the certificates in the host's trust store; their digest, and whether the engine was started before it had them."""
        digest = hashlib.sha256(json.dumps(sorted(self.wanted.certificates.items())).encode()).hexdigest() if self.wanted.certificates else ""
        bundle = (self.machine.read(self.BUNDLE) or "").replace("\r", "") if digest else ""
        names = {name: f"{self.CERTIFICATES}/{os.path.splitext(os.path.basename(name))[0]}.crt" for name in self.wanted.certificates}
        missing = [
            name for name, content in self.wanted.certificates.items()
            if self.machine.read(names[name]) != content or content.replace("\r", "").strip() not in bundle
        ]  # fmt: skip
        if missing:
            self.changes.append(f"certificates trusted: {', '.join(sorted(missing))}")
            if not self.check:
                # Written also when the file is right and only the store lacks it: the time of the file is what the engine's start is compared with.
                for name in missing:
                    self.machine.write(names[name], self.wanted.certificates[name], mode=0o644)
                result = self.machine.run(["update-ca-certificates"])
                if not result.ok:
                    raise EngineError(f"update-ca-certificates: {result.reason()}")
        if process is None or not digest:
            return digest, False
        if "certificates" in note:
            return digest, note["certificates"] != digest
        return digest, bool(missing) or any(self.machine.modified(path) > process.started + SLACK for path in names.values())

    def write_settings(
        self, present: Mapping[str, Any], new: Mapping[str, Any], process: Process | None, applied: Mapping[str, Any] | None, digest: str
    ) -> None:
        """Write daemon.json; before it, what the engine has now, so that nobody takes the new file for it."""
        if new == present:
            return
        self.before["settings"], self.after["settings"] = (without_passwords(json.dumps(each, indent=4, sort_keys=True) + "\n") for each in (present, new))
        self.changes.append(f"{self.CONFIG}: {', '.join(sorted(changed_keys(present, new)))}")
        if not self.check:
            if applied is not None:
                self.write_note(process, applied, digest)
            self.machine.write(self.CONFIG, json.dumps(new, indent=4) + "\n")

    def enable(self) -> None:
        if self.manager != "systemd" or self.machine.run(["systemctl", "is-enabled", "--quiet", "docker.service"]).ok:
            return
        self.changes.append("engine starts at boot")
        if not self.check:
            self.must(["systemctl", "enable", "--quiet", "docker.service"])

    def start(self, present: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self.cure_sysv(False)
        self.changes.append("engine started")
        if not self.check:
            self.command("start")
            self.await_engine(None, present, new)

    def take_over(self, step: str, present: Mapping[str, Any], new: Mapping[str, Any]) -> str:
        """Reload or restart the running engine, whichever is needed and harms nobody."""
        if step == "reload" and self.reload(new):
            return "reload"
        if step == "none":
            return "none"
        count = self.info.get("ContainersRunning", 0)
        survive = not count or self.outlive(new)
        labels = [] if survive else [each.get("Labels", "") for each in self.engine.json_lines(["ps", "--format", "{{json .}}"])]
        if self.manager == "none" or not restart_allowed(self.wanted.restart, survive, labels):
            why = "nothing on this host knows how to restart it" if self.manager == "none" else f"its restart would stop {count} running container(s)"
            self.warnings.append(f"The running engine does not have the new settings yet: {why}. Restart it when it suits, or set docker_restart to always.")
            return "pending"
        self.changes.append("engine restarted")
        if not self.check:
            process = self.process
            self.command("restart")
            self.await_engine(process, present, new)
        return "restart"

    def outlive(self, new: Mapping[str, Any]) -> bool:
        """Whether the containers survive the restart; where only the file says so, the engine takes that over first."""
        if not new.get("live-restore"):
            return False
        return bool(self.info.get("LiveRestoreEnabled")) or self.reload({"live-restore": True}, quiet=True)

    def reload(self, new: Mapping[str, Any], quiet: bool = False) -> bool:
        """Tell the engine to read its settings again; False if it did not take them over."""
        process = self.process
        if not self.check and process:
            self.machine.kill(process.pid, signal.SIGHUP)
            deadline = self.machine.monotonic() + 5
            while not self.has(new):
                if self.machine.monotonic() > deadline:
                    return False
                self.machine.sleep(0.1)
                self.look()
        if not quiet:
            self.changes.append("engine reloaded its settings")
        return True

    def has(self, new: Mapping[str, Any]) -> bool:
        """Whether the engine shows those of the settings that it shows at all."""
        registries = self.info.get("RegistryConfig") or {}
        shown = {
            "live-restore": self.info.get("LiveRestoreEnabled"),
            "registry-mirrors": [mirror.rstrip("/") for mirror in registries.get("Mirrors") or []],
            "debug": self.info.get("Debug"),
        }
        asked = {key: [each.rstrip("/") for each in value] if key == "registry-mirrors" else value for key, value in new.items() if key in shown}
        return self.running and all(shown[key] == value for key, value in asked.items())

    def command(self, verb: str) -> None:
        if self.manager == "systemd":
            self.machine.run(["systemctl", "reset-failed", "docker.service"])
            self.machine.run(["systemctl", verb, "docker.service"], timeout=self.wanted.timeout + 60)
            return
        process = self.process
        if verb == "restart" and process:
            # Not the script's own restart: it only ends an engine that it started itself.
            self.machine.kill(process.pid, signal.SIGTERM)
            self.await_end(process)
        result = self.machine.run(["service", "docker", "start"])
        if not result.ok:
            raise EngineError(f"service docker start: {result.reason()}")

    def await_end(self, process: Process) -> None:
        """Wait until the process is gone, which is later than the end of its pid file."""
        deadline = self.machine.monotonic() + self.wanted.timeout
        while (self.machine.read(f"/proc/{process.pid}/stat") or "Z").rpartition(")")[2].split()[0] != "Z":
            if self.machine.monotonic() > deadline:
                raise EngineError(f"The engine (process {process.pid}) did not end within {self.wanted.timeout} s; it still has its old settings.")
            self.machine.sleep(0.1)
        # The script takes a process that nobody has reaped for a running engine, and would start none.
        self.machine.remove("/run/docker-ssd.pid")

    def await_engine(self, old: Process | None, present: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Wait until another engine than `old` answers. If none does, put back the settings that served, and fail."""
        alive = self.info.get("LiveRestoreEnabled")
        if self.answers(old):
            return
        said = self.last_words()
        if new != present:
            # An engine that starts without live-restore ends the containers that its predecessor left running.
            old_settings = {**present, "live-restore": True} if alive else present
            self.machine.write(self.CONFIG, json.dumps(old_settings, indent=4) + "\n") if old_settings else self.machine.remove(self.CONFIG)
            self.command("start")
            back = "and the engine runs again" if self.answers(None) else "but the engine does not run"
            raise EngineError(f"The engine did not start with the new settings; the old ones were put back, {back}. It said: {said}")
        raise EngineError(f"The engine did not start. It said: {said}")

    def answers(self, old: Process | None) -> bool:
        deadline = self.machine.monotonic() + self.wanted.timeout
        while True:
            self.look()
            if self.running and self.process is not None and self.process != old:
                return True
            failed = self.manager == "systemd" and self.machine.run(["systemctl", "is-failed", "--quiet", "docker.service"]).ok
            if failed or self.machine.monotonic() > deadline:
                return False
            self.machine.sleep(0.2)

    def last_words(self) -> str:
        """The end of the engine's log, errors first."""
        if self.manager == "systemd":
            text = self.machine.run(["journalctl", "-u", "docker.service", "-n", "40", "-o", "cat", "--no-pager"]).stdout
        else:
            text = "\n".join((self.machine.read("/var/log/docker.log") or "").splitlines()[-40:])
        lines = [line for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"level=(error|fatal)|failed|unable|invalid", line)]
        # The first two: what follows is systemd's account of the same failure.
        return without_passwords(" | ".join((errors or lines[-3:])[:2]) or "(nothing)")

    def log_in(self) -> None:
        """Log in to the registries whose stored credentials are others."""
        text = self.machine.read(self.client_config) or "{}"
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise EngineError(f"{self.client_config} is not JSON ({error}); repair or remove it.") from error
        for login in self.wanted.logins:
            if self.logged_in(stored, login):
                continue
            self.changes.append(f"logged in to {login.registry} as {login.username}")
            if self.check:
                continue
            args = ["login", "--username", login.username, "--password-stdin", *([] if login.key == DOCKER_HUB else [login.registry])]
            result = self.engine.run(args, stdin=login.password, timeout=60)
            if not result.ok:
                reason = result.reason().replace(login.password, "********")
                raise EngineError(f"docker_registry_logins: {login.registry} does not let {login.username!r} in. It says: {reason}")

    @property
    def client_config(self) -> str:
        return os.path.join(os.path.expanduser("~"), ".docker/config.json")

    def logged_in(self, stored: Mapping[str, Any], login: Login) -> bool:
        helper = (stored.get("credHelpers") or {}).get(login.key) or stored.get("credsStore")
        if helper:
            result = self.machine.run([f"docker-credential-{helper}", "get"], stdin=login.key)
            try:
                said = json.loads(result.stdout) if result.ok else {}
            except ValueError:
                said = {}
            return (said.get("Username"), said.get("Secret")) == (login.username, login.password)
        entry = (stored.get("auths") or {}).get(login.key) or {}
        return entry.get("auth") == base64.b64encode(f"{login.username}:{login.password}".encode()).decode()

    def must(self, args: Sequence[str]) -> None:
        result = self.machine.run(args)
        if not result.ok:
            raise EngineError(f"{' '.join(args[:3])}: {result.reason()}")


def converge(wanted: Wanted, machine: Machine, check: bool) -> dict[str, Any]:
    """One pass over the host; the result of the module."""
    host = Host(wanted, machine, check)
    plan = None if host.installed else host.install()
    done = "none" if plan else host.converge()
    compose = host.compose
    return {
        "changed": bool(host.changes),
        "changes": host.changes,
        "warnings": host.warnings,
        "install": plan,
        "action": done,
        "engine": {"version": host.info.get("ServerVersion", ""), "origin": host.origin, "manager": host.manager},
        "compose": compose,
        "compose_needed": not plan and (not compose or older(compose, OLDEST_COMPOSE)),
        "architecture": os.uname().machine,
        "diff": [
            {"before_header": name, "after_header": name, "before": host.before.get(name, ""), "after": host.after.get(name, "")}
            for name in sorted(host.before.keys() | host.after.keys())
        ],
    }
