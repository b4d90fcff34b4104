# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import threading

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._deploy import deploy_options
from ansible_collections.longshore.stack.plugins.module_utils._release import recalled, release_of
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


ROOTS = {"stack_root": "/opt/s", "stack_secrets_root": "/etc/secrets/s", "stack_data_root": "/var/lib/s"}


def seen(app, host="box", groups=None):
    variables = {"stack_name": "s", "stack_apps": [app], **ROOTS}
    return View(host, groups or {"postgres": ["box"], "app": ["box"]}, lambda _host, name, default=None: variables.get(name, default))


def made(image=None, secrets=None, given=None, host="box", groups=None, **changes):
    """The release of APP with these changes; `secrets` are values, `given` is what the inventory has under that name."""
    app = {**APP, **({} if given is None else {"secrets": given}), **changes}
    return release_of(seen(app, host, groups), app, image or IMAGE, SECRETS if secrets is None else secrets)


def release(**changes):
    return made(**changes)["spec"]


def test_the_same_inventory_and_image_give_the_same_release():
    assert made() == made()
    assert release()["release"].startswith("1.4.2-")


def test_on_all_hosts_a_release_has_one_name_although_addresses_and_singletons_differ():
    groups = {"postgres": ["one"], "app": ["one", "two"]}
    one, two = (release(host=host, groups=groups) for host in groups["app"])
    hosts = [entry["definition"]["services"]["web"]["environment"]["DATABASE_HOST"] for entry in (one, two)]
    assert hosts == ["postgres", "one"], "each host reaches the database in its own way"
    assert (one["release"], one["project"], one["image"]) == (two["release"], two["project"], two["image"])


def test_another_address_of_a_service_or_another_first_host_makes_another_release():
    def name(groups, **variables):
        found = {"stack_name": "s", "stack_apps": [APP], **ROOTS, **variables}
        view = View("one", groups, lambda host, name, default=None: found.get(f"{host}.{name}", found.get(name, default)))
        return release_of(view, APP, IMAGE, SECRETS)["spec"]["release"]

    apart = {"postgres": ["db"], "app": ["one", "two"]}
    assert name(apart) == name({**apart, "app": ["one", "two", "three"]})
    others = [
        name(apart, **{"db.stack_address": "10.0.0.6"}),
        name(apart, postgres_port=5433),
        name({**apart, "postgres": ["one"]}),
        name({**apart, "app": ["zero", "one", "two"]}),
    ]
    assert len({name(apart), *others}) == 5


def test_a_singleton_runs_on_the_first_application_host_and_on_no_other():
    groups = {"postgres": ["one"], "app": ["one", "two"]}
    one, two = (release(host=host, groups=groups) for host in groups["app"])
    assert (one["singletons"], one["overlapping"], set(one["definition"]["services"])) == (["beat"], ["web"], {"web", "beat", "migrate"})
    assert (two["singletons"], two["overlapping"], set(two["definition"]["services"])) == ([], ["web"], {"web", "migrate"})


def test_a_web_process_that_is_a_singleton_takes_requests_on_its_own_host_alone():
    groups = {"postgres": ["one"], "app": ["one", "two"]}
    processes = [WEB, {"name": "admin", "port": 9000, "singleton": True}]
    assert [sorted(release(host=host, groups=groups, processes=processes)["backends"]) for host in groups["app"]] == [["admin", "web"], ["web"]]


def test_what_must_not_overlap_is_handed_over_on_every_host():
    groups = {"postgres": ["one"], "app": ["one", "two"]}
    processes = [WEB, {"name": "importer", "strategy": "recreate"}]
    for host in groups["app"]:
        found = release(host=host, groups=groups, processes=processes)
        assert (found["singletons"], found["overlapping"]) == (["importer"], ["web"])


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


def test_a_release_whose_image_is_not_known_has_no_name_that_it_will_not_have_later():
    unknown = {"ref": IMAGE["ref"], "id": "", "digest": ""}
    assert release(image=unknown)["release"] == "1.4.2-unknown"
    foretold = release(image={**unknown, "digest": "sha256:d"})["release"]
    assert foretold == release(image={**IMAGE, "digest": "sha256:d"})["release"], "its digest is enough"


def test_every_release_has_directory_project_secrets_and_a_name_for_its_image_of_its_own():
    found = release()
    name = found["release"]
    assert found["path"] == f"/opt/s/apps/shop/releases/{name}"
    assert found["image"] == {**IMAGE, "digest": "", "name": f"longshore/s-shop:{name}"}
    assert found["definition"]["services"]["web"]["image"] == found["image"]["name"], "which no later build or pull takes away"
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
    assert services["web"]["networks"] == ["backend", "edge"]
    assert services["beat"]["networks"] == services["migrate"]["networks"] == ["backend"]
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


