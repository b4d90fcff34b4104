"""Read-through cache of items that never outlives a change.

A reader that missed puts a token under the key, reads the database, and stores what it read only if its token is still
there. A writer deletes the key after its commit. So a reader that was overtaken by a writer cannot store the old row.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
from prometheus_client import Counter

from app.settings import settings

_TOKEN = "token:"  # noqa: S105 (a marker: no JSON document starts like this)
_STORE_IF_MINE = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
"""
_lookups = Counter("app_cache_lookups", "Reads through the cache", ["result"])
_log = logging.getLogger(__name__)


class ItemCache:
    def __init__(self, client: Any, prefix: str, ttl: int) -> None:
        self._client = client
        self._prefix = prefix
        self._ttl = ttl

    def read(self, item_id: int, load: Callable[[], str | None]) -> tuple[str | None, bool]:
        """The document and whether the cache had it. Without the cache the database answers alone."""
        key = f"{self._prefix}{item_id}"
        try:
            cached = self._client.get(key)
            if cached and not cached.startswith(_TOKEN):
                _lookups.labels("hit").inc()
                return cached, True
            _lookups.labels("miss").inc()
            token = f"{_TOKEN}{uuid.uuid4().hex}"
            self._client.set(key, token, ex=self._ttl)
        except redis.RedisError as error:
            _log.warning("cache not used: %s", error)
            return load(), False
        document = load()
        if document is not None:
            self._try(lambda: self._client.eval(_STORE_IF_MINE, 1, key, token, document, self._ttl))
        return document, False

    def forget(self, item_id: int) -> None:
        """To be called after the commit. When the cache is down, an old answer lives for the TTL at most."""
        self._try(lambda: self._client.delete(f"{self._prefix}{item_id}"))

    def _try(self, command: Callable[[], Any]) -> None:
        try:
            command()
        except redis.RedisError as error:
            _log.warning("cache not updated: %s", error)


def _client(timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        settings().redis_url,
        decode_responses=True,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
    )


@lru_cache
def item_cache() -> ItemCache:
    return ItemCache(_client(0.5), settings().cache_prefix, settings().cache_ttl_seconds)


def check(timeout: int) -> None:
    with _client(timeout) as client:
        client.ping()
