# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers get a web process's requests: HAProxy told over its runtime socket, so that nothing is reloaded.

Every backend has two groups of places, a and b. The release that serves has one of them; the next one is put into the other, made ready,
and then the first is drained. A place names its container (the engine's name server knows the short id), so a container that comes back with
another address is found again. What is live is also kept in HAProxy's state file, so a restart of the switch changes nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder, replace

GROUPS = ("a", "b")
# Places of a backend and group that have no container; the name is the switch's own, which the name server always knows.
NOBODY = "switch"
# Bits of srv_admin_state that say where a setting comes from, not that the place is out of service: `disabled` in the file, name set at run time.
_NO_STATE = 0x04 | 0x40
_DRAIN = 0x08
# Bits that the runtime socket sets: maintenance and drain. Others come and go with the name of the container.
_TOLD = 0x01 | _DRAIN
# Seconds until a place must be up after it was told so, and between two looks.
PATIENCE = 10.0
PAUSE = 0.02
# In one line, which HAProxy takes up to its buffer of 16 KiB.
MOST_COMMANDS = 60

Ask = Callable[[Sequence[str]], str]


class SwitchError(Exception):
    """The switch did not do what it was told; the text is fit for a user."""


@dataclass(frozen=True)
class Upstream:
    """A container that takes requests."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class Place:
    """A line of `show servers state`."""

    backend: str
    slot: str
    address: str
    up: bool
    admin: int
    name: str
    port: int = 0

    @property
    def group(self) -> str:
        return self.slot[:1]

    @property
    def used(self) -> bool:
        return self.name != NOBODY

    @property
    def ready(self) -> bool:
        return self.up and not self.admin & ~_NO_STATE

    @property
    def open(self) -> bool:
        """Whether it takes requests as soon as its container is well."""
        return self.used and not self.admin & _TOLD

    @property
    def draining(self) -> bool:
        return bool(self.admin & _DRAIN)


def over_socket(path: str, timeout: float = 5.0) -> Ask:
    """Ask by the switch's UNIX socket; all commands of one call go in one line."""

    def ask(commands: Sequence[str]) -> str:
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(timeout)
                line.connect(path)
                line.sendall(("; ".join(commands) + "\n").encode())
                while part := line.recv(65536):
                    answer += part
        except OSError as error:
            raise SwitchError(f"the switch does not answer at {path} ({error}); look at it with: docker logs of the service switch") from error
        return answer.decode(errors="replace")

    return ask


def parse_places(text: str) -> list[Place]:
    """What `show servers state` says; its second line names the columns."""
    rows = [line for line in text.splitlines() if line.strip()]
    header = next((line for line in rows if line.startswith("#")), "")
    names = header.lstrip("# ").split()
    places = []
    for row in rows[rows.index(header) + 1 :] if header else []:
        facts = dict(zip(names, row.split(), strict=False))
        address = facts["srv_addr"] if facts["srv_addr"] != "-" else ""
        state = int(facts["srv_admin_state"])
        places.append(Place(facts["be_name"], facts["srv_name"], address, facts["srv_op_state"] == "2", state, facts["srv_fqdn"], int(facts["srv_port"])))
    return places


def parse_counters(text: str) -> dict[tuple[str, str], dict[str, int]]:
    """What `show stat` counts, by backend and place: `current` requests in flight, `total` and `failed` (5xx and broken connections) so far."""
    rows = [line for line in text.splitlines() if line.strip()]
    names = rows[0].lstrip("# ").split(",") if rows else []
    found = {}
    for row in rows[1:]:
        facts = dict(zip(names, row.split(","), strict=False))
        number = {key: int(facts.get(key) or 0) for key in ("scur", "stot", "hrsp_5xx", "econ", "eresp")}
        failed = number["hrsp_5xx"] + number["econ"] + number["eresp"]
        found[facts["pxname"], facts["svname"]] = {"current": number["scur"], "total": number["stot"], "failed": failed}
    return found


class Switch:
    """The switch of one host. state_path is the file that HAProxy reads when it starts."""

    def __init__(self, ask: Ask, state_path: str, clock: Callable[[], float], sleep: Callable[[float], None]):
        self.ask, self.state_path, self.clock, self.sleep = ask, state_path, clock, sleep

    def places(self, backends: Iterable[str], new: bool = False) -> dict[str, list[Place]]:
        """By backend, its places. new: the switch need not know all of them."""
        found: dict[str, list[Place]] = {backend: [] for backend in backends}
        for place in parse_places(self.ask(["show servers state"])):
            if place.backend in found:
                found[place.backend].append(place)
        missing = sorted(backend for backend, places in found.items() if not places)
        if missing and not new:
            raise SwitchError(f"the switch does not know {', '.join(missing)}; site.yml gives it the processes of the inventory")
        return found

    def serves(self, wanted: Mapping[str, Sequence[Upstream]]) -> bool:
        """Whether these containers, and no others, take the requests."""
        places = self.places(wanted, new=True)
        return all({place.name for place in places[backend] if place.ready} == {one.name for one in ups} for backend, ups in wanted.items())

    def leads(self, wanted: Mapping[str, Sequence[Upstream]]) -> bool:
        """Whether the requests are led to these containers and to no others, well or not."""
        places = self.places(wanted, new=True)
        return all({place.name for place in places[backend] if place.open} == {one.name for one in ups} for backend, ups in wanted.items())

    def not_led_to(self, backends: Iterable[str], names: Collection[str]) -> list[str]:
        """The backends that lead no request to any of these containers, whoever else gets some."""
        places = self.places(backends, new=True)
        return sorted(backend for backend, group in places.items() if not any(place.open and place.name in names for place in group))

    def down(self, backends: Iterable[str], names: Collection[str]) -> list[str]:
        """The backends that lead requests to some of these containers of which none answers on the health path: their visitors get a 503."""
        led = {backend: [place for place in group if place.open and place.name in names] for backend, group in self.places(backends, new=True).items()}
        return sorted(backend for backend, places in led.items() if places and not any(place.ready for place in places))

    def turn(self, wanted: Mapping[str, Sequence[Upstream]], beside: Collection[str] = ()) -> float:
        """The new containers ready, then the others drained. Seconds from the first command to the last.

        beside: backends whose other containers go on serving; what is wanted of them gets its share of the requests and no more.
        """
        began = self.clock()
        chosen = {backend: _group_for(places, wanted[backend]) for backend, places in self.places(wanted).items()}
        self._make_ready(wanted, chosen)
        commands = []
        for backend, places in self.places(set(wanted) - set(beside)).items():
            names = {one.name for one in wanted[backend]}
            others = [place for place in places if place.used and not place.draining and (place.group != chosen[backend] or place.name not in names)]
            commands += [f"set server {backend}/{place.slot} state drain" for place in others]
        self._tell(commands)
        return self.clock() - began

    def _tell(self, commands: Sequence[str]) -> None:
        for start in range(0, len(commands), MOST_COMMANDS):
            self.ask(commands[start : start + MOST_COMMANDS])

    def _make_ready(self, wanted: Mapping[str, Sequence[Upstream]], chosen: Mapping[str, str]) -> None:
        commands, opened, places = [], [], self.places(wanted)
        for backend, upstreams in wanted.items():
            slots = [place for place in places[backend] if place.group == chosen[backend]]
            if len(upstreams) > len(slots):
                raise SwitchError(f"{backend} has {len(upstreams)} containers and the switch {len(slots)} places for them; site.yml gives it more")
            by_name = {place.name: place for place in slots}
            # Of those that are left, first the ones that nobody has: another's requests may still be in flight.
            free = iter(sorted((place for place in slots if place.name not in {one.name for one in upstreams}), key=lambda place: place.used))
            for one in upstreams:
                # A place keeps its name when the release comes back, so its address is current already.
                place = by_name.get(one.name) or next(free)
                where = f"{backend}/{place.slot}"
                if place.name != one.name or not place.open:
                    opened.append(where)
                if place.name != one.name:
                    commands += [f"set server {where} state maint", f"set server {where} fqdn {one.name}"]
                commands.append(f"set server {where} state ready")
        self._tell(commands)
        deadline = self.clock() + PATIENCE
        while missing := self._not_up(wanted):
            self._tell(self._other_ports(wanted))
            if self.clock() > deadline:
                # Some of them may be up: what serves goes on alone.
                self._tell([f"set server {where} state drain" for where in opened])
                raise SwitchError(f"the switch does not reach {', '.join(missing)}: no answer on the health path, or no such name")
            self.sleep(PAUSE)

    def _other_ports(self, wanted: Mapping[str, Sequence[Upstream]]) -> list[str]:
        """A place has the port of its last release, also after a restart; it can be told another one as soon as its address is known."""
        ports = {one.name: one.port for upstreams in wanted.values() for one in upstreams}
        places = [place for group in self.places(wanted).values() for place in group if place.address and place.port != ports.get(place.name, place.port)]
        return [f"set server {place.backend}/{place.slot} addr {place.address} port {ports[place.name]}" for place in places]

    def _not_up(self, wanted: Mapping[str, Sequence[Upstream]]) -> list[str]:
        places = self.places(wanted)
        missing = []
        for backend, upstreams in wanted.items():
            up = {(place.name, place.address, place.port) for place in places[backend] if place.ready}
            missing += [f"{one.name} ({backend}, {one.address}:{one.port})" for one in upstreams if (one.name, one.address, one.port) not in up]
        return missing

    def in_flight(self, backends: Iterable[str]) -> int:
        """Requests that drained containers still work on."""
        return self.open_at(backends)[0]

    def open_at(self, backends: Iterable[str], names: Sequence[str] | None = None) -> tuple[int, int]:
        """Requests that drained containers, or those of these names, still work on, and how many failed there so far."""
        places = self.places(backends, new=True)
        counters = parse_counters(self.ask(["show stat"]))
        drained = [place for group in places.values() for place in group if place.draining and (names is None or place.name in names)]
        found = [counters.get((place.backend, place.slot), {}) for place in drained]
        return sum(one.get("current", 0) for one in found), sum(one.get("failed", 0) for one in found)

    def health(self, backends: Iterable[str], names: Collection[str]) -> tuple[int, int]:
        """Requests and failures so far of these containers."""
        counters = parse_counters(self.ask(["show stat"]))
        serving = [counters.get((place.backend, place.slot), {}) for group in self.places(backends).values() for place in group if place.name in names]
        return sum(one.get("total", 0) for one in serving), sum(one.get("failed", 0) for one in serving)

    def rest(self, backends: Iterable[str]) -> int:
        """Take what is drained out of service, so that its containers may go. Requests that were cut off by that."""
        cut = self.in_flight(backends)
        commands = []
        for places in self.places(backends, new=True).values():
            for place in places:
                if place.draining and place.used:
                    where = f"{place.backend}/{place.slot}"
                    commands += [f"shutdown sessions server {where}"] if cut else []
                    commands += [f"set server {where} state maint", f"set server {where} fqdn {NOBODY}"]
        self._tell(commands)
        return cut

    def keep(self, backends: Iterable[str]) -> None:
        """What is so now for these backends, also after a restart. Others stay as they were kept: their next release may be under way."""
        mine = set(backends)
        # Two applications may be released at the same time, and both have their lines in this file.
        with Folder(os.path.dirname(self.state_path)).locked():
            text = self.ask(["show servers state"])
            if not parse_places(text):
                raise SwitchError(f"the switch did not say what it serves: {text[:200]!r}")
            others = {key: line for line in self._kept() if (key := _key(line)) and key[0] not in mine}
            lines = [others.get(_key(line), line) for line in text.strip().splitlines()]
            replace(self.state_path, "\n".join(lines).encode() + b"\n", 0o644, 0, 0)

    def _kept(self) -> list[str]:
        try:
            with open(self.state_path, encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


def _key(line: str) -> tuple[str, ...]:
    """Backend and place of a line of `show servers state`; nothing for the lines before them."""
    words = line.split()
    return () if len(words) < 5 or words[0] == "#" else (words[1], words[3])


def _group_for(places: Sequence[Place], upstreams: Sequence[Upstream]) -> str:
    """The group that has one of these containers already, else the one that serves nobody."""
    names = {one.name for one in upstreams}
    for group in GROUPS:
        if names & {place.name for place in places if place.group == group and place.used}:
            return group
    busy = {place.group for place in places if place.used and place.ready}
    draining = {place.group for place in places if place.used}
    for taken in (draining, busy):
        free = [group for group in GROUPS if group not in taken]
        if free:
            return free[0]
    return GROUPS[0]


def switch_of(params: Mapping[str, Any], clock: Callable[[], float], sleep: Callable[[float], None]) -> Switch:
    """The switch whose files lie in the folder `path`."""
    folder = params["path"]
    return Switch(over_socket(os.path.join(folder, "run", "admin.sock")), os.path.join(folder, "state", "servers"), clock, sleep)
