# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from functools import reduce

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _image as image
from ansible_collections.longshore.stack.plugins.module_utils._image import Archived, Build, Facts, ImageError, Inputs, Plan, Record, Reference, Wanted

NAME = "valkey/valkey:8.1.4"
BUILD = Build("valkey", hash="a" * 64, base="longshore/debian:trixie-0123")
BUILT = BUILD.ref("8.1.4")


def engine_with(*refs, digest=""):
    return lambda ref: Facts(f"sha256:{ref}", digest) if ref in refs else None


def record(source, ref=NAME, name=NAME):
    return Record(name, source, ref, f"sha256:{ref}", brought=source == "build")


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("valkey/valkey:8.1.4", "valkey/valkey", "8.1.4", ""),
        ("caddy", "caddy", "", ""),
        ("registry.example.org:5000/shop", "registry.example.org:5000/shop", "", ""),
        ("registry.example.org:5000/team/shop:1.4@sha256:ab", "registry.example.org:5000/team/shop", "1.4", "sha256:ab"),
    ],
)
def test_a_reference_is_cut_at_its_tag_and_not_at_a_port(text, repository, tag, digest):
    assert Reference.parse(text) == Reference(repository, tag, digest)


@pytest.mark.parametrize("text", ["", "valkey/", ":8.1"])
def test_a_name_that_is_no_reference_is_refused_with_an_example(text):
    with pytest.raises(ImageError, match=r"valkey/valkey:8\.1\.4"):
        Reference.parse(text)


# Where an image comes from


def test_auto_on_a_new_host_tries_the_registry_and_then_the_recipe():
    assert image.decide(Wanted(NAME, build=BUILD), None, engine_with()).steps == ("registry", "build")


def test_auto_without_a_recipe_only_tries_the_registry():
    assert image.decide(Wanted(NAME), None, engine_with()).steps == ("registry",)


def test_auto_takes_an_image_that_the_host_has_under_the_upstream_name():
    assert image.decide(Wanted(NAME, build=BUILD), None, engine_with(NAME, digest="sha256:ab")) == Plan(NAME, "registry")


def test_auto_takes_an_archive_before_the_registry():
    wanted = Wanted(NAME, build=BUILD, archived=Archived("sha256:x", NAME))
    assert image.decide(wanted, None, engine_with()).steps == ("archive",)


def test_auto_stays_with_the_registry_when_the_image_is_gone_and_never_builds_instead():
    plan = image.decide(Wanted(NAME, build=BUILD), record("registry"), engine_with(BUILT))
    assert (plan.steps, plan.ref, plan.kept) == (("registry",), NAME, True)


def test_auto_stays_with_the_registry_for_another_version_of_the_same_image():
    plan = image.decide(Wanted("valkey/valkey:8.1.5", build=BUILD), record("registry"), engine_with())
    assert plan.steps == ("registry",)


def test_auto_stays_with_the_recipe_although_the_upstream_image_is_there():
    assert image.decide(Wanted(NAME, build=BUILD), record("build", BUILT), engine_with(NAME, BUILT)) == Plan(BUILT, "build", (), True)


def test_a_changed_recipe_is_built_again():
    plan = image.decide(Wanted(NAME, build=BUILD), record("build", "longshore/valkey:8.1.4-000000000000"), engine_with("longshore/valkey:8.1.4-000000000000"))
    assert (plan.steps, plan.ref) == (("build",), BUILT)


def test_what_the_task_says_goes_before_what_was_kept():
    assert image.decide(Wanted(NAME, "build", BUILD), record("registry"), engine_with(NAME)).steps == ("build",)
    assert image.decide(Wanted(NAME, "registry", BUILD), record("build", BUILT), engine_with(BUILT)).steps == ("registry",)


@pytest.mark.parametrize("source", ["registry", "build", "archive"])
def test_an_image_that_is_there_needs_nothing(source):
    wanted = Wanted(NAME, source, BUILD, Archived("sha256:x", NAME))
    assert image.decide(wanted, None, engine_with(NAME, BUILT, "sha256:x")).steps == ()


def test_an_archive_that_changed_under_the_same_name_is_loaded():
    wanted = Wanted(NAME, "archive", archived=Archived("sha256:new", NAME))
    assert image.decide(wanted, record("archive"), engine_with(NAME, "sha256:old")).steps == ("archive",)


def test_an_image_that_the_engine_calls_otherwise_than_its_archive_is_loaded_once():
    wanted = Wanted(NAME, "archive", archived=Archived("sha256:config", NAME))
    loaded = replace(record("archive"), id="sha256:manifest", archived="sha256:config")
    facts = {NAME: Facts("sha256:manifest"), "sha256:manifest": Facts("sha256:manifest")}.get
    assert image.decide(wanted, loaded, facts).steps == ()
    assert image.settled(wanted, {NAME: loaded}, facts) == loaded
    assert image.decide(replace(wanted, archived=Archived("sha256:other", NAME)), loaded, facts).steps == ("archive",)


