# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def mail(service):
    return service("mail")


def greeting(mail):
    return mail("python3 -c \"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8025/hello').read().decode())\"").stdout.strip()


def test_a_service_of_ones_own_is_hardened_like_the_others_and_shows_no_secret(hardened, no_canary, mail, service):
    hardened(mail.container)
    hardened(service("worker").container)
    no_canary()
    assert mail.health == "healthy"
    assert greeting(mail) == "hello"
    assert mail("cat /run/secrets/mail_key").stdout == "canary-of-the-mail"


def test_plain_compose_in_its_directory_means_its_container_and_finds_nothing_to_do(host, mail):
    there = mail.id
    assert host.check_output("cd /opt/molecule/mail && docker compose ps -q") == there
    host.check_output("cd /opt/molecule/mail && docker compose up -d")
    assert mail.id == there
    assert host.check_output("docker ps -aq --no-trunc --filter label=com.docker.compose.service=mail") == there


def test_a_change_concerns_one_service_and_a_verbose_run_shows_no_secret(mail, service, converge, name):
    mails, workers = mail.id, service("worker").id
    run = converge("-vvv", "--diff", mail_text="good day")
    assert run.changed(name) == 1
    assert "canary" not in run.output
    assert greeting(mail) == "good day"
    assert (mail.id != mails, service("worker").id) == (True, workers)
    assert converge().changed(name) == 1


def test_a_worker_that_crashes_after_each_start_ends_the_run_with_its_own_words(service, converge):
    broken = converge(worker_command=["sh", "-c", "echo where is the broker; sleep 1; exit 3"], stack_wait_timeout=60)
    assert broken.rc != 0
    assert "crashed 3 times (last exit status 3)" in broken.output
    assert "last lines of molecule-worker-worker-1" in broken.output
    assert "where is the broker" in broken.output
    assert converge().rc == 0
    assert service("worker").inspect("{{.State.Status}}") == "running"


def test_a_service_that_is_not_wanted_any_more_goes_and_the_others_stay(host, mail, converge, name):
    assert converge(worker_state="absent").changed(name) == 1
    assert host.run("docker inspect molecule-worker-worker-1").rc != 0
    assert not host.file("/opt/molecule/worker").exists
    assert greeting(mail) == "hello"
    assert converge().changed(name) == 1
