# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of one host: looked at, put on trial, kept or taken back.

New rules are loaded with their own end already ordered: unless somebody who came in over a new connection says that they are good, the host puts back the
rules from before by itself. Only what was confirmed is written to the disk, so a reboot in between meets the old rules.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Result
from ansible_collections.longshore.stack.plugins.module_utils._files import Folder
from ansible_collections.longshore.stack.plugins.module_utils._firewall import (
    TABLE,
    FirewallError,
    Opening,
    owner,
    resolved,
    restoring,
    ruleset,
    strangers,
    uplinks,
)
from ansible_collections.longshore.stack.plugins.module_utils._job import Job
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

RULES = "/etc/longshore/firewall.nft"
UNIT = "longshore-firewall.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
TRIAL = "/run/longshore/firewall"
REVERT = "longshore-firewall-revert"
# What Debian's nftables.service loads begins with `flush ruleset`, and its stop flushes too; so this unit goes and comes with it, after it.
UNIT_TEXT = f"""# Written by longshore.stack.firewall.
[Unit]
Description=Firewall of longshore.stack
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service shutdown.target
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=null
ProtectSystem=full
ProtectHome=true
ExecStart={{nft}} -f {RULES}
ExecReload={{nft}} -f {RULES}
ExecStop=-{{nft}} delete table {TABLE}

[Install]
WantedBy=sysinit.target nftables.service
"""
# Where even the old rules cannot be put back, a host without a table of ours is better than one that nobody reaches.
REVERT_TEXT = f"""cd {TRIAL} && {{{{ {{nft}} -f before.nft || {{nft}} delete table {TABLE}; }}}}; rm -f {TRIAL}/token
"""


