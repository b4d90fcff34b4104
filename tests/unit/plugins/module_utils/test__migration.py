# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _preview
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, Result
from ansible_collections.longshore.stack.plugins.module_utils._migration import (
    MARK,
    Migration,
    MigrationError,
    Section,
    Spec,
    Status,
    diff_of,
    foretold,
    parse_alembic,
    parse_command,
    parse_django,
    postgres_environment,
    reading_script,
    sections_of,
)
from ansible_collections.longshore.stack.plugins.module_utils._one_off import OneOffError

# Recorded from Alembic 1.20: a branch, a merge, a dependency, a title in parentheses, a branch label.
ALEMBIC_HISTORY = """\
mg5 (two) -> d6 (side) (head), dep
three, br4 -> mg5 (side) (mergepoint), mg
two -> three, add three (beta)
one -> two, add two (beta)
one -> br4 (side), br
<base> -> one (branchpoint), add one (beta)
"""

# Recorded from Django 5.2, `migrate auth 0003` on a new project.
DJANGO_PLAN = """\
[X]  contenttypes.0001_initial
[X]  auth.0001_initial
[ ]  admin.0001_initial
[ ]  contenttypes.0002_remove_content_type_name
[X]  auth.0002_alter_permission_name_max_length
[X]  auth.0003_alter_user_email_max_length
[ ]  auth.0004_alter_user_username_opts
"""


def alembic(current: str, history: str = ALEMBIC_HISTORY) -> Status:
    return parse_alembic([Section(("alembic", "current"), current, 0), Section(("alembic", "history"), history, 0)])


class TestAlembicOutput:
    def test_an_empty_database_needs_everything_oldest_first(self):
        status = alembic("")
        assert status.revision is None
        assert [name.split()[0] for name in status.pending] == ["one", "br4", "two", "three", "mg5", "d6"]
        assert status.target == "d6"

    def test_what_is_an_ancestor_of_the_current_revision_is_not_pending(self):
        assert alembic("two\n").pending == ("br4 br", "three add three (beta)", "mg5 mg", "d6 dep")

    def test_a_database_on_two_branches_has_both_revisions(self):
        status = alembic("br4\ntwo\n")
        assert status.revision == "br4, two"
        assert status.pending == ("three add three (beta)", "mg5 mg", "d6 dep")

    def test_at_the_head_nothing_is_pending(self):
        assert alembic("d6 (head)\n") == Status("d6", (), "d6")

    def test_what_the_application_logs_in_between_is_not_taken_for_a_revision(self):
        noise = 'Starting\n{"level": "info", "message": "one -> two"}\nINFO  [alembic.runtime.migration] Running upgrade one -> two, x\nThree\n'
        assert alembic(noise + "two\n" + noise, noise + ALEMBIC_HISTORY + noise) == alembic("two\n")

    def test_an_application_without_revisions_needs_nothing(self):
        assert alembic("", "") == Status(None, (), None)

    def test_a_format_that_is_not_known_is_not_taken_for_nothing_pending(self):
        with pytest.raises(MigrationError, match="not understood"):
            alembic("", "Rev one -> two")

    def test_a_database_ahead_of_the_image_is_an_error(self):
        with pytest.raises(MigrationError, match="alembic current exited 255"):
            parse_alembic([Section(("alembic", "current"), "FAILED: Can't locate revision", 255), Section(("alembic", "history"), "", 0)])


class TestDjangoOutput:
    def test_the_unmarked_are_pending_in_the_order_of_the_plan(self):
        status = parse_django([Section((), "System check: fine\n" + DJANGO_PLAN, 0)])
        assert status.pending == ("admin.0001_initial", "contenttypes.0002_remove_content_type_name", "auth.0004_alter_user_username_opts")
        assert status.revision == "auth.0003_alter_user_email_max_length"
        assert status.target == "auth.0004_alter_user_username_opts"

    def test_a_new_database_has_no_revision(self):
        assert parse_django([Section((), "[ ]  auth.0001_initial\n", 0)]).revision is None

    def test_a_project_without_migrations_needs_nothing(self):
        assert parse_django([Section((), "(no migrations)\n", 0)]).pending == ()

    def test_output_without_a_plan_is_not_taken_for_nothing_pending(self):
        with pytest.raises(MigrationError, match="not understood"):
            parse_django([Section((), "Hello\n", 0)])


