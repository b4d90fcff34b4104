# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one production host: from bare over changes, crashes, reboots and failing releases to its end. The order counts."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shlex
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import journey_facts as facts
import pytest
from journey_support import PATIENCE, ROOT, Stack, figure, play, until

# Of this run alone: a host that was kept has those of earlier runs in its journal.
CANARY = f"canary{secrets.token_hex(4)}"


def canary(what: str) -> str:
    return f"{CANARY}-{what}-Zq8vX2"


@pytest.fixture(scope="module")
def live(trixie) -> Stack:
    """The stack after its first run."""
    if trixie.host.ssh("test -e /opt/prod/apps/example/live", check=False).returncode:
        trixie.play("first run on a bare host").succeeded()
    return trixie


@pytest.fixture(scope="module")
def keepsake(live) -> facts.Keepsake:
    until(lambda: live.web().ready(), what="the application to be ready")
    return facts.Keepsake.leave(live)


def ids(stack: Stack) -> dict[str, str]:
    return {name: box.id for name, box in stack.host.containers().items()}


def logins(stack: Stack) -> int:
    return int(stack.host.sh("journalctl -b -t sshd -t sshd-session | grep -c 'Accepted publickey'"))


def test_an_inventory_with_placeholders_is_refused_and_each_is_named():
    run = play("untouched inventories/prod", "-i", "inventories/prod")
    assert run.rc != 0
    for variable in ("ansible_host", "ansible_user", "stack_domain", "stack_acme_email", "image", "version"):
        assert re.search(rf"^\W*.*\b{variable}\b.*CHANGE_ME", run.output, re.MULTILINE), f"{variable} is not named:\n{run.end}"


def test_a_refused_inventory_touches_no_host(trixie, tmp_path):
    shutil.copytree(ROOT / "inventories/prod", tmp_path / "prod")
    shutil.copy(trixie.folder / "hosts.yml", tmp_path / "prod/hosts.yml")
    before = logins(trixie)
    run = play("placeholders left in the variables", "-i", str(tmp_path / "prod"))
    assert run.rc != 0 and "CHANGE_ME" in run.output, run.end
    assert logins(trixie) == before + 1, "somebody else than this test has logged in"


def test_check_mode_on_a_bare_host_works_and_does_nothing(trixie):
    before = trixie.host.sh("ls /opt /var/lib /etc /usr/local/lib")
    trixie.play("check mode on a bare host", "--check", "--diff").succeeded()
    assert trixie.host.sh("ls /opt /var/lib /etc /usr/local/lib") == before
    assert trixie.host.ssh("command -v docker", check=False).returncode != 0


def test_a_bare_host_becomes_the_stack_of_the_inventory(live, images):
    facts.version_is(live, "1.0.0")
    facts.one_release_lives(live)
    there = {box.service for box in live.host.containers().values()}
    assert there == {"postgres", "valkey", "rabbitmq", live.s3, "caddy", "switch", "web", "worker", "beat"}
    # The images of the recipes were there, so none was built on the host.
    chosen = {entry["ref"] for entry in json.loads(live.host.sh("cat /opt/prod/images.json")).values()}
    assert {ref for ref in chosen if ref.startswith("longshore/")} <= set(images["seeded"]), chosen


def test_only_the_edge_is_published(live):
    published = live.host.sh("docker ps --format '{{.Names}} {{.Ports}}' | grep -- '->'").splitlines()
    assert len(published) == 1 and published[0].startswith("prod-caddy-"), published
    assert set(re.findall(r":(\d+)->", published[0])) == {"80", "443"}


def test_an_item_is_a_row_and_its_second_look_comes_from_the_cache(live, keepsake):
    facts.item_is_stored_and_cached(live)


def test_a_job_is_done_by_the_worker_and_its_result_is_a_row(live):
    facts.job_is_done_by_the_worker(live)


def test_a_file_comes_back_byte_by_byte(live):
    facts.file_comes_back_equal(live)


def test_beat_ticks_exactly_once_per_period(live):
    facts.beat_ticks_once_per_period(live)


