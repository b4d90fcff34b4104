# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._unneeded import forget


class Site:
    """A stack's directory with releases of applications, and an engine that has their images."""

    def __init__(self, docker, root):
        self.docker, self.root = docker, root

    def release(self, number, app="shop", image="", ref="", brought=True):
        """A release and its image, under the name under which it came and the release's own; the release's directory."""
        folder = self.root / "apps" / app / "releases" / f"r{number}"
        folder.mkdir(parents=True)
        image, ref, name = image or f"sha256:{number}", ref or f"registry.test/shop:{number}", f"longshore/s-{app}:r{number}"
        (folder / "release.json").write_text(json.dumps({"image": {"name": name, "ref": ref, "id": image}}))
        self.docker.images |= {name: image, ref: image}
        records = self.records() | {ref: {"name": ref, "source": "registry", "ref": ref, "id": image, "digest": "", "brought": brought}}
        (self.root / "images.json").write_text(json.dumps(records))
        return str(folder)

    def records(self):
        path = self.root / "images.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def forget(self, *folders):
        return forget(self.docker.engine, str(self.root), folders)


@pytest.fixture
def site(docker, tmp_path, me):
    return Site(docker, tmp_path)


def test_the_image_of_a_pruned_release_goes_with_its_record(site):
    old, _new = site.release(1), site.release(2)
    assert site.forget(old) == ["registry.test/shop:1"]
    assert set(site.docker.images) == {"longshore/s-shop:r1", "longshore/s-shop:r2", "registry.test/shop:2"}
    assert list(site.records()) == ["registry.test/shop:2"]
    assert site.forget(old) == [], "the second time there is nothing to do"


def test_an_image_that_the_stack_found_on_the_host_stays(site):
    old, _new = site.release(1, brought=False), site.release(2)
    assert site.forget(old) == []
    assert "registry.test/shop:1" in site.docker.images and "registry.test/shop:1" in site.records()


def test_an_image_that_nobody_recorded_stays(site):
    old = site.release(1)
    (site.root / "images.json").unlink()
    assert site.forget(old) == []
    assert "registry.test/shop:1" in site.docker.images


@pytest.mark.parametrize("app", ["shop", "docs"])
def test_an_image_that_another_release_of_any_application_has_stays(site, app):
    old, _new = site.release(1), site.release(2, app, image="sha256:1", ref="registry.test/shop:same")
    assert site.forget(old) == []


def test_an_image_that_two_pruned_releases_had_goes(site):
    first, second = site.release(1, image="sha256:one", ref="shop:1"), site.release(2, image="sha256:one", ref="shop:1")
    assert site.forget(first, second) == ["shop:1"]


def test_an_image_that_any_container_was_made_from_stays(site):
    old = site.release(1)
    site.docker.add("somebody-else", "task", "sha256:1", state="exited")
    assert site.forget(old) == []


def test_a_name_that_has_gone_to_the_image_of_a_kept_release_stays(site):
    old, _new = site.release(1, ref="shop:latest"), site.release(2, ref="shop:latest")
    assert site.docker.images["shop:latest"] == "sha256:2"
    assert site.forget(old) == []
    assert "shop:latest" in site.docker.images


def test_what_the_engine_does_not_remove_stays_recorded(site):
    old, _new = site.release(1), site.release(2)
    site.docker.refuse = {"image rm": "image has dependent child images"}
    assert site.forget(old) == []
    assert "registry.test/shop:1" in site.records()


def test_a_release_without_a_record_has_no_image_to_go(site, tmp_path):
    broken = tmp_path / "apps/shop/releases/r9"
    broken.mkdir(parents=True)
    (broken / "release.json").write_text("{")
    assert site.forget(str(broken), str(tmp_path / "apps/shop/releases/r8")) == []
