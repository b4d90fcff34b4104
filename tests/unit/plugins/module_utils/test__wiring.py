# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _wiring
from ansible_collections.longshore.stack.plugins.module_utils._wiring import View, WiringError

APP = {
    "name": "my-shop",
    "version": "1.4.2",
    "needs": ["postgres", "valkey", "rabbitmq", "s3"],
    "env": {"LOG_LEVEL": "info", "DEBUG": False, "LIMIT": 5},
    "secrets": {"SECRET_KEY": ""},
    "processes": [{"name": "web", "port": 8000, "routes": [{"host": "app.test"}], "health": {"path": "/health"}}, {"name": "worker"}],
}
EVERYTHING = ("postgres", "valkey", "rabbitmq", "seaweedfs", "proxy", "app")


def view(host="box", groups=None, hostvars=None, **variables):
    """The inventory of one host `box` that has everything, or of what is given."""
    shared = {"stack_name": "s", "stack_environment": "prod", "stack_apps": [APP], **variables}

    def of(name, variable, default=None):
        return (hostvars or {}).get(name, {}).get(variable, shared.get(variable, default))

    return View(host, groups or dict.fromkeys(EVERYTHING, ["box"]), of)


APART = {"postgres": ["db1"], "valkey": ["db1"], "rabbitmq": ["db1"], "minio": ["db1"], "proxy": ["web1"], "app": ["web1", "web2"]}
VALUES = {f"{need}_my-shop": f"{need}/p@ss" for need in APP["needs"]} | {"app_my-shop_SECRET_KEY": "k"}


# -- where a service is ------------------------------------------------------------------------------------------------


def test_on_its_own_host_a_service_is_reached_by_name_at_its_inner_port():
    assert _wiring.endpoint(view(postgres_port=15432), "postgres") == {"via": "network", "scheme": "", "host": "postgres", "port": 5432}


@pytest.mark.parametrize(
    ("hostvars", "address"),
    [
        ({"db1": {"stack_address": "10.0.0.5", "ansible_host": "db.test"}}, "10.0.0.5"),
        ({"db1": {"ansible_host": "db.test"}}, "db.test"),
        ({}, "db1"),
    ],
    ids=["private", "ansible_host", "name"],
)
def test_from_another_host_it_is_the_private_address_and_the_published_port(hostvars, address):
    hostvars = {**hostvars, "db1": {**hostvars.get("db1", {}), "postgres_port": 15432}}
    where = _wiring.endpoint(view("web1", APART, hostvars), "postgres")
    assert where == {"via": "address", "scheme": "", "host": address, "port": 15432}


@pytest.mark.parametrize(
    ("need", "variable", "url", "port"),
    [
        ("postgres", "postgres_external_url", "postgresql://u:p@db.test:6000/x", 6000),
        ("postgres", "postgres_external_url", "postgresql://u:p@db.test/x", 5432),
        ("valkey", "valkey_external_url", "rediss://db.test/0", 6379),
        ("rabbitmq", "rabbitmq_external_url", "amqps://db.test/v", 5671),
        ("s3", "s3_external_url", "https://db.test", 443),
    ],
)
def test_a_service_that_is_managed_elsewhere_wins_over_one_of_the_stack(need, variable, url, port):
    where = _wiring.endpoint(view(**{variable: url}), need)
    assert (where["via"], where["host"], where["port"], where["url"]) == ("external", "db.test", port, url)


@pytest.mark.parametrize(("group", "port"), [("minio", 9000), ("seaweedfs", 8333)])
def test_s3_is_whichever_service_has_hosts(group, port):
    where = _wiring.endpoint(view(groups={group: ["box"], "app": ["box"]}), "s3")
    assert (where["host"], where["port"]) == (group, port)


def test_nothing_that_provides_a_service_is_an_error_that_says_what_to_do():
    with pytest.raises(WiringError, match="nothing provides s3: put a host into the group minio or seaweedfs, or set s3_external_url"):
        _wiring.endpoint(view(groups={"app": ["box"]}), "s3")
    with pytest.raises(WiringError, match="unknown service 'redis'; known: postgres, valkey, rabbitmq, minio, seaweedfs, s3"):
        _wiring.endpoint(view(), "redis")


