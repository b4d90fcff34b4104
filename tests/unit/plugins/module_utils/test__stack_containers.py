# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._image import Record, write_records
from ansible_collections.longshore.stack.plugins.module_utils._job import Job
from ansible_collections.longshore.stack.plugins.module_utils._stack_containers import StackContainers, brought_images
from ansible_collections.longshore.stack.plugins.module_utils._stack_roots import Roots


@pytest.fixture
def stack(docker):
    """Two containers of the stack `s`, one of them stopped, beside one of another stack."""
    for project, service, name, state in (("s-b", "b", "s", "running"), ("s-a", "a", "s", "exited"), ("t-a", "a", "t", "running")):
        docker.add(project, service, labels={"stack.longshore.name": name}, state=state)
    docker.images = {"mine:1": "sha256:1", "shared:1": "sha256:2"}
    return docker


def states(docker):
    return {container["Name"]: container["state"] for container in docker.containers.values()}


def test_stopping_keeps_everything_and_stops_only_this_stack(stack):
    containers = StackContainers(stack.engine, "s")
    containers.stop()
    assert containers.done == ["stopped s-b-b-1"]
    assert states(stack) == {"/s-b-b-1": "exited", "/s-a-a-2": "exited", "/t-a-a-3": "running"}
    again = StackContainers(stack.engine, "s")
    again.stop()
    assert again.done == []


def test_removing_takes_containers_networks_and_images_that_nothing_else_uses(stack):
    stack.networks = {"s_edge"}
    stack.refuse = {"image rm shared:1": "image is being used"}
    containers = StackContainers(stack.engine, "s")
    containers.remove(["mine:1", "shared:1", "gone:1"])
    assert containers.done == ["stopped s-b-b-1", "removed s-a-a-2, s-b-b-1", "removed network s_edge", "removed image mine:1"]
    assert states(stack) == {"/t-a-a-3": "running"}
    assert (set(stack.images), stack.networks) == ({"shared:1"}, set())


def test_what_the_engine_refuses_is_an_error_after_what_was_done(stack):
    stack.refuse = {"rm": "device is busy"}
    containers = StackContainers(stack.engine, "s")
    with pytest.raises(EngineError, match="device is busy"):
        containers.remove([])
    assert containers.done[0] == "stopped s-b-b-1"


def test_check_mode_names_what_would_go_and_removes_nothing(stack, tmp_path):
    (tmp_path / "d").mkdir()
    containers = StackContainers(stack.engine, "s", check=True)
    containers.remove(["mine:1"])
    containers.remove_paths([str(tmp_path / "d")])
    assert containers.done == ["stopped s-b-b-1", "removed s-a-a-2, s-b-b-1", "removed image mine:1", f"removed {tmp_path}/d"]
    assert (len(stack.containers), (tmp_path / "d").exists()) == (3, True)


def test_paths_go_with_their_content_and_a_link_goes_without_its_target(stack, tmp_path):
    (tmp_path / "d/deep").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    containers = StackContainers(stack.engine, "s")
    containers.remove_paths([str(tmp_path / name) for name in ("d", "file", "link", "never there")])
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert len(containers.done) == 3


def test_an_image_that_another_is_made_of_goes_after_that(stack):
    stack.refuse = {"image rm mine:1": "image has dependent child images"}

    def remove(args, **options):
        if args[1:4] == ["image", "rm", "shared:1"]:
            stack.refuse = {}
        return stack(args, **options)

    containers = StackContainers(Engine(runner=remove), "s")
    containers.remove(["mine:1", "shared:1"])
    assert containers.done[-2:] == ["removed image shared:1", "removed image mine:1"]


def test_only_directories_of_the_stack_are_removed_and_the_others_are_named(stack, tmp_path, me):
    roots = Roots("s", str(tmp_path / "opt"), str(tmp_path / "data"), str(tmp_path / "secrets"))
    roots.claim(check=False)
    for path in (tmp_path / "opt/a", tmp_path / "data/17/main"):
        path.mkdir(parents=True)
    (tmp_path / "data/.longshore-stack").unlink()
    containers = StackContainers(stack.engine, "s")
    assert containers.remove_roots(roots) == [f"{tmp_path}/data"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_of_a_directory_behind_a_link_or_on_a_file_system_of_its_own_everything_goes(stack, tmp_path, me, monkeypatch):
    (tmp_path / "disk/lost+found").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    roots = Roots("s", str(tmp_path / "opt"), str(tmp_path / "disk"), str(tmp_path / "link"))
    roots.claim(check=False)
    (tmp_path / "disk/postgres").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path / "disk"))
    assert StackContainers(stack.engine, "s").remove_roots(roots) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "lost+found"]


def keep(folder, *records):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.json").write_bytes(write_records({record.ref: record for record in records}))


def test_what_builds_left_goes_with_the_last_stack_unless_one_runs(stack, tmp_path):
    jobs = tmp_path / "work/jobs"
    job = Job(str(jobs / "image-1"))
    job.start("sleep 60\n")
    (jobs / "base.lock").touch()
    containers = StackContainers(stack.engine, "s")
    containers.remove_work(str(tmp_path / "work"), str(tmp_path / "opt/s"))
    assert containers.done == []
    job.kill()
    assert job.wait(5)
    keep(tmp_path / "opt/t", Record("a:1", "registry", "a:1", "a"))
    containers.remove_work(str(tmp_path / "work"), str(tmp_path / "opt/s"))
    assert containers.done == []
    (tmp_path / "opt/t/images.json").unlink()
    containers.remove_work(str(tmp_path / "work"), str(tmp_path / "opt/s"))
    assert not (tmp_path / "work").exists()


def test_the_images_of_the_stack_are_those_that_it_brought_and_no_stack_beside_it_has(tmp_path):
    mine = [Record(f"{ref}:1", "registry", f"{ref}:1", ref, brought=brought) for ref, brought in (("a", True), ("found", False), ("both", True))]
    keep(tmp_path / "s", *mine)
    assert brought_images(str(tmp_path / "s")) == ["a:1", "both:1"]
    keep(tmp_path / "t", mine[2])
    assert brought_images(str(tmp_path / "s")) == ["a:1"]
    (tmp_path / "s/images.json").write_text("{")
    assert brought_images(str(tmp_path / "s")) == []
    assert brought_images(str(tmp_path / "none")) == []


def test_the_names_that_releases_gave_to_their_images_go_before_the_images(tmp_path):
    for release, text in (("1-aa", '{"image": {"name": "longshore/s-shop:1-aa"}}'), ("2-bb", "cut sho")):
        folder = tmp_path / "s/apps/shop/releases" / release
        folder.mkdir(parents=True)
        (folder / "release.json").write_text(text)
    assert brought_images(str(tmp_path / "s")) == ["longshore/s-shop:1-aa"]