def test_a_record_keeps_what_the_archive_called_an_image_when_there_is_no_archive_any_more():
    loaded = replace(record("archive"), id="sha256:manifest", archived="sha256:config")
    assert image.remember({NAME: loaded}, replace(loaded, archived="")) == {NAME: loaded}
    assert image.remember({NAME: loaded}, replace(loaded, id="sha256:pulled", archived=""))[NAME].archived == ""


def test_a_host_that_loaded_an_image_needs_the_archive_no_more():
    wanted = Wanted(NAME, "archive")
    assert image.decide(wanted, record("archive", "longshore/valkey:8.1.4-x"), engine_with("longshore/valkey:8.1.4-x")).ref == "longshore/valkey:8.1.4-x"


@pytest.mark.parametrize(("source", "missing"), [("build", "needs a recipe"), ("archive", "needs an archive")])
def test_a_source_without_its_means_is_refused(source, missing):
    with pytest.raises(ImageError, match=missing):
        image.decide(Wanted(NAME, source), None, engine_with())


def test_a_kept_source_without_its_means_says_that_it_was_kept():
    with pytest.raises(ImageError, match="came from there before"):
        image.decide(Wanted(NAME), record("build", BUILT), engine_with())


def test_check_mode_says_what_would_be_tried():
    wanted = Wanted(NAME, build=BUILD)
    assert image.decide(wanted, None, engine_with()).sentence(wanted) == f"would pull {NAME}, or if that fails build {BUILT}"


# What an image that is built is called


def test_a_built_image_has_recipe_version_and_hash_in_its_name():
    assert BUILT.startswith("longshore/valkey:8.1.4-")
    assert len(BUILT.rpartition("-")[2]) == 12


@pytest.mark.parametrize("change", [{"hash": "b" * 64}, {"base": "other"}, {"args": {"A": "1"}}, {"target": "prod"}, {"dockerfile": "Other"}])
def test_whatever_changes_the_image_changes_its_name(change):
    values = {"name": "valkey", "hash": "a" * 64, "base": BUILD.base, **change}
    assert Build(**values).ref("8.1.4") != BUILT


def test_the_order_of_build_arguments_does_not_matter():
    one, other = Build("a", "h", args={"A": "1", "B": "2"}), Build("a", "h", args={"B": "2", "A": "1"})
    assert one.ref("1") == other.ref("1")


def test_a_name_without_version_is_latest():
    assert Build("shop", "h").ref("").startswith("longshore/shop:latest-")


# The job


