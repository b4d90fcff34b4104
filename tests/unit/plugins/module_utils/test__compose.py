# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.module_utils._compose import assemble, external_networks, masked_environment, to_yaml
from ansible_collections.longshore.stack.plugins.module_utils._names import LABEL_CONFIG

SERVICES = {
    "web": {
        "image": "web:1",
        "volumes": ["./config/web:/etc/web:ro", "data:/data"],
        "env_file": ["./web.env"],
        "secrets": ["password"],
    },
    "cache": {"image": "cache:1", "volumes": [{"type": "bind", "source": "./config/cache", "target": "/etc/cache"}]},
}
FILES = {"config/web/app.conf": b"a", "config/web/live.conf": b"a", "config/cache/c.conf": b"a", "web.env": b"A=1", "config/website.conf": b"a", "note": b"a"}
SECRETS = {"password": "/secrets/password.1", "unused": "/secrets/unused.1"}


def hashes(services=None, files=None, secrets=None, networks=None, labels=None):
    definition = {"services": services or SERVICES, "networks": networks or {}}
    whole = assemble("s-shop", definition, files or FILES, {"web": ["config/web/live.conf"]}, secrets or SECRETS, labels or {})
    return {name: service["labels"][LABEL_CONFIG] for name, service in whole["services"].items()}


def changed(**arguments):
    """The services that a change recreates."""
    before, after = hashes(), hashes(**arguments)
    return [name for name in before if before[name] != after[name]]


@pytest.mark.parametrize(
    ("path", "recreated"),
    [
        ("config/web/app.conf", ["web"]),
        ("config/cache/c.conf", ["cache"]),
        ("web.env", ["web"]),
        ("config/web/live.conf", []),
        ("config/website.conf", []),
        ("note", []),
    ],
)
def test_a_file_recreates_the_service_that_mounts_it_and_only_if_it_is_not_reloaded(path, recreated):
    assert changed(files={**FILES, path: b"b"}) == recreated


def test_a_new_file_in_a_mounted_folder_recreates_the_service():
    assert changed(files={**FILES, "config/cache/more.conf": b""}) == ["cache"]


def test_a_definition_recreates_only_its_own_service():
    assert changed(services={**SERVICES, "cache": {**SERVICES["cache"], "command": ["x"]}}) == ["cache"]


def test_a_new_generation_of_a_secret_recreates_the_service_that_uses_it():
    assert changed(secrets={**SECRETS, "password": "/secrets/password.2"}) == ["web"]
    assert changed(secrets={**SECRETS, "unused": "/secrets/unused.2"}) == []


def test_the_file_names_its_project_first_whatever_the_definition_says():
    whole = assemble("s-shop", {"name": "other", "services": SERVICES}, FILES, {}, SECRETS, {})
    assert to_yaml(whole).startswith("name: s-shop\nservices:\n")
    assert "other" not in to_yaml(whole)


def test_networks_and_labels_of_the_project_are_part_of_every_service():
    assert changed(networks={"backend": {"name": "b", "external": True}}) == ["web", "cache"]
    assert changed(labels={"stack.longshore.release": "2"}) == ["web", "cache"]


def test_the_order_of_keys_recreates_nothing():
    assert changed(services={name: dict(reversed(service.items())) for name, service in reversed(SERVICES.items())}) == []


def test_a_project_that_mounts_its_whole_directory_depends_on_every_file():
    services = {"web": {"image": "web:1", "volumes": [".:/app:ro"]}}
    whole = [assemble("s-shop", {"services": services}, {"deep/file": content}, {}, {}, {}) for content in (b"a", b"b")]
    assert whole[0] != whole[1]


