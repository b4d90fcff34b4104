# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._trusted_ca import Trust, TrustError

# Made for these tests; their keys are gone.
CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUZSUD0VG740L+qz656Quyt+q5Ae0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjUxMDMwMTZaGA8yMTI2MTEwMTEwMzAx
NlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCdB
eD5Z9DdzWDC2xikxTjRZsXmFyaF/9WP/m+F0IzGoUXXamdsEW8JLZXn/T46ig5ni
sGos+Wb08VqUBFnQfO2jUzBRMB0GA1UdDgQWBBR5STrUHcIbwBdbH549W52GwgRG
yTAfBgNVHSMEGDAWgBR5STrUHcIbwBdbH549W52GwgRGyTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQD6G3P74QaCjKSkxlPBvt1LMHV0AeFfF0Sz
hJ+uWPQTLQIhAJxFwk8tD+htyrvU1/JCS0t5Sjvqkc2QTr5lJ9/k9cZo
-----END CERTIFICATE-----
"""
RENEWED = b"""-----BEGIN CERTIFICATE-----
MIIBejCCASGgAwIBAgIUX2mC/KYBe0sZmIR3fPSVkaTA0aswCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHcmVuZXdlZDAgFw0yNjExMjUxMDMwMTZaGA8yMTI2MTEwMTEw
MzAxNlowEjEQMA4GA1UEAwwHcmVuZXdlZDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABMyilp7jPMS/OxZLloViJJxWEZ6G/klgcaOirFDvX0TmN5GPTjI91oam6+WZ
Rkte686o9ARo5u8qe3+0W33c8ZSjUzBRMB0GA1UdDgQWBBTGXGmzai4t+xjC3ZJv
Z0X6rbt1nDAfBgNVHSMEGDAWgBTGXGmzai4t+xjC3ZJvZ0X6rbt1nDAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAeaKILThu29z/o+gmHvLcPEkxqD
ylotXPnCogX2r1L6AiBzJiDLIJG8Isoq50migIPjsdmWvKqDV5qSZWvpu3i7kA==
-----END CERTIFICATE-----
"""
# Of a server, not of an authority.
LEAF = b"""-----BEGIN CERTIFICATE-----
MIIBcTCCARigAwIBAgIUVR0atuI7XSpQp2bg0/v65LX9uN4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEbGVhZjAgFw0yNjExMjUxMDMwMTZaGA8yMTI2MTEwMTEwMzAx
NlowDzENMAsGA1UEAwwEbGVhZjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGhW
Si/9U4VNZFRVeP3of6MHlDbtOnWSwyYYLk25AsMMPd7HXJzhyOsq4nvAPZMri+WW
JvFEvZnVmKZpHH5IoOijUDBOMB0GA1UdDgQWBBSMIUOo6Jv0dEbGvncPs7P8Bmvu
TDAfBgNVHSMEGDAWgBSMIUOo6Jv0dEbGvncPs7P8BmvuTDAMBgNVHRMBAf8EAjAA
MAoGCCqGSM49BAMCA0cAMEQCIBXUjdNADU2QC9gHU8dULswesB+/roF2D6gGLxvi
/2CRAiAg5i2w8hpNGpk63YzDK/TiV8KdAJTJNf5h/medNcBvjw==
-----END CERTIFICATE-----
"""


class Host:
    """A trust store as Debian keeps it: the update makes the bundle and a link for each certificate, and leaves links that lead nowhere."""

    def __init__(self, root):
        self.root, self.source = root, root / "data/local/root.crt"
        self.source.parent.mkdir(parents=True)
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
        return self.trust(check).present("mine", str(self.source), wait, str(self.root))

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
    host.source.write_bytes(RENEWED)
    assert host.present()
    assert host.bundle.read_bytes() == b"others\n" + RENEWED


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


def test_a_certificate_that_is_still_being_written_is_waited_for(host):
    host.source.write_bytes(CERTIFICATE[:200])
    host.sleep = lambda seconds: host.source.write_bytes(CERTIFICATE)
    assert host.present(wait=10)
    assert CERTIFICATE in host.bundle.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"root:$6$canary\n", "is not one PEM certificate"),
        (b"", "is not one PEM certificate"),
        (b"root:canary\n" + CERTIFICATE, "is not one PEM certificate"),
        (CERTIFICATE + RENEWED, "is not one PEM certificate"),
        (CERTIFICATE.replace(b"MIIB", b"M==B"), "is not one PEM certificate"),
        (LEAF, "is not the certificate of an authority"),
    ],
)
def test_what_is_not_one_certificate_of_an_authority_is_not_trusted(host, content, words):
    host.source.write_bytes(content)
    with pytest.raises(TrustError, match=rf"/root.crt {words}; it was not trusted$"):
        host.present()
    assert (list(host.anchors.iterdir()), host.updates) == ([], 0)


@pytest.mark.parametrize("link", ["data", "data/local", "data/local/root.crt"])
def test_no_link_is_followed_where_the_service_writes(host, link):
    host.source.write_bytes(CERTIFICATE)
    os.rename(host.root / link, host.root / "elsewhere")
    (host.root / link).symlink_to(host.root / "elsewhere")
    with pytest.raises(OSError, match="leads over a link"):
        host.present()
    assert (list(host.anchors.iterdir()), host.updates) == ([], 0)


def test_a_pipe_in_place_of_the_certificate_stops_nobody(host):
    os.mkfifo(host.source)
    with pytest.raises(OSError, match="is not a file"):
        host.present()


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
