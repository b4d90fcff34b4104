# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shlex

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._release import release_of
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View, WiringError

IMAGE = {"ref": "registry.test/shop:1.4.2", "id": "sha256:1"}
SECRETS = {"app_shop_SECRET_KEY": "key", "postgres_shop": "pw"}
WEB = {"name": "web", "port": 8000, "command": ["serve"], "health": {"path": "/health"}, "writable": ["/cache"], "replicas": 2}
APP = {
    "name": "shop",
    "image": "registry.test/shop",
    "version": "1.4.2",
    "needs": ["postgres"],
    "env": {"LOG_LEVEL": "info"},
    "secrets": {"SECRET_KEY": ""},
    "migration": {"tool": "alembic"},
    "processes": [WEB, {"name": "beat", "singleton": True, "env": {"LOG_LEVEL": "debug"}}],
}


def release(image=None, secrets=None, given=None, **changes):
    """The release of APP with these changes; `secrets` are values, `given` is what the inventory has under that name."""
    app = {**APP, **({} if given is None else {"secrets": given}), **changes}
    variables = {"stack_name": "s", "stack_root": "/opt/s", "stack_secrets_root": "/etc/secrets/s", "stack_apps": [app]}
    view = View("box", {"postgres": ["box"], "app": ["box"]}, lambda host, name, default=None: variables.get(name, default))
    return release_of(view, app, image or IMAGE, SECRETS if secrets is None else secrets)


def test_the_same_inventory_and_image_give_the_same_release():
    assert release() == release()
    assert release()["release"].startswith("1.4.2-")


