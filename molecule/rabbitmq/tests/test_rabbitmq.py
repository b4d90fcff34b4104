# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest


@pytest.fixture
def rabbitmq(service):
    return service("rabbitmq")


@pytest.fixture
def api(host, rabbitmq):
    """Asks the management interface over the container's own address, as a user: status code and answer."""
    address = rabbitmq.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def ask(path, user="admin", password="canary-of-the-administrator", method="GET", body=None):
        data = ["-H", "content-type: application/json", "-d", json.dumps(body)] if body is not None else []
        quoted = " ".join(f"'{part}'" for part in data)
        said = host.check_output(f"curl -s -w '\\n%{{http_code}}' -u {user}:{password} -X {method} {quoted} http://{address}:15672/api{path}")
        answer, _newline, code = said.rpartition("\n")
        return int(code), answer

    return ask


def test_the_container_is_hardened_and_shows_no_password(hardened, no_canary, rabbitmq):
    hardened(rabbitmq.container)
    no_canary()
    assert rabbitmq.health == "healthy"


def test_healthy_means_that_the_node_serves(rabbitmq):
    assert rabbitmq("rabbitmq-diagnostics -q check_running").rc == 0


def test_the_application_has_a_virtual_host_of_its_own_and_does_not_administer(api, rabbitmq):
    permissions = json.loads(api("/vhosts/shop/permissions")[1])
    assert {entry["user"] for entry in permissions} == {"admin", "shop"}
    assert rabbitmq("rabbitmqctl authenticate_user shop canary-of-the-shop").rc == 0
    assert api("/whoami", "shop", "canary-of-the-shop")[0] == 401


def test_the_guest_user_and_wrong_passwords_are_refused(api, rabbitmq):
    assert api("/whoami", "guest", "guest")[0] == 401
    refused = rabbitmq("rabbitmqctl authenticate_user shop wrong")
    assert refused.rc != 0
    assert "invalid credentials" in refused.stdout + refused.stderr


def test_a_durable_message_outlives_the_container(api, rabbitmq, converge, name):
    assert api("/queues/shop/kept", method="PUT", body={"durable": True})[0] in (201, 204)
    message = {"properties": {"delivery_mode": 2}, "routing_key": "kept", "payload": "seven", "payload_encoding": "string"}
    assert json.loads(api("/exchanges/shop/amq.default/publish", method="POST", body=message)[1]) == {"routed": True}
    before = rabbitmq.id
    assert converge(rabbitmq_disk_free_limit="300MB").changed(name) == 1
    assert rabbitmq.id != before
    got = api("/queues/shop/kept/get", method="POST", body={"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})[1]
    assert json.loads(got)[0]["payload"] == "seven"


def test_a_password_changed_in_the_inventory_is_rotated(api, converge, name):
    assert converge(rabbitmq_password="canary-of-another").changed(name) == 1
    assert api("/whoami", "admin", "canary-of-another")[0] == 200
    assert api("/whoami")[0] == 401
    assert converge().changed(name) == 1


def test_a_setting_that_the_server_refuses_ends_the_run_with_its_own_words(rabbitmq, converge):
    broken = converge(rabbitmq_config={"no.such.setting": "1"}, stack_wait_timeout=90)
    assert broken.rc != 0
    assert "no.such.setting" in broken.output
    assert converge().rc == 0
    assert rabbitmq.health == "healthy"