def test_a_console_and_s3_are_behind_the_edge_where_the_inventory_says_so(live):
    made = json.loads(live.host.sh("cat /etc/longshore/secrets/prod/made.json"))
    queues, store = live.web("queues"), live.web("store")
    assert queues.get("/").status == 0, "no certificate is there for a name without a route"

    def asked(site, secret: str, path: str, *more: str) -> str:
        # From the host, whose curl is new enough to sign what SeaweedFS accepts (7.88 is not).
        words = ["curl", "-sS", "-m", "30", "--cacert", "/var/lib/prod/caddy/data/caddy/pki/authorities/local/root.crt"]
        words += ["--resolve", f"{site.name}:443:127.0.0.1", "--user", f"{secret.partition('_')[2]}:{made[secret]}", *more]
        return live.host.sh(shlex.join([*words, f"https://{site.name}{path}"]))

    with live.changed():
        console = {"host": queues.name, "service": "rabbitmq", "allow": ["0.0.0.0/0"]}
        live.values["stack_routes"] = [console, {"host": store.name, "service": "s3"}]
        live.play("routes to services").succeeded()
        assert b"RabbitMQ Management" in queues.get("/").body
        assert queues.get("/api/overview").status == 401
        assert json.loads(asked(queues, "rabbitmq_admin", "/api/overview"))["product_name"] == "RabbitMQ"
        # Signed for the host name that the client knows; the edge must not give S3 another one.
        signed = ("--aws-sigv4", "aws:amz:us-east-1:s3")
        assert asked(store, "s3_example", "/example/through-the-edge", *signed, "-X", "PUT", "-d", "seven") == ""
        assert asked(store, "s3_example", "/example/through-the-edge", *signed) == "seven"
        assert store.get("/example/through-the-edge").status == 403
        console["allow"] = ["203.0.113.0/24"]
        live.play("the console for others alone").succeeded()
        assert queues.get("/").status == 403
    live.play("no route to a service").succeeded()
    assert queues.get("/").status == 0


@contextlib.contextmanager
def stopped(stack: Stack, service: str) -> Iterator[tuple[int, float]]:
    """A container that an operator stopped for a while: status of its process, and the seconds that it took."""
    box, began = stack.host.box(service), time.monotonic()
    stack.host.sh(f"docker stop {box.id}")
    seconds = time.monotonic() - began
    try:
        yield int(stack.host.sh(f"docker inspect -f '{{{{.State.ExitCode}}}}' {box.id}")), seconds
    finally:
        stack.host.sh(f"docker start {box.id}")
        facts.recovers(stack)


def test_a_web_process_that_is_stopped_answers_what_it_has_begun(live):
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(live.web().get, "/slow?seconds=8")
        time.sleep(1)  # to arrive; a request that came too late would fail, one that was over would not hold up the stop
        with stopped(live, "web") as (status, seconds):
            answer = asked.result()
    assert (answer.status, answer.body, status) == (200, b'{"seconds":8.0}', 0)
    assert seconds > 3


def test_a_worker_that_is_stopped_finishes_its_job(live):
    web = live.web()
    job = web.ask("POST", "/jobs", {"n": 3, "seconds": 6}).json["id"]
    until(lambda: web.get(f"/jobs/{job}").json["status"] == "STARTED", what="the job to be begun")
    with stopped(live, "worker") as (status, _seconds):
        assert (web.get(f"/jobs/{job}").json, status) == ({"status": "SUCCESS", "result": 14}, 0)


def test_readiness_names_the_service_that_is_gone(live):
    with stopped(live, "valkey"):
        answer = live.web().get("/ready")
        assert (answer.status, answer.json["broken"]) == (503, ["cache"])
        assert live.web().get("/health").status == 200


def test_the_second_run_changes_nothing_and_asks_little(live):
    before = ids(live)
    run = live.play("second run", "-vvv").succeeded()
    assert run.changed == 0
    assert ids(live) == before
    # Its images are known from the first call of the run.
    calls = {role: run.remote_calls[role] for role in ("postgres", "valkey", "rabbitmq", live.s3, "app", "caddy")}
    figure(f"           remote calls of an unchanged run: {json.dumps(run.remote_calls)}")
    assert {role: count for role, count in calls.items() if count > 1} == {}


def test_check_mode_on_the_converged_host_claims_no_change(live):
    run = live.play("check mode on the converged host", "--check", "--diff").succeeded()
    assert run.changed == 0, run.changed_tasks


