# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
from dataclasses import replace

import pytest
import yaml

from ansible_collections.longshore.stack.plugins.module_utils import _compose_project, _files
from ansible_collections.longshore.stack.plugins.module_utils._compose_project import Outcome, Project, ProjectError, Secret, Spec
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._names import STATE_FILE

IMAGES = {"web:1": "sha256:web1", "cache:1": "sha256:cache1"}
LONG = 1000.0


@pytest.fixture
def shop(docker, tmp_path, me):
    """A project of two services that converges; use it with what a test changes."""
    docker.images.update(IMAGES)
    return Shop(docker, tmp_path, me[0], me[1])


class Shop:
    def __init__(self, docker, root, uid, gid):
        self.docker, self.root, self.uid, self.gid = docker, root, uid, gid
        self.path, self.secrets = root / "shop", root / "secrets"
        self.spec = Spec(
            stack="s",
            service="shop",
            project="s-shop",
            path=str(self.path),
            definition={
                "services": {
                    "web": {"image": "web:1", "volumes": ["./config:/etc/web:ro"], "secrets": ["password"], "networks": ["edge"]},
                    "cache": {"image": "cache:1"},
                    "migrate": {"image": "tool:1", "profiles": ["tools"]},
                },
                "networks": {"edge": {"name": "s_edge", "external": True}},
            },
            files={"config/web.conf": (b"a", 0o644), "config/live.conf": (b"a", 0o644)},
            secrets=(self.secret("A"),),
            secrets_path=str(self.secrets),
            directories=({"path": str(root / "data"), "uid": uid, "gid": gid, "mode": "0700"},),
            reload=({"service": "web", "files": ["config/live.conf"], "command": ["web", "reload"]},),
            wait_timeout=60.0,
        )

    def secret(self, value):
        return Secret("password", value, self.uid, self.gid)

    def files(self, **contents):
        return {**self.spec.files, **{f"config/{name}.conf": (content, 0o644) for name, content in contents.items()}}

    def run(self, check=False, slice_seconds=LONG, earlier=None, started=None, **changes):
        project = Project(replace(self.spec, **changes), self.docker.engine, check, self.docker.clock, self.docker.sleep)
        project.outcome = earlier or Outcome()
        self.docker.calls.clear()
        return project.run(slice_seconds, self.docker.now if started is None else started)

    def tree(self):
        return {str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None for path in sorted(self.root.rglob("*"))}


# -- a project comes up, and stays -------------------------------------------------------------------------------------


def test_a_network_that_is_to_have_ipv6_is_made_with_it_and_one_without_is_refused(shop):
    definition = {**shop.spec.definition, "networks": {"edge": {"name": "s_edge", "external": True, "x-ipv6": True}}}
    shop.run(definition=definition)
    (call,) = shop.docker.said("network", "create")
    assert call[4:6] == ["--ipv6", "--subnet"] and call[6].startswith("fd") and call[6].endswith("::/64")
    shop.run(state="absent")
    shop.docker.networks.add("s_edge")
    with pytest.raises(ProjectError, match="the network s_edge has no IPv6, and stack_edge_ipv6 wants it"):
        shop.run(definition=definition)


def test_a_bare_host_gets_directories_secrets_files_networks_and_healthy_containers(shop):
    shop.docker.healthy_after = {"web": 5}
    outcome = shop.run()
    assert outcome.actions == {"web": "created", "cache": "created"}
    assert {entry["service"]: entry["health"] for entry in outcome.containers} == {"web": "healthy", "cache": "healthy"}
    assert shop.docker.networks == {"s_edge"}
    assert outcome.files == ["compose.yaml", "config/web.conf", "config/live.conf"]
    secret = os.stat(shop.secrets / "password.1")
    assert (stat.S_IMODE(secret.st_mode), secret.st_uid) == (0o400, shop.uid)
    assert stat.S_IMODE(os.stat(shop.secrets).st_mode) == 0o700
    whole = yaml.safe_load((shop.path / "compose.yaml").read_text())
    assert whole["secrets"] == {"password": {"file": str(shop.secrets / "password.1")}}
    assert set(whole["services"]) == {"web", "cache", "migrate"}
    assert whole["name"] == shop.spec.project, "plain Compose in the directory would mean other containers"


def test_a_file_that_does_not_name_its_project_yet_is_written_again_and_recreates_nothing(shop):
    shop.run()
    file = shop.path / "compose.yaml"
    file.write_text(file.read_text().removeprefix("name: s-shop\n"))
    outcome = shop.run()
    assert (outcome.files, outcome.actions) == (["compose.yaml"], {"web": "unchanged", "cache": "unchanged"})
    assert file.read_text().startswith("name: s-shop\n")


def test_an_unchanged_project_costs_three_calls_and_no_compose(shop):
    shop.run()
    outcome = shop.run()
    assert not outcome.changed
    assert outcome.actions == {"web": "unchanged", "cache": "unchanged"}
    assert [call[:2] for call in shop.docker.calls] == [["ps", "--all"], ["container", "inspect"], ["image", "inspect"]]
    assert len(outcome.containers) == 2


