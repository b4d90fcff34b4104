from __future__ import annotations

import pytest
import redis

from app.cache import ItemCache


class Memory:
    """The four commands that the cache uses, the script by its meaning."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value, ex):
        self.values[key] = value

    def delete(self, key):
        self.values.pop(key, None)

    def eval(self, _script, _keys, key, token, value, _ttl):
        if self.values.get(key) == token:
            self.values[key] = value


class Broken:
    def __getattr__(self, _):
        def command(*_args, **_kwargs):
            raise redis.ConnectionError("refused")

        return command


@pytest.fixture
def cache():
    return ItemCache(Memory(), "items:", 30)


def unexpected():
    raise AssertionError("the database was asked")


def test_the_second_read_comes_from_the_cache(cache):
    assert cache.read(1, lambda: "{1}") == ("{1}", False)
    assert cache.read(1, unexpected) == ("{1}", True)


def test_items_do_not_share_an_entry(cache):
    cache.read(1, lambda: "{1}")
    assert cache.read(2, lambda: "{2}") == ("{2}", False)


def test_what_does_not_exist_is_not_remembered(cache):
    assert cache.read(1, lambda: None) == (None, False)
    assert cache.read(1, lambda: "{1}") == ("{1}", False)


def test_after_a_change_the_database_is_asked(cache):
    cache.read(1, lambda: "{old}")
    cache.forget(1)
    assert cache.read(1, lambda: "{new}") == ("{new}", False)


def test_a_reader_that_a_writer_overtook_does_not_store_the_old_item(cache):
    def read_old_while_it_changes():
        cache.forget(1)
        return "{old}"

    cache.read(1, read_old_while_it_changes)
    assert cache.read(1, lambda: "{new}") == ("{new}", False)


def test_of_two_readers_the_later_one_stores(cache):
    def read_while_another_reads():
        cache.read(1, lambda: "{later}")
        return "{earlier}"

    cache.read(1, read_while_another_reads)
    assert cache.read(1, unexpected) == ("{later}", True)


def test_without_a_cache_the_database_answers():
    cache = ItemCache(Broken(), "items:", 30)
    assert cache.read(1, lambda: "{1}") == ("{1}", False)
    cache.forget(1)