def test_one_changed_value_replaces_one_container(live):
    before = ids(live)
    live.values["valkey_maxmemory_policy"] = "volatile-lru"
    foretold = live.play("check mode of one changed value", "--check", "--diff").succeeded()
    assert "+maxmemory-policy volatile-lru" in foretold.output, foretold.end
    assert ids(live) == before
    run = live.play("one changed value").succeeded()
    after = ids(live)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"prod-valkey-valkey-1"}, changed
    assert run.changed_tasks == foretold.changed_tasks
    facts.recovers(live)


@pytest.fixture(scope="module")
def rotated(live, keepsake):
    """Every password of the stack given anew, by a run that shows all it can show. Returns the run, the old passwords and the new ones."""
    made = json.loads(live.host.sh("cat /etc/longshore/secrets/prod/made.json"))
    old = {name: made[name] for name in ("postgres_admin", "postgres_example", "valkey_example", "rabbitmq_example", "s3_example")}
    assert refused(live, old) == []
    live.values |= {name: canary(name.partition("_")[0]) for name in ("postgres_password", "valkey_password", "rabbitmq_password")}
    live.values["minio_root_password" if live.s3 == "minio" else "seaweedfs_admin_secret_key"] = canary("s3")
    live.app["credentials"] = {need: canary(f"app-{need}") for need in ("postgres", "valkey", "rabbitmq", "s3")}
    live.app["secrets"] = {"API_TOKEN": canary("app-token")}
    run = live.play("every password changed, -vvv --diff", "-vvv", "--diff").succeeded()
    return run, old, {"postgres_admin": canary("postgres"), **{f"{need}_example": value for need, value in live.app["credentials"].items()}}


def refused(stack: Stack, passwords: dict[str, str]) -> list[str]:
    """Which of these passwords are not accepted."""
    host, s3 = stack.host, stack.host.box(stack.s3).id
    s3_address = host.sh(f"docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' {s3}")
    s3_port = {"minio": 9000, "seaweedfs": 8333}[stack.s3]
    postgres, valkey, rabbitmq = (host.box(service).id for service in ("postgres", "valkey", "rabbitmq"))
    query = "psql -h 127.0.0.1 -d postgres -Atc 'SELECT 1' -U"

    def script(name: str, password: str) -> str:
        given = shlex.quote(password)
        return {
            "postgres_admin": f"docker exec -e PGPASSWORD={given} {postgres} {query} postgres",
            "postgres_example": f"docker exec -e PGPASSWORD={given} {postgres} psql -h 127.0.0.1 -d example -Atc 'SELECT 1' -U example",
            "valkey_example": f"! docker exec -e REDISCLI_AUTH={given} {valkey} valkey-cli --user example get items:1 2>&1 | grep -q -e NOAUTH -e WRONGPASS",
            "rabbitmq_example": f"docker exec {rabbitmq} rabbitmqctl --quiet authenticate_user example {given}",
            "s3_example": f"curl -sSf -o /dev/null --aws-sigv4 aws:amz:us-east-1:s3 --user example:{given} http://{s3_address}:{s3_port}/example",
        }[name]

    return [name for name, value in passwords.items() if host.ssh(script(name, value), check=False).returncode]


def test_a_changed_password_is_in_force_and_the_old_one_is_refused(live, rotated, keepsake):
    _run, old, new = rotated
    facts.recovers(live)
    assert refused(live, old) == ["postgres_admin", "postgres_example", "valkey_example", "rabbitmq_example", "s3_example"]
    assert refused(live, new) == []
    keepsake.is_there(live)
    facts.everything(live)


def test_no_password_shows_in_output_inspect_logs_or_readable_files(live, rotated):
    run, old, _new = rotated
    needles = [CANARY, *old.values()]
    places = {
        "the run's output": run.output,
        "docker inspect": live.host.sh("docker ps -aq | xargs docker inspect"),
        "docker logs": live.host.sh("for one in $(docker ps -aq); do docker logs $one 2>&1; done"),
        "images": live.host.sh("docker images -q | sort -u | xargs docker inspect"),
        "the host's processes": live.host.sh("ps axww -o args"),
        "the journal": live.host.sh("journalctl --boot --no-pager"),
    }
    assert [(place, needle) for place, text in places.items() for needle in needles if needle in text] == []
    words = " ".join(f"-e {shlex.quote(needle)}" for needle in needles)
    folders = "/opt/prod /var/lib/prod /etc/longshore /etc/docker /tmp /var/tmp /var/log"
    # As somebody without rights, because that decides what can be read.
    assert live.host.sh(f"runuser -u nobody -- grep -rlF {words} {folders} 2>/dev/null || true") == ""
    # The search itself works: what root may read, it finds.
    assert live.host.sh(f"grep -rlF {words} /etc/longshore") != ""