def test_one_changed_file_recreates_the_service_that_mounts_it_and_no_other(shop):
    shop.run()
    cache = shop.docker.only("cache")["Id"]
    outcome = shop.run(files=shop.files(web=b"b"))
    assert outcome.actions == {"web": "recreated", "cache": "unchanged"}
    assert shop.docker.only("cache")["Id"] == cache
    assert (outcome.before["config/web.conf"], outcome.after["config/web.conf"]) == ("a", "b")


def test_a_file_that_is_reloaded_runs_the_command_and_keeps_the_container(shop):
    shop.run()
    outcome = shop.run(files=shop.files(live=b"b"))
    assert (outcome.reloaded, outcome.actions["web"]) == (["web"], "unchanged")
    (call,) = shop.docker.said("exec")
    assert call == ["exec", shop.docker.only("web")["Name"].lstrip("/"), "timeout", "-k", "5", "60", "web", "reload"]
    assert not shop.run(files=shop.files(live=b"b")).changed


def test_a_fresh_container_is_not_reloaded(shop):
    shop.run()
    shop.run(files=shop.files(live=b"b", web=b"b"))
    assert shop.docker.said("exec") == []


def test_a_refused_reload_is_an_error_in_the_services_words_and_is_tried_again(shop):
    shop.run()
    shop.docker.execute = lambda service, command: (1, "", "unknown directive")
    with pytest.raises(ProjectError, match="web refused its new configuration and keeps the old one: unknown directive"):
        shop.run(files=shop.files(live=b"b"))
    shop.docker.execute = lambda service, command: (0, "", "")
    assert shop.run(files=shop.files(live=b"b")).reloaded == ["web"]


@pytest.fixture
def handed(monkeypatch):
    """The sockets that were to be handed over: process and ports of each; and whether they were."""

    class Handed(list):
        done = True

    found = Handed()

    class HandOver:
        def __init__(self, pid, ports):
            found.append((pid, ports))
            self.done, self.reason = found.done, ""

        @contextlib.contextmanager
        def during(self):
            yield self

    monkeypatch.setattr(_compose_project, "HandOver", HandOver)
    return found


def test_the_ports_of_a_reload_are_those_of_the_containers_first_process(shop, handed):
    reload = ({**shop.spec.reload[0], "ports": [80, 443]},)
    shop.run(reload=reload)
    assert shop.run(files=shop.files(live=b"b"), reload=reload).reloaded == ["web"]
    assert handed == [(4711, [80, 443])]
    handed.done = False
    assert shop.run(files=shop.files(live=b"c"), reload=reload).handed_over == []
    handed.done = True
    assert shop.run(files=shop.files(live=b"d"), reload=reload).handed_over == ["web"]


@pytest.mark.parametrize(("done", "times"), [(True, 2), (False, 1)])
def test_what_refuses_after_its_sockets_were_stopped_takes_the_old_files_with_new_ones(shop, handed, live, done, times):
    shop.run()
    read, handed.done = [], done
    shop.docker.execute = lambda service, command: (read.append(live()), (1, "", "unknown directive"))[1]
    with pytest.raises(ProjectError, match="unknown directive"):
        shop.run(files=shop.files(live=b"bad"))
    assert read == [b"bad", b"a"][:times]
    assert shop.run(check=True).reloaded == (["web"] if done else []), "nobody answers, so the next run tells it once more"


def test_what_takes_the_old_files_again_has_them(shop, handed, live):
    shop.run()
    answers = [(1, "", "unknown directive"), (0, "", "")]
    shop.docker.execute = lambda service, command: answers.pop(0)
    with pytest.raises(ProjectError, match="web refused its new configuration and keeps the old one: unknown directive"):
        shop.run(files=shop.files(live=b"bad"))
    assert (live(), answers, shop.run().changed) == (b"a", [], False)


def test_what_one_service_would_refuse_leaves_nothing_to_do_for_another(shop):
    reload = ({**shop.spec.reload[0], "check": ["web", "-t"]}, {"service": "cache", "files": ["config/cache.conf"], "command": ["cache"]})
    files = {**shop.files(), "config/cache.conf": (b"a", 0o644)}
    shop.run(files=files, reload=reload)
    shop.docker.execute = lambda service, command: (1, "", "unknown directive") if service == "web" else (0, "", "")
    with pytest.raises(ProjectError, match="web would refuse"):
        shop.run(files={**files, **shop.files(web=b"bad"), "config/live.conf": (b"b", 0o644), "config/cache.conf": (b"b", 0o644)}, reload=reload)
    outcome = shop.run(files=files, reload=reload)
    assert (outcome.changed, outcome.reloaded) == (False, [])
    # Also where the one that refuses has nothing of its own to take over.
    with pytest.raises(ProjectError, match="web would refuse"):
        shop.run(files={**files, **shop.files(web=b"bad"), "config/cache.conf": (b"b", 0o644)}, reload=reload)
    outcome = shop.run(files=files, reload=reload)
    assert (outcome.changed, outcome.reloaded) == (False, [])