class TestCommandOutput:
    check, current = ("check",), ("version",)

    def test_exit_status_zero_means_that_nothing_is_pending(self):
        assert parse_command([Section(self.check, "fine\n", 0)], (), self.check) == Status(None, ())

    def test_exit_status_one_means_that_the_printed_lines_are_pending(self):
        assert parse_command([Section(self.check, "0002\n0003\n", 1)], (), self.check).pending == ("0002", "0003")

    def test_a_check_that_names_nothing_still_makes_it_pending(self):
        assert parse_command([Section(self.check, "", 1)], (), self.check).pending

    def test_any_other_exit_status_is_an_error(self):
        with pytest.raises(MigrationError, match="check exited 2; it must exit 0"):
            parse_command([Section(self.check, "", 2)], (), self.check)

    def test_the_last_line_of_the_current_command_is_the_revision(self):
        sections = [Section(self.current, "connecting\n7\n\n", 0), Section(self.check, "", 0)]
        assert parse_command(sections, self.current, self.check).revision == "7"

    def test_a_current_command_that_fails_is_an_error(self):
        with pytest.raises(MigrationError, match="version exited 3"):
            parse_command([Section(self.current, "", 3)], self.current, ())


class TestReadingScript:
    def test_a_plain_shell_runs_all_commands_and_keeps_them_apart(self):
        commands = (("printf", "%s", "no newline; 'quoted' $HOME"), ("sh", "-c", "echo x; exit 3"), ("true",))
        done = subprocess.run(["sh", "-c", reading_script(commands)], capture_output=True, text=True, check=True)
        assert [(section.text, section.rc) for section in sections_of(commands, done.stdout)] == [("no newline; 'quoted' $HOME", 0), ("x", 3), ("", 0)]

    def test_a_script_that_was_cut_off_is_an_error(self):
        with pytest.raises(MigrationError, match="before all questions"):
            sections_of((("a",), ("b",)), f"x\n{MARK} 0\ny\n")


class TestPostgresGuard:
    def test_the_options_of_the_service_are_kept(self):
        given = postgres_environment({"PGOPTIONS": "-c search_path=shop"}, "1.4.2", 60)
        assert given["PGOPTIONS"] == "-c search_path=shop -c client_connection_check_interval=1000 -c statement_timeout=65000"

    def test_the_session_is_named_after_the_release_within_the_length_that_the_server_keeps(self):
        assert postgres_environment({}, "1.4.2", 60)["PGAPPNAME"] == "longshore-migration-1.4.2"
        assert len(postgres_environment({}, "x" * 100, 60)["PGAPPNAME"]) == 63


