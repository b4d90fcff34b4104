# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a visitor and an operator see of a stack that works."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from journey_support import PATIENCE, Box, Stack, until

PROCESSES = ("web", "worker", "beat")


def item_is_stored_and_cached(stack: Stack) -> None:
    web, name = stack.web(), f"rope {secrets.token_hex(4)}"
    number = web.add(name)
    assert stack.host.sql(f"SELECT name FROM items WHERE id = {number}") == name
    looks = [web.get(f"/items/{number}") for _look in range(2)]
    assert [look.json for look in looks] == [{"id": number, "name": name}] * 2
    assert [look.headers["x-cache"] for look in looks] == ["miss", "hit"]
    # What the second look saw does not come from the database.
    stack.host.sql(f"UPDATE items SET name = 'behind the cache' WHERE id = {number}")
    assert web.get(f"/items/{number}").json["name"] == name


def job_is_done_by_the_worker(stack: Stack) -> None:
    number, result = stack.web().job(1000)
    assert result == sum(n * n for n in range(1001))
    assert stack.host.sql(f"SELECT status FROM celery_taskmeta WHERE task_id = '{number}'") == "SUCCESS"
    assert number in stack.host.sh(f"docker logs {stack.host.box('worker').id} 2>&1")


def file_comes_back_equal(stack: Stack) -> None:
    web, content = stack.web(), secrets.token_bytes(5 * 1024 * 1024)
    assert web.get("/files/journey.bin").status in (404, 200)
    assert web.ask("PUT", "/files/journey.bin", content).status == 201
    back = web.get("/files/journey.bin")
    assert back.status == 200 and back.body == content


def beat_ticks_once_per_period(stack: Stack, periods: int = 4) -> None:
    web, period = stack.web(), stack.app["env"]["TICK_SECONDS"]
    begin = until(lambda: (look := web.get("/ticks").json)["count"] and look, what="a first tick")
    end = until(lambda: (look := web.get("/ticks").json)["count"] >= begin["count"] + periods and look, what="more ticks")
    first, last = (datetime.fromisoformat(look["last"]) for look in (begin, end))
    seen = {datetime.fromisoformat(row["period"]): (row["sent"], row["ran"]) for row in web.get("/ticks/periods?limit=200").json}
    between = sorted(moment for moment in seen if first < moment <= last)
    assert len(between) >= periods - 1, seen
    assert {seen[moment] for moment in between} == {(1, 1)}, seen
    assert {later - earlier for earlier, later in itertools.pairwise(between)} == {timedelta(seconds=period)}, between


def version_is(stack: Stack, version: str) -> None:
    told = stack.web().get("/version").json
    assert told["version"] == version and told["environment"] == "prod", told
    assert told["release"].startswith(f"{version}-"), told


def one_release_lives(stack: Stack) -> dict[str, Box]:
    """No container of another release is there, and the link for operators names the one that is."""

    def processes() -> list[Box]:
        return [box for box in stack.host.containers().values() if box.service in PROCESSES and box.name.startswith("prod-example-")]

    there = processes()
    assert sorted(box.service for box in there) == sorted(PROCESSES), there
    assert len({box.release for box in there}) == 1, there
    # A process that has just been started again needs a moment for its first health check.
    there = until(lambda: all(box.well for box in processes()) and processes(), what="healthy processes")
    link = stack.host.sh("readlink /opt/prod/apps/example/live")
    assert link == f"releases/{there[0].release}", link
    assert stack.web().get("/version").json["release"] == there[0].release
    return {box.service: box for box in there}


def everything(stack: Stack, version: str = "1.0.0") -> None:
    version_is(stack, version)
    one_release_lives(stack)
    item_is_stored_and_cached(stack)
    job_is_done_by_the_worker(stack)
    file_comes_back_equal(stack)
    beat_ticks_once_per_period(stack)


def recovers(stack: Stack, seconds: float = PATIENCE) -> None:
    """All containers are well and the application finds everything that it needs."""
    until(lambda: (found := stack.host.containers().values()) and all(box.well for box in found), seconds, what=f"{stack.host.name}: healthy containers")
    until(lambda: stack.web().ready(), seconds, what="the application to be ready")


@dataclass(frozen=True)
class Keepsake:
    """Data that a visitor left, to be found again."""

    item: int
    name: str
    content: bytes
    job: str
    result: int

    @classmethod
    def leave(cls, stack: Stack) -> Keepsake:
        web, name, content = stack.web(), f"anchor {secrets.token_hex(4)}", secrets.token_bytes(100_000)
        assert web.ask("PUT", "/files/keepsake.bin", content).status == 201
        job, result = web.job(7)
        return cls(web.add(name), name, content, job, result)

    def is_there(self, stack: Stack) -> None:
        web = stack.web()
        assert web.get(f"/items/{self.item}").json == {"id": self.item, "name": self.name}
        assert stack.host.sql(f"SELECT name FROM items WHERE id = {self.item}") == self.name
        assert web.get("/files/keepsake.bin").body == self.content
        assert web.get(f"/jobs/{self.job}").json == {"status": "SUCCESS", "result": self.result}