def test_a_mount_of_the_host_must_be_there_and_is_read_only_unless_the_inventory_says_otherwise():
    mounts = [{"source": "/srv/x", "target": "/app"}, {"source": "/srv/y", "target": "/y", "read_only": False}]
    volumes = release(processes=[{**WEB, "mounts": mounts}])["definition"]["services"]["web"]["volumes"]
    assert volumes[0] == {"type": "bind", "source": "/srv/x", "target": "/app", "bind": {"create_host_path": False}, "read_only": True}
    assert "read_only" not in volumes[1]


def test_a_migration_is_a_tool_that_does_not_start_by_itself():
    migrate = release()["definition"]["services"]["migrate"]
    assert (migrate["profiles"], migrate["restart"], migrate["image"]) == (["tools"], "no", release()["image"]["name"])
    assert "migrate" not in release(migration={"tool": "none"})["definition"]["services"]
    assert "migrate" not in release(migration=None)["definition"]["services"]


def test_nothing_of_a_release_restarts_by_itself_until_it_is_live():
    assert {service["restart"] for service in release()["definition"]["services"].values()} == {"no"}


def test_the_switch_leads_to_web_processes_that_have_a_replica():
    found = release()
    web = {"name": "shop-web", "switch_port": 27368, "port": 8000, "health": "/health", "host": "", "places": 8}
    assert {**found["backends"]["web"], "host": ""} == web
    assert (found["network"], found["switch"]) == ("s_edge", {"path": "/var/lib/s/switch"})
    for processes in ([{"name": "worker"}], [{**WEB, "replicas": 0}]):
        found = release(processes=processes)
        assert (found["backends"], found["switch"]) == ({}, {})
        used = {network for service in found["definition"]["services"].values() for network in service["networks"]}
        assert used <= set(found["definition"]["networks"]), "Compose refuses a network that is not defined"


def test_a_deploy_is_as_careful_as_the_inventory_says_and_that_makes_no_other_release():
    assert deploy_options({"deploy": {"drain": 5, "keep": None}}) == {**deploy_options({}), "drain": 5}
    found = release(deploy={"drain": 60, "keep": 3, "keep_previous": "warm"})
    assert (found["drain"], found["keep"], found["warm"]) == (60, 3, True)
    assert found["release"] == release()["release"]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_secrets_are_env_files_of_root_that_every_process_reads_the_issued_ones_apart():
    found = made()
    own, issued = found["secrets"]
    assert [(entry["name"], entry["uid"]) for entry in (own, issued)] == [("environment", 0), ("credentials", 0)]
    assert own["value"].splitlines() == ["SECRET_KEY='key'"]
    assert issued["value"].splitlines() == ["DATABASE_PASSWORD='pw'", "DATABASE_URL='postgresql://shop:pw@postgres:5432/shop'"]
    for service in found["spec"]["definition"]["services"].values():
        assert service["env_file"] == ["secret:environment", "secret:credentials"]


def test_secrets_as_files_belong_to_the_user_and_the_environment_says_where_they_are():
    found = made(secrets_as="files", user="1234:5")
    assert [(secret["name"], secret["uid"]) for secret in found["secrets"]] == [("SECRET_KEY", 1234), ("DATABASE_PASSWORD", 1234), ("DATABASE_URL", 1234)]
    for service in found["spec"]["definition"]["services"].values():
        assert service["environment"]["SECRET_KEY_FILE"] == "/run/secrets/SECRET_KEY"
        assert service["secrets"] == ["DATABASE_PASSWORD", "DATABASE_URL", "SECRET_KEY"]
        assert "env_file" not in service


def test_without_secrets_there_is_no_file_for_them():
    found = made(needs=[], given={})
    assert (found["secrets"], found["spec"]["own_secrets"]) == ([], [])
    assert "env_file" not in found["spec"]["definition"]["services"]["web"]


@pytest.mark.parametrize("how", ["env", "files"])
def test_no_secret_is_in_the_definition(how):
    secrets = {"app_shop_SECRET_KEY": "canary-one", "postgres_shop": "canary-two"}
    assert "canary" not in repr(release(secrets=secrets, secrets_as=how))


