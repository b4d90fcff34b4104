"""The HTTP face over the real services."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from app.beat import Scheduler
from app.storage import PART_BYTES, storage
from app.tasks import celery
from tests.conftest import UNIQUE


def test_an_item_is_a_row_and_its_second_read_comes_from_the_cache(client, schema):
    made = client.post("/items", json={"name": " rope "})
    assert made.status_code == 201
    item = made.json()
    assert item == {"id": item["id"], "name": "rope"}
    assert schema.execute("SELECT name FROM items WHERE id = %s", item["id"]) == [("rope",)]
    reads = [client.get(f"/items/{item['id']}") for _ in range(2)]
    assert [read.headers["X-Cache"] for read in reads] == ["miss", "hit"]
    assert [read.json() for read in reads] == [item, item]


def test_a_changed_item_is_read_as_changed(client):
    path = f"/items/{client.post('/items', json={'name': 'old'}).json()['id']}"
    client.get(path)
    assert client.put(path, json={"name": "new"}).json()["name"] == "new"
    assert client.get(path).json()["name"] == "new"


def test_a_deleted_item_is_gone_from_the_cache_too(client):
    path = f"/items/{client.post('/items', json={'name': 'short-lived'}).json()['id']}"
    client.get(path)
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_a_job_is_done_and_its_result_is_in_the_database(client, schema):
    accepted = client.post("/jobs", json={"n": 10})
    assert accepted.status_code == 202
    job = accepted.json()["id"]
    assert client.get(f"/jobs/{job}").json() == {"status": "SUCCESS", "result": 385}
    assert schema.execute("SELECT status FROM celery_taskmeta WHERE task_id = %s", job) == [("SUCCESS",)]


def test_a_job_that_nobody_asked_for_is_not_found(client):
    assert client.get("/jobs/00000000-0000-4000-8000-000000000000").status_code == 404


@pytest.mark.parametrize("size", [0, 1000, PART_BYTES, PART_BYTES + 1])
def test_a_file_comes_back_equal(client, size):
    name = f"{UNIQUE}-{size}.bin"
    data = os.urandom(size)
    try:
        assert client.put(f"/files/{name}", content=data).json() == {"name": name, "size": size}
        answer = client.get(f"/files/{name}")
        assert answer.content == data
        assert answer.headers["Content-Length"] == str(size)
    finally:
        storage().delete(name)


def test_a_file_that_turns_out_too_large_is_refused_and_not_kept(client):
    name = f"{UNIQUE}-huge.bin"
    chunks = (bytes(1024 * 1024) for _ in range(21))
    assert client.put(f"/files/{name}", content=chunks).status_code == 413
    assert client.get(f"/files/{name}").status_code == 404


def test_a_tick_runs_once_in_a_period_without_a_worker(client, monkeypatch):
    now = datetime.now(UTC).replace(microsecond=0)
    celery.conf.beat_schedule["tick"]["schedule"].nowfun = lambda: now
    scheduler = Scheduler(app=celery)
    scheduler.schedule["tick"].last_run_at = datetime.fromtimestamp(0, UTC)
    before = client.get("/ticks").json()["count"]
    for _ in range(5):
        scheduler.tick()
    answer = client.get("/ticks").json()
    assert answer["count"] == before + 1
    assert answer["last"] is not None
    assert client.get("/ticks/periods").json()[0]["sent"] == 1


def test_every_dependency_is_ready(client):
    answer = client.get("/ready")
    assert answer.status_code == 200
    assert answer.json()["broken"] == []
    assert set(answer.json()["checks"]) == {"broker", "cache", "database", "storage"}