def refused(service, command):
    return 1, "", "unknown directive"


@pytest.fixture
def live(shop):
    """What the service would read if it were started again now."""
    return (shop.path / "config/live.conf").read_bytes


def test_files_that_a_service_refuses_do_not_wait_for_its_next_start(shop, live):
    shop.run()
    shop.docker.execute = refused
    for _again in range(2):
        with pytest.raises(ProjectError, match="unknown directive"):
            shop.run(files=shop.files(live=b"bad"))
        assert live() == b"a"
    assert not shop.run().changed


def test_a_file_that_was_new_and_refused_is_gone_again(shop):
    shop.run()
    shop.docker.execute = refused
    reload = ({"service": "web", "files": ["config/live.conf", "config/more.conf"], "command": ["web", "reload"]},)
    with pytest.raises(ProjectError, match="unknown directive"):
        shop.run(files=shop.files(more=b"bad"), reload=reload)
    assert sorted(os.listdir(shop.path / "config")) == ["live.conf", "web.conf"]


def test_what_a_new_container_would_refuse_leaves_the_running_one_and_all_files(shop):
    def kept():
        return {path: text for path, text in shop.tree().items() if not path.endswith(STATE_FILE)}

    reload = ({**shop.spec.reload[0], "check": ["web", "-t"]},)
    shop.run(reload=reload)
    before, container = kept(), shop.docker.only("web")["Id"]
    shop.docker.execute = refused
    bad = {**shop.files(live=b"bad"), "config/more.conf": (b"bad", 0o644)}
    del bad["config/web.conf"]
    for _again in range(2):
        with pytest.raises(ProjectError, match="web would refuse its new configuration, so its container stays as it is: unknown directive"):
            shop.run(files=bad, reload=reload)
        assert kept() == before
        assert shop.docker.only("web")["Id"] == container
    shop.docker.execute = lambda service, command: (0, "", "")
    assert not shop.run(reload=reload).changed
    assert shop.run(files=bad, reload=reload).actions["web"] == "recreated"
    assert not (shop.path / "config/web.conf").exists()
    (call,) = shop.docker.said("compose", "run")
    assert call[7:] == ["run", "--rm", "--no-deps", "-T", "--name", "s-shop-web-check", "--entrypoint", "web", "web", "-t"]


def test_only_what_takes_the_place_of_something_is_tried_first(shop):
    reload = ({**shop.spec.reload[0], "check": ["web", "-t"]},)
    shop.docker.execute = refused
    shop.run(reload=reload)
    assert shop.docker.said("compose", "run") == []


def test_what_went_away_with_a_configuration_that_was_refused_is_there_again(shop):
    files = {**shop.files(), "config/users": (b"ops", 0o644)}
    reload = ({**shop.spec.reload[0], "files": ["config/live.conf", "config/users"]},)
    shop.run(files=files, reload=reload)
    shop.docker.execute = refused
    for _again in range(2):
        with pytest.raises(ProjectError, match="unknown directive"):
            shop.run(files=shop.files(live=b"bad"))
        assert (shop.path / "config/users").read_bytes() == b"ops"
    shop.docker.execute = lambda service, command: (0, "", "")
    shop.run(files=shop.files(live=b"b"))
    assert not (shop.path / "config/users").exists()


def test_a_reload_that_hangs_names_service_command_and_time_and_is_tried_again(shop, live):
    shop.run()
    shop.docker.execute = lambda service, command: "hangs"
    with pytest.raises(ProjectError, match="reload of web did not end within 60 s: web reload; the next run tries it again"):
        shop.run(files=shop.files(live=b"b"))
    assert live() == b"a"
    shop.docker.execute = lambda service, command: (0, "", "")
    assert shop.run().reloaded == ["web"]  # nobody knows which of the two it took
    assert shop.run(files=shop.files(live=b"b")).reloaded == ["web"]


def test_another_image_behind_the_same_name_recreates_the_service(shop):
    shop.run()
    shop.docker.images["web:1"] = "sha256:web2"
    assert shop.run().actions == {"web": "recreated", "cache": "unchanged"}
    assert shop.docker.only("web")["image"] == "sha256:web2"


def test_a_stopped_container_is_started_and_not_recreated(shop):
    shop.run()
    web = shop.docker.only("web")
    web["state"] = "exited"
    shop.docker.now += 5
    assert shop.run().actions == {"web": "started", "cache": "unchanged"}
    assert shop.docker.only("web")["Id"] == web["Id"]
    assert not shop.run().changed


def test_a_service_that_is_gone_from_the_definition_is_removed(shop):
    shop.run()
    definition = {**shop.spec.definition, "services": {"web": shop.spec.definition["services"]["web"]}}
    assert shop.run(definition=definition).actions == {"web": "unchanged", "cache": "removed"}
    assert {container["service"] for container in shop.docker.containers.values()} == {"web"}