@pytest.mark.parametrize(
    ("how", "own", "issued"),
    [
        ("env", {"environment": 0}, {"credentials": 0}),
        ("files", {"SECRET_KEY": 10001}, {"DATABASE_PASSWORD": 10001, "DATABASE_URL": 10001}),
    ],
)
def test_an_earlier_release_keeps_its_own_secrets_and_is_given_the_credentials_of_today(how, own, issued):
    record = release(secrets_as=how)
    app = {**APP, "secrets_as": how, "version": "2", "env": {"LOG_LEVEL": "error"}}
    again = recalled(seen(app), app, record, {**SECRETS, "app_shop_SECRET_KEY": "today's key", "postgres_shop": "today's"})
    assert again["spec"] == record, "image, environment and configuration are those of the release"
    kept = {entry["name"]: entry["uid"] for entry in again["secrets"] if entry["value"] is None}
    given = {entry["name"]: entry["uid"] for entry in again["secrets"] if entry["value"] is not None}
    assert (kept, given) == (own, issued)
    assert "today's key" not in repr(again)
    assert all("today" in entry["value"] for entry in again["secrets"] if entry["value"] is not None)


def test_an_earlier_release_knows_its_secrets_by_the_names_and_in_the_form_that_it_had():
    record = release(secrets_as="files", user="1234:5", env_names={"DATABASE_URL": "DB"})
    again = recalled(seen(APP), {**APP, "env_names": {"DATABASE_PASSWORD": "PW"}}, record, SECRETS)
    assert [(entry["name"], entry["uid"]) for entry in again["secrets"]] == [("SECRET_KEY", 1234), ("DATABASE_PASSWORD", 1234), ("DB", 1234)]
    assert {entry["name"] for entry in again["secrets"]} == set(record["definition"]["services"]["web"]["secrets"])


@pytest.mark.parametrize("how", ["env", "files"])
def test_an_earlier_release_is_given_what_it_needs_although_the_inventory_has_changed(how):
    record = release(secrets_as=how)
    changes = {"env": {"DATABASE_URL": "postgresql://in.the.open"}, "secrets": {"DATABASE_PASSWORD": "", "NEW": ""}, "needs": ["postgres", "valkey"]}
    app = {**APP, "secrets_as": how, **changes}
    again = recalled(seen(app, groups={name: ["box"] for name in ("postgres", "valkey", "app")}), app, record, {**SECRETS, "valkey_shop": "other"})
    then = made(secrets_as=how)["secrets"]
    assert [{**entry, "value": None if entry["name"] in record["own_secrets"] else entry["value"]} for entry in then] == again["secrets"]


def test_an_earlier_release_asks_for_services_where_they_are_now():
    app = {**APP, "processes": [WEB, {"name": "report", "env": {"DATABASE_HOST": "replica"}}]}
    groups = {"postgres": ["db"], "app": ["box"]}
    record = release_of(seen(app, groups=groups), app, IMAGE, SECRETS)["spec"]
    moved = recalled(seen(app, groups={**groups, "postgres": ["new-db"]}), app, record, SECRETS)
    environments = {name: service["environment"] for name, service in moved["spec"]["definition"]["services"].items()}
    assert (environments["web"]["DATABASE_HOST"], environments["report"]["DATABASE_HOST"]) == ("new-db", "replica")
    assert "@new-db:5432/" in next(one["value"] for one in moved["secrets"] if one["name"] == "credentials")
    assert moved["spec"]["release"] == record["release"]
    again = recalled(seen(app, groups=groups), app, moved["spec"], SECRETS)
    assert again["spec"]["definition"] == record["definition"]


def test_what_the_user_says_himself_of_an_address_an_earlier_release_keeps():
    app = {**APP, "env": {"DATABASE_HOST": "mine"}}
    record = release_of(seen(app), app, IMAGE, SECRETS)["spec"]
    back = recalled(seen(app, groups={"postgres": ["new-db"], "app": ["box"]}), app, record, SECRETS)
    assert back["spec"]["definition"]["services"]["web"]["environment"]["DATABASE_HOST"] == "mine"