class Docker:
    """The engine, a database with an Alembic application in it, and a clock that only waiting moves."""

    revisions = ("a1", "b2", "c3")

    def __init__(self):
        self.now = 1_800_000_000.0
        self.applied = 0
        self.upgrade = {"rc": 0, "seconds": 3, "says": "Running upgrade", "applies": True}
        self.seed_rc = 0
        self.environment = {"DATABASE_URL": "postgresql://app:canary-password@db/app", "PGOPTIONS": "-c search_path=shop"}
        self.container = None
        self.calls: list[list[str]] = []
        self.started: list[str] = []

    def clock(self):
        return self.now

    def __call__(self, args, timeout=None, **_options):
        self.calls.append(list(args))
        words = list(args[1:])
        if words[0] == "compose":
            return self._config() if "config" in words else self._run(words[words.index("run") :])
        return getattr(self, f"_{words[0]}")(words, timeout)

    def _result(self, rc=0, stdout="", stderr=""):
        return Result((), rc, stdout, stderr)

    def _config(self):
        return self._result(stdout=json.dumps({"services": {"web": {}, "migrate": {"environment": self.environment}}}))

    def _run(self, words):
        labels = dict(words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "-l")
        environment = dict(words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "-e")
        command = words[words.index("migrate") + 1 :]
        if self.container:
            return self._result(1, stderr='Conflict. The container name "/shop-web-migration" is already in use by container "x"')
        rc, seconds, says = 0, 1, ""
        if command[0] == "sh":
            current = self.revisions[self.applied - 1] if self.applied else ""
            rows = [f"{down} -> {up}, step {up}" for down, up in zip(("<base>", *self.revisions), self.revisions, strict=False)]
            history = "\n".join(reversed(rows)).replace(f"-> {self.revisions[-1]}", f"-> {self.revisions[-1]} (head)")
            says = f"{current}\n{MARK} 0\n{history}\n{MARK} 0\n"
        elif command == ["alembic", "upgrade", "head"]:
            rc, seconds, says = self.upgrade["rc"], self.upgrade["seconds"], self.upgrade["says"]
            if not rc and self.upgrade["applies"]:
                self.applied = len(self.revisions)
        elif command == ["seed"]:
            rc, says = self.seed_rc, "seeding"
        self.started.append("read" if command[0] == "sh" else " ".join(command))
        self.container = {"rc": rc, "end": self.now + seconds, "begin": self.now, "says": says, "labels": labels, "environment": environment}
        return self._result(stdout=f" Container x Created\n{self._id()}\n")

    def _id(self):
        return f"id{len(self.started)}"

    def _gone(self, words):
        return not self.container or words[-1] not in (self._id(), "shop-web-migration")

    def _wait(self, words, timeout):
        if self._gone(words):
            return self._result(1, stderr="Error: No such container")
        if self.container["end"] > self.now + timeout:
            self.now += timeout
            raise subprocess.TimeoutExpired("docker wait", timeout)
        self.now = max(self.now, self.container["end"])
        return self._result(stdout=f"{self.container['rc']}\n")

    def _logs(self, words, _timeout):
        if self._gone(words):
            return self._result(1, stderr="Error: No such container")
        lines = self.container["says"].splitlines()
        return self._result(stdout="".join(f"2026-01-01T00:00:{number:02}Z {line}\n" for number, line in enumerate(lines)))

    def _stop(self, _words, _timeout):
        self.container["end"] = self.now
        return self._result()

    def _rm(self, words, _timeout):
        if not self._gone(words):
            self.container = None
        return self._result()

    def _container(self, _words, _timeout):
        if not self.container:
            return self._result(1, "[]", "Error: No such container: x")
        began = datetime.fromtimestamp(self.container["begin"], UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
        state = {"Running": self.container["end"] > self.now, "StartedAt": began}
        return self._result(stdout=json.dumps([{"Id": self._id(), "Config": {"Labels": self.container["labels"]}, "State": state}]))


@pytest.fixture
def docker():
    return Docker()


@pytest.fixture
def release(tmp_path):
    (tmp_path / "1.4.2").mkdir()
    return tmp_path / "1.4.2"


def spec_for(release, **options) -> Spec:
    given = {"output_path": str(release / "migration.log"), "marker": str(release / "migration.json"), **options}
    return Spec(project="shop-web-1.4.2", path=str(release), release=release.name, lock="shop-web", **given)


def migrate(docker, release, check=False, seconds=1000.0, resume=None, **options):
    return Migration(spec_for(release, **options), Engine(runner=docker), check, docker.clock).run(seconds, resume or {})


class TestMigration:
    def test_pending_revisions_are_applied_and_listed(self, docker, release):
        docker.applied = 1
        result = migrate(docker, release)
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, "a1", "c3")
        assert result["pending_revisions"] == ["b2 step b2", "c3 step c3"]
        assert docker.started == ["read", "alembic upgrade head", "read"]

    def test_when_nothing_is_pending_one_container_is_enough(self, docker, release):
        docker.applied = 3
        result = migrate(docker, release)
        assert (result["changed"], result["revision_after"], docker.started) == (False, "c3", ["read"])

    def test_a_second_run_of_the_same_release_looks_again_and_changes_nothing(self, docker, release):
        migrate(docker, release)
        docker.started.clear()
        result = migrate(docker, release)
        assert (result["changed"], result["revision_before"], result["revision_after"], docker.started) == (False, "c3", "c3", ["read"])

    def test_a_release_that_was_migrated_before_is_migrated_again_after_a_restore(self, docker, release):
        migrate(docker, release)
        docker.applied = 1
        assert migrate(docker, release, check=True)["pending_revisions"] == ["b2 step b2", "c3 step c3"]
        result = migrate(docker, release)
        assert (result["changed"], result["revision_before"], result["revision_after"], docker.applied) == (True, "a1", "c3", 3)

    def test_another_release_looks_again(self, docker, release):
        migrate(docker, release)
        other = release.parent / "1.4.3"
        other.mkdir()
        docker.started.clear()
        migrate(docker, other, marker=str(release / "migration.json"))
        assert docker.started == ["read"]

    def test_no_container_is_left(self, docker, release):
        migrate(docker, release)
        assert docker.container is None

    def test_the_container_gets_the_guard_and_keeps_the_options_of_the_service(self, docker, release):
        seen = []
        docker._rm = lambda *_: seen.append(docker.container["environment"]) or setattr(docker, "container", None) or Result((), 0, "", "")
        migrate(docker, release, timeout=60)
        assert all(environment["PGOPTIONS"].startswith("-c search_path=shop -c client_connection") for environment in seen)
        assert seen[1]["PGAPPNAME"] == "longshore-migration-1.4.2"

    def test_the_guard_can_be_turned_off(self, docker, release):
        migrate(docker, release, postgres_guard=False)
        assert not any(word.startswith("PGOPTIONS") for call in docker.calls for word in call)

    def test_check_mode_names_what_is_pending_and_applies_nothing(self, docker, release):
        result = migrate(docker, release, check=True)
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, None, "c3")
        assert len(result["pending_revisions"]) == 3
        assert (docker.applied, docker.started, os.listdir(release)) == (0, ["read"], [])

    def test_check_mode_of_a_migrated_database_claims_no_change(self, docker, release):
        docker.applied = 3
        assert migrate(docker, release, check=True)["changed"] is False

    def test_a_missing_release_is_an_error(self, docker, release):
        with pytest.raises(MigrationError, match="there is no release directory"):
            migrate(docker, release.parent / "not-there")

    def test_a_service_that_is_not_in_the_file_is_an_error_that_names_those_that_are(self, docker, release):
        with pytest.raises(OneOffError, match="has no service migrator; it has migrate, web"):
            migrate(docker, release, service="migrator")

    def test_the_diff_shows_revisions(self, docker, release):
        docker.applied = 2
        diff = diff_of(migrate(docker, release, check=True))
        assert diff["before"] == "revision: b2\npending:\n  - c3 step c3\n"
        assert diff["after"] == "revision: c3\npending:\n"


