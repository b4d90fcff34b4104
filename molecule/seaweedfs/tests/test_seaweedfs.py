# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from s3_buckets import Buckets


class TestSeaweedfs(Buckets):
    """What any S3 does."""


def test_only_the_gateway_that_checks_keys_is_reachable(host, service):
    address = service("seaweedfs").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    assert host.run(f"curl -s -m 2 -o /dev/null http://{address}:8333/").rc == 0
    for port in (8888, 9333, 8080, 18888, 19333, 8181, 9101):
        assert host.run(f"curl -s -m 2 -o /dev/null http://{address}:{port}/").rc == 7, port


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
