"""The Celery application: `celery -A app.tasks worker` and `celery -A app.tasks beat`."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Celery, Task, signals
from celery.beat import BeatLazyFunc
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app import beat, healthcheck, logs
from app.database import engine
from app.models import Tick
from app.settings import settings

_log = logging.getLogger(__name__)

celery = Celery("app")
celery.conf.update(
    broker_url=settings().broker_url,
    broker_connection_retry_on_startup=True,
    broker_connection_timeout=3,
    broker_transport_options={"confirm_publish": True},  # a 202 means that the broker has the job
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.2},
    result_backend=f"db+{settings().database_url}",
    result_expires=7 * 24 * 3600,
    database_create_tables_at_setup=False,  # a migration makes them
    task_always_eager=settings().tasks_always_eager,
    task_store_eager_result=True,
    task_track_started=True,
    task_acks_late=True,  # a job of a worker that was killed is done by another one
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_concurrency=2,
    beat_scheduler="app.beat:Scheduler",
    beat_max_loop_interval=5,
    beat_schedule={
        "tick": {
            "task": "app.tick",
            "schedule": beat.Every(settings().tick_seconds),
            "args": (BeatLazyFunc(beat.announce, settings().tick_seconds),),
        }
    },
)


@celery.task(name="app.sum_of_squares", bind=True)
def sum_of_squares(self: Task, n: int, seconds: float = 0) -> int:
    time.sleep(seconds)
    total = sum(number * number for number in range(1, n + 1))
    _log.info("job done", extra={"fields": {"job": self.request.id, "n": n}})
    return total


@celery.task(name="app.tick", ignore_result=True)
def tick(tick_id: int) -> None:
    """Done twice it changes nothing: a message may be delivered again."""
    with Session(engine()) as session:
        session.execute(update(Tick).where(Tick.id == tick_id, Tick.ran_at.is_(None)).values(ran_at=func.now()))
        session.commit()
    _log.info("tick", extra={"fields": {"tick": tick_id}})


@signals.setup_logging.connect
def _configure_logging(**_: Any) -> None:
    logs.configure()


@signals.task_prerun.connect
def _adopt_request_id(task: Task, **_: Any) -> None:
    if not task.request.is_eager:
        logs.request_id.set(task.request.get("request_id") or "")


@signals.worker_process_init.connect
def _forget_inherited_connections(**_: Any) -> None:
    engine().dispose(close=False)


@signals.heartbeat_sent.connect
def _say_alive(**_: Any) -> None:
    """Sent every two seconds while the worker is connected to the broker."""
    healthcheck.say_alive("worker")
