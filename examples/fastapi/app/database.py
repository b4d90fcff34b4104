from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated

import psycopg
from fastapi import Depends
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app.settings import settings


@lru_cache
def engine() -> Engine:
    return create_engine(
        settings().database_url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=10,
        pool_pre_ping=True,  # a connection that died with a restart of the database is replaced, not used
        connect_args={"connect_timeout": 10},  # a busy database lets a request wait, and not fail
    )


def session() -> Iterator[Session]:
    with Session(engine()) as opened:
        yield opened


DatabaseSession = Annotated[Session, Depends(session)]


def check(timeout: int) -> None:
    """A new connection: the answer must not depend on what the pool still holds."""
    url = make_url(settings().database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), connect_timeout=timeout) as connection:
        connection.execute("select 1")
