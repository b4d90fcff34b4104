"""Alembic's entry: the URL comes from the application's environment, session settings from PGOPTIONS."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import NullPool, create_engine

from app.models import Base
from app.settings import ConfigurationError, load_database_url


def _is_ours(name: str | None, kind: str, _: Any) -> bool:
    # Celery's result tables are made by a revision but described by Celery's own models.
    return not (kind == "table" and (name or "").startswith("celery_"))


def _database_url() -> str:
    try:
        return load_database_url(os.environ)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None


# On stderr and in words, as Alembic does itself: stdout belongs to what `alembic current` and others answer.
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
# As the first process of a container it would ignore SIGTERM; so it ends, and cancels its statement in the database.
signal.signal(signal.SIGTERM, signal.default_int_handler)

if context.is_offline_mode():
    context.configure(url=_database_url(), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(_database_url(), poolclass=NullPool).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=_is_ours,
            transaction_per_migration=True,  # what is done stays done when a later revision fails
        )
        with context.begin_transaction():
            context.run_migrations()
