# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import os
import tarfile
import time

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError, Result
from ansible_collections.longshore.stack.plugins.module_utils._image import ImageError, base_ref
from ansible_collections.longshore.stack.plugins.module_utils._image_host import Host, Slice, settled_in
from ansible_collections.longshore.stack.plugins.module_utils._job import Job
from ansible_collections.longshore.stack.plugins.module_utils._stack_roots import images_of

SENT = {"build": {"name": "valkey", "hash": "a" * 64}, "base_script": "true\n", "files": [{"path": "Dockerfile", "content": "FROM x\n", "executable": False}]}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A host whose `docker` keeps images as files; its behaviour is set by files of their own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "images").mkdir()
    fake = tmp_path / "bin" / "docker"
    fake.write_text(
        f"""#!/bin/sh
cd {tmp_path}
echo "$*" >> calls
case "$1 $2" in
    "image inspect")
        shift 2
        found= status=0
        for ref; do
            if [ -e "images/$(echo "$ref" | tr / _)" ]; then
                id=$(cat "images/$(echo "$ref" | tr / _)")
                found="$found${{found:+,}}{{\\"Id\\": \\"${{id:-sha256:1}}\\", \\"RepoTags\\": [\\"$ref\\"], \\"RepoDigests\\": []}}"
            else
                echo "No such image: $ref" >&2
                status=1
            fi
        done
        echo "[$found]"
        exit $status ;;
    "pull "*) [ -e registry ] || {{ echo "no such host" >&2; exit 1; }}; cat registry > "images/$(echo "$2" | tr / _)" ;;
    "buildx "*|"manifest "*) cat "$1" || {{ echo "unknown command: docker $1" >&2; exit 1; }} ;;
    "build "*)
        while [ -e slow ]; do sleep 0.1; done
        cat > context.tar
        [ ! -e broken ] || {{ echo "step failed"; exit 1; }}
        while [ "$1" != --tag ]; do shift; done
        touch "images/$(echo "$2" | tr / _)"
        [ ! -e stages ] || printf 'Step 1/2 : FROM a\\n ---> %s\\nStep 2/2 : FROM b\\n ---> ffffffffffff\\n' "$(cat stages)" ;;
    "image ls") cat stages ;;
esac
"""
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "ca.crt").write_text("CERTIFICATE")
    return World(tmp_path)


class World:
    def __init__(self, path):
        self.path, self.warnings = path, []
        self.host = Host(work=str(path / "work"), bundle=str(path / "ca.crt"), pip_configs=(), slice=5)

    def params(self, **changes):
        return {"name": "valkey/valkey:8.1.4", "source": "auto", "base": "", "args": {}, "target": "", "dockerfile": "Dockerfile", "timeout": 60,
                "refresh": False, "state_path": str(self.path / "opt" / "images.json"), "sent": SENT, "resume": {}, **changes}  # fmt: skip

    def slice(self, check=False, host=None, **changes):
        return Slice(self.params(**changes), check, Engine(), self.warnings.append, host or self.host, {"GOPROXY": "https://go.example.org"}).run()

    def calls(self, word):
        file = self.path / "calls"
        return [line for line in (file.read_text().splitlines() if file.exists() else []) if line.startswith(word)]

    def records(self):
        return json.loads((self.path / "opt" / "images.json").read_text())


def test_without_a_registry_auto_builds_warns_and_keeps_that(world):
    result = world.slice()
    assert (result["source"], result["changed"], result["id"]) == ("build", True, "sha256:1")
    assert result["ref"].startswith("longshore/valkey:8.1.4-")
    assert "could not be pulled (no such host)" in world.warnings[0]
    assert world.records()[result["ref"]]["source"] == "build"


def test_a_registry_that_comes_back_later_changes_nothing(world):
    first = world.slice()
    (world.path / "registry").touch()
    again = world.slice()
    assert (again["ref"], again["changed"]) == (first["ref"], False)
    assert len(world.calls("pull")) == 1


def test_a_registry_that_goes_away_fails_the_run_instead_of_building(world):
    (world.path / "registry").touch()
    assert world.slice()["source"] == "registry"
    (world.path / "registry").unlink()
    (world.path / "images" / "valkey_valkey:8.1.4").unlink()
    with pytest.raises(ImageError, match="no such host"):
        world.slice()
    assert not world.calls("build")


def test_only_what_the_stack_brought_is_recorded_as_brought(world):
    (world.path / "registry").touch()
    (world.path / "images" / "caddy:2").touch()
    assert world.slice(name="caddy:2", source="registry", sent={})["changed"]
    world.slice(source="registry")
    world.slice(source="registry")
    assert {ref: record["brought"] for ref, record in world.records().items()} == {"caddy:2": False, "valkey/valkey:8.1.4": True}