def test_a_container_of_a_tool_that_somebody_started_is_left_alone(shop):
    shop.run()
    shop.docker.add("s-shop", "migrate")
    assert not shop.run().changed


@pytest.mark.parametrize("extra", [{"scale": 2}, {"deploy": {"replicas": 2}}], ids=["scale", "deploy"])
def test_replicas_are_counted_and_a_missing_one_is_started(shop, extra):
    services = {**shop.spec.definition["services"], "web": {**shop.spec.definition["services"]["web"], **extra}}
    definition = {**shop.spec.definition, "services": services}
    shop.run(definition=definition)
    assert not shop.run(definition=definition).changed
    webs = [name for name, container in shop.docker.containers.items() if container["service"] == "web"]
    assert len(webs) == 2
    del shop.docker.containers[webs[0]]
    assert shop.run(definition=definition).actions["web"] == "scaled"
    assert len(shop.docker.containers) == 3


def checked(shop):
    services = {**shop.spec.definition["services"]}
    services["web"] = {**services["web"], "healthcheck": {"test": ["CMD", "true"], "interval": "30s", "start_period": "60s"}}
    return {**shop.spec.definition, "services": services}


def test_an_engine_that_can_looks_early_whether_a_service_is_well(shop):
    shop.run(definition=checked(shop))
    assert yaml.safe_load((shop.path / "compose.yaml").read_text())["services"]["web"]["healthcheck"]["start_interval"] == "1s"


def test_an_older_engine_is_not_asked_for_what_it_does_not_know_and_a_newer_one_recreates_nothing(shop):
    shop.docker.api = "1.41"
    shop.run(definition=checked(shop))
    assert "start_interval" not in (shop.path / "compose.yaml").read_text()
    shop.docker.api = "1.45"
    shop.docker.calls.clear()
    assert not shop.run(definition=checked(shop)).changed
    assert shop.docker.said("version") == [], "an unchanged service asks for nothing more"


def test_another_number_of_a_service_leaves_those_that_are_wanted_as_they_are(shop):
    def scaled(number):
        return {**shop.spec.definition, "services": {**shop.spec.definition["services"], "web": {**shop.spec.definition["services"]["web"], "scale": number}}}

    def webs():
        return {name for name, container in shop.docker.containers.items() if container["service"] == "web"}

    shop.run(definition=scaled(1))
    one = webs()
    assert shop.run(definition=scaled(3)).actions == {"web": "scaled", "cache": "unchanged"}
    assert one < webs() and len(webs()) == 3


def test_a_service_that_is_scaled_to_nothing_is_removed_once_and_not_waited_for(shop):
    shop.run()
    services = {**shop.spec.definition["services"], "cache": {"image": "cache:1", "scale": 0}}
    definition = {**shop.spec.definition, "services": services}
    assert shop.run(definition=definition).actions == {"web": "unchanged", "cache": "removed"}
    assert not shop.run(definition=definition).changed


def test_files_that_are_no_longer_wanted_are_removed_and_others_in_the_directory_kept(shop):
    shop.run()
    (shop.path / "config" / "mine.txt").write_text("by hand")
    outcome = shop.run(files={"config/live.conf": (b"a", 0o644)})
    assert "config/web.conf" in outcome.files
    assert sorted(os.listdir(shop.path / "config")) == ["live.conf", "mine.txt"]


# -- killed half-way ---------------------------------------------------------------------------------------------------


@pytest.fixture
def killed(shop):
    """Runs the project until the first call of the engine with these words, where the run dies."""

    def run(*words, **changes):
        answer = shop.docker._answer

        def die(said, timeout):
            if all(word in said for word in words):
                raise KeyboardInterrupt
            return answer(said, timeout)

        shop.docker._answer = die
        with pytest.raises(KeyboardInterrupt):
            shop.run(**changes)
        shop.docker._answer = answer

    return run


def test_killed_after_the_files_were_written_the_next_run_recreates_the_container(shop, killed):
    shop.run()
    killed("up", files=shop.files(web=b"b"))
    assert (shop.path / "config/web.conf").read_bytes() == b"b"
    outcome = shop.run(files=shop.files(web=b"b"))
    assert (outcome.files, outcome.actions["web"]) == ([], "recreated")
    assert not shop.run(files=shop.files(web=b"b")).changed


def test_killed_before_the_reload_the_next_run_reloads(shop, killed):
    shop.run()
    killed("exec", files=shop.files(live=b"b"))
    assert shop.run(files=shop.files(live=b"b")).reloaded == ["web"]


def test_killed_before_the_reload_what_is_refused_by_the_next_run_gives_way_to_what_served(shop, killed, live):
    shop.run()
    killed("exec", files=shop.files(live=b"bad"))
    assert shop.run(check=True, files=shop.files(live=b"bad")).reloaded == ["web"]
    shop.docker.execute = refused
    with pytest.raises(ProjectError, match="unknown directive"):
        shop.run(files=shop.files(live=b"worse"))
    assert live() == b"a"