def test_a_service_is_hardened_unless_it_says_otherwise():
    web = assemble("s-shop", {"services": {"web": {"image": "x", "read_only": False, "cap_drop": None, "restart": "no"}}}, {}, {}, {}, {})["services"]["web"]
    assert (web["read_only"], web["restart"], web["security_opt"]) == (False, "no", ["no-new-privileges:true"])
    assert "cap_drop" not in web
    assert web["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


def test_a_dollar_stays_a_dollar_everywhere():
    definition = {
        "services": {"web": {"image": "x", "environment": {"PRICE": "$5 ${HOME}"}, "command": ["sh", "-c", "echo $$"]}},
        "volumes": {"v": {"name": "$v"}},
    }
    whole = assemble("s-shop", definition, {}, {}, {"s": "/a$b/s.1"}, {"owner": "$me"})
    web = whole["services"]["web"]
    assert web["environment"]["PRICE"] == "$$5 $${HOME}"
    assert web["command"][-1] == "echo $$$$"
    assert (whole["volumes"]["v"]["name"], whole["secrets"]["s"]["file"], web["labels"]["owner"]) == ("$$v", "/a$$b/s.1", "$$me")


def test_labels_of_a_service_may_be_a_list_as_compose_allows():
    labels = assemble("s-shop", {"services": {"web": {"image": "x", "labels": ["a=1=2", "b"]}}}, {}, {}, {}, {"c": "3"})["services"]["web"]["labels"]
    assert {name: labels[name] for name in "abc"} == {"a": "1=2", "b": "", "c": "3"}


def test_a_secret_as_an_env_file_is_the_file_of_its_present_generation():
    services = {"web": {"image": "x", "env_file": ["secret:env", "./web.env"]}, "cache": {"image": "y"}}

    def whole(generation):
        return assemble("s-shop", {"services": services}, FILES, {}, {"env": f"/secrets/$env.{generation}"}, {})["services"]

    assert whole(1)["web"]["env_file"] == ["/secrets/$$env.1", "./web.env"]
    hashes_of = [{name: service["labels"]["stack.longshore.config"] for name, service in whole(number).items()} for number in (1, 2)]
    assert [name for name in services if hashes_of[0][name] != hashes_of[1][name]] == ["web"]
    with pytest.raises(ValueError, match=r"service web uses the secret 'env', which is not given; given: other"):
        assemble("s-shop", {"services": services}, FILES, {}, {"other": "/o.1"}, {})


def test_a_secret_that_is_not_given_is_named_with_those_that_are():
    with pytest.raises(ValueError, match=r"service web uses the secret 'password', which is not given; given: other"):
        assemble("s-shop", {"services": SERVICES}, FILES, {}, {"other": "/o.1"}, {})


def test_a_service_without_image_is_named():
    with pytest.raises(ValueError, match="service web has no image"):
        assemble("s-shop", {"services": {"web": {"command": ["x"]}}}, {}, {}, {}, {})


def test_only_shared_networks_are_to_be_made_by_their_real_names():
    networks = {"edge": {"name": "shop_edge", "external": True}, "plain": {"external": True}, "own": {}, "default": None}
    assert external_networks({"networks": networks}) == {"shop_edge": False, "plain": False}
    assert external_networks({"networks": {"edge": {"name": "shop_edge", "external": True, "x-ipv6": True}}}) == {"shop_edge": True}


# fmt: off
NASTY = [
    "", " ", "a", "abc\n", "\nabc", "two\nlines\n", "trailing ", " leading", "yes", "No", "ON", "off", "y", "N", "true", "null", "Null", "~", "none",
    ".", "..", "...", "---", "-", "- a", "a: b", "a:b", "a #b", "#", "1", "1.5", ".5", "._1", "1e3", "0x1f", "0o17", "017", "1_000", "12:30:45",
    "2026-11-22", ".inf", "-.INF", "nan", ".NaN", "=", "<<", "*a", "&a", "!tag", "%x", "@x", "`x`", "'", '"', "'q' \"p\"", "back\\slash", "\\n", "{}",
    "{a: 1}", "[]", "[a]", "|", ">", "?", "? a", ",", "a,b", "tab\there", "\x00\x01\x1b", "\x7f", "\x85", "\xa0", "\u2028x\u2029", "\ufeffbom",
    "ümläut", "日本", "🚀", "./config:/etc/x:ro", "/abs/path", "${HOME}$$", "0", "-1", "+1", "_", "_1", "true\n", "password\r\n",
]
# fmt: on


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_text_comes_back_from_yaml_as_it_was(text):
    value = {"plain": text, "list": [text, [text]], "in": {"x": [{"k": text, "l": [text]}]}, text: text}
    assert yaml.safe_load(to_yaml(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -7,
        1.5,
        10**20,
        {},
        [],
        {"a": {}},
        {"a": []},
        {"a": None},
        [[], {}],
        [[["x"], "y"], {"a": [{"b": {"c": [1, 2]}}]}],
        {"a": [None, True, 1]},
    ],
    ids=repr,
)
def test_data_comes_back_from_yaml_as_it_was(value):
    assert yaml.safe_load(to_yaml(value)) == value


def test_a_compose_file_reads_like_one():
    assert to_yaml({"services": {"web": {"image": "web:1", "ports": ["80:80"], "read_only": True, "tmpfs": ["/tmp"]}}}).splitlines() == [
        "services:",
        "  web:",
        '    image: "web:1"',
        "    ports:",
        '      - "80:80"',
        "    read_only: true",
        "    tmpfs:",
        "      - /tmp",
    ]


def test_a_masked_environment_tells_equal_values_from_others_and_no_value():
    services = {"a": {"environment": {"X": "canary", "Y": "other"}}, "b": {"environment": {"X": "canary"}, "image": "i"}, "c": {"image": "i"}}
    masked = masked_environment({"services": services, "networks": {"n": {}}})
    values = {name: service["environment"] for name, service in masked["services"].items()}
    assert values["a"]["X"] == values["b"]["X"] != values["a"]["Y"]
    assert (masked["services"]["b"]["image"], masked["networks"], values["c"]) == ("i", {"n": {}}, {})
    assert "canary" not in repr(masked)