def test_a_port_is_published_on_the_private_address_only_if_another_host_needs_it():
    hostvars = {"db1": {"stack_address": "10.0.0.5", "postgres_port": 15432}}
    assert _wiring.published(view(), "postgres") == []
    assert _wiring.published(view("db1", APART, hostvars), "postgres") == ["10.0.0.5:15432:5432"]
    assert _wiring.published(view("db1", APART, hostvars), "minio") == ["10.0.0.5:9000:9000"]
    assert _wiring.published(view("db1", APART, hostvars, stack_apps=[{**APP, "needs": []}]), "postgres") == []
    assert _wiring.published(view("db1", APART, hostvars, postgres_external_url="postgresql://db.test/x"), "postgres") == []


# -- applications, users, secrets --------------------------------------------------------------------------------------


def test_app_version_wins_over_the_inventory():
    assert view(app_version="2.0").apps[0]["version"] == "2.0"
    assert view().apps[0]["version"] == "1.4.2"


def test_with_several_applications_app_version_needs_the_name_of_one_of_them():
    apps = [APP, {"name": "docs", "version": "1"}]
    assert [app["version"] for app in view(stack_apps=apps, app_version="2.0", app_name="docs").apps] == ["1.4.2", "2.0"]
    with pytest.raises(WiringError, match="app_version=2.0 needs app_name; allowed: my-shop, docs"):
        list(view(stack_apps=apps, app_version="2.0").apps)
    with pytest.raises(WiringError, match="app_name=dosc is no application; allowed: my-shop, docs"):
        list(view(stack_apps=apps, app_version="2.0", app_name="dosc").apps)


def test_each_application_has_a_user_where_it_needs_one_under_a_name_that_the_service_takes():
    (user,) = _wiring.users(view(), "postgres")
    assert (user["name"], user["secret"]) == ("my_shop", "postgres_my-shop")
    (user,) = _wiring.users(view(stack_apps=[{**APP, "database": "own", "extensions": ["vector"], "bucket": "b"}, {"name": "docs"}]), "postgres")
    assert (user["name"], user["extensions"], user["bucket"]) == ("own", ["vector"], "b")
    assert [user["name"] for user in _wiring.users(view(), "s3")] == ["my-shop"]
    assert _wiring.users(view(s3_external_url="https://s3.test"), "s3") == []


def test_secrets_are_what_the_inventory_gives_and_empty_where_one_is_to_be_made():
    app = {**APP, "credentials": {"postgres": "given"}, "secrets": {"SECRET_KEY": "", "API_KEY": "own"}}
    assert _wiring.secrets(view(stack_apps=[app], valkey_password="admin")) == {
        "postgres_admin": "",
        "valkey_admin": "admin",
        "rabbitmq_admin": "",
        "s3_admin": "",
        "postgres_my-shop": "given",
        "valkey_my-shop": "",
        "rabbitmq_my-shop": "",
        "s3_my-shop": "",
        "app_my-shop_SECRET_KEY": "",
        "app_my-shop_API_KEY": "own",
    }


def test_a_password_may_live_with_the_host_of_its_service_alone():
    known = _wiring.secrets(view("web1", APART, {"db1": {"postgres_password": "only there"}}))
    assert known["postgres_admin"] == "only there"


def test_no_secret_is_made_for_a_service_that_is_managed_elsewhere():
    known = _wiring.secrets(view(groups={"app": ["box"]}, stack_apps=[{**APP, "needs": ["postgres"]}], postgres_external_url="postgresql://u:p@db.test/x"))
    assert list(known) == ["app_my-shop_SECRET_KEY"]


def test_a_service_knows_its_administrator_and_its_users():
    values = {**VALUES, "s3_admin": "a"}
    assert _wiring.service_secrets(view(), "seaweedfs", values, 1000) == [
        {"name": "s3_admin", "value": "a", "uid": 1000},
        {"name": "s3_my-shop", "value": "s3/p@ss", "uid": 1000},
    ]


# -- what an application is given --------------------------------------------------------------------------------------