def test_an_earlier_release_that_cannot_be_given_what_it_needs_is_refused_with_what_that_is():
    record = release()
    app = {**APP, "needs": []}
    with pytest.raises(WiringError, match=r"1\.4\.2-\w+ needs postgres, and the inventory gives shop no such service any more; to go back to it, put postgres"):
        recalled(seen(app), app, record, {"app_shop_SECRET_KEY": "key"})
    variables = {"stack_name": "s", "stack_apps": [APP], "postgres_external_url": "postgresql://managed", **ROOTS}
    elsewhere = View("box", {"app": ["box"]}, lambda _host, name, default=None: variables.get(name, default))
    with pytest.raises(WiringError, match="needs DATABASE_PASSWORD, which the stack does not give any more: the service has moved since"):
        recalled(elsewhere, APP, record, SECRETS)


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
    own, _issued = made(secrets={**SECRETS, "app_shop_SECRET_KEY": value})["secrets"]
    assert own["value"].splitlines() == [f"SECRET_KEY={quoted}"]


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
    assert command.count("http://127.0.0.1:8000/health") == 2 and " 8000 /health " in command


@pytest.mark.parametrize(("answer", "well"), [(200, True), (302, True), (404, False), (503, False), (None, False)], ids=str)
def test_an_image_with_python_alone_asks_as_a_visitor_would(answer, well):
    asked = []

    def serve(listening):
        with listening.accept()[0] as visitor:
            asked.append(visitor.recv(1000).decode())
            visitor.sendall(f"HTTP/1.0 {answer} Word\r\n\r\n".encode() if answer else b"")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (last,) = health(port=port, routes=[{"host": "shop.example.org"}], health={"path": "/h?a=1&b=$x;"})["test"][1].split(" || ")[2:]
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        done = subprocess.run(["sh", "-c", last.replace("python3", shlex.quote(sys.executable))], capture_output=True, timeout=30, check=False)
        server.join(30)
    assert (done.returncode == 0) == well, done.stderr
    assert asked == ["GET /h?a=1&b=$x; HTTP/1.0\r\nHost: shop.example.org\r\n\r\n"]


def test_a_health_path_with_a_query_stays_one_word_of_the_shell():
    command = health(port=80, health={"path": "/h?a=1&b=$x;"})["test"][1]
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found = list(words)
    assert (found.count("http://127.0.0.1:80/h?a=1&b=$x;"), found.count("/h?a=1&b=$x;")) == (2, 1)


def test_a_health_command_is_run_as_it_is_and_without_either_the_image_decides():
    assert health(health={"command": ["celery", "inspect"]})["test"] == ["CMD", "celery", "inspect"]
    assert health(health={"path": "/health"}) is None
    assert health() is None


# -- what outlives a release -------------------------------------------------------------------------------------------


def test_a_volume_is_a_directory_of_the_applications_user_that_every_release_mounts():
    found = release(volumes=[{"name": "media", "target": "/media", "processes": ["web"]}])
    (mount,) = found["definition"]["services"]["web"]["volumes"]
    assert (mount["source"], mount["target"], mount.get("read_only")) == ("/var/lib/s/shop/volumes/media", "/media", None)
    assert found["directories"] == [{"path": "/var/lib/s/shop/volumes/media", "uid": 10001, "gid": 10001, "mode": "0750"}]
    assert "volumes" not in found["definition"]["services"]["beat"]


def test_static_files_lie_in_a_directory_of_the_release_and_are_only_read():
    found = release(static=[{"path": "/app/static", "processes": ["web"], "command": ["collect"]}])
    (mount,) = found["definition"]["services"]["web"]["volumes"]
    assert (mount["source"], mount["read_only"]) == (f"/var/lib/s/shop/static/{found['release']}/0", True)
    assert found["static"] == [{"path": "/app/static", "number": 0, "keep": 1, "command": ["collect"], "service": "web"}]
    assert found["static_root"] == "/var/lib/s/shop/static"


def test_static_files_are_collected_in_a_process_that_runs_on_the_host():
    """Also where the first process of the application is a singleton, which only the first host has."""
    groups = {"postgres": ["one"], "app": ["one", "two"]}
    static = [{"path": "/all"}, {"path": "/beat", "processes": ["beat"]}, {"path": "/web", "processes": ["beat", "web"]}]
    one, two = (release(host=host, groups=groups, processes=APP["processes"][::-1], static=static) for host in groups["app"])
    assert [(entry["number"], entry["service"]) for entry in one["static"]] == [(0, "beat"), (1, "beat"), (2, "beat")]
    assert [(entry["number"], entry["service"]) for entry in two["static"]] == [(0, "web"), (2, "web")], "what is for a process of another host is that one's"
    assert set(two["definition"]["services"]) == {"web", "migrate"} and one["release"] == two["release"]


def test_files_that_outlive_a_release_make_another_release():
    names = {release(**more)["release"] for more in ({}, {"volumes": [{"name": "m", "target": "/m"}]}, {"static": [{"path": "/static"}]})}
    assert len(names) == 3