@pytest.fixture
def look(docker, release, tmp_path, monkeypatch):
    """Check mode for a release that was never written, on a host that has its image."""
    root = tmp_path / "look"
    monkeypatch.setattr(_preview, "ROOT", str(root))
    docker.root, docker.there, docker.seen = root, ["sha256:new"], {}
    docker._image = lambda words, _timeout: Result((), 0, json.dumps([{"Id": name} for name in docker.there if name in words]), "")
    run = docker._run

    def seen(words):
        folder = root / "1.5.0-abc"
        docker.seen = {entry.name: (stat.S_IMODE(entry.stat().st_mode), entry.read_text()) for entry in folder.iterdir()}
        docker.seen["."] = (stat.S_IMODE(root.stat().st_mode), "")
        return run(words)

    docker._run = seen
    service = {"image": "longshore/shop-web:1.5.0-abc", "profiles": ["tools"], "networks": ["backend"], "env_file": ["secret:credentials"]}
    definition = {"services": {"web": {"image": "x"}, "migrate": service}, "networks": {"backend": {"external": True}, "edge": {"external": True}}}
    preview = {
        "spec": {"release": "1.5.0-abc", "project": "stack-shop-1-5-0-abc", "definition": definition, "image": {"id": "sha256:new"}},
        "secrets": [{"name": "credentials", "value": "DATABASE_URL='x'\nOTHER='canary-of-a-file'\n", "uid": os.getuid()}],
    }
    spec = spec_for(release, marker=str(tmp_path / "none" / "migration.json"))
    spec = replace(spec, path=str(tmp_path / "none"), release="1.5.0-abc")
    return lambda given=preview, **options: foretold(replace(spec, **options), given, Engine(runner=docker), docker.clock, 1000.0, {})