def test_an_application_is_given_addresses_in_the_open_and_passwords_as_secrets():
    given = _wiring.app_environment(view(), APP, VALUES)
    assert given["env"] == {
        "APP_NAME": "my-shop",
        "APP_VERSION": "1.4.2",
        "APP_ENVIRONMENT": "prod",
        "DATABASE_HOST": "postgres",
        "DATABASE_PORT": "5432",
        "DATABASE_USER": "my_shop",
        "DATABASE_NAME": "my_shop",
        "REDIS_HOST": "valkey",
        "REDIS_PORT": "6379",
        "REDIS_USER": "my-shop",
        "RABBITMQ_HOST": "rabbitmq",
        "RABBITMQ_PORT": "5672",
        "RABBITMQ_USER": "my-shop",
        "RABBITMQ_VHOST": "my-shop",
        "S3_ENDPOINT_URL": "http://seaweedfs:8333",
        "S3_BUCKET": "my-shop",
        "AWS_ACCESS_KEY_ID": "my-shop",
        "AWS_REGION": "us-east-1",
        "LOG_LEVEL": "info",
        "DEBUG": "false",
        "LIMIT": "5",
    }
    assert given["secrets"] == {"SECRET_KEY": "k"}
    assert given["issued"] == {
        "DATABASE_URL": "postgresql://my_shop:postgres%2Fp%40ss@postgres:5432/my_shop",
        "DATABASE_PASSWORD": "postgres/p@ss",
        "REDIS_URL": "redis://my-shop:valkey%2Fp%40ss@valkey:6379/0",
        "REDIS_PASSWORD": "valkey/p@ss",
        "CELERY_BROKER_URL": "amqp://my-shop:rabbitmq%2Fp%40ss@rabbitmq:5672/my-shop",
        "RABBITMQ_PASSWORD": "rabbitmq/p@ss",
        "AWS_SECRET_ACCESS_KEY": "s3/p@ss",
    }


def test_seen_from_each_host_an_application_is_the_same_though_addresses_differ():
    groups = {**APART, "postgres": ["web1"]}
    with_s3 = {**APP, "needs": ["postgres", "s3"]}
    one, two = (_wiring.app_environment(view(host, groups), with_s3, VALUES, everywhere=True) for host in ("web1", "web2"))
    assert one == two
    moved = _wiring.app_environment(view("web1", {**groups, "postgres": ["db1"]}), with_s3, VALUES, everywhere=True)
    assert moved["env"]["DATABASE_HOST"] != one["env"]["DATABASE_HOST"] == "postgres:5432 web1:5432"
    here = [_wiring.app_environment(view(host, groups), with_s3, VALUES)["env"]["DATABASE_HOST"] for host in ("web1", "web2")]
    assert here == ["postgres", "web1"]


def test_no_password_is_in_the_open():
    open_part = repr(_wiring.app_environment(view(), APP, VALUES)["env"])
    assert "p@ss" not in open_part
    assert "p%40ss" not in open_part


def test_the_address_of_a_service_elsewhere_is_given_as_it_is_and_kept_secret():
    given = _wiring.app_environment(view(postgres_external_url="postgresql://u:p@db.test/x"), {**APP, "needs": ["postgres"]}, VALUES)
    assert given["issued"] == {"DATABASE_URL": "postgresql://u:p@db.test/x"}
    assert "DATABASE_HOST" not in given["env"]


def test_the_stacks_variables_can_be_renamed_in_the_open_and_in_secret():
    given = _wiring.app_environment(view(), {**APP, "env_names": {"DATABASE_URL": "SQLALCHEMY_URL", "S3_BUCKET": "BUCKET"}}, VALUES)
    assert given["issued"]["SQLALCHEMY_URL"].startswith("postgresql://")
    assert given["env"]["BUCKET"] == "my-shop"
    assert "DATABASE_URL" not in given["issued"]
    assert "S3_BUCKET" not in given["env"]


def test_what_the_application_sets_itself_wins_over_the_stack():
    app = {**APP, "env": {"REDIS_URL": "redis://elsewhere"}, "secrets": {"DATABASE_HOST": "x"}}
    given = _wiring.app_environment(view(), app, {**VALUES, "app_my-shop_DATABASE_HOST": "hidden"})
    assert (given["env"]["REDIS_URL"], given["secrets"]["DATABASE_HOST"]) == ("redis://elsewhere", "hidden")
    assert "REDIS_URL" not in {**given["secrets"], **given["issued"]}
    assert "DATABASE_HOST" not in given["env"]


