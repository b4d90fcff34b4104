"""What the application answers by itself, without any service."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from app import database
from app.main import create_app
from app.settings import settings


@pytest.fixture
def client():
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


def test_it_is_alive(client):
    assert client.get("/health").status_code == 200


def test_it_tells_its_release(client):
    answer = client.get("/version").json()
    assert answer["version"] == settings().version
    assert answer["release"] == settings().release


def test_a_request_id_comes_back(client):
    assert client.get("/health", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"


def test_a_request_without_an_id_gets_one_of_its_own(client):
    first, second = (client.get("/nothing-here").headers["X-Request-ID"] for _ in range(2))
    assert first != second


def test_slow_answers_after_the_time_asked_for(client):
    answer = client.get("/slow", params={"seconds": 0.2})
    assert answer.json() == {"seconds": 0.2}
    assert answer.elapsed.total_seconds() >= 0.2


def test_metrics_count_by_route_and_not_by_address(client):
    client.get("/slow?seconds=0")
    client.get("/somewhere/else")
    text = client.get("/metrics").text
    assert 'app_http_requests_total{method="GET",route="/slow",status="200"}' in text
    assert "somewhere" not in text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/items", {"name": ""}),
        ("POST", "/items", {"name": " "}),
        ("POST", "/items", {"name": "x" * 201}),
        ("POST", "/items", {"name": "a\0b"}),
        ("POST", "/items", {}),
        ("POST", "/jobs", {"n": -1}),
        ("POST", "/jobs", {"n": 1_000_001}),
        ("POST", "/jobs", {"n": "many"}),
        ("GET", "/items/0", None),
        ("GET", "/items/9223372036854775808", None),
        ("GET", "/jobs/1", None),
        ("GET", "/files/.hidden", None),
        ("GET", "/files/a%20b", None),
        ("PUT", f"/files/{'x' * 129}", None),
        ("GET", "/slow?seconds=-1", None),
        ("GET", "/slow?seconds=nan", None),
        ("GET", "/ticks/periods?limit=0", None),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_service_is_asked(client, method, path, body):
    assert client.request(method, path, json=body).status_code == 422


def test_a_name_cannot_leave_its_folder(client):
    assert client.get("/files/..%2Fsecret").status_code == 404


def test_a_file_that_says_it_is_too_large_is_refused_at_once(client):
    answer = client.put("/files/big", content=b"", headers={"Content-Length": str(10**12)})
    assert answer.status_code == 413


def test_a_database_that_does_not_answer_is_named(client):
    def refuse():
        raise OperationalError("select", {}, Exception("connection refused by db-7"))

    client.app.dependency_overrides[database.session] = refuse
    answer = client.get("/ticks")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "database is not available"}