class TestCheckModeOfAReleaseThatIsNotWritten:
    def test_it_really_reads_with_the_new_image_and_environment_and_leaves_nothing(self, docker, look):
        docker.applied = 2
        result = look()
        assert (result["changed"], result["pending_revisions"], result["revision_after"]) == (True, ["c3 step c3"], "c3")
        assert docker.seen["."][0] == 0o700 and docker.seen["credentials"][0] == 0o400
        assert docker.seen["compose.yaml"][1].startswith("name: stack-shop-1-5-0-abc\n")
        assert 'image: "sha256:new"' in docker.seen["compose.yaml"][1] and "edge" not in docker.seen["compose.yaml"][1]
        assert (docker.applied, docker.started, os.listdir(docker.root), docker.container) == (2, ["read"], [], None)

    def test_a_release_that_needs_no_migration_claims_none(self, docker, look):
        docker.applied = 3
        assert (look()["changed"], docker.started) == (False, ["read"])

    def test_what_a_killed_look_has_left_goes(self, docker, look):
        (docker.root / "1.4.9-dead").mkdir(parents=True)
        (docker.root / "1.4.9-dead" / "credentials").write_text("x")
        look()
        assert os.listdir(docker.root) == []

    @pytest.mark.parametrize(
        ("given", "why"),
        [(None, "there is no release directory"), ({"spec": {"image": {"id": ""}}}, "its image is not on this host yet")],
        ids=["nothing given", "no image"],
    )
    def test_where_it_cannot_look_it_says_so_and_claims_nothing(self, docker, look, given, why):
        result = look(given)
        assert result["changed"] is False and result["warnings"] == [result["msg"]] and why in result["msg"]
        assert docker.started == []

    def test_an_image_that_has_gone_meanwhile_is_not_known_either(self, docker, look):
        docker.there = []
        assert "its image is not on this host yet" in look()["msg"]

    def test_a_database_that_refuses_the_new_release_is_not_known_and_nothing_is_left(self, docker, look):
        run = docker._run

        def refused(words):
            result = run(words)
            docker.container["says"] = f"password authentication failed; canary-of-a-file\n{MARK} 1\n\n{MARK} 0\n"
            return result

        docker._run = refused
        result = look()
        assert result["changed"] is False and result["msg"].endswith("alembic current exited 1\npassword authentication failed; ***")
        assert (os.listdir(docker.root), docker.container) == ([], None)

    def test_a_database_that_does_not_answer_is_not_known_at_the_limit(self, docker, look):
        run = docker._run

        def silent(words):
            result = run(words)
            docker.container.update(end=1e12, says="")
            return result

        docker._run = silent
        result = look(timeout=20)
        assert result["changed"] is False and "did not end within 20 s" in result["msg"] and docker.container is None


