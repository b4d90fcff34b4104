"""A beat that sends a task once per period of the clock.

Celery's own intervals count from the last run, so they drift, and its schedule file is lost with the container.
Here the periods are multiples of the interval since the epoch, and the last one sent is read from the database at
start: a beat that was replaced goes on where the old one stopped, without a second tick in one period.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import Scheduler as CeleryScheduler
from celery.schedules import BaseSchedule, schedstate
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import healthcheck
from app.database import engine
from app.models import Tick


def period_of(moment: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


class Every(BaseSchedule):
    """Due once in each period of so many seconds."""

    def __init__(self, seconds: int, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = seconds

    def is_due(self, last_run_at: datetime) -> schedstate:
        now = self.now()
        period = period_of(now, self.seconds)
        until_next = (period + timedelta(seconds=self.seconds) - now).total_seconds()
        return schedstate(period > period_of(last_run_at, self.seconds), until_next)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Every) and other.seconds == self.seconds

    def __hash__(self) -> int:
        return hash(self.seconds)


def announce(seconds: int) -> int:
    """Writes down that this period's tick is sent, and gives the id that the task gets."""
    with Session(engine()) as session:
        tick = Tick(period=period_of(datetime.now(UTC), seconds))
        session.add(tick)
        session.commit()
        return tick.id


class Scheduler(CeleryScheduler):
    def setup_schedule(self) -> None:
        super().setup_schedule()
        with Session(engine()) as session:
            last = session.scalar(select(func.max(Tick.period)))
        if last:
            self.schedule["tick"].last_run_at = last

    def tick(self, *args: Any, **kwargs: Any) -> float:
        # Connect before asking what is due: waiting for the broker in between would tick for a period that is over.
        _ = self.producer
        healthcheck.say_alive("beat")
        return super().tick(*args, **kwargs)