def run_script(tmp_path, plan, wanted, docker, inputs=None):
    """The script with a docker command of our own."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "docker"
    fake.write_text(f'#!/bin/sh\necho "docker $*" >> {tmp_path}/calls\n{docker}\n')
    fake.chmod(0o755)
    (tmp_path / "context.tar").touch()
    (tmp_path / "base.sh").write_text('echo "base $1" >> calls; ls /proc/$$/fd > open\n')
    text = image.script(plan, wanted, inputs or Inputs(base_script="base.sh", base_lock=str(tmp_path / "base.lock")))
    done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    source = tmp_path / "source"
    calls = (tmp_path / "calls").read_text().splitlines()
    return done.returncode, source.read_text().strip() if source.exists() else "", calls, done.stdout


def test_a_pull_that_works_is_the_end(tmp_path):
    wanted = Wanted(NAME, build=BUILD)
    rc, source, calls, _log = run_script(tmp_path, Plan(NAME, "registry", ("registry", "build")), wanted, "exit 0")
    assert (rc, source, calls) == (0, "registry", [f"docker pull {NAME}"])


def test_a_pull_that_fails_is_followed_by_base_and_build(tmp_path):
    wanted = Wanted(NAME, build=BUILD)
    rc, source, calls, log = run_script(tmp_path, Plan(NAME, "registry", ("registry", "build")), wanted, "case $1 in pull|image) exit 1;; esac")
    assert (rc, source) == (0, "build")
    assert f"base {BUILD.base}" in calls
    assert any(call.startswith("docker build ") and f"--tag {BUILT}" in call and f"BASE_IMAGE={BUILD.base}" in call for call in calls)
    assert [name for name, _lines in image.phases(log)] == ["pulling", "making the Debian base", "building"]


def test_a_base_that_is_there_is_not_made_again(tmp_path):
    rc, _source, calls, _log = run_script(tmp_path, Plan(BUILT, "build", ("build",)), Wanted(NAME, "build", BUILD), "exit 0")
    assert rc == 0
    assert not [call for call in calls if call.startswith("base ")]


def test_the_lock_of_the_base_is_no_open_file_of_the_script_that_makes_it(tmp_path):
    run_script(tmp_path, Plan(BUILT, "build", ("build",)), Wanted(NAME, "build", BUILD), "[ $1 != image ]")
    # From 10 on are the shell's own.
    assert [number for number in (tmp_path / "open").read_text().split() if 2 < int(number) < 10] == []


def test_where_no_registry_answers_the_recipes_image_that_is_there_is_taken(tmp_path):
    wanted = Wanted(NAME, "auto", BUILD)
    rc, source, calls, _log = run_script(tmp_path, Plan(NAME, "registry", ("registry", "build")), wanted, '[ "$1" != pull ]')
    assert (rc, source) == (0, "build")
    assert [call.split()[1] for call in calls] == ["pull", "image"]


def test_a_build_that_fails_fails_the_job(tmp_path):
    rc, source, _calls, _log = run_script(tmp_path, Plan(BUILT, "build", ("build",)), Wanted(NAME, "build", BUILD), '[ "$1" != build ]')
    assert (rc, source) == (1, "")


def test_values_of_indexes_reach_the_build_by_name_and_through_the_environment(tmp_path):
    inputs = Inputs(host_args={"PIP_INDEX_URL": "https://user:word@index.example.org/simple"}, keep_stages=True)
    docker = f'echo "$PIP_INDEX_URL" > {tmp_path}/seen'
    _rc, _source, calls, _log = run_script(tmp_path, Plan(BUILT, "build", ("build",)), Wanted(NAME, "build", BUILD), docker, inputs)
    assert (tmp_path / "seen").read_text().strip() == "https://user:word@index.example.org/simple"
    assert "user:word" not in "".join(calls)


PULL_LOG = "\n== pulling\nError response from daemon: no such host\n"
BUILD_LOG = "\n== building\nStep 1/9 : ARG BASE_IMAGE\nStep 2/9 : FROM x\n ---> 0a1b\nStep 4/9 : RUN apt-get update\n"
BUILD_LOG += "".join(f"line {n}\n" for n in range(50))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "starting"),
        (PULL_LOG, "pulling"),
        (PULL_LOG + "\n== making the Debian base\nI: x\n", "making the Debian base"),
        (PULL_LOG + BUILD_LOG, "building step 4/9"),
    ],
)
def test_progress_is_said_in_a_few_words(log, words):
    assert image.progress(log) == words


def test_a_failed_pull_is_explained_with_the_engines_own_words():
    plan = Plan(NAME, "registry", ("registry",))
    assert image.failure(Wanted(NAME, "registry"), plan, PULL_LOG) == f"{NAME}: pulling failed: Error response from daemon: no such host"


def test_a_failed_pull_of_a_kept_source_says_how_to_decide_otherwise():
    text = image.failure(Wanted(NAME, build=BUILD), Plan(NAME, "registry", ("registry",), kept=True), PULL_LOG)
    assert "`source: build`" in text


def test_a_failed_build_shows_the_last_thirty_lines_and_why_it_was_not_pulled():
    text = image.failure(Wanted(NAME, build=BUILD), Plan(NAME, "registry", ("registry", "build")), PULL_LOG + BUILD_LOG)
    lines = text.splitlines()
    assert "no such host" in lines[0]
    assert lines[-1] == "line 49"
    assert "line 20" in lines
    assert "line 19" not in lines


def test_colours_and_lines_that_were_written_over_are_not_shown():
    log = "\n== building\n(Reading database ... 5%\r(Reading database ... 100%\rdone\n\x1b[0m\x1b[91mgo: no such module\x1b[0m\n\x1b[0m\n"
    assert image.phases(log) == [("building", ["done", "go: no such module"])]


def test_the_warning_says_what_was_built_and_why_and_for_how_long():
    text = image.fallback_warning(Wanted(NAME, build=BUILD), PULL_LOG + BUILD_LOG)
    assert all(part in text for part in (NAME, BUILT, "no such host", "valkey/valkey until"))


# What is kept


def test_records_are_read_as_they_were_written():
    records = {ref: record("build", ref) for ref in ("z:1", BUILT)}
    assert list(image.read_records(image.write_records(records))) == list(records)
    assert image.read_records(image.write_records(records)) == records
    assert image.read_records(None) == {}


def test_the_digest_is_that_of_the_images_own_repository():
    answer = {"Id": "sha256:i", "RepoDigests": ["mirror.example.org/x@sha256:one", "docker.io/library/caddy@sha256:two"]}
    assert image.facts_of(answer, "caddy") == Facts("sha256:i", "sha256:two")
    assert image.facts_of({"Id": "sha256:i", "RepoDigests": None}) == Facts("sha256:i", "")


# What a build learns of the host


def test_indexes_come_from_pips_files_and_the_environment_wins():
    config = "[global]\nindex-url = https://one.example.org\ncert = /some/where\ntrusted-host =\n  a\n  b\n"
    environ = {"PIP_INDEX_URL": "https://two.example.org", "PIP_FIND_LINKS": "/opt/wheels", "GOPROXY": "https://go.example.org", "HOME": "/root"}
    assert image.index_values(environ, [config]) == {"PIP_INDEX_URL": "https://two.example.org", "PIP_TRUSTED_HOST": "a b", "GOPROXY": "https://go.example.org"}


def test_the_environment_file_is_shell_whatever_the_values_hold(tmp_path):
    text = image.environment_file({"PIP_INDEX_URL": "https://u:it's $(x)@example.org"})
    done = subprocess.run(["sh", "-c", f'{text}\nprintf "%s|%s" "$PIP_INDEX_URL" "$PIP_CERT"'], capture_output=True, text=True, check=True)
    assert done.stdout == "https://u:it's $(x)@example.org|/build-host/ca-bundle.crt"


def test_only_proxies_that_are_set_become_build_arguments():
    assert image.proxy_names({"http_proxy": "http://p", "https_proxy": "", "PATH": "/bin"}) == ("http_proxy",)


def test_the_base_is_named_by_what_makes_it():
    assert image.base_ref("a") != image.base_ref("b")
    assert image.base_ref("a").startswith("longshore/debian:trixie-")


def test_records_are_json_that_a_person_can_read():
    assert json.loads(image.write_records({NAME: record("registry")}))[NAME]["source"] == "registry"


def test_records_of_an_earlier_version_are_read_and_only_what_was_built_counts_as_brought():
    old = {"caddy": {"name": "caddy:2", "source": "registry", "ref": "caddy:2", "id": "sha256:1", "digest": ""}}
    old["valkey/valkey"] = {"name": NAME, "source": "build", "ref": BUILT, "id": "sha256:2", "digest": ""}
    found = image.read_records(json.dumps(old).encode())
    assert {ref: known.brought for ref, known in found.items()} == {"caddy:2": False, BUILT: True}


def test_two_versions_and_two_builds_of_one_image_are_kept_beside_each_other():
    one, two, other = (
        record("build", "longshore/shop:1-a", "shop:1"),
        record("build", "longshore/shop:1-b", "shop:1"),
        record("build", "longshore/shop:2-c", "shop:2"),
    )
    records = reduce(image.remember, (one, two, other), {})
    assert list(records.values()) == [one, two, other]
    assert list(reduce(image.remember, (one, two, other), records).values()) == [one, two, other]


def test_auto_stays_with_what_was_chosen_last_even_if_that_was_chosen_before():
    records = reduce(image.remember, [record("build", BUILT), record("registry")], {})
    assert image.chosen(records, NAME).source == "registry"
    assert image.chosen(records, "valkey/valkey:9.0").source == "registry"
    assert image.chosen(image.remember(records, record("build", BUILT)), "valkey/valkey:9.0").source == "build"
    assert image.chosen(records, "caddy:2") is None


def test_what_the_stack_brought_it_has_brought_although_it_finds_it_there_later():
    records = image.remember({}, replace(record("registry"), brought=True))
    assert image.remember(records, record("registry"))[NAME].brought


@pytest.mark.parametrize(
    ("wanted", "records", "there"),
    [
        (Wanted(NAME, "build", BUILD), [record("build", BUILT)], (BUILT,)),
        (Wanted(NAME, "auto", BUILD), [record("build", BUILT)], (BUILT,)),
        (Wanted(NAME, "registry"), [record("registry")], (NAME,)),
        (Wanted(NAME, "archive", archived=Archived(f"sha256:{NAME}", NAME)), [record("archive")], (NAME, f"sha256:{NAME}")),
    ],
)
def test_an_image_that_is_there_as_it_is_wanted_needs_nothing(wanted, records, there):
    ids = {ref: Facts(f"sha256:{ref.removeprefix('sha256:')}") for ref in there}
    assert image.settled(wanted, {one.ref: one for one in records}, ids.get).ref == records[0].ref


@pytest.mark.parametrize(
    ("wanted", "records", "there"),
    [
        (Wanted(NAME, "build", BUILD), [record("build", BUILT)], ()),  # removed since
        (Wanted(NAME, "registry"), [], (NAME,)),  # there, but not in the records yet
        (Wanted(NAME, "build", BUILD), [record("build", BUILT), record("registry")], (BUILT, NAME)),  # another source than the last
        (Wanted(NAME, "archive", archived=Archived("sha256:new", NAME)), [record("archive")], (NAME,)),  # another image in the archive
    ],
)
def test_an_image_of_which_anything_is_left_to_do_is_not_settled(wanted, records, there):
    assert image.settled(wanted, {one.ref: one for one in records}, engine_with(*there)) is None