class TestFailure:
    def test_the_tools_own_words_and_status_are_handed_on(self, docker, release):
        docker.upgrade.update(rc=1, says="column x does not exist\npostgresql://app:canary-password@db/app")
        with pytest.raises(MigrationError, match="alembic upgrade head exited 1") as caught:
            migrate(docker, release)
        facts = caught.value.facts
        assert (facts["rc"], facts["revision_before"], len(facts["pending_revisions"])) == (1, None, 3)
        assert "column x does not exist" in facts["output"]
        assert docker.container is None

    def test_a_run_after_the_fix_continues(self, docker, release):
        docker.upgrade["rc"] = 1
        with pytest.raises(MigrationError):
            migrate(docker, release)
        docker.upgrade["rc"] = 0
        assert migrate(docker, release)["revision_after"] == "c3"

    def test_the_output_is_kept_for_root_alone_and_without_passwords(self, docker, release):
        docker.upgrade.update(says="connected to postgresql://app:canary-password@db/app as canary-password")
        result = migrate(docker, release)
        text = (release / "migration.log").read_text()
        assert "connected to postgresql://app:***@db/app as ***" in text
        assert "canary" not in text + json.dumps(result)
        assert {stat.S_IMODE((release / name).stat().st_mode) for name in ("migration.log", "migration.json")} == {0o600}

    @pytest.mark.parametrize("form", ["files", "env"])
    def test_a_failing_migration_that_echoes_a_secret_of_the_release_tells_nobody(self, docker, release, form):
        content, docker.environment = {
            "files": ("sk-canary-4711", {"STRIPE_SK_FILE": "/run/secrets/STRIPE_SK"}),
            "env": ("STRIPE_SK='sk-canary-4711'\n", {"STRIPE_SK": "sk-canary-4711"}),
        }[form]
        (release / "secret.1").write_text(content)
        (release / "compose.yaml").write_text(f"secrets:\n  it:\n    file: {release}/secret.1\n")
        docker.upgrade.update(rc=1, says="no such charge: sk-canary-4711")
        with pytest.raises(MigrationError) as caught:
            migrate(docker, release)
        assert caught.value.facts["output"] == "no such charge: ***"
        assert "canary" not in str(caught.value) + (release / "migration.log").read_text()

    def test_a_secret_in_the_name_of_what_is_pending_is_masked(self, docker, release):
        docker.revisions = ("a1-canary-password",)
        assert migrate(docker, release)["pending_revisions"] == ["a1-*** step a1-***"]

    def test_a_question_that_fails_shows_what_the_tool_said_and_nothing_of_ours(self, docker, release):
        docker.revisions = ("a1",)
        docker.applied = 1
        run = docker._run

        def broken(words):
            result = run(words)
            docker.container["says"] = f"connection refused\n{MARK} 1\n\n{MARK} 0\n"
            return result

        docker._run = broken
        with pytest.raises(MigrationError, match="alembic current exited 1") as caught:
            migrate(docker, release)
        assert caught.value.facts["output"] == "connection refused"
        assert caught.value.facts["rc"] == 1

    def test_an_upgrade_that_says_it_worked_but_did_not_is_a_failure(self, docker, release):
        docker.upgrade["applies"] = False
        with pytest.raises(MigrationError, match="exited 0, but this is still pending: a1 step a1"):
            migrate(docker, release)

    def test_at_the_limit_the_container_is_gone_and_the_message_says_limit_and_last_output(self, docker, release):
        docker.upgrade.update(seconds=1000, says="Running upgrade a1 -> b2")
        begin = docker.now
        with pytest.raises(MigrationError, match="did not end within 30 s and was stopped. Its last output: Running upgrade a1 -> b2"):
            migrate(docker, release, timeout=30)
        assert docker.now - begin == pytest.approx(30, abs=1)
        assert docker.container is None
        assert "stopped at the time limit" in (release / "migration.log").read_text()

    def test_an_image_that_cannot_start_is_said_in_the_engines_words(self, docker, release):
        docker._run = lambda _words: Result((), 1, "", ' Container x Creating \nError: exec: "sh": executable file not found in $PATH')
        with pytest.raises(OneOffError, match=r'cannot start sh -c in service migrate: Error: exec: "sh": executable file not found in \$PATH') as caught:
            migrate(docker, release)
        assert "Creating" not in str(caught.value)


class TestSeed:
    def test_it_runs_after_a_change_only(self, docker, release):
        migrate(docker, release, seed=("seed",))
        assert docker.started == ["read", "alembic upgrade head", "read", "seed"]

    def test_it_does_not_run_when_nothing_was_pending(self, docker, release):
        docker.applied = 3
        migrate(docker, release, seed=("seed",))
        assert docker.started == ["read"]

    def test_a_seed_that_failed_is_repeated_by_the_next_run_although_nothing_is_pending(self, docker, release):
        docker.seed_rc = 1
        with pytest.raises(MigrationError, match="migration is applied, but its seed step seed exited 1"):
            migrate(docker, release, seed=("seed",))
        docker.seed_rc = 0
        docker.started.clear()
        result = migrate(docker, release, seed=("seed",))
        assert (docker.started, result["changed"]) == (["read", "seed"], True)
        docker.started.clear()
        migrate(docker, release, seed=("seed",))
        assert docker.started == ["read"]