def test_a_credential_that_the_application_brings_itself_is_its_own_and_not_issued():
    given = _wiring.app_environment(view(), {**APP, "secrets": {"DATABASE_URL": ""}}, {**VALUES, "app_my-shop_DATABASE_URL": "mine"})
    assert (given["secrets"], "DATABASE_URL" in given["issued"]) == ({"DATABASE_URL": "mine"}, False)


# -- the edge ----------------------------------------------------------------------------------------------------------


def routed(*routes, **process):
    return [{"name": "a", "processes": [{"name": "web", "port": 8000, "routes": list(routes), **process}]}]


def test_the_switch_knows_a_process_by_name_and_port():
    (backend,) = _wiring.backends(view())
    assert backend == {**backend, "name": "my-shop-web", "port": 8000, "health": "/health", "host": "app.test", "places": 8}


def test_the_switch_publishes_its_ports_where_a_proxy_is_on_another_host():
    hostvars = {"web1": {"stack_address": "10.0.0.1"}, "web2": {"stack_address": "10.0.0.2"}}
    port = _wiring.backends(view())[0]["switch_port"]
    assert _wiring.switch_published(view("web1", APART, hostvars)) == []
    assert _wiring.switch_published(view("web2", APART, hostvars)) == [f"10.0.0.2:{port}:{port}"]


@pytest.mark.parametrize(
    ("route", "service", "ports"),
    [
        ({"service": "rabbitmq"}, "rabbitmq", ["10.0.0.5:5672:5672", "10.0.0.5:15672:15672"]),
        ({"service": "minio"}, "minio", ["10.0.0.5:9000:9000", "10.0.0.5:9001:9001"]),
        ({"service": "s3"}, "minio", ["10.0.0.5:9000:9000"]),
        ({"service": "s3"}, "rabbitmq", ["10.0.0.5:5672:5672"]),
        ({"redirect": "https://a.test"}, "rabbitmq", ["10.0.0.5:5672:5672"]),
    ],
)
def test_a_console_is_published_only_for_a_proxy_on_another_host_that_has_a_route_to_it(route, service, ports):
    hostvars = {"db1": {"stack_address": "10.0.0.5"}}
    routed_view = view("db1", APART, hostvars, stack_routes=[{"host": "c.test", **route}])
    assert _wiring.published(routed_view, service) == ports
    alone = {group: ["db1"] for group in APART}
    assert _wiring.published(view("db1", alone, hostvars, stack_routes=[{"host": "c.test", **route}]), service) == []


def test_s3_that_no_application_uses_is_published_for_the_edge_alone():
    routed_view = view("db1", APART, stack_apps=[], stack_routes=[{"host": "s3.test", "service": "s3"}])
    assert _wiring.consumers(routed_view, "minio") == ["web1"]
    assert _wiring.consumers(view("db1", APART, stack_apps=[]), "minio") == []


def test_a_guarded_route_may_answer_that_it_is():
    apps = routed({"host": "a.test", "allow": ["10.0.0.0/8"], "basic_auth": [{"user": "x", "password": "y"}]}, health={"path": "/health"})
    assert _wiring.probes(view(stack_apps=apps))[0]["status"] == [200, 401, 403]


def test_the_port_at_the_switch_depends_on_the_names_alone_and_can_be_given():
    process = APP["processes"][0]
    others = [{"name": "first", "processes": [{**process, "name": "a"}]}, APP]
    ports = {backend["name"]: backend["switch_port"] for backend in _wiring.backends(view(stack_apps=others))}
    assert ports["my-shop-web"] == _wiring.backends(view())[0]["switch_port"]
    assert all(20000 <= port < 30000 for port in ports.values())
    assert _wiring.switch_port(APP, {**process, "switch_port": 12345}) == 12345


def test_the_switch_has_a_place_for_every_replica():
    assert [_wiring.backends(view(stack_apps=routed(replicas=number)))[0]["places"] for number in (1, 20)] == [8, 20]


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "https://app.test/"),
        ({"stack_https_port": 8443}, "https://app.test:8443/"),
        ({"stack_tls": "off"}, "http://app.test/"),
        ({"stack_tls": "off", "stack_http_port": "8080"}, "http://app.test:8080/"),
    ],
    ids=str,
)
def test_the_address_in_the_report_is_the_one_for_a_browser(variables, address):
    found = _wiring.addresses(view(**variables))
    assert found[("my-shop", "web")] == [address]
    assert found[("postgres", "")] == ["postgres:5432"]
    assert ("minio", "") not in found


