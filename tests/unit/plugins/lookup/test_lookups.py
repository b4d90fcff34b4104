# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleLookupError

from ansible_collections.longshore.stack.plugins.lookup import endpoint, wiring

APP = {"name": "shop", "version": "1", "needs": ["postgres"], "processes": [{"name": "web", "port": 80, "routes": [{"host": "a.test"}]}]}
VARIABLES = {
    "inventory_hostname": "box",
    "groups": dict.fromkeys(("postgres", "proxy", "app"), ["box"]),
    "hostvars": {},
    "stack_name": "s",
    "stack_root": "/opt/s",
    "stack_secrets_root": "/secrets",
    "stack_data_root": "/var/lib/s",
    "stack_apps": [APP],
}
SECRETS = {"postgres_admin": "a", "postgres_shop": "b"}


def ask(plugin, *terms, variables=None, **options):
    """The lookup without Ansible's own loading of options: they are what is given, else the documented defaults."""
    lookup = plugin.LookupModule(templar=SimpleNamespace(template=lambda value: value))
    documented = yaml.safe_load(plugin.DOCUMENTATION)["options"]
    lookup.set_options = lambda var_options, direct: None
    lookup.get_option = lambda name: options.get(name, documented[name].get("default"))
    return lookup.run(list(terms), variables or VARIABLES, **options)


def test_endpoint_answers_for_each_term():
    assert [(entry["host"], entry["port"]) for entry in ask(endpoint, "postgres", "postgres")] == [("postgres", 5432)] * 2


def test_endpoint_says_what_the_inventory_lacks():
    with pytest.raises(AnsibleLookupError, match="nothing provides valkey"):
        ask(endpoint, "valkey")


def test_wiring_answers_every_documented_question():
    (route,), (backend,) = ask(wiring, "routes")[0], ask(wiring, "backends")[0]
    assert (route["upstreams"], backend["name"]) == ([f"switch:{backend['switch_port']}"], "shop-web")
    assert ask(wiring, "switch_published") == [[]]
    assert ask(wiring, "probes", ca_path="/ca")[0][0]["ca_path"] == "/ca"
    assert "ca_path" not in ask(wiring, "probes")[0][0]
    assert ask(wiring, "users", of="postgres")[0][0]["name"] == "shop"
    assert ask(wiring, "published", of="postgres") == [[]]
    assert [entry["value"] for entry in ask(wiring, "secrets", of="postgres", secrets=SECRETS, uid=999)[0]] == ["a", "b"]
    assert ask(wiring, "app", of="shop", variables={**VARIABLES, "app_version": "2"})[0]["version"] == "2"
    made = ask(wiring, "release", of="shop", secrets=SECRETS, image={"ref": "x", "id": "y"})[0]
    assert made["spec"]["release"].startswith("1-")
    assert ask(wiring, "recalled", of="shop", secrets=SECRETS, record=made["spec"]) == [made]
    assert ask(wiring, "deploy", of="shop")[0]["drain"] == 30
    fleet = {**VARIABLES, "groups": {"app": ["other", "box"]}, "stack_apps": [{**APP, "processes": [{"name": "beat", "singleton": True}, *APP["processes"]]}]}
    assert ask(wiring, "processes", of="shop", variables=fleet) == [["web"]]


def test_wiring_says_what_it_does_not_know():
    with pytest.raises(AnsibleLookupError, match="wiring: 'rotues' is unknown; allowed: routes, probes, users"):
        ask(wiring, "rotues")
    with pytest.raises(AnsibleLookupError, match="no application is called 'shpo'; stack_apps has shop"):
        ask(wiring, "app", of="shpo")
    with pytest.raises(AnsibleLookupError, match="app_name=x is no application"):
        ask(wiring, "routes", variables={**VARIABLES, "app_version": "2", "app_name": "x"})
