# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._inventory import Certificate
from ansible_collections.longshore.stack.plugins.plugin_utils.certificates import checked, names_in


@pytest.fixture
def check(tmp_path):
    def run(name: str, key: str = "", days: float = 0) -> Certificate:
        return checked(lambda path: (tmp_path / path).read_bytes(), f"{name}.pem", f"{key or name}.key", datetime.now(UTC) + timedelta(days))

    return run


def test_a_good_certificate_has_its_names_and_nothing_is_wrong_with_it(certificate, check, tmp_path):
    certificate("root"), certificate("middle", issuer="root"), certificate("leaf", ["a.test", "*.b.test"], "middle")
    assert check("leaf") == Certificate(("a.test", "*.b.test"))
    assert names_in((tmp_path / "leaf.pem").read_text()) == ("a.test", "*.b.test")


def test_a_key_of_another_certificate_is_refused(certificate, check):
    certificate("a", ["a.test"]), certificate("b", ["b.test"])
    assert check("a", key="b").problems == ("b.key is not the key of its first certificate",)


def test_what_is_not_in_force_is_refused_with_its_day(certificate, check):
    certificate("root", days=5), certificate("leaf", ["a.test"], "root", days=10, since=-1)
    assert check("leaf").problems == ()
    assert [problem.partition(" on ")[0] for problem in check("leaf", days=7).problems] == ["certificate 2 of the file expired"]
    assert [problem.partition(" until ")[0] for problem in check("leaf", days=-3).problems] == [
        "certificate 1 of the file is not in force",
        "certificate 2 of the file is not in force",
    ]


def test_a_chain_in_another_order_is_refused(certificate, check, tmp_path):
    certificate("root"), certificate("middle", issuer="root"), certificate("leaf", ["a.test"], "middle")
    blocks = (tmp_path / "leaf.pem").read_text().split("-----END CERTIFICATE-----\n")
    (tmp_path / "leaf.pem").write_text("-----END CERTIFICATE-----\n".join([blocks[0], blocks[2], blocks[1], ""]))
    assert check("leaf").problems[0] == "certificate 1 of the file is not signed by certificate 2: the chain is broken or in another order"


def test_a_certificate_for_no_host_is_refused(certificate, check):
    certificate("root")
    assert check("root").problems == ("the first certificate names no host",)


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("a.pem", "", "has no PEM certificate"),
        ("a.pem", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "has no PEM certificate"),
        ("a.key", "no key", "a.key: has no PEM key without a pass phrase"),
    ],
)
def test_what_is_no_certificate_or_key_is_said_to_be_none(certificate, check, tmp_path, file, text, problem):
    certificate("a", ["a.test"])
    (tmp_path / file).write_text(text)
    assert check("a").problems == (problem,)