def test_killed_around_the_reload_the_way_back_is_a_reload_too(shop, killed):
    shop.run()
    killed("exec", files=shop.files(live=b"b"))
    assert shop.run().reloaded == ["web"]
    assert not shop.run().changed


def test_killed_before_the_reload_and_rebooted_a_service_that_cannot_start_gets_back_what_served(shop, killed, live):
    shop.run()
    killed("exec", files=shop.files(live=b"bad"))
    shop.docker.crashing = {"web": 1}
    with pytest.raises(ProjectError, match="crashed 3 times"):
        shop.run(files=shop.files(live=b"bad"))
    assert live() == b"a"


def test_killed_after_a_file_was_added_it_is_still_removed_when_it_is_not_wanted_any_more(shop, monkeypatch):
    shop.run()
    write = _files.replace

    def die_after_it(full, *rest):
        write(full, *rest)
        if full.endswith("more.conf"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_files, "replace", die_after_it)
        shop.run(files=shop.files(more=b"x"))
    assert (shop.path / "config/more.conf").exists()
    shop.run()
    assert not (shop.path / "config/more.conf").exists()


def test_killed_at_the_first_start_the_next_run_starts(shop, killed):
    killed("up")
    assert shop.run().actions == {"web": "created", "cache": "created"}


def test_a_state_file_that_cannot_be_read_is_made_anew(shop):
    shop.run()
    (shop.path / ".longshore.json").write_text("{")
    shop.run()
    assert json.loads((shop.path / ".longshore.json").read_text())["files"] == ["compose.yaml", "config/live.conf", "config/web.conf"]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_secret_that_goes_from_a_to_b_and_back_recreates_each_time_and_leaves_one_file(shop):
    shop.run()
    seen = []
    for value in "BA":
        assert shop.run(secrets=(shop.secret(value),)).actions == {"web": "recreated", "cache": "unchanged"}
        seen += [(file.name, file.read_text()) for file in shop.secrets.iterdir()]
    assert seen == [("password.2", "B"), ("password.3", "A")]
    assert not shop.run().changed


def test_old_generations_stay_until_the_new_containers_are_healthy(shop):
    shop.run()
    shop.docker.healthy_after = {"web": 10_000}
    with pytest.raises(ProjectError, match="not healthy"):
        shop.run(secrets=(shop.secret("B"),))
    assert sorted(os.listdir(shop.secrets)) == ["password.1", "password.2"]


def test_only_files_of_secrets_are_cleared_away(shop):
    shop.run()
    for name in ("gone.3", ".new-half"):
        (shop.secrets / name).write_text("x")
    (shop.secrets / "made.json").write_text("{}")
    (shop.secrets / "release.1").mkdir()
    shop.run()
    assert sorted(os.listdir(shop.secrets)) == ["made.json", "password.1", "release.1"]


def test_a_secret_is_nowhere_but_in_its_file(shop):
    canary = "canary-in-a-secret"
    outcome = shop.run(secrets=(shop.secret(canary),))
    assert canary not in repr([outcome.public(), outcome.diff(), outcome.carried(), outcome.extra, shop.docker.calls])
    assert [path for path, content in shop.tree().items() if content and canary.encode() in content] == ["secrets/password.1"]


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_a_slice_that_ends_says_what_is_waited_for_and_the_next_one_keeps_what_was_done(shop):
    shop.docker.healthy_after = {"web": 12}
    start = shop.docker.now
    first = shop.run(slice_seconds=8)
    assert first.pending == "waiting for s-shop-web-1 (starting)"
    carried = json.loads(json.dumps(first.carried()))
    second = shop.run(slice_seconds=8, earlier=Outcome(**carried), started=start)
    assert not second.pending
    assert second.actions == {"web": "created", "cache": "created"}
    assert second.files == first.files
    assert second.diff() == first.diff()
    assert shop.docker.said("compose") == []


def test_a_service_that_an_earlier_slice_removed_is_still_said(shop):
    shop.run()
    definition = {**shop.spec.definition, "services": {"web": {**shop.spec.definition["services"]["web"], "command": ["x"]}}}
    shop.docker.healthy_after = {"web": 12}
    start = shop.docker.now
    first = shop.run(slice_seconds=8, definition=definition)
    second = shop.run(slice_seconds=8, definition=definition, earlier=Outcome(**first.carried()), started=start)
    assert second.actions == {"web": "recreated", "cache": "removed"}


def test_a_container_without_a_health_check_must_run_for_some_seconds(shop):
    shop.docker.unchecked = {"cache"}
    begin = shop.docker.now
    assert shop.run(slice_seconds=2).pending == "waiting for s-shop-cache-2 (no health check, must run for 5 s)"
    shop.run()
    assert 5 <= shop.docker.now - begin < 6
    shop.run()
    assert shop.docker.now - begin < 6


