# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' argument specs are the one truth about their variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.module_utils._inventory import Host, Report
from ansible_collections.longshore.stack.plugins.module_utils._inventory_types import clean_host
from ansible_collections.longshore.stack.plugins.module_utils._specs import (
    Role,
    defaults,
    description,
    example,
    line,
    line_at,
    load_roles,
    role_from_spec,
    type_name,
)

ROLES = Path(__file__).parents[4] / "roles"
KNOWN = load_roles(str(ROLES), yaml.safe_load)


@pytest.mark.parametrize("name", sorted(path.parent.parent.name for path in ROLES.glob("*/defaults/main.yml")))
def test_the_defaults_of_a_role_are_those_of_its_spec(name):
    present = yaml.safe_load((ROLES / name / "defaults/main.yml").read_text(encoding="utf-8")) or {}
    assert present == defaults(KNOWN[name].options)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_variables_of_a_role_carry_its_name(name):
    # The addresses of services that are managed elsewhere are read by several roles, so they live with those of the stack.
    strangers = [option for option in KNOWN[name].options if not option.startswith(f"{name}_") and not option.endswith("_external_url")]
    assert strangers == []


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_variable_of_a_role_is_described(name):
    assert [option for option, spec in KNOWN[name].options.items() if not description(spec)] == []


def options_of(options, *above):
    """All options of a role with their paths."""
    for name, option in options.items():
        yield (*above, name), option
        yield from options_of(option.get("options") or {}, *above, name)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_option_of_a_role_has_an_example_of_its_type(name):
    """Also the secrets: it is what an error says that is to be written there."""
    wrong = {}
    for path, option in options_of(KNOWN[name].options):
        written, report = yaml.safe_load(line(path[-1], option) or "{}"), Report()
        clean_host(Host("box", frozenset(), written, frozenset(written)), {"x": Role("x", "", (), {path[-1]: option})}, report)
        if not written or report.problems():
            wrong[".".join(path)] = [problem.says for problem in report.problems()] or "no example"
    assert wrong == {}


def test_the_example_at_a_path_is_that_of_the_innermost_option():
    inner = {"name": {"description": "Name.", "required": True}, "uid": {"description": "Example: C(7)"}, "env": {"description": "Example: C({A: b})"}}
    roles = {"demo": Role("demo", "", (), {"demo_list": {"description": "Example: C([{uid: 7}])", "options": inner}})}
    assert line_at(roles, ("demo_list",)) == line_at(roles, ("demo_list", 0, "other", "uid")) == "demo_list: [{uid: 7}]"
    assert line_at(roles, ("demo_list", "[uid]", "uid")) == "uid: 7"
    assert line_at(roles, ("demo_list", 3, "env", "uid")) == "env: {A: b}"
    assert line_at(roles, ("other", "uid")) == line_at(roles, ("demo_list", 0, "name")) == ""


def test_the_example_of_a_secret_is_a_variable_of_the_vault():
    option = {"description": ["Password.", "Example: a variable of the vault, C(vault_demo_password)"]}
    assert (description(option), line("demo_password", option)) == (["Password."], 'demo_password: "{{ vault_demo_password }}"')


def test_an_example_is_told_apart_from_the_description():
    option = {"description": ["Memory limit.", "Example: C(512M)"], "default": "1G"}
    assert description(option) == ["Memory limit."]
    assert example(option) == "512M"


def test_without_a_written_example_the_default_or_a_choice_is_one():
    assert example({"description": "Port.", "default": 80}) == "80"
    assert example({"description": "Off or on.", "type": "bool", "default": True}) == "true"
    assert example({"description": "Kind.", "choices": ["a", "b"]}) == "a"
    assert example({"description": "Kind.", "choices": ["a", "b"], "default": "{{ other }}"}) == "a"
    assert line("path", {"description": "Path.", "default": "{{ other }}/x"}) == 'path: "{{ other }}/x"'
    assert example({"description": "Name."}) == ""


def test_a_list_says_what_it_is_a_list_of():
    assert type_name({"type": "list", "elements": "dict"}) == "list of dict"
    assert type_name({}) == "str"


def test_a_role_without_entry_point_has_no_variables():
    assert role_from_spec("x", None).options == {}


SPEC = """
argument_specs:
  main:
    short_description: A service
    description: Runs it.
    options:
      demo_port:
        description: ["Port | or so, see O(demo_name).", "Example: C(81)"]
        type: int
        default: 80
      demo_name: {description: Name., type: str, required: true}
"""


@pytest.fixture(name="roles")
def one_role(tmp_path):
    """A folder with one role that has nothing but its spec, and the tool on it."""
    meta = tmp_path / "roles/demo/meta"
    meta.mkdir(parents=True)
    (meta / "argument_specs.yml").write_text(SPEC, encoding="utf-8")
    return meta.parents[1]


def role_docs(roles: Path, *arguments: str) -> subprocess.CompletedProcess:
    tool = ROLES.parent / "tools/role_docs"
    if not tool.is_file():
        pytest.skip("this copy of the collection has no tools")
    return subprocess.run([sys.executable, str(tool), "--roles", str(roles), *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_readme_and_the_defaults_of_a_role_are_written_from_its_spec(roles):
    assert role_docs(roles, "--check").returncode == 1
    assert not (roles / "demo/README.md").exists()
    assert role_docs(roles).returncode == 0
    assert role_docs(roles, "--check").returncode == 0
    assert yaml.safe_load((roles / "demo/defaults/main.yml").read_text(encoding="utf-8")) == {"demo_port": 80}
    assert "| `demo_port` | int | `80` | Port \\| or so, see `demo_name`. | `81` |" in (roles / "demo/README.md").read_text(encoding="utf-8")


def test_a_stale_file_of_a_role_is_named(roles):
    role_docs(roles)
    (roles / "demo/meta/argument_specs.yml").write_text(SPEC.replace("default: 80", "default: 8080"), encoding="utf-8")
    found = role_docs(roles, "--check")
    assert found.returncode == 1
    assert "roles/demo/README.md: is stale" in found.stdout
    assert "roles/demo/defaults/main.yml: is stale" in found.stdout


def test_comments_in_right_defaults_are_kept(roles):
    (roles / "demo/defaults").mkdir()
    (roles / "demo/defaults/main.yml").write_text("# why\ndemo_port: 80\n", encoding="utf-8")
    role_docs(roles)
    assert (roles / "demo/defaults/main.yml").read_text(encoding="utf-8") == "# why\ndemo_port: 80\n"
