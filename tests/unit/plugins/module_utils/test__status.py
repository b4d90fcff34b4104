# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._status import closed_apps, containers_of, duration, seconds, summary, table

NOW = seconds("2026-03-01T12:00:00Z")


def container(
    service,
    process="",
    release="",
    state="running",
    health="healthy",
    created="2026-03-01T11:00:00.5Z",
    started="2026-03-01T11:59:00.123456789Z",
    restarts=0,
    **labels,
):
    shown = {"stack.longshore.service": service, "stack.longshore.process": process, "stack.longshore.release": release, **labels}
    return {
        "Name": f"/s-{service}-{process or service}-1",
        "Created": created,
        "RestartCount": restarts,
        "Config": {"Image": f"registry.test/x/{service}:17.1", "Labels": shown},
        "State": {"Status": state, "StartedAt": started, **({"Health": {"Status": health}} if health else {})},
    }


def test_a_container_is_told_by_service_image_health_and_age():
    (entry,) = summary([container("postgres", restarts=2)], NOW)
    assert entry == {
        "service": "postgres",
        "process": "",
        "release": "",
        "name": "s-postgres-postgres-1",
        "image": "registry.test/x/postgres:17.1",
        "state": "running",
        "health": "healthy",
        "age": 3599.5,
        "up": 59.9,
        "restarts": 2,
        "address": "",
    }


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ({"s_edge": {"IPAddress": ""}, "s_backend": {"IPAddress": "172.20.0.5", "GlobalIPv6Address": "fd00::5"}}, "172.20.0.5"),
        ({"s_backend": {"IPAddress": "", "GlobalIPv6Address": "fd00::5"}}, "fd00::5"),
        ({"s_backend": {"IPAddress": ""}}, ""),
        (None, ""),
    ],
    ids=["IPv4", "IPv6 alone", "not running", "no network"],
)
def test_a_container_is_told_with_the_address_that_its_host_reaches(networks, address):
    (entry,) = summary([{**container("rabbitmq"), "NetworkSettings": {"Networks": networks}}], NOW)
    assert entry["address"] == address


def test_services_come_before_applications_and_one_off_containers_are_left_out():
    found = summary(
        [
            container("app", "worker", "1-a"),
            container("valkey"),
            container("app", "beat", "1-a"),
            container("postgres"),
            container("app", "migrate", "1-a", **{"com.docker.compose.oneoff": "True"}),
        ],
        NOW,
    )
    assert [(entry["service"], entry["process"]) for entry in found] == [("postgres", ""), ("valkey", ""), ("app", "beat"), ("app", "worker")]


def test_what_does_not_run_is_not_up():
    (entry,) = summary([container("x", state="exited", health=None)], NOW)
    assert (entry["up"], entry["health"]) == (0.0, "none")


def test_only_the_stack_is_asked_for(docker):
    mine = docker.add("s-x", "x", labels={"stack.longshore.name": "s"}, state="exited")
    docker.add("t-x", "x", labels={"stack.longshore.name": "t"})
    docker.add("other", "x")
    assert [entry["Id"] for entry in containers_of(docker.engine, "s")] == [mine["Id"]]


def test_the_report_is_a_table_of_host_service_version_health_change_and_address():
    entries = summary(
        [
            container("postgres"),
            container("valkey", state="exited"),
            container("app", "web", "1.4.2-ab", health="starting", created="2026-03-01T11:59:50Z", started="2026-03-01T11:59:51Z"),
            container("app", "worker", "1.4.2-ab", health=None, started="2026-03-01T11:00:01Z"),
        ],
        NOW,
    )
    lines = table({"box": entries}, {("app", "web"): ["https://app.test/"], ("postgres", ""): ["postgres:5432"]}, 90.0)
    assert lines == [
        "host  service     version        health    changed  address",
        "box   postgres    postgres:17.1  healthy   started  postgres:5432",
        "box   valkey      valkey:17.1    exited    -",
        "box   app/web     1.4.2-ab       starting  created  https://app.test/",
        "box   app/worker  1.4.2-ab       running   -",
    ]


def test_how_often_a_container_crashed_is_told_where_one_did():
    lines = table({"box": summary([container("postgres"), container("valkey", restarts=3)], NOW)}, {}, None)
    assert lines == [
        "host  service   version        health   restarts  changed  address",
        "box   postgres  postgres:17.1  healthy  -         up 59 s",
        "box   valkey    valkey:17.1    healthy  3         up 59 s",
    ]


def test_without_a_run_the_report_says_how_long_each_has_been_up():
    lines = table({"box": summary([container("postgres"), container("valkey", state="exited")], NOW)}, {}, None)
    assert [line.split("healthy")[-1].split("exited")[-1].strip() for line in lines[1:]] == ["up 59 s", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (42, "42 s"),
        (185, "3 min 5 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7800, "2 h 10 min"),
        (349200, "4 d 1 h"),
        (86400 * 4 + 60, "4 d"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(value, text):
    assert duration(value) == text


def test_applications_under_maintenance_are_those_whose_page_an_edge_has(tmp_path):
    for path in ("caddy/maintenance/shop.html", "caddy/maintenance/.new-x", "caddy/data/other.html", "nginx/maintenance/api.html"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert closed_apps(str(tmp_path)) == ["api", "shop"]
    assert closed_apps("") == closed_apps(str(tmp_path / "nowhere")) == []