def test_a_container_without_a_health_check_that_crashes_again_and_again_is_not_ready(shop):
    shop.docker.unchecked = {"cache"}
    answer = shop.docker._answer

    def crash_every_two_seconds(words, timeout):
        for cache in (container for container in shop.docker.containers.values() if container["service"] == "cache"):
            if shop.docker.now - cache["started"] >= 2:
                cache.update(started=shop.docker.now, restarts=cache["restarts"] + 1)
        return answer(words, timeout)

    shop.docker._answer = crash_every_two_seconds
    with pytest.raises(ProjectError, match="s-shop-cache-2 crashed 3 times"):
        shop.run()


def test_too_late_says_how_long_what_and_the_last_lines_of_its_log(shop):
    shop.docker.healthy_after = {"web": 10_000}
    with pytest.raises(ProjectError) as caught:
        shop.run()
    first, *rest = str(caught.value).splitlines()
    assert first == "not healthy after 60 s: s-shop-web-1 (starting)"
    assert rest == ["--- last lines of s-shop-web-1:", "first line", "last words"]


def test_a_crash_loop_ends_the_wait_early_with_the_last_lines_of_the_log(shop):
    shop.docker.crashing = {"web": 1}
    start = shop.docker.now
    with pytest.raises(ProjectError, match=r"s-shop-web-1 crashed 3 times \(last exit status 1\)\n--- last lines of s-shop-web-1:\nfirst line\nlast words"):
        shop.run()
    assert shop.docker.now - start < 5


def test_the_reason_of_a_program_in_go_is_not_pushed_out_by_its_stacks(shop):
    shop.docker.crashing = {"web": 1}
    stack = "goroutine {} [running]:\nmain.run(0x1, {{0x2, 0x3}})\n\tmain.go:356 +0xdc5\ncreated by main.main in goroutine 1\n\tmain.go:97 +0x469\n\n"
    shop.docker.log = "I serving soon\nF the limit is too high\n" + "".join(map(stack.format, range(200))).rstrip("\n") + "\nI serving soon\n"
    with pytest.raises(ProjectError) as caught:
        shop.run()
    assert str(caught.value).splitlines()[2:] == ["I serving soon", "F the limit is too high", "I serving soon"]


def test_crashes_are_counted_over_the_slices_of_one_run(shop):
    shop.docker.crashing = {"web": 3}
    start = shop.docker.now
    first = shop.run(slice_seconds=4)
    assert first.pending
    with pytest.raises(ProjectError, match="crashed 3 times"):
        shop.run(slice_seconds=8, earlier=Outcome(**first.carried()), started=start)
    assert shop.docker.now - start < 10


def test_restarts_of_weeks_ago_do_not_end_the_wait(shop):
    shop.run()
    shop.docker.only("web").update(restarts=7, started=shop.docker.now)
    shop.docker.healthy_after = {"web": 5}
    outcome = shop.run()
    assert {entry["name"]: entry["health"] for entry in outcome.containers}["s-shop-web-1"] == "healthy"


def test_a_container_whose_count_began_again_is_judged_by_the_new_count(shop):
    shop.run()
    shop.docker.only("web").update(restarts=7, state="exited")
    answer = shop.docker._answer

    def start_resets_the_count(words, timeout):
        said = answer(words, timeout)
        if "up" in words:
            shop.docker.only("web")["restarts"] = 0
            shop.docker.crashing = {"web": 1}
        return said

    shop.docker._answer = start_resets_the_count
    with pytest.raises(ProjectError, match="crashed 3 times"):
        shop.run()


def test_a_container_that_nothing_restarts_ends_the_wait_when_it_ends(shop):
    services = {"web": {"image": "web:1", "restart": "no"}}
    answer = shop.docker._answer

    def ends_at_once(words, timeout):
        said = answer(words, timeout)
        if "up" in words:
            shop.docker.only("web")["state"] = "exited"
        return said

    shop.docker._answer = ends_at_once
    with pytest.raises(ProjectError, match="s-shop-web-1 ended with exit status 1"):
        shop.run(definition={"services": services}, reload=(), secrets=())


def test_a_failed_up_shows_its_words_and_the_logs(shop):
    shop.docker.refuse = {"compose up": "port is already allocated"}
    shop.docker.add("s-shop", "web")
    with pytest.raises(ProjectError, match=r"docker compose up of s-shop failed: port is already allocated\n--- last lines of s-shop-web-1"):
        shop.run()


def test_a_missing_image_is_named_before_anything_starts(shop):
    del shop.docker.images["cache:1"]
    with pytest.raises(ProjectError, match="the image cache:1 is not on this host; run the module longshore.stack.image first"):
        shop.run()
    assert shop.docker.containers == {}


# -- provisioning ------------------------------------------------------------------------------------------------------

PROVISION = ({"service": "cache", "command": ["sh", "/provision.sh"]},)


