# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services want of a host: which settings, in which file of ours, and which somebody else has settled already. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

WINDOW = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$")
DAY = 24 * 60
APT_LINE = re.compile(r'^\s*([A-Za-z][\w:.-]*)\s+"([^"]*)"\s*;', re.MULTILINE)
HEADER = "Written by longshore.stack.base; the next run replaces what is changed here."


@dataclass(frozen=True)
class Setting:
    """One value and why. least: a larger one is as good."""

    key: str
    value: str
    why: str = ""
    least: bool = False

    def is_met_by(self, value: str | None) -> bool:
        if value is None:
            return False
        if self.least and value.isdigit():
            return int(value) >= int(self.value)
        return " ".join(value.split()) == " ".join(self.value.split())


@dataclass(frozen=True)
class Syntax:
    """How files of one kind are read and written."""

    parse: Callable[[str], dict[str, str]]
    render: Callable[[Sequence[Setting]], str]


@dataclass(frozen=True)
class DropIn:
    """A file of ours, and the places where others set the same things."""

    path: str
    others: tuple[str, ...]
    syntax: Syntax
    settings: Sequence[Setting] = field(default_factory=list)


# -- from the inventory ------------------------------------------------------------------------------------------------------


def kernel_settings(view: View) -> list[Setting]:
    """The kernel's settings for the services of this host; what the user gives wins."""
    proxy, valkey = view.host in view.hosts("proxy"), view.host in view.hosts("valkey")
    found = [
        Setting("fs.inotify.max_user_instances", "1024", "Each container that watches files takes some; all containers of one user share them.", True),
        Setting("fs.inotify.max_user_watches", "524288", "As above: the files that are watched.", True),
        Setting("net.core.somaxconn", "4096", "Connections that wait until a program takes them; what is above is refused.", True),
    ]
    swappiness = view.own("base_swappiness")
    if swappiness is not None and int(swappiness) >= 0:
        found.append(Setting("vm.swappiness", str(int(swappiness)), "A database that is swapped out answers slowly: swap is for need alone."))
    if valkey:
        found.append(Setting("vm.overcommit_memory", "1", "Valkey saves in a copy of its process, which would need its memory twice by the kernel's count."))
    if proxy and view.own("stack_tls", "internal") != "off":
        found += [Setting(f"net.core.{way}mem_max", "7500000", "HTTP/3 is UDP, whose buffers the edge asks for in this size.", True) for way in "rw"]
    own = {str(key): _text(value) for key, value in (view.own("base_sysctl") or {}).items()}
    return [setting for setting in found if setting.key not in own] + [Setting(key, value, "From base_sysctl.") for key, value in own.items()]


def journal_settings(view: View) -> list[Setting]:
    return [Setting("SystemMaxUse", str(view.own("base_journal_size"))), Setting("MaxRetentionSec", f"{int(view.own('base_journal_days'))}day")]


def upgrade_settings(view: View) -> list[Setting]:
    """For apt and unattended-upgrades. Which upgrades are taken stays the distribution's choice."""
    window = str(view.own("base_reboot_window") or "")
    found = [
        Setting("APT::Periodic::Update-Package-Lists", "1"),
        Setting("APT::Periodic::Unattended-Upgrade", "1"),
        Setting("APT::Periodic::AutocleanInterval", "7", "Days after which downloaded packages that cannot be had any more are removed."),
        Setting("Unattended-Upgrade::Automatic-Reboot", "true" if window else "false"),
    ]
    if window:
        hosts = sorted(view.hosts("all"))
        at = reboot_time(window, hosts.index(view.host) if view.host in hosts else 0, max(1, len(hosts)))
        found.append(Setting("Unattended-Upgrade::Automatic-Reboot-Time", at, f"This host's part of {window}: no two at the same time."))
    found += [Setting("Unattended-Upgrade::Package-Blacklist::", str(name)) for name in view.own("base_upgrades_exclude") or []]
    return found


def window_minutes(window: str) -> tuple[int, int] | None:
    """Beginning and length of `03:00-05:00` in minutes, over midnight too; nothing where it is no window."""
    match = WINDOW.match(window)
    if not match:
        return None
    first, last = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return first, (last - first) % DAY


def reboot_time(window: str, number: int, of: int) -> str:
    """When the host with this number reboots, if an upgrade wants it."""
    first, length = window_minutes(window) or (0, 0)
    minute = (first + length * number // of) % DAY
    return f"{minute // 60:02}:{minute % 60:02}"


def host_settings(view: View) -> dict[str, Any]:
    """All of it for the module host_settings; what is switched off is None, and its file goes."""

    def of(switch: str, settings: Callable[[View], list[Setting]]) -> list[dict[str, Any]] | None:
        return [vars(setting) for setting in settings(view)] if view.own(switch, True) else None

    return {
        "sysctl": of("base_kernel", kernel_settings),
        "journal": of("base_journal", journal_settings),
        "apt": of("base_upgrades", upgrade_settings),
        "time": list(view.own("base_time_servers") or []) if view.own("base_time", True) else None,
    }


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


# -- files -------------------------------------------------------------------------------------------------------------------


def parse_lines(text: str) -> dict[str, str]:
    """Lines `key = value`, as sysctl and systemd have them."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key[0] not in "#;[":
            found[key.strip().lstrip("-").replace("/", ".")] = value.strip()
    return found


def parse_apt(text: str) -> dict[str, str]:
    """Lines `Key "value";`; lists and blocks are none of what is compared."""
    return {key: value for key, value in APT_LINE.findall(text) if not key.endswith("::")}


def _lines(form: str, head: Iterable[str], comment: str = "#") -> Callable[[Sequence[Setting]], str]:
    def render(settings: Sequence[Setting]) -> str:
        lines = [f"{comment} {HEADER}", *head]
        for setting in settings:
            lines += [f"{comment} {setting.why}"] if setting.why else []
            lines.append(form.format(key=setting.key, value=setting.value))
        return "\n".join([*lines, ""])

    return render


SYSCTL = Syntax(parse_lines, _lines("{key} = {value}", ()))
JOURNAL = Syntax(parse_lines, _lines("{key}={value}", ("[Journal]",)))
TIME = Syntax(parse_lines, _lines("{key}={value}", ("[Time]",)))
APT = Syntax(parse_apt, _lines('{key} "{value}";', (), "//"))
CHRONY = Syntax(lambda text: {}, _lines("server {key} {value}", ()))


def unsettled(settings: Sequence[Setting], others: Mapping[str, Mapping[str, str]]) -> tuple[list[Setting], list[str]]:
    """What goes into our file, and remarks about what somebody else has settled in another way. others: what other files set, by path."""
    ours, remarks = [], []
    for setting in settings:
        found = {path: values[setting.key] for path, values in others.items() if setting.key in values}
        against = {path: value for path, value in found.items() if not setting.is_met_by(value)}
        # A larger value of somebody else must not be made smaller by ours.
        larger = [path for path, value in found.items() if path not in against and value != setting.value]
        if against:
            path, value = next(iter(against.items()))
            remarks.append(f"{setting.key} is {value} in {path}, which is left alone; the stack would have {setting.value}")
        elif not larger:
            ours.append(setting)
    return ours, remarks
