# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import urllib.request

import pytest
from image_support import docker, http_status, until

PASSWORD = "only-in-conf-d"
CONFIG = f"default_user = shop\ndefault_pass = {PASSWORD}\n"


class Broker:
    def __init__(self, images, ref, data):
        conf = images.file(CONFIG, 999)
        mounts = ("--volume", f"{data}:/var/lib/rabbitmq", "--volume", f"{conf}:/etc/rabbitmq/conf.d/90-shop.conf:ro")
        self.container = images.run(ref, user="999:999", options=("--hostname", "rabbitmq", *mounts))

    def healthy(self):
        return self.container.exec("rabbitmq-diagnostics", "-q", "check_running", timeout=60).returncode == 0

    def api(self, path, password=PASSWORD):
        return http_status(f"http://{self.container.address}:15672/api/{path}", "shop", password)

    def declare_queue(self, name):
        body = json.dumps({"durable": True}).encode()
        request = urllib.request.Request(f"http://{self.container.address}:15672/api/queues/%2F/{name}", data=body, method="PUT")
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        manager.add_password(None, request.full_url, "shop", PASSWORD, is_authenticated=True)
        with urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager)).open(request, timeout=10) as answer:
            return answer.status


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("rabbitmq")


@pytest.fixture(scope="module")
def data(images):
    return images.volume(999)


@pytest.fixture(scope="module")
def broker(images, ref, data):
    made = Broker(images, ref, data)
    assert until(made.healthy), made.container.logs()
    return made


def test_the_user_of_the_configuration_is_let_in(broker):
    assert broker.api("overview") == 200


def test_a_wrong_password_and_guest_are_refused(broker):
    assert broker.api("overview", password="wrong") == 401
    assert http_status(f"http://{broker.container.address}:15672/api/overview", "guest", "guest") == 401


def test_prometheus_finds_metrics(broker):
    assert http_status(f"http://{broker.container.address}:15692/metrics") == 200


def test_the_log_goes_to_the_containers_output(broker):
    assert "Server startup complete" in broker.container.logs()


def test_it_runs_as_999_and_is_asked_from_inside_without_root(broker):
    users = broker.container.exec("rabbitmqctl", "--quiet", "list_users", timeout=60)
    assert "shop" in users.stdout, users.stderr
    assert broker.container.exec("sh", "-c", "awk '/^Uid/{print $2}' /proc/1/status").stdout.strip() == "999"


def test_a_stop_is_clean_and_a_new_container_has_the_queues(images, ref, data, broker):
    assert broker.declare_queue("orders") == 201
    code, seconds = broker.container.stop(grace=60)
    assert (code, seconds < 30) == (0, True)
    broker.container.remove()
    again = Broker(images, ref, data)
    assert until(again.healthy), again.container.logs()
    assert until(lambda: again.api("queues/%2F/orders") == 200)


def test_a_password_by_a_variable_that_would_be_ignored_is_refused(ref):
    done = docker("run", "--rm", "--network", "none", "--env", "RABBITMQ_DEFAULT_PASS_FILE=/run/secrets/x", ref, check=False)
    assert done.returncode == 1
    assert "RABBITMQ_DEFAULT_PASS_FILE" in done.stderr
