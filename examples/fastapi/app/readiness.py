"""Asks every dependency at the same time and names the ones that do not answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import kombu

from app import cache, database, storage
from app.settings import settings

TIMEOUT = 2  # seconds, of each check
_log = logging.getLogger(__name__)


def _check_broker(timeout: int) -> None:
    with kombu.Connection(
        settings().broker_url,
        connect_timeout=timeout,
        transport_options={"read_timeout": timeout, "write_timeout": timeout},
    ) as connection:
        connection.connect()


CHECKS: Mapping[str, Callable[[int], None]] = {
    "broker": _check_broker,
    "cache": cache.check,
    "database": database.check,
    "storage": storage.check,
}


class Readiness:
    """Checks in threads of their own: one that hangs takes no thread from the requests."""

    def __init__(self, checks: Mapping[str, Callable[[int], None]], timeout: int = TIMEOUT) -> None:
        self._checks = checks
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(max_workers=4 * len(checks), thread_name_prefix="ready")

    async def __call__(self) -> dict[str, dict[str, object]]:
        answers = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, answers, strict=True))

    async def _ask(self, name: str, check: Callable[[int], None]) -> dict[str, object]:
        start = time.monotonic()
        call = asyncio.get_running_loop().run_in_executor(self._pool, check, self._timeout)
        try:
            await asyncio.wait_for(call, self._timeout + 0.5)
        except Exception as error:
            # The text may hold addresses and names of users: it goes to the log, not to whoever asks.
            _log.error("%s is not ready: %s", name, error)
            return {"ok": False, "error": type(error).__name__}
        return {"ok": True, "milliseconds": round((time.monotonic() - start) * 1000, 1)}
