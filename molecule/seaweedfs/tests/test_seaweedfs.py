# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def s3(host, service):
    """Asks S3 over the container's own address, signed as a user: status code and answer."""
    address = service("seaweedfs").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def ask(path, user="shop", secret="canary-of-the-shop", *arguments):
        signed = f"--aws-sigv4 aws:amz:us-east-1:s3 --user {user}:{secret}" if user else ""
        said = host.check_output(f"curl -s -w '\\n%{{http_code}}' {signed} {' '.join(arguments)} http://{address}:8333{path}")
        answer, _newline, code = said.rpartition("\n")
        return int(code), answer

    return ask


def test_the_container_is_hardened_and_shows_no_key(hardened, no_canary, service):
    seaweedfs = service("seaweedfs")
    hardened(seaweedfs.container)
    no_canary()
    assert seaweedfs.health == "healthy"


def test_the_application_writes_and_reads_its_bucket(s3):
    assert s3("/shop/greeting", "shop", "canary-of-the-shop", "-X PUT -d hello")[0] == 200
    assert s3("/shop/greeting") == (200, "hello")


def test_nobody_gets_in_without_a_key_or_into_another_bucket(s3):
    assert s3("/shop/greeting", user="")[0] == 403
    assert s3("/shop/greeting", secret="wrong")[0] == 403
    assert s3("/another", "shop", "canary-of-the-shop", "-X PUT")[0] == 403


def test_only_the_gateway_that_checks_keys_is_reachable(host, service):
    address = service("seaweedfs").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    assert host.run(f"curl -s -m 2 -o /dev/null http://{address}:8333/").rc == 0
    for port in (8888, 9333, 8080, 18888, 19333, 8181, 9101):
        assert host.run(f"curl -s -m 2 -o /dev/null http://{address}:{port}/").rc == 7, port


def test_data_outlives_the_container(s3, service, converge, name):
    s3("/shop/kept", "shop", "canary-of-the-shop", "-X PUT -d seven")
    before = service("seaweedfs").id
    assert converge(seaweedfs_memory="600M").changed(name) == 1
    assert service("seaweedfs").id != before
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


def test_a_bucket_that_was_lost_is_made_again(service, converge, name):
    service("seaweedfs")("echo 's3.bucket.delete -name shop' | timeout 20 weed shell -master=127.0.0.1:9333")
    assert "bucket shop" in converge("--check", "--diff").output
    assert converge().changed(name) == 1
    assert converge().changed(name) == 0


def test_a_server_that_cannot_start_ends_the_run_with_its_own_words(host, service, converge):
    filer = "/var/lib/molecule/seaweedfs/filerldb2"
    host.check_output("docker stop molecule-seaweedfs-seaweedfs-1 && mv %s %s.away && touch %s", filer, filer, filer)
    broken = converge(stack_wait_timeout=60)
    assert broken.rc != 0
    assert "Not a valid folder" in broken.output.partition("last lines of molecule-seaweedfs-seaweedfs-1")[2]
    host.check_output("rm %s && mv %s.away %s", filer, filer, filer)
    assert converge().rc == 0
    assert service("seaweedfs").health == "healthy"