@pytest.mark.parametrize(
    "changes",
    [
        {"image": {**IMAGE, "id": "sha256:2"}},
        {"env": {"LOG_LEVEL": "debug"}},
        {"secrets": {**SECRETS, "postgres_shop": "rotated"}},
        {"processes": [{**WEB, "replicas": 3}]},
        {"user": "1:1"},
        {"secrets_as": "files"},
        {"migration": {"tool": "none"}},
        {"env_names": {"DATABASE_URL": "DB"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_makes_it_another_one_gives_it_another_name(changes):
    assert release(**changes)["release"] != release()["release"]


def test_where_the_image_came_from_does_not_make_another_release():
    assert release(image={**IMAGE, "ref": "longshore/shop:1.4.2"})["release"] == release()["release"]


def test_every_release_has_directory_project_and_secrets_of_its_own():
    found = release()
    name = found["release"]
    assert (found["root"], found["path"]) == ("/opt/s/apps/shop", f"/opt/s/apps/shop/releases/{name}")
    assert found["secrets_path"] == f"/etc/secrets/s/shop/{name}"
    assert found["project"] == f"s-shop-{name.replace('.', '-')}"
    assert (found["labels"], found["singletons"]) == ({"stack.longshore.release": name}, ["beat"])


@pytest.mark.parametrize(
    ("version", "start"),
    [("1.4.2", "1.4.2-"), ("V2/Feature_x", "v2-feature_x-"), ("1.0+build", "1.0-build-"), ("überall", None), (7, "7-"), (None, "dev-")],
    ids=str,
)
def test_a_version_names_a_release_in_letters_that_compose_takes(version, start):
    if start is None:
        with pytest.raises(WiringError, match="cannot name a release"):
            release(version=version)
    else:
        found = release(version=version)
        assert found["release"].startswith(start)
        assert all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in found["project"])


def test_a_version_that_cannot_be_a_name_is_refused_with_an_example():
    with pytest.raises(WiringError, match=r"version '-x' cannot name a release; .* for example 1.4.2"):
        release(version="-x")


def test_a_web_process_is_on_both_networks_and_the_others_see_the_services_only():
    services = release()["definition"]["services"]
    assert services["web"]["networks"] == {"backend": {}, "edge": {"aliases": ["shop-web"]}}
    assert services["beat"]["networks"] == {"backend": {}}
    assert services["migrate"]["networks"] == ["backend"]
    assert release()["definition"]["networks"] == {"backend": {"name": "s_backend", "external": True}, "edge": {"name": "s_edge", "external": True}}
    assert "edge" not in release(processes=[{"name": "beat"}])["definition"]["networks"]


def test_processes_share_the_environment_and_add_their_own():
    found = release()
    services = found["definition"]["services"]
    assert (services["web"]["environment"]["LOG_LEVEL"], services["beat"]["environment"]["LOG_LEVEL"]) == ("info", "debug")
    assert services["web"]["environment"]["APP_RELEASE"] == found["release"]


def test_a_process_gets_its_limits_replicas_writable_folders_and_grace():
    web = release()["definition"]["services"]["web"]
    assert (web["scale"], web["tmpfs"], web["stop_grace_period"], web["command"]) == (2, ["/cache", "/tmp"], "30s", ["serve"])
    assert web["deploy"]["resources"]["limits"] == {"memory": "512M", "cpus": "1.0"}
    assert web["user"] == "10001:10001"


def test_a_mount_of_the_host_must_be_there():
    mounts = [{"source": "/srv/x", "target": "/app", "read_only": True}, {"source": "/srv/y", "target": "/y"}]
    volumes = release(processes=[{**WEB, "mounts": mounts}])["definition"]["services"]["web"]["volumes"]
    assert volumes[0] == {"type": "bind", "source": "/srv/x", "target": "/app", "bind": {"create_host_path": False}, "read_only": True}
    assert "read_only" not in volumes[1]


def test_a_migration_is_a_tool_that_does_not_start_by_itself():
    migrate = release()["definition"]["services"]["migrate"]
    assert (migrate["profiles"], migrate["restart"], migrate["image"]) == (["tools"], "no", IMAGE["ref"])
    assert "migrate" not in release(migration={"tool": "none"})["definition"]["services"]
    assert "migrate" not in release(migration=None)["definition"]["services"]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_secrets_are_one_env_file_of_root_that_every_process_reads():
    found = release()
    (secret,) = found["secrets"]
    assert (secret["name"], secret["uid"]) == ("environment", 0)
    assert secret["value"].splitlines() == ["DATABASE_PASSWORD='pw'", "DATABASE_URL='postgresql://shop:pw@postgres:5432/shop'", "SECRET_KEY='key'"]
    for service in found["definition"]["services"].values():
        assert service["env_file"] == [f"{found['secrets_path']}/environment.1"]


def test_secrets_as_files_belong_to_the_user_and_the_environment_says_where_they_are():
    found = release(secrets_as="files", user="1234:5")
    assert [(secret["name"], secret["uid"]) for secret in found["secrets"]] == [("DATABASE_PASSWORD", 1234), ("DATABASE_URL", 1234), ("SECRET_KEY", 1234)]
    for service in found["definition"]["services"].values():
        assert service["environment"]["SECRET_KEY_FILE"] == "/run/secrets/SECRET_KEY"
        assert service["secrets"] == ["DATABASE_PASSWORD", "DATABASE_URL", "SECRET_KEY"]
        assert "env_file" not in service


def test_without_secrets_there_is_no_file_for_them():
    found = release(needs=[], given={})
    assert found["secrets"] == []
    assert "env_file" not in found["definition"]["services"]["web"]


@pytest.mark.parametrize("how", ["env", "files"])
def test_no_secret_is_in_the_definition(how):
    secrets = {"app_shop_SECRET_KEY": "canary-one", "postgres_shop": "canary-two"}
    found = release(secrets=secrets, secrets_as=how)
    assert "canary" not in repr({**found, "secrets": []})


# What `docker compose config` shows for each of these lines is the value, byte for byte (tried with Compose 5).
@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", "'plain'"),
        ("", "''"),
        ('$x ${y} # "q" \\n', "'$x ${y} # \"q\" \\n'"),
        (" spaces ", "' spaces '"),
        ("it's", '"it\'s"'),
        ("it's $5 \"\\", '"it\'s \\$5 \\"\\\\"'),
        ("ends with \\", '"ends with \\\\"'),
        ("two\nlines\r\n", '"two\\nlines\\r\\n"'),
    ],
    ids=ascii,
)
def test_a_secret_is_quoted_so_that_compose_reads_it_back_on_one_line(value, quoted):
    (secret,) = release(secrets={**SECRETS, "app_shop_SECRET_KEY": value})["secrets"]
    assert secret["value"].splitlines()[-1] == f"SECRET_KEY={quoted}"


# -- health ------------------------------------------------------------------------------------------------------------


def health(**process):
    return release(processes=[{"name": "web", **process}])["definition"]["services"]["web"].get("healthcheck")


def test_a_health_path_is_asked_with_whatever_the_image_has():
    check = health(port=8000, health={"path": "/health", "interval": 2, "retries": 3})
    assert {key: check[key] for key in ("interval", "timeout", "retries", "start_period")} == {
        "interval": "2s",
        "timeout": "3s",
        "retries": 3,
        "start_period": "60s",
    }
    kind, command = check["test"]
    assert kind == "CMD-SHELL"
    assert [part.split()[0] for part in command.split(" || ")] == ["wget", "curl", "python3"]
    assert command.count("http://127.0.0.1:8000/health") == 3


def test_a_health_path_with_a_query_stays_one_word_of_the_shell():
    command = health(port=80, health={"path": "/h?a=1&b=$x;"})["test"][1]
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    assert list(words).count("http://127.0.0.1:80/h?a=1&b=$x;") == 3


def test_a_health_command_is_run_as_it_is_and_without_either_the_image_decides():
    assert health(health={"command": ["celery", "inspect"]})["test"] == ["CMD", "celery", "inspect"]
    assert health(health={"path": "/health"}) is None
    assert health() is None