def test_what_a_build_leaves_beside_its_image_is_recorded_with_it(world):
    """The Debian base, every build of a source that changes, and the stages that make the next one quick."""
    base = base_ref("true\n")
    first = world.slice(source="build")
    assert list(world.records()) == [base, first["ref"]]
    (world.path / "stages").write_text("0123456789ab")
    with tarfile.open(world.path / "sent.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("Dockerfile"), io.BytesIO())
    builds = []
    for number in "bc":
        sent = {"build": {"name": "shop", "hash": number * 64}, "context_tar": str(world.path / "sent.tar")}
        builds.append(world.slice(name="example.org/shop:1.0", source="build", sent=sent)["ref"])
    assert list(world.records()) == [base, first["ref"], "0123456789ab", *builds]
    assert all(record["brought"] for record in world.records().values())


def test_two_applications_of_one_repository_change_nothing_when_they_are_run_again(world):
    (world.path / "registry").touch()
    for changed in (True, False):
        assert [world.slice(name=name, source="registry")["changed"] for name in ("reg/shop:1.0", "reg/shop:2.0")] == [changed, changed]


def test_an_unchanged_image_costs_one_question_to_the_engine(world):
    world.slice()
    (world.path / "calls").unlink()
    assert world.slice()["changed"] is False
    assert [line.split()[0] for line in world.calls("")] == ["image"]


def test_check_mode_neither_builds_nor_pulls_nor_writes(world):
    result = world.slice(check=True)
    assert result["changed"] is True
    assert result["msg"].startswith("would pull valkey/valkey:8.1.4, or if that fails build longshore/valkey")
    assert not world.calls("pull")
    assert not (world.path / "opt").exists()
    assert not (world.path / "work").exists()


def test_a_tag_that_was_pushed_again_is_noticed_where_that_is_asked_for(world):
    (world.path / "registry").write_text("sha256:first")
    assert world.slice(source="registry")["id"] == "sha256:first"
    same = world.slice(source="registry", refresh=True)
    assert (same["id"], same["changed"], world.warnings) == ("sha256:first", False, [])
    (world.path / "registry").write_text("sha256:second")
    assert world.slice(source="registry")["id"] == "sha256:first"
    other = world.slice(source="registry", refresh=True)
    assert (other["id"], other["changed"]) == ("sha256:second", True)
    pulls = len(world.calls("pull"))
    pinned = "valkey/valkey@sha256:" + "0" * 64
    (world.path / "images" / pinned.replace("/", "_")).touch()
    world.slice(source="registry", refresh=True, name=pinned)
    assert len(world.calls("pull")) == pulls, "a digest cannot lead elsewhere"


def test_while_the_registry_is_down_the_image_that_is_there_is_taken_with_a_warning(world):
    (world.path / "registry").write_text("sha256:first")
    world.slice(source="registry")
    (world.path / "registry").unlink()
    result = world.slice(source="registry", refresh=True)
    assert (result["id"], result["changed"]) == ("sha256:first", False)
    assert world.warnings == ["valkey/valkey:8.1.4 could not be pulled anew (no such host); the image of that name that this host has is taken."]


@pytest.mark.parametrize(
    ("tool", "said", "digest"),
    [
        ("buildx", {"digest": "sha256:d", "mediaType": "an index"}, "sha256:d"),
        ("manifest", {"Ref": "x", "Descriptor": {"digest": "sha256:d"}}, "sha256:d"),
        ("manifest", [{"Descriptor": {"digest": "sha256:of-one-platform"}}, {"Descriptor": {"digest": "sha256:of-another"}}], ""),
    ],
    ids=["imagetools", "manifest", "an image for several platforms"],
)
def test_check_mode_asks_the_registry_for_the_digest_of_an_image_that_is_missing(world, tool, said, digest):
    (world.path / tool).write_text(json.dumps(said))
    result = world.slice(check=True, source="registry")
    assert (result["changed"], result["id"], result["digest"]) == (True, "", digest)
    assert digest in result["diff"]["after"]
    assert not world.calls("pull")


def test_check_mode_knows_no_digest_where_no_tool_can_tell_and_needs_none_where_the_name_has_it(world):
    assert world.slice(check=True, source="registry")["digest"] == ""
    pinned = "sha256:" + "0" * 64
    (world.path / "calls").unlink()
    assert world.slice(check=True, source="registry", name=f"valkey/valkey@{pinned}")["digest"] == pinned
    assert not world.calls("buildx")


def test_check_mode_foretells_that_a_tag_was_pushed_again(world):
    (world.path / "registry").write_text("sha256:first")
    world.slice(source="registry")
    assert world.slice(check=True, source="registry", refresh=True)["changed"] is False
    (world.path / "buildx").write_text('{"digest": "sha256:new"}')
    foretold = world.slice(check=True, source="registry", refresh=True)
    assert (foretold["changed"], foretold["id"], foretold["digest"]) == (True, "", "sha256:new")


def test_the_diff_shows_the_image_before_and_after(world):
    first = world.slice(source="build")
    sent = {**SENT, "build": {"name": "valkey", "hash": "c" * 64}}
    predicted = world.slice(check=True, source="build", sent=sent)["diff"]
    second = world.slice(source="build", sent=sent)
    assert first["diff"] == {"before": "", "after": f"{first['ref']} sha256:1\n"}
    assert second["diff"] == {"before": f"{first['ref']} sha256:1\n", "after": f"{second['ref']} sha256:1\n"}
    assert predicted["after"] == f"{second['ref']}\n"


def test_check_mode_works_on_a_host_without_an_engine(world):
    def no_engine(*_args, **_kwargs):
        raise FileNotFoundError

    result = Slice(world.params(), True, Engine(runner=no_engine), print, world.host, {}).run()
    assert result["changed"] is True
    with pytest.raises(EngineError, match="install the engine"):
        Slice(world.params(), False, Engine(runner=no_engine), print, world.host, {}).run()


def test_a_failed_build_shows_its_log_and_the_next_run_tries_again(world):
    (world.path / "broken").touch()
    with pytest.raises(ImageError, match="step failed"):
        world.slice(source="build")
    (world.path / "broken").unlink()
    assert world.slice(source="build")["changed"] is True


def test_a_long_build_is_reported_in_slices_and_a_second_run_follows_it(world):
    (world.path / "slow").touch()
    short = Host(work=world.host.work, bundle=world.host.bundle, pip_configs=(), slice=0.3)
    first = world.slice(host=short, source="build")
    assert (first["pending"], first["progress"]) == (True, "building")
    second = world.slice(host=short, source="build")
    assert second["resume"] == first["resume"]
    (world.path / "slow").unlink()
    assert world.slice(source="build", resume=first["resume"])["changed"] is True
    assert len(world.calls("build")) == 1


def test_a_run_whose_job_was_taken_by_another_finds_the_image(world, monkeypatch):
    (world.path / "slow").touch()
    short = Host(work=world.host.work, bundle=world.host.bundle, pip_configs=(), slice=0.3)
    first = world.slice(host=short, source="build")
    wait = Job.wait

    def taken_by_another(job, seconds):
        (world.path / "slow").unlink()
        assert wait(job, seconds)
        job.clear()
        return True

    monkeypatch.setattr(Job, "wait", taken_by_another)
    assert world.slice(source="build", resume=first["resume"])["pending"]
    assert world.slice(source="build")["id"] == "sha256:1"
    assert len(world.calls("build")) == 1


def test_jobs_whose_result_nobody_took_are_removed_later(world):
    lost = Job(os.path.join(world.host.work, "jobs", "image-lost"))
    lost.start("true\n")
    assert lost.wait(5)
    os.utime(lost.file("job.sh"), (1, 1))
    world.slice(source="build")
    assert not os.path.exists(lost.path)


def test_a_build_that_takes_too_long_is_ended(world):
    (world.path / "slow").touch()
    short = Host(work=world.host.work, bundle=world.host.bundle, pip_configs=(), slice=0.3)
    with pytest.raises(ImageError, match="not done within 0 s"):
        world.slice(host=short, source="build", timeout=0)
    job = next((world.path / "work" / "jobs").glob("image-*"))
    assert Job(str(job)).wait(5)


def test_a_recipe_gets_the_hosts_certificates_and_indexes_beside_its_files(world):
    world.slice(source="build")
    with tarfile.open(world.path / "context.tar") as tar:
        read = {name: tar.extractfile(name).read().decode() for name in tar.getnames()}
    assert read[".longshore/ca-bundle.crt"] == "CERTIFICATE"
    assert "export GOPROXY=https://go.example.org" in read[".longshore/env"]
    assert read["Dockerfile"] == "FROM x\n"


def test_a_context_is_asked_for_only_when_the_image_is_missing(world):
    sent = {"build": {"name": "shop", "hash": "b" * 64}}
    asked = world.slice(name="example.org/shop:1.0", source="build", sent=sent)
    assert (asked["pending"], asked["need"]) == (True, "context")
    with tarfile.open(world.path / "sent.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("Dockerfile"), io.BytesIO())
    done = world.slice(name="example.org/shop:1.0", source="build", sent={**sent, "context_tar": str(world.path / "sent.tar")})
    assert done["ref"].startswith("longshore/shop:1.0-")
    with tarfile.open(world.path / "context.tar") as tar:
        assert sorted(tar.getnames()) == ["Dockerfile", "ca-bundle.crt"]
    assert "pending" not in world.slice(name="example.org/shop:1.0", source="build", sent=sent)
    assert "--build-arg GOPROXY " in world.calls("build")[0]


def test_a_context_is_not_asked_for_when_the_registry_is_the_source(world):
    (world.path / "registry").touch()
    assert world.slice(source="registry", sent={"build": {"name": "shop", "hash": "b" * 64}})["source"] == "registry"


def test_an_archive_is_asked_for_only_when_the_image_is_missing(world):
    sent = {"archived": {"id": "sha256:9", "ref": "valkey/valkey:8.1.4"}}
    assert world.slice(source="archive", sent=sent)["need"] == "archive"
    (world.path / "images" / "sha256:9").touch()
    (world.path / "images" / "valkey_valkey:8.1.4").touch()
    assert world.slice(source="archive", sent=sent)["source"] == "archive"


def test_an_archive_is_loaded_once_also_where_the_engine_calls_its_image_otherwise(world):
    sent = {"archived": {"id": "sha256:9", "ref": "valkey/valkey:8.1.4"}, "archive": "/srv/valkey.tar"}
    for name in ("valkey_valkey:8.1.4", "sha256:1"):
        (world.path / "images" / name).touch()
    runs = [world.slice(source="archive", sent=sent) for _run in range(2)]
    assert [(run["id"], run["changed"]) for run in runs] == [("sha256:1", True), ("sha256:1", False)]
    assert len(world.calls("load")) == 1


def test_an_archives_image_that_is_there_under_another_name_gets_its_own(world):
    sent = {"archived": {"id": "sha256:9", "ref": "valkey/valkey:8.1.4"}}
    (world.path / "images" / "sha256:9").touch()
    assert world.slice(check=True, source="archive", sent=sent)["changed"] is True
    assert world.calls("tag") == []
    assert world.slice(source="archive", sent=sent)["ref"] == "valkey/valkey:8.1.4"
    assert world.calls("tag") == ["tag sha256:9 valkey/valkey:8.1.4"]


# The job itself


def test_a_job_outlives_who_started_it_and_has_an_exit_status(tmp_path):
    job = Job(str(tmp_path / "job"))
    assert job.start("echo hello; exit 3\n")
    assert job.wait(5)
    assert (job.rc(), job.read("log").strip()) == (3, "hello")


def test_a_job_that_was_killed_counts_as_ended_and_can_be_started_again(tmp_path):
    job = Job(str(tmp_path / "job"))
    job.start("sleep 60\n")
    assert job.running()
    assert not job.start("true\n")
    job.kill()
    assert job.wait(5)
    assert job.rc() is None
    assert job.start("true\n")
    assert job.wait(5)
    assert job.rc() == 0


def test_a_job_is_for_root_alone(tmp_path):
    job = Job(str(tmp_path / "job"))
    job.start("true\n")
    job.wait(5)
    assert os.stat(job.path).st_mode & 0o077 == 0


def test_waiting_ends_at_its_time(tmp_path):
    job = Job(str(tmp_path / "job"))
    job.start("sleep 60\n")
    start = time.monotonic()
    assert job.wait(0.4) is False
    assert time.monotonic() - start < 5
    job.kill()
    job.wait(5)


# The engine


def answering(rc=0, stdout="", stderr=""):
    return Engine(runner=lambda args, **_kwargs: Result(tuple(args), rc, stdout, stderr))


def test_images_that_are_missing_are_left_out_and_other_errors_are_told():
    assert answering(1, "[]\n", "Error: No such image: x").inspect("image", ["x"]) == []
    with pytest.raises(EngineError, match="permission denied"):
        answering(1, "", "permission denied").inspect("image", ["x"])


def test_an_answer_that_is_not_json_is_shown():
    with pytest.raises(EngineError, match="not JSON: 'hello'"):
        answering(stdout="hello").json(["info"])


def test_the_controller_knows_without_a_call_what_the_engine_still_has(world):
    result = world.slice(source="build")
    images = images_of(Engine(), str(world.path / "opt"))
    asked = {"name": "valkey/valkey:8.1.4", "source": "build"}
    known = settled_in(images, asked, SENT)
    assert (known.ref, known.id, known.source) == (result["ref"], result["id"], "build")
    for other in ({"name": "valkey/valkey:8.1.5"}, {"source": "registry"}, {"args": {"A": "1"}}):
        assert settled_in(images, {**asked, **other}, SENT) is None
    for file in (world.path / "images").iterdir():
        file.unlink()
    assert settled_in(images_of(Engine(), str(world.path / "opt")), asked, SENT) is None


def test_on_a_bare_host_the_controller_knows_nothing(world):
    assert images_of(Engine(), str(world.path / "opt")) == {}
    assert settled_in({}, {"name": "valkey/valkey:8.1.4"}, SENT) is None
