# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from s3_buckets import Buckets


@pytest.fixture(autouse=True, scope="module")
def _can_be_had(host):
    skipped = host.file("/root/skipped")
    if skipped.exists:
        pytest.skip(skipped.content_string)


class TestMinio(Buckets):
    """What any S3 does."""


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
    assert "Unable to validate credentials" in broken.output and "length at least 8 characters" in broken.output
    assert converge().rc == 0
    assert service("minio").health == "healthy"