TUNNELLED = {
    "web1": [{"service": "my-shop", "process": "web", "address": "172.20.0.2"}],
    "db1": [
        {"service": "minio", "process": "", "address": "172.20.0.6"},
        {"service": "postgres", "process": "", "address": "172.20.0.7"},
        {"service": "rabbitmq", "process": "", "address": "172.20.0.5"},
    ],
}
BOTH = "consoles on db1: http://127.0.0.1:9001 (minio), http://127.0.0.1:15672 (rabbitmq), after: ssh -N -L 9001:172.20.0.6:9001 -L 15672:172.20.0.5:15672"


def rabbitmq_at(address):
    return {"db1": [{"service": "rabbitmq", "process": "", "address": address}]}


@pytest.mark.parametrize(
    ("reached", "user", "where"),
    [
        ({}, "", "db1"),
        ({}, "ann", "ann@db1"),
        ({"ansible_host": "data1.example.org", "ansible_user": "deploy"}, "ann", "deploy@data1.example.org"),
        ({"ansible_host": "10.0.0.5", "ansible_port": 2222, "stack_address": "10.9.0.5"}, "", "-p 2222 10.0.0.5"),
        ({"ansible_host": "fd00::5", "ansible_user": "deploy"}, "", "deploy@fd00::5"),
    ],
    ids=["name alone", "user of the run", "user and host", "port", "IPv6"],
)
def test_the_consoles_of_a_host_have_one_tunnel_that_goes_as_ansible_does(reached, user, where):
    assert _wiring.consoles(view("web1", APART, {"db1": reached}), TUNNELLED, user) == [f"{BOTH} {where}"]


def test_a_tunnel_to_an_ipv6_address_has_it_in_brackets_and_can_be_pasted_into_any_shell():
    (line,) = _wiring.consoles(view("web1", APART), rabbitmq_at("fd00:1::5"))
    assert line.endswith(", after: ssh -N -L '15672:[fd00:1::5]:15672' db1")


@pytest.mark.parametrize("connection", ["local", "ansible.builtin.local"])
@pytest.mark.parametrize(("address", "shown"), [("172.20.0.5", "172.20.0.5"), ("fd00:1::5", "[fd00:1::5]")])
def test_on_the_machine_itself_no_tunnel_is_needed(connection, address, shown):
    lines = _wiring.consoles(view("db1", APART, {"db1": {"ansible_connection": connection}}), rabbitmq_at(address))
    assert lines == [f"consoles on db1: http://{shown}:15672 (rabbitmq)"]


def test_a_console_with_a_route_has_its_web_address_and_no_tunnel():
    routes = [{"host": "queues.test", "service": "rabbitmq", "allow": ["10.0.0.0/8"]}, {"host": "s3.test", "service": "s3"}]
    routed_view = view("web1", APART, stack_routes=routes)
    assert _wiring.addresses(routed_view)[("rabbitmq", "")] == ["rabbitmq:5672", "https://queues.test/"]
    assert _wiring.addresses(routed_view)[("minio", "")] == ["minio:9000", "https://s3.test/"]
    (line,) = _wiring.consoles(routed_view, TUNNELLED)
    assert ("(minio)" in line, "rabbitmq" in line) == (True, False)


@pytest.mark.parametrize(
    ("containers", "variables"),
    [
        ({"db1": [{"service": "postgres", "process": "", "address": "172.20.0.7"}, {"service": "seaweedfs", "process": "", "address": "172.20.0.8"}]}, {}),
        (rabbitmq_at("172.20.0.5"), {"rabbitmq_plugins": ["rabbitmq_prometheus"]}),
        (rabbitmq_at(""), {}),
        ({"db1": [{"service": "rabbitmq", "process": "web", "address": "172.20.0.9"}]}, {}),
        ({}, {}),
    ],
    ids=["services without one", "management off", "not running", "an application of that name", "nothing there"],
)
def test_without_a_console_there_is_no_line(containers, variables):
    assert _wiring.consoles(view("web1", APART, **variables), containers) == []


