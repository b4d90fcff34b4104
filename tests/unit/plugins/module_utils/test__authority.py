# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""With the openssl of this machine."""

from __future__ import annotations

import os
import shutil
import ssl
import stat
import subprocess

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _authority
from ansible_collections.longshore.stack.plugins.module_utils._authority import Authority, AuthorityError
from ansible_collections.longshore.stack.plugins.module_utils._engine import Result
from ansible_collections.longshore.stack.plugins.module_utils._machine import Machine

NAMES = ["app.shop.internal", "docs.shop.internal"]


@pytest.fixture
def authority(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here")

    def make(check: bool = False, machine: Machine | None = None) -> Authority:
        return Authority(machine or Machine(), "shop", str(tmp_path / "authority"), str(tmp_path / "authority/live"), os.getuid(), check)

    return make


def content(authority: Authority, name: str) -> bytes:
    return authority.live.read(f"{name}.pem") or b""


def test_each_name_has_a_certificate_that_who_knows_the_authority_trusts(authority):
    made = authority()
    assert made.present(NAMES) == ["root.crt", *(f"{name}.pem" for name in NAMES)]
    root = made.own.full("root.crt")
    for name in NAMES:
        words = ["openssl", "verify", "-CAfile", root, "-purpose", "sslserver", "-verify_hostname", name, made.live.full(f"{name}.pem")]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0
        # The key in the same file is that of the certificate.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.live.full(f"{name}.pem"))
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (made.own.full("root.key"), root, made.live.full(f"{NAMES[0]}.pem"))]
    assert modes == [0o600, 0o644, 0o400]


def test_a_second_call_changes_nothing(authority):
    authority().present(NAMES)
    before = [content(authority(), name) for name in NAMES]
    assert authority().present(NAMES) == []
    assert [content(authority(), name) for name in NAMES] == before


def test_another_name_is_added_and_one_that_is_none_any_more_is_removed(authority):
    authority().present(NAMES)
    before = content(authority(), NAMES[0])
    assert authority().present([NAMES[0], "new.shop.internal"]) == ["new.shop.internal.pem", f"{NAMES[1]}.pem (removed)"]
    assert content(authority(), NAMES[0]) == before and content(authority(), NAMES[1]) == b""


def test_a_certificate_is_renewed_when_less_than_a_third_of_its_time_is_left(authority, monkeypatch):
    monkeypatch.setattr(_authority, "DAYS", 200)
    authority().present(NAMES[:1])
    monkeypatch.setattr(_authority, "DAYS", 825)
    before = content(authority(), NAMES[0])
    assert authority().present(NAMES[:1]) == [f"{NAMES[0]}.pem"]
    assert content(authority(), NAMES[0]) != before


@pytest.mark.parametrize("broken", [b"", b"nonsense"])
def test_a_certificate_that_is_none_is_made_anew(authority, broken):
    authority().present(NAMES)
    authority().live.write(f"{NAMES[0]}.pem", broken, 0o400, os.getuid(), os.getgid())
    assert authority().present(NAMES) == [f"{NAMES[0]}.pem"]
    assert authority().present(NAMES) == []


def test_another_user_gets_a_certificate_that_he_can_read(authority):
    authority().present(NAMES[:1])
    other = authority(check=True)
    other.uid = os.getuid() + 1
    assert other.present(NAMES[:1]) == [f"{NAMES[0]}.pem"]


def test_with_another_authority_every_certificate_is_another_one(authority):
    authority().present(NAMES)
    authority().own.remove("root.key")
    assert authority().present(NAMES) == ["root.crt", *(f"{name}.pem" for name in NAMES)]
    assert authority().present(NAMES) == []


def test_check_mode_says_what_would_be_made_and_makes_nothing(authority, tmp_path):
    assert authority(check=True).present(NAMES) == ["root.crt", *(f"{name}.pem" for name in NAMES)]
    assert list(tmp_path.iterdir()) == []
    authority().present(NAMES)
    assert authority(check=True).present(NAMES[:1]) == [f"{NAMES[1]}.pem (removed)"]
    assert content(authority(), NAMES[1])


def test_a_failure_is_said_in_openssls_own_words(authority):
    with pytest.raises(AuthorityError, match="openssl req: no entropy"):
        authority(machine=Machine(run=lambda args, **_options: Result(tuple(args), 1, "", "no entropy"))).present(NAMES)
