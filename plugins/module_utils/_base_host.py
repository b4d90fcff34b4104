# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of one host in files of our own, and what must be told about them. Files of others are read and never changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import glob
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._base import APT, CHRONY, JOURNAL, SYSCTL, TIME, DropIn, Setting, unsettled
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

KERNEL_FILE = DropIn("/etc/sysctl.d/90-longshore.conf", ("/etc/sysctl.conf", "/etc/sysctl.d/*.conf", "/run/sysctl.d/*.conf"), SYSCTL)
JOURNAL_FILE = DropIn(
    "/etc/systemd/journald.conf.d/90-longshore.conf",
    ("/etc/systemd/journald.conf", "/etc/systemd/journald.conf.d/*.conf", "/run/systemd/journald.conf.d/*.conf"),
    JOURNAL,
)
APT_FILE = DropIn("/etc/apt/apt.conf.d/90longshore", ("/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*"), APT)
TIME_FILE = DropIn("/etc/systemd/timesyncd.conf.d/90-longshore.conf", ("/etc/systemd/timesyncd.conf", "/etc/systemd/timesyncd.conf.d/*.conf"), TIME)
CHRONY_FILE = DropIn("/etc/chrony/sources.d/longshore.sources", (), CHRONY)
TIMESYNCD, JOURNALD = "systemd-timesyncd.service", "systemd-journald.service"
# Programs that keep the time already, of the administrator's choice.
CLOCKS = ("chronyd", "ntpd", "ntpsec")


@dataclass(frozen=True)
class Wanted:
    """None is switched off: the file of ours goes."""

    sysctl: Sequence[Setting] | None = None
    journal: Sequence[Setting] | None = None
    apt: Sequence[Setting] | None = None
    time: Sequence[str] | None = None


