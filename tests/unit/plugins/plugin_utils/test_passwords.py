# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleError

from ansible_collections.longshore.stack.plugins.plugin_utils import passwords


@pytest.fixture(autouse=True)
def forgetful():
    passwords.bcrypt.cache_clear()


def test_a_salt_is_the_same_for_the_same_purpose_and_fits_bcrypt():
    assert passwords.salt("a") == passwords.salt("a") != passwords.salt("b")
    assert all(re.fullmatch(r"[./A-Za-z0-9]{21}[.Oeu]", passwords.salt(str(number))) for number in range(50))


def test_the_c_library_makes_the_known_hash():
    known = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
    made = passwords._by_library("U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.")
    if not made.startswith("$2b$"):
        pytest.skip("the C library here makes no bcrypt hashes")
    assert made == known


def test_the_first_way_that_makes_a_hash_is_taken(monkeypatch):
    good = "$2b$10$" + "a" * 53
    monkeypatch.setattr(passwords, "_by_library", lambda password, setting: "*0")
    monkeypatch.setattr(passwords, "_by_package", lambda password, setting: good)
    assert passwords.bcrypt("pw", "x") == good


def test_where_nothing_makes_a_hash_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(passwords, "_by_library", lambda password, setting: "")
    monkeypatch.setattr(passwords, "_by_package", lambda password, setting: "")
    with pytest.raises(AnsibleError, match="install the Python package bcrypt"):
        passwords.bcrypt("pw", "x")
