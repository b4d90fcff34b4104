# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.module_utils._compose import to_yaml
from ansible_collections.longshore.stack.plugins.module_utils._masking import files_of, masked, secrets_of
from ansible_collections.longshore.stack.plugins.module_utils._release import release_of
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View

COLLECTION = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "text",
    ["postgresql://app:s3cret-pw@db:5432/app", "redis://:s3cret-pw@cache/0", "amqp://u:s3cret-pw/with@slash@mq", "could not reach 'pg+x://u:s3cret-pw@db'"],
)
def test_the_password_of_a_url_is_masked(text):
    assert "s3cret-pw" not in masked(text)
    assert "***@" in masked(text)


def test_text_without_a_password_stays_as_it_is():
    text = "see https://docs.example.org/page: mail me@example.org, http://host:8000/path"
    assert masked(text) == text


def test_values_of_variables_that_are_called_secret_are_masked():
    secrets = secrets_of({"SECRET_KEY": "abcdef123", "DB_PASSWORD": "hunter2222", "LOG_LEVEL": "information", "API_KEY": "short"})
    assert masked("abcdef123 hunter2222 information short", secrets) == "*** *** information short"


def test_the_password_within_a_url_of_the_environment_is_masked_where_it_stands_alone():
    secrets = secrets_of({"DATABASE_URL": "postgresql://app:p%40ssw0rd@db/app?x=1"})
    assert masked("password=p@ssw0rd p%40ssw0rd", secrets) == "password=*** ***"


@pytest.mark.parametrize("secrets_as", ["environment", "files"])
def test_what_the_example_application_is_given_in_the_open_is_no_secret(secrets_as):
    """An application's own name is its database, its user, and the name of its key of S3."""
    inventory = yaml.safe_load((COLLECTION / "inventories/prod/group_vars/prod.yml").read_text())
    app = {**inventory["stack_apps"][0], "image": "example", "version": "1", "secrets_as": secrets_as}
    values = {"stack_name": "prod", "stack_apps": [app], "stack_root": "/o", "stack_secrets_root": "/s", "stack_data_root": "/d"}
    groups = {group: ["box"] for group in ("postgres", "valkey", "rabbitmq", "minio", "app")}
    names = [f"{need}_example" for need in app["needs"]] + [f"app_example_{name}" for name in app.get("secrets") or {}]
    issued = {name: f"canary-of-{name}" for name in names}
    made = release_of(View("box", groups, lambda _host, name, default=None: values.get(name, default)), app, {"ref": "example:1", "id": "sha256:1"}, issued)
    environment = {name: str(value) for name, value in made["spec"]["definition"]["services"]["web"]["environment"].items()}
    assert environment["AWS_ACCESS_KEY_ID"] == "example"
    assert secrets_as != "files" or environment["DATABASE_PASSWORD_FILE"] == "/run/secrets/DATABASE_PASSWORD"
    files = [secret["value"] for secret in made["secrets"]]
    said = 'FATAL: database "example" does not exist; example.0002_prices; cannot read /run/secrets/DATABASE_PASSWORD'
    assert masked(said, secrets_of(environment, files)) == said
    for value in issued.values():
        assert value not in masked(f"password {value} of it", secrets_of(environment, files))


def test_the_key_that_belongs_to_the_name_of_a_key_is_masked():
    environment = {"AWS_ACCESS_KEY_ID": "example", "AWS_SECRET_ACCESS_KEY": "canary-of-s3", "TLS_KEY_FILE": "/run/tls.key", "KEYFILE_PASSWORD": "canary-too"}
    assert masked("example canary-of-s3 /run/tls.key canary-too", secrets_of(environment)) == "example *** /run/tls.key ***"


def test_what_a_secret_file_holds_is_masked_whatever_its_name_is():
    assert masked("charged with sk_live_4711", secrets_of({}, ["sk_live_4711\n"])) == "charged with ***"


def test_an_env_file_names_the_variables_whose_values_are_masked_also_those_that_it_had_to_quote():
    environment = {"STRIPE_SK": 'it\'s "quoted"', "PEM": "-----BEGIN-----\nline-of-the-key", "LOG_LEVEL": "information"}
    secrets = secrets_of(environment, ['STRIPE_SK="it\'s \\"quoted\\""\nPEM="-----BEGIN-----\\nline-of-the-key"\n'])
    assert masked('it\'s "quoted" line-of-the-key information', secrets) == "*** *** information"


def test_the_password_within_a_url_of_a_secret_file_is_masked_where_it_stands_alone():
    assert masked("p@ssw0rd p%40ssw0rd", secrets_of({}, ["postgresql://app:p%40ssw0rd@db/app"])) == "*** ***"
    assert masked("p@ssw0rd p%40ssw0rd", secrets_of({}, ["DATABASE_URL='postgresql://app:p%40ssw0rd@db/app'\n"])) == "*** ***"


def test_short_lines_of_a_secret_file_stay_as_they_are():
    assert masked("debug on port 5432", secrets_of({"LEVEL": "debug"}, ["LEVEL='debug'\nPORT='5432'\n"])) == "debug on port 5432"


def test_the_files_are_those_that_the_compose_file_names_as_secrets(tmp_path):
    for name in ("A$B.2", "other"):
        (tmp_path / name).write_text(f"canary of {name}")
    whole = {
        "services": {"web": {"image": "x", "secrets": ["a"], "volumes": [{"type": "bind", "file": "no"}]}},
        "secrets": {"a": {"file": f"{tmp_path}/A$$B.2"}, "gone": {"file": f"{tmp_path}/gone.1"}},
        "networks": {"n": {"file": f"{tmp_path}/other"}},
    }
    (tmp_path / "compose.yaml").write_text(to_yaml(whole))
    assert files_of(str(tmp_path / "compose.yaml")) == ["canary of A$B.2"]
    assert files_of(str(tmp_path / "not-there.yaml")) == files_of("") == []
