# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every service that speaks S3 does for its applications. The order counts."""

from __future__ import annotations


class Buckets:
    """For the tests of a scenario to inherit."""

    def test_the_container_is_hardened_and_shows_no_key(self, hardened, no_canary, service, role):
        store = service(role)
        hardened(store.container)
        no_canary()
        assert store.health == "healthy"

    def test_the_application_writes_and_reads_its_bucket(self, s3):
        assert s3("/shop/greeting", "shop", "canary-of-the-shop", "-X PUT -d hello")[0] == 200
        assert s3("/shop/greeting") == (200, "hello")

    def test_nobody_gets_in_without_a_key_or_into_another_bucket(self, s3):
        assert s3("/shop/greeting", user="")[0] == 403
        assert s3("/shop/greeting", secret="wrong")[0] == 403
        assert s3("/another", "shop", "canary-of-the-shop", "-X PUT")[0] == 403

    def test_data_outlives_the_container(self, s3, service, role, converge, name):
        s3("/shop/kept", "shop", "canary-of-the-shop", "-X PUT -d seven")
        before = service(role).id
        assert converge(**{f"{role}_memory": "600M"}).changed(name) == 1
        assert service(role).id != before
        assert converge().changed(name) == 1

    def test_what_was_kept_is_read_again(self, s3):
        assert s3("/shop/kept") == (200, "seven")

    def test_a_key_changed_in_the_inventory_is_rotated(self, s3, converge, name):
        assert converge(shop_key="canary-of-another-key").changed(name) == 1
        assert s3("/shop/kept", secret="canary-of-another-key") == (200, "seven")
        assert s3("/shop/kept")[0] == 403
        assert converge().changed(name) == 1
        assert s3("/shop/kept", secret="canary-of-another-key")[0] == 403
        assert s3("/shop/kept") == (200, "seven")
