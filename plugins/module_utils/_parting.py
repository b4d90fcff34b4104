# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How containers go with which visitors still have something open: a stream or a WebSocket ends well only where its application ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError

PAUSE = 0.1


@dataclass(frozen=True)
class Parting:
    """Requests that were open when the containers had to go: those that the application ended, and those that were cut off."""

    ended: int = 0
    cut: int = 0


class Leaving(Protocol):
    """A container that runs; signal and grace are those of its definition."""

    id: str
    stop_signal: str
    grace: float


def part(
    engine: Engine,
    leaving: Iterable[Leaving],
    patience: float,
    look: Callable[[], tuple[int, int]],
    rest: Callable[[], int],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Parting:
    """Tell them all to stop, and cut off what is still open after the patience. The switch has drained them, so nothing new comes.

    look: requests that are open there, and how many broke off so far. rest: cuts off what is left and says how many those were.
    """
    members, began = list(leaving), clock()
    before, broken = look()
    signals = {member.stop_signal: [one.id for one in members if one.stop_signal == member.stop_signal] for member in members}
    for signal, ids in signals.items():
        # One that has ended meanwhile is no error.
        engine.run(["kill", "--signal", signal, *ids])
    while (now := look())[0] and clock() - began < patience:
        sleep(PAUSE)
    # Counted before the rest is cut off, which would count a second time there.
    cut = now[1] - broken
    cut += rest()
    with contextlib.suppress(EngineError):
        # Who has not ended by then is killed by whoever removes it.
        engine.run(["wait", *(member.id for member in members)], timeout=max(0.1, began + max(member.grace for member in members) - clock()))
    return Parting(max(0, before - cut), cut)