def test_a_secret_without_a_value_stays_as_it_was_kept_and_must_be_there(shop):
    shop.run()
    outcome = shop.run(secrets=(shop.secret(None),))
    assert (outcome.changed, (shop.secrets / "password.1").read_text()) == (False, "A")
    shop.run(secrets=(shop.secret("B"),))
    assert not shop.run(secrets=(shop.secret(None),)).changed
    (shop.secrets / "password.2").unlink()
    before = shop.tree()
    with pytest.raises(ProjectError, match="there is no secret password in .*; it was kept for this project and is gone, so the project cannot be started"):
        shop.run(secrets=(shop.secret(None),))
    assert shop.tree() == before


def test_a_secret_without_a_value_has_nothing_to_hide():
    assert Secret("password", None, 0).fragments() == set()
    assert Secret("password", "KEY='long enough to hide'\nA='short'\n", 0).fragments() == {"KEY='long enough to hide'", "long enough to hide", "A='short'"}


def test_lines_that_begin_with_changed_are_changes_and_others_are_not(shop):
    shop.run()
    shop.docker.execute = lambda service, command: (0, "looking\nchanged: role shop created\n  changed: database shop\nunchanged: x\nchanged:no\n", "")
    outcome = shop.run(provision=PROVISION)
    assert outcome.provisioned == ["role shop created", "database shop"]
    assert outcome.changed
    shop.docker.execute = lambda service, command: (0, "all there\n", "")
    assert not shop.run(provision=PROVISION).changed


def test_only_one_provisioning_of_a_project_runs_at_a_time(shop):
    """That of a run which was killed on the controller goes on here."""
    shop.run()

    def look(service, command):
        done = subprocess.run(["flock", "--nonblock", str(shop.path), "true"], check=False)
        return (0, f"changed: {'free' if done.returncode == 0 else 'taken'}", "")

    shop.docker.execute = look
    assert shop.run(provision=PROVISION).provisioned == ["taken"]
    assert look("", [])[1] == "changed: free"


def test_what_has_no_container_cannot_be_provisioned(shop):
    shop.run()
    with pytest.raises(ProjectError, match="provisioning of migrate: it has no container"):
        shop.run(provision=({"service": "migrate", "command": ["true"]},))


def test_a_failed_provisioning_names_the_service_and_its_words(shop):
    shop.docker.execute = lambda service, command: (3, "", "permission denied")
    with pytest.raises(ProjectError, match="provisioning of cache failed: permission denied"):
        shop.run(provision=PROVISION)


def test_a_provisioning_that_was_ended_in_its_container_names_the_limit_too(shop):
    def ended(service, command):
        shop.docker.now += 60
        return (124, "", "")

    shop.docker.execute = ended
    with pytest.raises(ProjectError, match="provisioning of cache did not end within 60 s"):
        shop.run(provision=PROVISION)


def test_a_provisioning_that_hangs_names_service_command_and_time(shop):
    shop.docker.execute = lambda service, command: "hangs"
    with pytest.raises(ProjectError, match="provisioning of cache did not end within 60 s: sh /provision.sh; the next run tries it again"):
        shop.run(provision=PROVISION)


# -- check mode --------------------------------------------------------------------------------------------------------


class NoEngine:
    def __call__(self, args, **_options):
        raise FileNotFoundError(args[0])


def test_check_mode_on_a_host_without_engine_and_directory_foretells_everything(shop):
    project = Project(shop.spec, Engine(runner=NoEngine()), True, shop.docker.clock, shop.docker.sleep)
    outcome = project.run(LONG, shop.docker.now)
    assert outcome.actions == {"web": "created", "cache": "created"}
    assert outcome.files == ["compose.yaml", "config/web.conf", "config/live.conf"]
    assert outcome.extra == [f"directory {shop.root / 'data'}", "secret password"]
    assert shop.tree() == {}


def test_without_engine_a_real_run_says_so(shop):
    project = Project(shop.spec, Engine(runner=NoEngine()), False, shop.docker.clock, shop.docker.sleep)
    with pytest.raises(EngineError, match="install the engine first"):
        project.run(LONG, shop.docker.now)


def test_check_mode_foretells_each_change_and_touches_nothing(shop):
    shop.run()
    before = shop.tree(), json.dumps(shop.docker.containers)
    outcome = shop.run(check=True, files=shop.files(web=b"b", more=b"x"), secrets=(shop.secret("B"),))
    assert outcome.actions == {"web": "recreated", "cache": "unchanged"}
    assert outcome.files == ["compose.yaml", "config/web.conf", "config/more.conf"]
    assert outcome.extra == ["secret password"]
    outcome = shop.run(check=True, files=shop.files(live=b"b"))
    assert (outcome.actions["web"], outcome.reloaded) == ("unchanged", ["web"])
    outcome = shop.run(check=True, files={"config/live.conf": (b"a", 0o644)})
    assert "config/web.conf" in outcome.files
    assert shop.run(check=True, state="stopped").actions == {"web": "stopped", "cache": "stopped"}
    assert shop.run(check=True, state="absent").actions == {"web": "removed", "cache": "removed"}
    assert (shop.tree(), json.dumps(shop.docker.containers)) == before


