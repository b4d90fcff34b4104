# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._assets import Assets, AssetsError, Static, withdraw
from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, Result

STATIC = Static("/app/static", 0)


class Site:
    """A host on which images bring static files; `images` has their files by path."""

    def __init__(self, root, me):
        self.root, self.me, self.images, self.containers, self.numbers = root, me, {}, [], {}

    def __call__(self, args, **_options):
        words = list(args[1:])
        if words[0] == "create":
            self.created = words
            self.containers.append(words[-2])
            return Result((), 0, f"{words[-2]}\n", "")
        if words[0] == "rm":
            self.containers.remove(words[-1])
        if words[0] == "cp":
            container, _colon, path = words[1].partition(":")
            assert path == "/app/static/."
            if self.images[container] is None:
                return Result((), 1, "", "Could not find the file /app/static in container x")
            for name, text in self.images[container].items():
                full = os.path.join(words[2], name)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w") as file:
                    file.write(text)
                os.chmod(full, 0o600)
        return Result((), 0, "", "")

    def ensure(self, release, files, older=(), static=STATIC, run=None, live=""):
        self.images[release] = files
        assets = Assets(Engine(runner=self), str(self.root), release, *self.me, run or (lambda static, folder: None), self.number, {"stack": "s"})
        return assets.ensure(release, [static], older, live)

    def number(self, release, path):
        return self.numbers.get(release, {"/app/static": 0}).get(path)

    def served(self, release, number=0):
        folder = self.root / release / str(number)
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def site(tmp_path, me, monkeypatch):
    monkeypatch.setattr(os, "fchown", lambda *_owner: None)
    return Site(tmp_path / "static", me)


def test_a_release_serves_what_its_image_brings_for_everybody_to_read(site):
    assert site.ensure("one", {"app.1.js": "one", "css/a.css": "a"}) == ["collect /app/static of one"]
    assert site.served("one") == {"app.1.js": "one", "css/a.css": "a"}
    assert site.containers == [] and "stack=s" in site.created, "whoever clears up finds it, should the run be killed"
    assert (site.root / "one/0/app.1.js").stat().st_mode & 0o777 == 0o644
    assert site.containers == [], "the container that it was copied from is gone"
    assert site.ensure("one", {"app.1.js": "other"}) == [], "a release never changes"


def test_files_of_the_release_before_are_served_too_and_its_own_win(site):
    site.ensure("one", {"app.1.js": "one", "index.html": "old", "deep/er/x.js": "x"})
    assert site.ensure("two", {"app.2.js": "two", "index.html": "new"}, ["one"])[1] == "add 2 older files to /app/static of two"
    assert site.served("two") == {"app.1.js": "one", "app.2.js": "two", "index.html": "new", "deep/er/x.js": "x"}
    assert site.served("one")["index.html"] == "old"


def test_the_release_that_serves_gets_what_only_the_new_one_has(site):
    site.ensure("one", {"app.1.js": "one", "index.html": "old"})
    for _again in range(2):
        site.ensure("two", {"app.2.js": "two", "index.html": "new"}, ["one"], live="one")
        assert site.served("one") == {"app.1.js": "one", "app.2.js": "two", "index.html": "old"}
    site.ensure("three", {"app.3.js": "three"}, ["one"], live="")
    assert site.served("three") == {"app.1.js": "one", "app.3.js": "three", "index.html": "old"}, "what it was lent is not its own"


def test_files_go_where_the_other_release_has_those_of_the_same_path(site):
    site.ensure("one", {"1.js": "one"})
    (site.root / "other/0").mkdir(parents=True)
    site.numbers = {"two": {"/app/docs": 0, "/app/static": 1}, "other": {"/app/docs": 0}}
    site.ensure("two", {"2.js": "two"}, ["one", "other"], Static("/app/static", 1, keep=2), live="one")
    assert (site.served("one"), site.served("two", 1)) == ({"1.js": "one", "2.js": "two"},) * 2
    site.ensure("three", {"3.js": ""}, ["two"], live="other")
    assert sorted(site.served("three")) == ["2.js", "3.js"] and site.served("other") == {}