class TestInterruption:
    def begin(self, docker, release, **options):
        """A run whose connection is cut during the upgrade."""
        docker.upgrade["seconds"] = 100
        result = migrate(docker, release, seconds=5, **options)
        assert result["pending"] is True
        return result

    def test_a_long_migration_comes_in_slices_that_say_what_runs(self, docker, release):
        result = self.begin(docker, release)
        assert result["progress"] == "alembic upgrade head, at most 300 s: Running upgrade"
        slices = 1
        while result.get("pending") is True:
            result, slices = migrate(docker, release, seconds=5, resume=json.loads(json.dumps(result["resume"]))), slices + 1
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, None, "c3")
        assert docker.started == ["read", "alembic upgrade head", "read"]
        assert slices > 10
        assert result["duration"] == pytest.approx(102, abs=1)

    def test_the_limit_counts_over_all_slices(self, docker, release):
        result = self.begin(docker, release, timeout=20)
        with pytest.raises(MigrationError, match="within 20 s"):
            while True:
                result = migrate(docker, release, seconds=5, resume=result["resume"], timeout=20)

    def test_the_next_run_of_the_release_waits_for_what_still_runs(self, docker, release):
        self.begin(docker, release, seed=("seed",))
        result = migrate(docker, release, seed=("seed",))
        assert docker.started == ["read", "alembic upgrade head", "read", "seed"]
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, None, "c3")

    def test_another_release_refuses_and_says_how_long_it_runs(self, docker, release):
        self.begin(docker, release)
        other = release.parent / "1.4.3"
        other.mkdir()
        with pytest.raises(MigrationError, match=r"a migration of release 1\.4\.2 runs since 2027-01-15T.* in container shop-web-migration \(step upgrade\)"):
            migrate(docker, other)
        assert docker.container is not None

    @pytest.fixture
    def left(self, docker, release):
        """A migration that hangs and whose run died; the release after it, and what is said of it."""
        docker.upgrade["applies"] = False
        self.begin(docker, release, run="r1")
        docker.upgrade.update(seconds=3, applies=True)
        other = release.parent / "1.4.3"
        other.mkdir()
        return other, "the migration of release 1.4.2 (step upgrade), which a run left that died,"

    def test_who_has_the_lease_ends_what_a_dead_run_of_another_release_has_left_and_says_so(self, docker, left):
        other, said = left
        docker.calls.clear()
        result = migrate(docker, other, run="r2")
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, None, "c3")
        assert result["msg"] == f"migrated; {said} was ended"
        assert [call[1:] for call in docker.calls if call[1] in ("stop", "rm")][:2] == [["stop", "-t", "3", "id2"], ["rm", "--force", "id2"]]
        assert docker.container is None and docker.applied == 3

    def test_that_it_was_ended_is_said_in_the_progress_too(self, docker, left):
        other, said = left
        result = migrate(docker, other, seconds=2, run="r2")
        assert result["progress"] == f"{said} was ended; alembic upgrade head, at most 300 s: Running upgrade"
        assert migrate(docker, other, resume=json.loads(json.dumps(result["resume"])), run="r2")["msg"] == f"migrated; {said} was ended"

    def test_an_end_alone_is_a_change_without_a_migration(self, docker, left):
        other, said = left
        docker.applied = 3
        result = migrate(docker, other, run="r2")
        assert (result["changed"], result["revision_before"], result["msg"]) == (True, "c3", f"nothing was pending; {said} was ended")
        assert migrate(docker, other, run="r2")["changed"] is False

    def test_what_a_dead_run_of_the_same_release_has_left_is_still_waited_for(self, docker, release):
        self.begin(docker, release, run="r1")
        docker.calls.clear()
        result = migrate(docker, release, run="r2")
        assert (result["changed"], result["revision_after"], docker.started) == (True, "c3", ["read", "alembic upgrade head", "read"])
        assert not [call for call in docker.calls if call[1] == "stop"]

    @pytest.mark.parametrize(("run", "check"), [("", False), ("r1", False), ("r2", True)], ids=["without a lease", "by the same run", "in check mode"])
    def test_what_may_not_be_dead_is_left_alone(self, docker, left, run, check):
        with pytest.raises(MigrationError, match=r"a migration of release 1\.4\.2 runs since"):
            migrate(docker, left[0], check=check, run=run)
        assert docker.container["end"] > docker.now

    def test_what_was_started_without_a_lease_is_left_alone(self, docker, left):
        docker.container["labels"].pop("stack.longshore.run")
        with pytest.raises(MigrationError, match=r"a migration of release 1\.4\.2 runs since"):
            migrate(docker, left[0], run="r2")
        assert docker.container["end"] > docker.now

    def test_what_cannot_be_ended_is_said_before_anything_starts(self, docker, left):
        other, said = left
        docker._stop = docker._rm = lambda *_: Result((), 1, "", "cannot kill container")
        with pytest.raises(MigrationError, match=f"{re.escape(said)} cannot be ended"):
            migrate(docker, other, run="r2")
        assert docker.started == ["read", "alembic upgrade head"]

    def test_check_mode_does_not_wait_for_it(self, docker, release):
        self.begin(docker, release)
        now = docker.now
        assert "runs since" in migrate(docker, release, check=True)["msg"]
        assert docker.now == now

    def test_what_has_ended_meanwhile_is_cleared_away_and_looked_at_anew(self, docker, release):
        self.begin(docker, release)
        docker.now += 200
        result = migrate(docker, release)
        assert docker.started == ["read", "alembic upgrade head", "read"]
        assert (result["changed"], result["revision_after"]) == (True, "c3")

    def test_what_hangs_since_an_earlier_run_is_ended_at_the_limit_of_its_own_start(self, docker, release):
        self.begin(docker, release, timeout=50)
        docker.now += 60
        begin = docker.now
        with pytest.raises(MigrationError, match="within 50 s"):
            migrate(docker, release, timeout=50)
        assert docker.now - begin < 1

    def test_a_run_that_was_taken_for_dead_and_ends_the_work_itself_is_no_failure(self, docker, release):
        first = self.begin(docker, release)
        wait, taken = docker._wait, []

        def wait_while_the_first_run_finishes(words, timeout):
            if not taken:
                taken.append(True)
                assert migrate(docker, release, resume=first["resume"])["changed"]
                return Result((), 0, "0\n", "")
            return wait(words, timeout)

        docker._wait = wait_while_the_first_run_finishes
        result = migrate(docker, release)
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, None, "c3")
        assert docker.started == ["read", "alembic upgrade head", "read"]

    def test_a_run_that_was_taken_for_dead_and_notes_the_end_first_leaves_where_it_began(self, docker, release):
        self.begin(docker, release)
        wait = docker._wait

        def wait_while_the_first_run_notes_the_end(words, timeout):
            if docker.started[-1] == "read":
                (release / "migration.json").write_text(json.dumps({"release": "1.4.2", "state": "done", "revision": "c3"}))
            return wait(words, timeout)

        docker._wait = wait_while_the_first_run_notes_the_end
        result = migrate(docker, release)
        assert (result["changed"], result["revision_before"], result["revision_after"]) == (True, None, "c3")

    def test_a_look_that_an_earlier_run_had_begun_after_a_restore_ends_in_a_migration(self, docker, release):
        migrate(docker, release)
        docker.applied = 1
        assert migrate(docker, release, seconds=0.5)["pending"] is True
        result = migrate(docker, release)
        assert (result["changed"], result["revision_before"], result["revision_after"], docker.applied) == (True, "a1", "c3", 3)

    def test_two_that_start_at_the_same_moment_do_not_both_run(self, docker, release):
        docker._container = lambda *_: Result((), 1, "[]", "Error: No such container: x")
        docker.container = {"rc": 0, "end": docker.now + 5, "says": "", "labels": {}, "environment": {}}
        with pytest.raises(OneOffError, match="another migration of shop-web has just started"):
            migrate(docker, release)
        assert docker.container is not None


class TestPlainCommand:
    def test_without_any_check_it_runs_each_time(self, docker, release):
        options = {"tool": "command", "command": ("alembic", "upgrade", "head")}
        assert migrate(docker, release, **options)["changed"] is True
        docker.applied = 1
        assert migrate(docker, release, **options)["changed"] is True
        assert (docker.started, docker.applied) == (["alembic upgrade head"] * 2, 3)

    def test_check_mode_says_that_what_is_pending_is_not_known(self, docker, release):
        result = migrate(docker, release, check=True, tool="command", command=("alembic", "upgrade", "head"))
        assert result["pending_revisions"] == ["not known: there is no check_command"]
        assert docker.started == []