def addresses_of(name: str) -> list[str]:
    """The addresses of a name as this host knows them."""
    try:
        return sorted({found[4][0].partition("%")[0] for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    except OSError:
        return []


@dataclass(frozen=True)
class Wanted:
    """trusted: patterns of the interfaces of containers; seconds: how long rules may be on trial."""

    stack: str
    openings: Sequence[Opening] = field(default_factory=list)
    trusted: Sequence[str] = ()
    seconds: int = 60
    present: bool = True


class Firewall:
    """One host's table, file and unit, and what is wanted of them."""

    def __init__(self, wanted: Wanted, machine: Machine, resolve: Callable[[str], Iterable[str]] = addresses_of, job: Callable[[str], Job] = Job):
        self.wanted, self.machine = wanted, machine
        self.resolve, self.job = resolve, job(machine.path(f"{TRIAL}/job"))
        self.folder = Folder(machine.path(TRIAL), mode=0o700)
        self.changes: list[str] = []

    # -- what a run asks for -------------------------------------------------------------------------------------------

    def converge(self, check: bool) -> dict[str, Any]:
        """Load what is wanted, on trial. The answer has `trial` if somebody must confirm it."""
        other = owner(self.machine.read(RULES))
        if other not in ("", self.wanted.stack):
            raise FirewallError(
                f"the firewall of this host belongs to the stack {other} ({RULES}): a host has one. Leave stack_firewall off for {self.wanted.stack} "
                f"there, and open its ports with firewall_allow in the inventory of {other}"
            )
        if not self.wanted.present:
            return self._absent(check)
        text = self._text()
        if not self.machine.which("nft"):
            return {**self._answer(check), "install": ["nftables"], "diff": {"before": "", "after": text, "before_header": TABLE, "after_header": TABLE}}
        before, after = self._listing(), self._meant(text)
        self.changes += ["rules"] if before != after or self._token() else []
        self.changes += self._unkept(text)
        answer = {**self._answer(bool(self.changes)), "diff": {"before": before, "after": after, "before_header": TABLE, "after_header": TABLE}}
        if check or not self.changes:
            return answer
        with self.folder.locked():
            self._end_trial()
            if self._listing() != after:
                return {**answer, "trial": self._try(text, self._listing())}
            self._keep(text)
        return answer

    def confirm(self, trial: str) -> dict[str, Any]:
        """Keep the rules of the trial. Who asks has come in over a new connection, and that is the proof."""
        text = self._text()
        with self.folder.locked():
            known = self._token() == trial
            if known:
                self._disarm()
            if not known or self._listing() != self._meant(text):
                # The way back was under way, or is still to come: another trial's is none of ours.
                self._end_trial(known)
                raise FirewallError("the host has taken the new rules back before they were confirmed; the rules from before are in force")
            self.folder.remove("token")
            self._keep(text)
        return self._answer(True)

    def _answer(self, changed: bool) -> dict[str, Any]:
        return {"changed": changed, "changes": self.changes, "install": [], "warnings": self._warnings()}

    # -- what there is, and what is meant ------------------------------------------------------------------------------

    def _text(self) -> str:
        self._only_containers()
        return ruleset(self.wanted.stack, [resolved(opening, self.resolve) for opening in self.wanted.openings], self.wanted.trusted)

    def _only_containers(self) -> None:
        trusted = self.wanted.trusted
        variable = f"firewall_container_interfaces ({', '.join(trusted)})"
        found = uplinks(self.machine.read("/proc/net/route") or "", self.machine.read("/proc/net/ipv6_route") or "", trusted)
        if found:
            raise FirewallError(
                f"{', '.join(found)} leads to the network, and {variable} takes it for an interface "
                "of containers, from which everything may go on; allowed: patterns of the containers' interfaces alone, for example [docker0, br-0*]"
            )
        found = strangers(self.machine.read("/proc/net/dev") or "", trusted)
        if found:
            raise FirewallError(
                f"{', '.join(found)} has no name of Docker's, and a pattern of {variable} takes it for an interface of containers, from which everything may "
                "go on to every published port; allowed: patterns that do not match it, for example br-0*, br-1* and so on to br-f* in place of br-*, or, "
                f"where it does belong to containers or all of its hosts may do that, its name as well, for example [{', '.join([*trusted, *found])}]"
            )

    def _listing(self) -> str:
        """The table as the kernel has it, without counters and without what it has learned."""
        result = self._nft("--stateless", "--terse", "list", "table", *TABLE.split()) if self.machine.which("nft") else None
        return result.stdout if result and result.ok else ""

    def _meant(self, text: str) -> str:
        """The listing that the text would give: loaded where nothing passes by, in a network of its own that goes with the command."""
        script = '"$1" -f - && "$1" --stateless --terse list table ' + TABLE
        result = self.machine.run(["unshare", "--net", "sh", "-c", script, "sh", self._program()], stdin=text)
        if not result.ok:
            raise FirewallError(f"this host does not take the rules, and nothing was changed: {result.reason()}")
        return result.stdout

    def _warnings(self) -> list[str]:
        beside = [] if re.search(r"^ENABLED=yes", self.machine.read("/etc/ufw/ufw.conf") or "", re.MULTILINE) is None else ["ufw"]
        if self.machine.systemd and self._systemctl("is-active", "--quiet", "firewalld").ok:
            beside.append("firewalld")
        found = [
            f"{name} is active on this host, too. Each of the two can only refuse: what {name} closes stays closed, so open the stack's ports there as "
            "well, or switch it off."
            for name in beside
        ]
        if not self.machine.systemd and self.wanted.present:
            found.append(f"This host has no systemd: the rules are in force now, and after a reboot only if something of yours runs `nft -f {RULES}`.")
        return found

    # -- trial ---------------------------------------------------------------------------------------------------------

    def _try(self, text: str, before: str) -> str:
        token = os.urandom(8).hex()
        self.folder.write("before.nft", restoring(before).encode(), 0o600)
        self.folder.write("revert", REVERT_TEXT.format(nft=self._program()).encode(), 0o600)
        self.folder.write("token", token.encode(), 0o600)
        self._arm()
        result = self._nft("-f", "-", stdin=text)
        if not result.ok:
            self._end_trial()
            raise FirewallError(f"this host does not take the rules, and nothing was changed: {result.reason()}")
        return token

    def _arm(self) -> None:
        revert, seconds = f"{TRIAL}/revert", str(self.wanted.seconds)
        if not self.machine.systemd:
            self.job.start(f"sleep {seconds}; . {self.machine.path(revert)}\n")
            return
        timer = ["systemd-run", "--quiet", "--collect", f"--unit={REVERT}", f"--on-active={seconds}", "--timer-property=AccuracySec=100ms"]
        result = self.machine.run([*timer, "/bin/sh", revert])
        if not result.ok:
            self.folder.remove("token")
            raise FirewallError(f"the way back could not be prepared, so nothing was changed: {result.reason()}")

    def _token(self) -> str:
        """The name of the trial that is going on, or nothing."""
        return (self.folder.read("token") or b"").decode()

    def _disarm(self) -> None:
        if self.machine.systemd:
            self._systemctl("stop", f"{REVERT}.timer", f"{REVERT}.service")
        elif self.job.running():
            self.job.kill()

    def _end_trial(self, wanted: bool = True) -> None:
        """Go the way back now, if there is one: a trial of another run that nobody has confirmed by now is over."""
        if wanted and self._token():
            self._disarm()
            self.machine.run(["/bin/sh", self.machine.path(f"{TRIAL}/revert")])

    # -- what outlives a reboot ----------------------------------------------------------------------------------------

    def _unkept(self, text: str) -> list[str]:
        """What of it is not yet as it should be, in words."""
        found = [RULES] if self.machine.read(RULES) != text else []
        if self.machine.systemd:
            found += [UNIT_FILE] if self.machine.read(UNIT_FILE) != self._unit() else []
            enabled = [word for word in ("is-enabled", "is-active") if not self._systemctl(word, "--quiet", UNIT).ok]
            found += [f"{UNIT} enabled and started"] if enabled else []
        return found

    def _keep(self, text: str) -> None:
        self.machine.write(RULES, text, 0o644)
        if not self.machine.systemd:
            return
        if self.machine.read(UNIT_FILE) != self._unit():
            self.machine.write(UNIT_FILE, self._unit(), 0o644)
            self._systemctl("daemon-reload")
        result = self._systemctl("enable", "--now", "--quiet", UNIT)
        if not result.ok:
            raise FirewallError(f"the rules are in force, but {UNIT}, which loads them at the next boot, does not start: {result.reason()}")

    def _absent(self, check: bool) -> dict[str, Any]:
        before, unit = self._listing(), self.machine.read(UNIT_FILE) is not None
        self.changes += (["rules"] if before else []) + [name for name in (RULES, UNIT_FILE) if self.machine.exists(name)]
        if self.changes and not check:
            with self.folder.locked():
                self._end_trial()
                if unit and self.machine.systemd:
                    self._systemctl("disable", "--now", "--quiet", UNIT)
                if self._listing():
                    self._nft("delete", "table", *TABLE.split())
                for name in (RULES, UNIT_FILE):
                    self.machine.remove(name)
                if unit and self.machine.systemd:
                    self._systemctl("daemon-reload")
        return {**self._answer(bool(self.changes)), "diff": {"before": before, "after": "", "before_header": TABLE, "after_header": TABLE}}

    # -- commands ------------------------------------------------------------------------------------------------------

    def _unit(self) -> str:
        return UNIT_TEXT.format(nft=self._program())

    def _program(self) -> str:
        return self.machine.which("nft") or "/usr/sbin/nft"

    def _nft(self, *words: str, stdin: str | None = None) -> Result:
        return self.machine.run([self._program(), *words], stdin=stdin)

    def _systemctl(self, *words: str) -> Result:
        return self.machine.run(["systemctl", *words])