def test_check_mode_on_the_converged_host_claims_no_change_and_asks_the_scripts_what_they_would_do(shop):
    said = []

    def script(service, command):
        said.append(command)
        return 0, "changed: user shop\n", ""

    shop.run()
    assert not shop.run(check=True).changed
    shop.docker.execute = script
    assert shop.run(check=True, provision=PROVISION).provisioned == ["user shop"]
    assert said == [["sh", "/provision.sh", "--check"]]


def test_check_mode_runs_no_script_in_a_container_that_would_be_replaced(shop):
    shop.run()
    shop.run(check=True, files=shop.files(web=b"b"), provision=PROVISION)
    assert shop.docker.said("exec") == []


# -- the other states --------------------------------------------------------------------------------------------------


def test_prepared_writes_everything_starts_nothing_and_says_what_a_start_would_do(shop):
    outcome = shop.run(state="prepared")
    assert outcome.planned == {"web": "created", "cache": "created"}
    assert (shop.path / "compose.yaml").exists()
    assert (shop.docker.containers, outcome.actions, outcome.changed) == ({}, {}, True)
    shop.run()
    outcome = shop.run(state="prepared")
    assert (outcome.planned, outcome.changed) == ({"web": "unchanged", "cache": "unchanged"}, False)


@pytest.mark.parametrize("definition", [{"services": {}}, {"services": {"migrate": {"image": "tool:1", "profiles": ["tools"]}}}], ids=["nothing", "a tool"])
def test_a_release_may_have_nothing_to_run_on_a_host(shop, definition):
    empty = {"state": "prepared", "may_be_empty": True, "definition": definition, "files": {}, "reload": ()}
    outcome = shop.run(**empty)
    assert (outcome.planned, outcome.containers, yaml.safe_load((shop.path / "compose.yaml").read_text())["name"]) == ({}, [], "s-shop")
    assert not shop.run(**empty).changed


@pytest.mark.parametrize("changes", [{}, {"definition": {}, "files": {}, "secrets": (), "reload": ()}], ids=["with definition", "without"])
def test_stopped_keeps_files_and_containers_and_present_starts_them_again(shop, changes):
    shop.run()
    before, ids = shop.tree(), set(shop.docker.containers)
    assert shop.run(state="stopped", **changes).actions == {"web": "stopped", "cache": "stopped"}
    assert {container["state"] for container in shop.docker.containers.values()} == {"exited"}
    assert not shop.run(state="stopped", **changes).changed
    assert shop.tree() == before
    shop.docker.now += 5
    assert shop.run().actions == {"web": "started", "cache": "started"}
    assert set(shop.docker.containers) == ids


def test_stopped_without_a_compose_file_stops_the_containers_themselves(shop):
    web = shop.docker.add("s-shop", "web")
    assert shop.run(state="stopped", definition={}).actions == {"web": "stopped"}
    assert web["state"] == "exited"
    assert shop.docker.said("compose") == []


def test_absent_removes_containers_directory_and_secrets_and_keeps_the_data(shop):
    shop.run()
    outcome = shop.run(state="absent")
    assert outcome.actions == {"web": "removed", "cache": "removed"}
    assert outcome.extra == [f"removed {shop.path}", f"removed {shop.secrets}"]
    assert shop.docker.containers == {}
    assert list(shop.tree()) == ["data"]
    assert not shop.run(state="absent").changed


def test_absent_works_when_the_compose_file_is_gone_or_broken(shop):
    shop.docker.add("s-shop", "web")
    shop.run(state="absent")
    assert shop.docker.containers == {}
    shop.path.mkdir()
    (shop.path / "compose.yaml").write_text("broken")
    shop.docker.refuse = {"compose down": "not a compose file"}
    shop.run(state="absent")
    assert not shop.path.exists()


def test_absent_keeps_the_directory_when_the_containers_cannot_be_removed(shop):
    shop.run()
    shop.docker.refuse = {"compose down": "network is in use"}
    with pytest.raises(ProjectError, match="docker compose down of s-shop failed: network is in use"):
        shop.run(state="absent")
    assert (shop.path / "compose.yaml").exists()


# -- what cannot be meant ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"definition": {}}, "the definition has no services; to end the project use state: stopped or absent"),
        ({"files": {"compose.yaml": (b"", 0o644)}, "reload": ()}, "files must not have compose.yaml"),
        (
            {"reload": ({"service": "web", "files": ["config/typo.conf"], "command": ["x"]},)},
            "reload of web names the file 'config/typo.conf'; files has config/live.conf, config/web.conf",
        ),
        ({"reload": ({"service": "web", "files": [], "command": ["x"]},) * 2}, "reload names the service web twice"),
        ({"provision": ({"service": "wbe", "command": ["x"]},)}, "s-shop has no service 'wbe' to reload or provision; it has cache, migrate, web"),
        ({"secrets": ()}, "service web uses the secret 'password', which is not given"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(shop, changes, said):
    with pytest.raises(ProjectError, match=said.replace(".", r"\.")):
        shop.run(**changes)
    assert shop.tree() == {}
    assert shop.docker.calls == []
