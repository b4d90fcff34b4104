# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def _can_be_had(host):
    skipped = host.file("/root/skipped")
    if skipped.exists:
        pytest.skip(skipped.content_string)


@pytest.fixture
def s3(host, service):
    """Asks S3 over the container's own address, signed as a user: status code and answer."""
    address = service("minio").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def ask(path, user="shop", secret="canary-of-the-shop", *arguments):
        signed = f"--aws-sigv4 aws:amz:us-east-1:s3 --user {user}:{secret}" if user else ""
        said = host.check_output(f"curl -s -w '\\n%{{http_code}}' {signed} {' '.join(arguments)} http://{address}:9000{path}")
        answer, _newline, code = said.rpartition("\n")
        return int(code), answer

    return ask


def test_the_container_is_hardened_and_shows_no_key(hardened, no_canary, service):
    minio = service("minio")
    hardened(minio.container)
    no_canary()
    assert minio.health == "healthy"


def test_the_application_writes_and_reads_its_bucket(s3):
    assert s3("/shop/greeting", "shop", "canary-of-the-shop", "-X PUT -d hello")[0] == 200
    assert s3("/shop/greeting") == (200, "hello")


def test_nobody_gets_in_without_a_key_or_into_another_bucket(s3):
    assert s3("/shop/greeting", user="")[0] == 403
    assert s3("/shop/greeting", secret="wrong")[0] == 403
    assert s3("/another", "shop", "canary-of-the-shop", "-X PUT")[0] == 403


def test_data_outlives_the_container(s3, service, converge, name):
    s3("/shop/kept", "shop", "canary-of-the-shop", "-X PUT -d seven")
    before = service("minio").id
    assert converge(minio_memory="600M").changed(name) == 1
    assert service("minio").id != before
    assert converge().changed(name) == 1


def test_what_was_kept_is_read_again(s3):
    assert s3("/shop/kept") == (200, "seven")


def test_a_key_changed_in_the_inventory_is_rotated(s3, converge, name):
    assert converge(shop_key="canary-of-another-key").changed(name) == 1
    assert s3("/shop/kept", secret="canary-of-another-key") == (200, "seven")
    assert s3("/shop/kept")[0] == 403
    assert converge().changed(name) == 1
    assert s3("/shop/kept", secret="canary-of-another-key")[0] == 403
    assert s3("/shop/kept") == (200, "seven")


def test_a_bucket_that_was_lost_is_made_again(s3, converge, name):
    for path in ("/shop/greeting", "/shop/kept", "/shop"):
        assert s3(path, "shop", "canary-of-the-shop", "-X DELETE")[0] == 204
    assert "bucket shop" in converge("--check", "--diff").output
    assert converge().changed(name) == 1
    assert converge().changed(name) == 0


def test_a_user_whose_policy_a_killed_run_did_not_attach_gets_it(s3, service, converge, name):
    detach = """
        set -e
        export MC_CONFIG_DIR=/tmp/of-the-test
        printf 'admin\\n%s\\n' "$(cat /run/secrets/s3_admin)" | mc --quiet alias set stack http://127.0.0.1:9000
        mc --quiet admin policy detach stack app-shop --user shop
        rm -r /tmp/of-the-test
    """
    done = service("minio")(detach)
    assert done.rc == 0, done.stdout + done.stderr
    assert s3("/shop/greeting", "shop", "canary-of-the-shop", "-X PUT -d hello")[0] == 403
    assert "rights of shop" in converge("--check", "--diff").output
    assert converge().changed(name) == 1
    assert s3("/shop/greeting", "shop", "canary-of-the-shop", "-X PUT -d hello")[0] == 200
    assert converge().changed(name) == 0


def test_a_server_that_cannot_start_ends_the_run_with_its_own_words(host, service, converge):
    broken = converge(minio_root_password="short")
    assert broken.rc != 0
    assert "last lines of molecule-minio-minio-1" in broken.output
    assert converge().rc == 0
    assert service("minio").health == "healthy"
