# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn after turn, with a server of the test's own in place of the switch and what is behind it."""

from __future__ import annotations

import journey_support
import journey_switches  # conftest.py says where it is
import pytest

from ansible_collections.longshore.stack.plugins.module_utils._switch import Upstream


class OneServer:
    """Both the servers of two releases and the proxy before them; a `stuck` one goes on leading to where it has led first."""

    def __init__(self, server, stuck: bool = False):
        self.server, self.stuck, self.port, self.live, self.restarted = server, stuck, server.port, "", []

    def upstreams(self, release: str) -> list[Upstream]:
        return [Upstream(release, "127.0.0.1", self.port)]

    def turn(self, upstreams: list[Upstream]) -> float:
        if not (self.stuck and self.live):
            self.live = upstreams[0].name
            self.server.answers["GET /version"] = {"release": self.live}
        return 0.25

    def restart(self, release: str) -> None:
        assert release != self.live
        self.restarted.append(release)


def test_each_turn_is_over_when_the_other_release_has_answered(server):
    both = OneServer(server)
    took, result = journey_switches.turned(both, both, 3, least=0.05)
    assert took == [0.25] * 3 and both.restarted == ["one", "two", "one"]
    assert result.failures == [] and set(result.releases) == {"one", "two"}


def test_a_turn_that_leads_nowhere_else_is_not_one(server, monkeypatch):
    monkeypatch.setattr(journey_switches, "until", lambda seen, _seconds, pause, what: journey_support.until(seen, 1, pause, what))
    both = OneServer(server, stuck=True)
    with pytest.raises(AssertionError, match="answers of release two after turn 1"):
        journey_switches.turned(both, both, 3, least=0.05)
    assert both.restarted == []