def test_what_a_release_lent_that_did_not_go_live_goes_and_nothing_else(site):
    site.ensure("one", {"app.1.js": "one", "index.html": "old", "same.js": "same"})
    site.ensure("two", {"app.2.js": "two", "index.html": "new", "same.js": "same", "deep/2.js": "deep"}, ["one"], live="one")
    assert sorted(site.served("one")) == ["app.1.js", "app.2.js", "deep/2.js", "index.html", "same.js"]
    for _again in range(2):
        withdraw(str(site.root), "two", "one")
        assert site.served("one") == {"app.1.js": "one", "index.html": "old", "same.js": "same"}
    assert sorted(site.served("two")) == ["app.1.js", "app.2.js", "deep/2.js", "index.html", "same.js"]
    withdraw(str(site.root), "none", "one")
    withdraw(str(site.root), "two", "none")


def test_only_so_many_releases_are_remembered(site):
    site.ensure("one", {"1.js": ""})
    site.ensure("two", {"2.js": ""}, ["one"])
    site.ensure("three", {"3.js": ""}, ["two", "one"])
    assert sorted(site.served("three")) == ["2.js", "3.js"], "what two had from one is too old"
    site.ensure("four", {"4.js": ""}, ["three", "two", "one"], Static("/app/static", 0, keep=3))
    assert sorted(site.served("four")) == ["1.js", "2.js", "3.js", "4.js"]
    site.ensure("five", {"5.js": ""}, ["four"], Static("/app/static", 0, keep=0))
    assert sorted(site.served("five")) == ["5.js"]


def test_after_a_rollback_pages_of_the_release_that_was_left_find_their_files(site):
    site.ensure("one", {"1.js": "", "same.js": "one"})
    site.ensure("two", {"2.js": "", "same.js": "two"}, ["one"])
    assert site.ensure("one", {}, ["two"]) == ["add 1 older files to /app/static of one"]
    assert site.served("one") == {"1.js": "", "2.js": "", "same.js": "one"}
    assert site.ensure("one", {}, ["two"]) == []


def test_what_a_killed_run_left_half_made_is_made_anew(site):
    (site.root / "one/0.new").mkdir(parents=True)
    (site.root / "one/0.new/half.js").write_text("ha")
    site.ensure("one", {"1.js": "whole"})
    assert site.served("one") == {"1.js": "whole"} and not (site.root / "one/0.new").exists()


def test_a_command_adds_to_what_the_image_has(site):
    def run(static, folder):
        assert os.listdir(folder) == ["a.js"]
        with open(os.path.join(folder, "made.js"), "w") as file:
            file.write(" ".join(static.command))

    collect = Static("/app/static", 0, command=("collect",), service="web")
    site.ensure("one", {"a.js": "a"}, static=collect, run=run)
    assert site.served("one") == {"a.js": "a", "made.js": "collect"}
    site.ensure("two", {"b.js": ""}, ["one"])
    assert "made.js" in site.served("two")


def test_an_image_without_the_directory_is_refused_unless_a_command_makes_it(site):
    with pytest.raises(AssetsError, match=r"the image has no directory /app/static; allowed for path: a directory of the image, or give the command"):
        site.ensure("one", None)
    assert not (site.root / "one/0").exists()
    site.ensure("one", None, static=Static("/app/static", 0, command=("collect",), service="web"))
    assert site.served("one") == {}


def test_where_an_older_release_had_a_directory_a_file_of_this_one_wins(site):
    site.ensure("one", {"x/y.js": "", "a": "file"})
    site.ensure("two", {"x": "file", "a/b.js": ""}, ["one"])
    assert site.served("two") == {"x": "file", "a/b.js": ""}


def test_links_are_not_followed(site, tmp_path):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "secret").chmod(0o600)

    def run(static, folder):
        os.symlink(tmp_path / "secret", os.path.join(folder, "link.js"))

    site.ensure("one", {}, static=Static("/app/static", 0, command=("collect",), service="web"), run=run)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    site.ensure("two", {}, ["one"])
    assert site.served("two") == {}