@pytest.mark.parametrize(
    ("apps", "name", "probed"),
    [
        (routed({"host": "a.test"}, health={"path": "/health"}), "a/web a.test", "https://a.test/health"),
        (routed({"host": "a.test", "path": "/api"}, health={"path": "/api/health"}), "a/web a.test/api", "https://a.test/api/health"),
    ],
    ids=["the whole host", "below a path"],
)
def test_each_route_is_probed_through_the_edge_at_its_health_path(apps, name, probed):
    (probe,) = _wiring.probes(view(stack_apps=apps), "/ca.pem")
    assert probe == {"name": name, "url": probed, "resolve": "127.0.0.1", "ca_path": "/ca.pem"}
    assert "ca_path" not in _wiring.probes(view(stack_apps=apps))[0]


@pytest.mark.parametrize(
    ("apps", "probed"),
    [
        (routed({"host": "a.test"}), "https://a.test/"),
        (routed({"host": "a.test", "path": "/api/"}, health={"path": "/health"}), "https://a.test/api/"),
        (routed({"host": "a.test", "path": "/api"}, health={"path": "/apis"}), "https://a.test/api/"),
    ],
    ids=["no health", "health above the route", "health that only begins like the route"],
)
def test_where_no_health_path_lies_below_the_route_any_answer_but_an_error_of_the_server_will_do(apps, probed):
    (probe,) = _wiring.probes(view(stack_apps=apps))
    assert (probe["url"], min(probe["status"]), max(probe["status"])) == (probed, 200, 499)


def test_under_maintenance_the_page_of_the_edge_is_an_answer_as_well():
    apps = [*routed({"host": "a.test"}, health={"path": "/health"}), {**routed({"host": "c.test"}, health={"path": "/health"})[0], "name": "c"}]
    closed, served = _wiring.probes(view(stack_apps=apps), closed=["a"])
    assert (closed["status"], "status" in served) == ([200, 503], False)


def test_probes_have_names_of_their_own_and_can_be_those_of_one_application():
    apps = [*routed({"host": "a.test"}, {"host": "a.test", "path": "/x"}, {"host": "b.test"}), {**routed({"host": "c.test"})[0], "name": "c"}]
    names = [probe["name"] for probe in _wiring.probes(view(stack_apps=apps))]
    assert names == ["a/web a.test", "a/web a.test/x", "a/web b.test", "c/web c.test"]
    assert [probe["name"] for probe in _wiring.probes(view(stack_apps=apps), of="c")] == ["c/web c.test"]


# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "size"), [("512M", 512 * 1024**2), ("2g", 2 * 1024**3), ("1.5 GB", 1536 * 1024**2), ("100", 100), ("7b", 7), ("64kb", 65536)])
def test_a_memory_size_is_read_as_docker_reads_it(text, size):
    assert _wiring.size(text) == size


@pytest.mark.parametrize("text", ["", "M", "1T", "512 MiB", "-1M", "1,5G"])
def test_what_is_no_memory_size_is_refused_with_an_example(text):
    with pytest.raises(WiringError, match="for example 512M"):
        _wiring.size(text)


def test_a_share_is_in_whole_mib_and_never_nothing():
    assert (_wiring.share("512M", 0.25), _wiring.share("1k", 0.5)) == (128, 1)


def test_a_password_for_rabbitmq_is_salted_and_stays_the_same():
    first = _wiring.rabbitmq_hash("pass", "user")
    raw = base64.b64decode(first)
    assert raw[4:] == hashlib.sha256(raw[:4] + b"pass").digest()
    assert first == _wiring.rabbitmq_hash("pass", "user")
    assert len({first, _wiring.rabbitmq_hash("other", "user"), _wiring.rabbitmq_hash("pass", "other")}) == 3


def test_the_switch_goes_on_knowing_a_process_that_still_serves_and_is_in_the_inventory_no_more():
    gone = {"name": "my-shop-old", "switch_port": 20001, "port": 8000, "health": "", "host": "", "places": 8}
    (wanted,) = _wiring.backends(view())
    assert _wiring.backends(view(), [gone, wanted]) == [wanted, gone]
    assert _wiring.backends(view(), [{**gone, "switch_port": wanted["switch_port"]}]) == [wanted]


def test_a_process_keeps_the_places_that_its_containers_still_need():
    (wanted,) = _wiring.backends(view())
    assert [one["places"] for more in (12, 2) for one in _wiring.backends(view(), [{**wanted, "places": more}])] == [12, wanted["places"]]
