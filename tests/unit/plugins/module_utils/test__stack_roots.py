# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._image import Record, write_records
from ansible_collections.longshore.stack.plugins.module_utils._stack_roots import MARKER, RootError, Roots


@pytest.fixture
def roots(tmp_path, me):
    return Roots("shop", *(str(tmp_path / name) for name in ("opt", "data", "secrets")))


def put(path, *names, content=b""):
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
        with open(os.path.join(path, name), "wb") as file:
            file.write(content)


def markers(roots):
    return [os.path.exists(os.path.join(path, MARKER)) for path in roots.paths]


def test_new_and_empty_directories_are_marked_once_and_the_secrets_are_private(roots):
    os.mkdir(roots.data)
    assert roots.claim(check=False) == list(roots.paths)
    assert markers(roots) == [True, True, True]
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (roots.root, roots.secrets)] == [0o755, 0o700]
    assert roots.claim(check=False) == []
    assert all(roots.own(path) for path in roots.paths)


def test_check_mode_says_so_and_makes_nothing(roots, tmp_path):
    assert roots.claim(check=True) == list(roots.paths)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", ["root", "data", "secrets"])
def test_a_directory_with_files_of_somebody_else_is_refused_before_anything_is_written(roots, which):
    put(getattr(roots, which), "17/main/PG_VERSION")
    with pytest.raises(RootError, match=r"has files that are not the stack's.*allowed: a new or an empty directory.*echo shop > "):
        roots.claim(check=False)
    assert markers(roots) == [False, False, False]
    assert not roots.own(getattr(roots, which))


def test_a_directory_of_another_stack_is_refused_and_not_its_own(roots):
    Roots("other", *roots.paths).claim(check=False)
    with pytest.raises(RootError, match="belongs to the stack other"):
        roots.claim(check=False)
    assert not any(roots.own(path) for path in roots.paths)


def test_what_an_earlier_version_made_is_known_by_its_content_and_gets_its_markers(roots):
    put(roots.root, "postgres/compose.yaml", "postgres/.longshore.json", "apps/shop/releases/1/compose.yaml")
    put(roots.data, "postgres/PG_VERSION")
    put(roots.secrets, "postgres/postgres_admin.1", "shop/1/environment.1")
    assert all(roots.own(path) for path in roots.paths)
    roots.claim(check=False)
    assert markers(roots) == [True, True, True]


def test_a_first_run_of_an_earlier_version_that_died_early_is_known_too(roots):
    put(roots.secrets, "made.json", content=b"{}")
    put(roots.root, "images.json", content=write_records({"caddy:2": Record("caddy:2", "registry", "caddy:2", "sha256:1")}))
    assert roots.own(roots.root) and roots.own(roots.secrets)


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]", b'{"a": 1}', b'{"a": {"src": "x.png"}}'])
def test_a_file_that_is_only_called_like_ours_says_nothing(roots, content):
    put(roots.root, "images.json", content=content)
    assert not roots.own(roots.root)


def test_the_stack_is_on_a_host_when_more_is_there_than_its_first_step(roots):
    assert not roots.used()
    roots.claim(check=False)
    put(roots.secrets, "made.json")
    assert not roots.used()
    put(roots.root, "images.json")
    assert roots.used()


@pytest.mark.parametrize(("scale", "places"), [(None, 12), ({"web": 20, "worker": 30}, 20), ({"web": 2}, 12), ("no numbers", 12)])
def test_the_switch_has_places_for_what_is_live_for_what_was_before_it_and_for_what_was_scaled_by_hand(roots, scale, places):
    web = {"name": "shop-web", "switch_port": 20001, "port": 8000}
    for mark, most in (("live", 8), ("previous", 12)):
        put(f"{roots.root}/apps/shop/{mark}", "release.json", content=json.dumps({"backends": {"web": {**web, "places": most}}}).encode())
    if scale:
        put(f"{roots.root}/apps/shop", "scale.json", content=json.dumps(scale).encode())
    assert roots.served() == [{**web, "places": places}]
