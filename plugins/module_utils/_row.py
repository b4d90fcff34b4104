# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several stages of a release in one remote call, which costs more time than most of them: where one host has to wait for no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine
from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError
from ansible_collections.longshore.stack.plugins.module_utils._stages import Call

# What the history calls the time that a stage took.
TOOK = {"watched": "watch", "live": "live", "retired": "retire"}


class Row:
    """The stages `state` and `then` of the module's parameters, each as a call of its own would do it. `call` is the one that is under way."""

    def __init__(self, params: Mapping[str, Any], check: bool, engine: Engine, clock: Callable[[], float], sleep: Callable[[float], None]):
        self.params, self.given = params, (check, engine, clock, sleep)
        resume = dict(params["resume"])
        # Results of the stages that earlier slices have come to the end of, by state.
        self.done: dict[str, dict[str, Any]] = resume.pop("row", {})
        self.left = [state for state in (params["state"], *params["then"]) if state not in self.done]
        self.call = self._next(resume)

    def _next(self, resume: Mapping[str, Any]) -> Call:
        run = self.params["run"]
        if run and "prepared" in self.done:
            # A rollback has asked before, when it found out to what it goes back.
            run = {"live": self.done["prepared"]["live"], **run}
        return Call({**self.params, "state": self.left.pop(0), "resume": resume, "record": self._record(), "run": run}, *self.given)

    def _record(self) -> dict[str, Any]:
        """What the history is to say of the run, with what this row has seen of it."""
        retired = self.done.get("retired", {})
        seconds = {name: self.done[state]["seconds"] for state, name in TOOK.items() if state in self.done}
        record = {**self.params["record"], **{name: retired[name] for name in ("ended", "cut") if name in retired}}
        return {**record, "seconds": {**record.get("seconds", {}), **seconds}} if seconds else record

    @property
    def changed(self) -> bool:
        return self.call.changed or any(result["changed"] for result in self.done.values())

    def run(self) -> dict[str, Any]:
        """The result of the first stage, and those of the others under `then`. A row ends early where nothing is left to do, or where the lease is
        refused: the call for that state is the one to say so."""
        while True:
            try:
                result = self.call.run()
            except LeaseError:
                if not self.done:
                    raise
                break
            if result.get("pending"):
                return {**result, "resume": {**result["resume"], "row": self.done}}
            self.done[self.call.state] = result
            if not self.left or result.get("settled"):
                break
            self.call = self._next({})
        first = self.done.pop(self.params["state"])
        return {**first, "then": self.done}
