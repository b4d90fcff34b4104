# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._trusted_ca import Trust, TrustError

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nmine\n-----END CERTIFICATE-----\n"


class Host:
    """A trust store as Debian keeps it: the update makes the bundle and a link for each certificate, and leaves links that lead nowhere."""

    def __init__(self, root):
        self.root, self.source = root, root / "root.crt"
        self.anchors, self.certs = root / "anchors", root / "certs"
        self.bundle = self.certs / "ca-certificates.crt"
        self.updates, self.slept, self.problem = 0, 0.0, ""
        for folder in (self.anchors, self.certs):
            folder.mkdir()

    def update(self):
        self.updates += 1
        if self.problem:
            return self.problem
        for anchor in self.anchors.glob("*.crt"):
            if not os.path.lexists(self.certs / f"{anchor.stem}.pem"):
                os.symlink(anchor, self.certs / f"{anchor.stem}.pem")
        self.bundle.write_bytes(b"others\n" + b"".join(anchor.read_bytes() for anchor in self.anchors.glob("*.crt")))
        return ""

    def sleep(self, seconds):
        self.slept += seconds
        if self.slept >= 2 and not self.source.exists():
            self.source.write_bytes(CERTIFICATE)

    def trust(self, check=False):
        return Trust(self.update, self.sleep, str(self.anchors), str(self.bundle), check)

    def present(self, check=False, wait=0.0):
        return self.trust(check).present("mine", str(self.source), wait)

    def absent(self, check=False):
        return self.trust(check).absent("mine")


@pytest.fixture
def host(tmp_path, me):
    return Host(tmp_path)


def test_a_certificate_is_trusted_once(host):
    host.source.write_bytes(CERTIFICATE)
    assert [host.present(), host.present()] == [True, False]
    assert (CERTIFICATE in host.bundle.read_bytes(), host.updates) == (True, 1)


def test_a_renewed_certificate_takes_the_place_of_the_old(host):
    host.source.write_bytes(CERTIFICATE)
    host.present()
    host.source.write_bytes(b"renewed")
    assert host.present()
    assert host.bundle.read_bytes() == b"others\nrenewed"


def test_a_run_that_died_between_certificate_and_bundle_is_finished_by_the_next(host):
    host.source.write_bytes(CERTIFICATE)
    (host.anchors / "mine.crt").write_bytes(CERTIFICATE)
    os.chmod(host.anchors / "mine.crt", 0o644)
    assert [host.present(), host.present()] == [True, False]
    (host.anchors / "mine.crt").unlink()
    assert [host.absent(), host.absent()] == [True, False]
    assert host.bundle.read_bytes() == b"others\n"


def test_a_certificate_is_taken_away_once(host):
    host.source.write_bytes(CERTIFICATE)
    host.present()
    assert [host.absent(), host.absent()] == [True, False]
    assert (host.bundle.read_bytes(), list(host.anchors.iterdir())) == (b"others\n", [])


def test_a_certificate_that_comes_late_is_waited_for_and_one_that_does_not_come_is_named(host):
    with pytest.raises(TrustError, match=r"no certificate at .*/root.crt after 1 s"):
        host.present(wait=1)
    assert host.present(wait=10)


def test_check_mode_foretells_and_changes_nothing(host):
    assert host.present(check=True)
    host.source.write_bytes(CERTIFICATE)
    assert host.present(check=True)
    assert (list(host.anchors.iterdir()), host.updates, host.slept) == ([], 0, 0)
    host.present()
    assert (host.present(check=True), host.absent(check=True), host.updates) == (False, True, 1)


def test_a_failed_update_is_an_error(host):
    host.source.write_bytes(CERTIFICATE)
    host.problem = "update-ca-certificates failed: disk full"
    with pytest.raises(TrustError, match="disk full"):
        host.present()


def test_links_that_the_hosts_own_tool_leaves_go_too(host):
    host.source.write_bytes(CERTIFICATE)
    host.present()
    others = host.certs / "other.pem"
    others.symlink_to("/elsewhere")
    (host.certs / "fe4a7346.0").symlink_to("mine.pem")
    host.absent()
    assert sorted(path.name for path in host.certs.iterdir() if path.is_symlink()) == ["other.pem"]