class Base:
    """Brings one host to what is wanted. remarks: what was left, and why."""

    def __init__(self, wanted: Wanted, machine: Machine, check: bool = False):
        self.wanted, self.machine, self.check = wanted, machine, check
        self.changes: list[str] = []
        self.remarks: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []

    def converge(self) -> dict[str, Any]:
        missing = self._missing()
        if not missing or self.check:
            self._kernel()
            self._journal()
            self._file(APT_FILE, self.wanted.apt)
            self._time()
        return {
            "changed": bool(self.changes) or (self.check and bool(missing)),
            "changes": self.changes,
            "remarks": self.remarks,
            "install": missing,
            "diff": {"before": "".join(self.before), "after": "".join(self.after)},
        }

    @property
    def contained(self) -> bool:
        """Whether this host is a container, whose kernel and clock are those of the machine."""
        return self.machine.exists("/run/systemd/container") or self.machine.exists("/.dockerenv")

    def _missing(self) -> list[str]:
        found = ["unattended-upgrades"] if self.wanted.apt is not None and not self.machine.which("unattended-upgrade") else []
        if self.wanted.time is not None and not self.contained and not self._clock():
            systemd = any(self.machine.exists(f"{folder}/systemd/system/{TIMESYNCD}") for folder in ("/usr/lib", "/lib"))
            found += [] if systemd and self.machine.systemd else ["systemd-timesyncd" if self.machine.systemd else "chrony"]
        return found

    # -- files of ours -------------------------------------------------------------------------------------------------

    def _file(self, drop_in: DropIn, wanted: Sequence[Setting] | None) -> Sequence[Setting]:
        """Have the file with what nobody else has settled, and answer that; without anything to say there is no file."""
        ours, remarks = unsettled(wanted or [], self._others(drop_in))
        self.remarks += remarks
        before, after = self.machine.read(drop_in.path), drop_in.syntax.render(ours) if ours else None
        if before != after:
            self.changes.append(drop_in.path)
            self.before.append(f"# {drop_in.path}\n{before or ''}")
            self.after.append(f"# {drop_in.path}\n{after or ''}")
            if not self.check and after is None:
                self.machine.remove(drop_in.path)
            elif not self.check:
                self.machine.write(drop_in.path, after, 0o644)
        return ours

    def _others(self, drop_in: DropIn) -> dict[str, dict[str, str]]:
        root = self.machine.root.rstrip("/")
        paths = [found[len(root) :] for pattern in drop_in.others for found in sorted(glob(self.machine.path(pattern)))]
        return {path: drop_in.syntax.parse(self.machine.read(path) or "") for path in paths if path != drop_in.path and os.path.isfile(f"{root}{path}")}

    def _tell(self, unit: str, path: str) -> None:
        """Restart what reads the file if it runs since before the file was written; also when that was a run that died in between."""
        if not self.machine.systemd or self.contained and unit == TIMESYNCD:
            return
        if path not in self.changes:
            started = self._systemctl("show", "--timestamp=unix", "--property=ExecMainStartTimestamp", "--value", unit).stdout.strip().lstrip("@")
            if not started.isdigit() or int(self.machine.modified(path)) <= int(started):
                return
        self._do(f"{unit} restarted", "restart", unit)

    def _do(self, change: str, *words: str) -> None:
        self.changes.append(change)
        if not self.check:
            result = self._systemctl(*words)
            self.remarks += [] if result.ok else [f"systemctl {' '.join(words)}: {result.reason()}"]

    # -- kernel --------------------------------------------------------------------------------------------------------

    def _kernel(self) -> None:
        settings, possible = self.wanted.sysctl, []
        known = KERNEL_FILE.syntax.parse(self.machine.read(KERNEL_FILE.path) or "")
        for setting in settings or []:
            current = self._current(setting.key)
            if current is None:
                self.remarks.append(f"{setting.key} does not exist here{' (in a container it is the business of the machine)' if self.contained else ''}")
            elif self.contained and not setting.key.startswith("net."):
                self.remarks += [] if setting.is_met_by(current) else [self._machines(setting, current)]
            elif not setting.least or setting.key in known or not setting.is_met_by(current):
                possible.append(setting)
        for setting in self._file(KERNEL_FILE, possible if settings is not None else None):
            current = self._current(setting.key)
            if not setting.is_met_by(current):
                self._set(setting, current)

    @staticmethod
    def _machines(setting: Setting, current: str | None) -> str:
        return f"{setting.key} is {current}, and the stack would have {setting.value}: this host is a container, set it on its machine"

    def _current(self, key: str) -> str | None:
        try:
            text = self.machine.read(f"/proc/sys/{key.replace('.', '/')}")
        except OSError:
            return None
        return " ".join(text.split()) if text is not None else None

    def _set(self, setting: Setting, current: str | None) -> None:
        path, refused = self.machine.path(f"/proc/sys/{setting.key.replace('.', '/')}"), "read-only"
        try:
            # Asked in check mode too, so that it does not promise what cannot be.
            if os.access(path, os.W_OK):
                if not self.check:
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(setting.value)
                self.changes.append(f"{setting.key}: {current} -> {setting.value}")
                return
        except OSError as error:
            refused = error.strerror or str(error)
        self.remarks.append(f"{setting.key} is {current} and cannot be set to {setting.value} here: {refused}{', in a container' if self.contained else ''}")

    # -- journal and time ----------------------------------------------------------------------------------------------

    def _journal(self) -> None:
        self._file(JOURNAL_FILE, self.wanted.journal)
        self._tell(JOURNALD, JOURNAL_FILE.path)

    def _clock(self) -> str:
        return next((name for name in CLOCKS if self.machine.which(name)), "")

    def _time(self) -> None:
        servers, clock = self.wanted.time, self._clock()
        if clock == "chronyd":
            self._file(CHRONY_FILE, [Setting(name, "iburst") for name in servers or []])
            if CHRONY_FILE.path in self.changes and not self.check:
                result = self.machine.run(["chronyc", "reload", "sources"])
                self.remarks += [] if result.ok else [f"chronyc reload sources: {result.reason()}"]
            return
        if servers and clock:
            self.remarks.append(f"{clock} keeps the time of this host and is left alone; base_time_servers is for chrony and systemd-timesyncd")
            return
        if self.contained and servers is not None:
            self.remarks.append("this host is a container: its clock is that of the machine, so nothing here sets it")
        self._file(TIME_FILE, [Setting("NTP", " ".join(servers))] if servers else None)
        if servers is None or clock or self.contained or not self.machine.systemd:
            return
        if not all(self._systemctl(word, "--quiet", TIMESYNCD).ok for word in ("is-enabled", "is-active")):
            self._do(f"{TIMESYNCD} enabled and started", "enable", "--now", TIMESYNCD)
        self._tell(TIMESYNCD, TIME_FILE.path)

    def _systemctl(self, *words: str):
        return self.machine.run(["systemctl", *words])


def wanted_of(params: dict[str, Any]) -> Wanted:
    """From the parameters of the module."""
    lists = {name: None if params[name] is None else [Setting(**one) for one in params[name]] for name in ("sysctl", "journal", "apt")}
    return replace(Wanted(**lists), time=params["time"])
