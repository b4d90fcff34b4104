# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may change the releases of an application: one run at a time, and only for as long as it shows that it lives.

The lease is a file on one host of the fleet. It carries a number that only grows; every host remembers the highest that it has seen
and refuses a lower one, so a run that was thought dead and comes back cannot act any more, on no host.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._files import Folder, replace

LEASE = "lease.json"
FENCE = "fence.json"


class LeaseError(Exception):
    """Somebody else has the lease; the text is fit for a user, `holder` says who."""

    def __init__(self, message: str, holder: Holder | None = None):
        super().__init__(message)
        self.holder = holder


@dataclass(frozen=True)
class Holder:
    """The run that has the lease. Times are in seconds since the epoch."""

    run: str
    number: int
    owner: str
    stage: str
    taken: float
    expires: float
    process: str = ""  # of the controller; it alone can tell whether that lives
    release: str = ""
    kind: str = ""

    def sentence(self, app: str, now: float) -> str:
        since = datetime.fromtimestamp(self.taken, UTC).isoformat(timespec="seconds")
        left = max(0, round(self.expires - now))
        return (
            f"{app} is being released by {self.owner} (run {self.run}, stage {self.stage}, since {since}). If that run is dead, its lease ends in {left} s; "
            "to end it at once: ansible-playbook -i <inventory> longshore.stack.unlock"
        )


class Leases:
    """The lease and the fence of one application on one host. path is the application's directory."""

    def __init__(self, app: str, path: str, clock: Callable[[], float]):
        self.app, self.path, self.clock = app, path, clock

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """One call of the module at a time, however many runs there are."""
        return Folder(self.path).locked()

    def holder(self) -> Holder | None:
        """The run that has the lease now; none where it was given back or has run out."""
        known = self.unreturned()
        return known if known and known.expires > self.clock() else None

    def take(self, run: str, owner: str, stage: str, seconds: float, process: str = "", dead: str = "", **work: str) -> Holder:
        """The lease for this run, anew or for longer. dead: a run that is known to be dead, whose lease need not be waited for. work: what it is about."""
        self.refuse_another(run, dead)
        now, other = self.clock(), self.holder()
        mine = other if other and other.run == run else None
        # From the clock, so that it grows even where the file was lost, or where another host kept the lease before.
        seen = max(int(self._read(name).get("number", 0)) for name in (LEASE, FENCE))
        number = mine.number if mine else max(seen + 1, int(now * 1000))
        holder = Holder(run, number, owner, stage, mine.taken if mine else now, now + seconds, process, **work)
        self._write(LEASE, asdict(holder))
        return holder

    def refuse_another(self, run: str, dead: str = "") -> None:
        """Fails where a run has the lease that is neither this one nor known to be dead."""
        other = self.holder()
        if other and other.run not in (run, dead):
            raise LeaseError(other.sentence(self.app, self.clock()), other)

    def guard(self, run: str, number: int, stage: str, renew: float = 0) -> None:
        """Refuse a call of a run whose lease has moved on. renew: seconds from now on, given on the host that keeps the lease."""
        seen = self.refuse_later(run, number)
        if renew:
            known = self.unreturned()
            if not known or (known.run, known.number) != (run, number):
                now, other = self.clock(), self.holder()
                raise LeaseError(other.sentence(self.app, now) if other else f"this run ({run}) has no lease of {self.app} any more; it was ended by unlock")
            self._write(LEASE, asdict(changed(known, stage=stage, expires=max(known.expires, self.clock() + renew))))
        if number > seen:
            self._write(FENCE, {"number": number, "run": run})

    def refuse_later(self, run: str, number: int) -> int:
        """Refuse a call of a run after which a later one has been here; writes nothing. The number of the last one that was here."""
        seen = int(self._read(FENCE).get("number", 0))
        if number < seen:
            raise LeaseError(f"this run ({run}) has lost its lease of {self.app}: a later run has begun. It changes nothing more")
        return seen

    def end(self, run: str = "") -> Holder | None:
        """Give the lease back; without a run, take it from whoever has it. Who had it."""
        known = self.unreturned()
        if not known or (run and known.run != run):
            return None
        try:
            self._write(LEASE, {"number": known.number})
        except OSError:
            # This needs no room on the disk. The next number is larger all the same, by the clock.
            os.unlink(os.path.join(self.path, LEASE))
        return known

    def unreturned(self) -> Holder | None:
        """The run that had the lease last and did not give it back, whether it has run out or not."""
        try:
            return Holder(**self._read(LEASE))
        except TypeError:
            return None

    def _read(self, name: str) -> dict[str, Any]:
        try:
            with open(os.path.join(self.path, name), encoding="utf-8") as file:
                facts = json.load(file)
                return facts if isinstance(facts, dict) else {}
        except (FileNotFoundError, ValueError):
            # Half a file cannot be: it is replaced as a whole. What is no JSON was made by hand, and names nobody.
            return {}

    def _write(self, name: str, facts: Mapping[str, Any]) -> None:
        replace(os.path.join(self.path, name), json.dumps(dict(facts)).encode() + b"\n", 0o644, os.geteuid(), os.getegid())


def guard(lease: Mapping[str, Any], stage: str, clock: Callable[[], float]) -> None:
    """For work in slices: each shows that its run lives, and ends where another run has begun. Without a lease whoever comes may act."""
    if lease:
        leases = Leases(lease["app"], lease["path"], clock)
        with leases.locked():
            leases.guard(lease["run"], int(lease["number"]), stage, float(lease["seconds"]) if lease.get("here", True) else 0)