def test_a_reboot_brings_everything_back_without_ansible(live, keepsake):
    before = ids(live)
    booted = live.host.reboot()
    facts.recovers(live)
    figure(f"{booted:7.1f} s  reboot until the host is up; then the stack came back by itself")
    assert ids(live) == before
    keepsake.is_there(live)
    facts.everything(live)


@pytest.mark.parametrize("service", ["postgres", "valkey", "rabbitmq", "s3", "web", "worker", "beat", "switch", "caddy"])
def test_a_crashed_container_comes_back_by_itself(live, keepsake, service):
    before = live.host.box(live.s3 if service == "s3" else service)
    live.host.sh(f"kill -KILL {before.pid}")
    until(lambda: (now := live.host.containers()[before.name]).well and now.started != before.started, PATIENCE, what=f"{before.name} to run again")
    assert live.host.containers()[before.name].id == before.id
    until(lambda: live.web().ready(), what="the application to be ready")
    keepsake.is_there(live)


def test_work_goes_on_after_the_crashes(live):
    facts.recovers(live)
    facts.everything(live)


def test_containers_that_somebody_killed_come_back_with_the_next_run(live, keepsake):
    before = ids(live)
    live.host.sh("docker kill $(docker ps -q)")
    states = sorted({box.state for box in live.host.containers().values()})
    figure(f"           docker kill of every container leaves them: {', '.join(states)} (the engine takes it for an order to stop)")
    live.play("after docker kill of every container").succeeded()
    assert ids(live) == before
    facts.recovers(live)
    keepsake.is_there(live)


@pytest.fixture(scope="module")
def failed(live, keepsake):
    """A release whose migration fails. Returns the run and the containers before it."""
    before = facts.one_release_lives(live)
    live.app["version"] = "1.1.0"
    return live.play("a migration that fails", "-vvv", "--diff"), before


def test_a_failing_migration_ends_the_run_with_the_tools_own_words(failed):
    run, _before = failed
    assert run.rc != 0
    assert 'invalid input syntax for type integer: "nothing"' in run.output, run.end
    assert CANARY not in run.output


def test_a_failing_migration_leaves_containers_and_data_alone(live, failed, keepsake):
    _run, before = failed
    assert facts.one_release_lives(live) == before
    assert live.host.sql("SELECT version_num FROM alembic_version") == "0003"
    keepsake.is_there(live)
    facts.version_is(live, "1.0.0")
    facts.beat_ticks_once_per_period(live)


def test_check_mode_shows_the_pending_revision_of_a_version_that_was_never_prepared_and_leaves_nothing(live, failed):
    # The archive has brought all versions to the host.
    live.host.sh("docker image inspect longshore.test/example:1.1.1")
    engine = "docker ps -aq --no-trunc | sort; docker images -q | sort; docker network ls -q | sort"
    look = f"ls -R /opt/prod /etc/longshore; ls -A /run/longshore/look 2>/dev/null; {engine}"
    before = live.host.sh(look)
    with live.changed():
        live.app["version"] = "1.1.1"
        run = live.play("check mode with a pending revision", "--check", "--diff").succeeded()
    assert re.search(r"^- +- 0004 Prices$", run.output, re.MULTILINE), run.end
    assert live.host.sh(look) == before
    assert live.host.sql("SELECT version_num FROM alembic_version") == "0003"


def test_the_mended_release_goes_live_even_if_its_run_dies_before_the_old_one_went(live, failed, keepsake):
    live.app["version"] = "1.1.1"
    live.app["hooks"] = [{"stage": "retire", "command": ["true"]}]
    first = live.play("the mended release, killed before the old one is retired", kill=lambda line: line.startswith("TASK") and "hook before retire" in line)
    assert first.killed, first.end
    live.play("the mended release, run again").succeeded()
    facts.one_release_lives(live)
    facts.everything(live, "1.1.1")
    keepsake.is_there(live)
    assert live.host.sql("SELECT version_num FROM alembic_version") == "0004"
    assert live.play("after the mended release").succeeded().changed == 0


