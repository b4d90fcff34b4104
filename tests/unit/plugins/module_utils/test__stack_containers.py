# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._engine import EngineError
from ansible_collections.longshore.stack.plugins.module_utils._stack_containers import StackContainers, recorded_images


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


def test_the_images_of_the_stack_are_read_from_what_was_recorded(tmp_path):
    path = tmp_path / "images.json"
    path.write_text(json.dumps({"b": {"ref": "b:1"}, "a": {"ref": "a:1"}, "c": {"ref": "a:1"}, "d": {}}))
    assert recorded_images(str(path)) == ["a:1", "b:1"]
    path.write_text("{")
    assert recorded_images(str(path)) == []
    assert recorded_images("") == []