def test_a_hanging_migration_ends_at_its_limit(live, keepsake):
    before = facts.one_release_lives(live)
    with live.changed():
        live.app["version"] = "1.2.0"
        live.app["migration"]["timeout"] = 25
        run = live.play("a migration that hangs")
    assert run.rc != 0 and "did not end within 25 s" in run.output, run.end
    assert run.seconds < 25 + 120
    assert live.host.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()") == "0"
    assert facts.one_release_lives(live) == before
    assert live.host.sql("SELECT version_num FROM alembic_version") == "0004"
    keepsake.is_there(live)


def test_a_release_that_does_not_start_leaves_the_old_one_serving(live, keepsake):
    before = facts.one_release_lives(live)
    with live.changed():
        live.process("web")["command"] = ["gunicorn", "--no-such-option"]
        run = live.play("a release that does not start")
    assert run.rc != 0 and "unrecognized arguments: --no-such-option" in run.output, run.end
    after = facts.one_release_lives(live)
    assert {service: box.id for service, box in after.items()} == {service: box.id for service, box in before.items()}
    # Nothing was touched, not even what must never run twice: its turn comes after the start.
    assert {service for service in after if after[service].started != before[service].started} == set()
    keepsake.is_there(live)
    facts.beat_ticks_once_per_period(live)


def test_a_django_application_runs_beside(live, keepsake):
    before = facts.one_release_lives(live)
    web = {"name": "web", "command": ["gunicorn"], "port": 8000, "health": {"path": "/health"}, "routes": [{"host": "board.{{ stack_domain }}"}]}
    board = {"image": "longshore.test/board", "version": "1.0.0", "image_source": "archive", "archive": live.app["archive"], "needs": ["postgres"]}
    # Each release has a file of its own besides those that it shares with the one before.
    collect = "DJANGO_BUILDING=1 python manage.py collectstatic --noinput && echo $APP_RELEASE > static/$APP_RELEASE.txt"
    static = [{"path": "/app/static", "command": ["sh", "-c", collect]}]
    settings = {"secrets": {"SECRET_KEY": ""}, "secrets_as": "files", "migration": {"tool": "django"}, "static": static, "processes": [web]}
    live.values["stack_apps"].append({"name": "board", **board, **settings})
    live.play("a Django application beside").succeeded()
    site = live.web("board")
    assert site.get("/ready").json == {"ready": True, "broken": []}
    assert site.ask("POST", "/api/notes", {"text": "three little words"}).status == 201
    page = site.get("/")
    assert page.status == 200 and b"three little words" in page.body
    assert site.get(re.search(r'href="(/static/\S+\.css)"', page.body.decode())[1]).status == 200
    assert live.host.sql("SELECT words FROM notes_note", "board") == "3"
    assert live.host.sql("SELECT name FROM django_migrations WHERE app = 'notes' ORDER BY id", "board").splitlines()[-1] == "0003_count_words"
    assert facts.one_release_lives(live) == before
    keepsake.is_there(live)
    assert live.play("two applications, unchanged").succeeded().changed == 0


def test_a_page_from_before_a_switch_finds_its_files_at_the_edge(live):
    def release() -> str:
        return live.host.sh("basename $(readlink /opt/prod/apps/board/live)")

    old = release()
    live.values["stack_apps"][1]["env"] = {"LOG_LEVEL": "debug"}
    live.play("another release of the Django application", "-e", "app_name=board", playbook="playbooks/deploy.yml").succeeded()
    assert release() != old
    site = live.web("board")
    assert [site.get(f"/static/{name}.txt").body.decode().strip() for name in (old, release())] == [old, release()]


def test_production_is_not_removed_by_accident(live):
    before = ids(live)
    run = live.play("teardown without a word", playbook="playbooks/teardown.yml")
    assert run.rc != 0 and "confirm=prod" in run.output, run.end
    assert ids(live) == before


def test_teardown_leaves_the_engine_and_nothing_of_the_stack(live):
    live.play("teardown", "-e", "confirm=prod", playbook="playbooks/teardown.yml").succeeded()
    assert live.host.sh("docker ps -aq") == ""
    assert "prod" not in live.host.sh("docker network ls --format '{{.Name}}'; ls -d /opt/* /var/lib/* /etc/longshore/*/* 2>/dev/null || true")
    assert live.host.sh("docker info --format '{{.ServerVersion}}'")
