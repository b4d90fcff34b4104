# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading

import pytest

from ansible_collections.longshore.stack.plugins.module_utils._lease import LeaseError, Leases


class Host:
    """A host of the fleet; all of them have one clock, which passes only when a test says so."""

    now = 1_800_000_000.0

    def __init__(self, path):
        path.mkdir()
        self.path = path
        self.leases = Leases("shop", str(path), lambda: Host.now)

    def file(self, name):
        return json.loads((self.path / f"{name}.json").read_text())


@pytest.fixture
def keeper(tmp_path, monkeypatch):
    monkeypatch.setattr(Host, "now", 1_800_000_000.0)
    return Host(tmp_path / "keeper")


@pytest.fixture
def other(tmp_path):
    return Host(tmp_path / "other")


def test_a_run_takes_the_lease_and_the_file_says_who_until_when(keeper):
    taken = keeper.leases.take("r1", "ann@laptop", "leased", 60)
    assert (taken.run, taken.owner, taken.taken, taken.expires) == ("r1", "ann@laptop", Host.now, Host.now + 60)
    assert keeper.leases.holder() == taken
    assert (keeper.path / "lease.json").stat().st_mode & 0o777 == 0o644


def test_a_second_run_is_refused_and_told_who_does_what_since_when_and_how_long_at_most(keeper):
    number = keeper.leases.take("r1", "ann@laptop", "leased", 60).number
    keeper.leases.guard("r1", number, "switched", 60)
    Host.now += 20
    with pytest.raises(LeaseError) as refused:
        keeper.leases.take("r2", "bob@ci", "leased", 60)
    assert str(refused.value) == (
        "shop is being released by ann@laptop (run r1, stage switched, since 2027-01-15T08:00:00+00:00). If that run is dead, its lease ends in 40 s; "
        "to end it at once: ansible-playbook -i <inventory> longshore.stack.unlock"
    )
    assert keeper.leases.holder().run == "r1"


def test_the_run_that_has_the_lease_takes_it_again_for_longer(keeper):
    first = keeper.leases.take("r1", "ann", "leased", 60)
    Host.now += 30
    again = keeper.leases.take("r1", "ann", "leased", 60)
    assert (again.number, again.taken, again.expires) == (first.number, first.taken, Host.now + 60)


def test_every_stage_makes_the_lease_last_longer_and_none_makes_it_shorter(keeper):
    number = keeper.leases.take("r1", "ann", "leased", 60).number
    Host.now += 50
    keeper.leases.guard("r1", number, "started", 300)
    assert (keeper.leases.holder().stage, keeper.leases.holder().expires) == ("started", Host.now + 300)
    keeper.leases.guard("r1", number, "switched", 10)
    assert (keeper.leases.holder().stage, keeper.leases.holder().expires) == ("switched", Host.now + 300)


def test_the_lease_of_a_dead_run_ends_by_itself_and_the_next_has_a_higher_number(keeper):
    first = keeper.leases.take("r1", "ann", "leased", 60)
    Host.now += 60
    assert keeper.leases.holder() is None
    second = keeper.leases.take("r2", "bob", "leased", 60)
    assert second.number > first.number
    assert second.taken == Host.now


def test_a_run_that_was_thought_dead_is_refused_on_every_host_that_the_next_one_has_been_on(keeper, other):
    late = keeper.leases.take("r1", "ann", "leased", 60).number
    other.leases.guard("r1", late, "started")
    Host.now += 61
    number = keeper.leases.take("r2", "bob", "leased", 60).number
    for host, renew in ((keeper, 60), (other, 0)):
        host.leases.guard("r2", number, "started", renew)
        with pytest.raises(LeaseError, match=r"this run \(r1\) has lost its lease of shop: a later run has begun. It changes nothing more"):
            host.leases.guard("r1", late, "switched", renew)
    assert (keeper.leases.holder().run, other.file("fence")) == ("r2", {"number": number, "run": "r2"})


def test_the_host_that_keeps_the_lease_refuses_a_late_run_before_the_next_has_done_anything(keeper):
    late = keeper.leases.take("r1", "ann", "leased", 60).number
    Host.now += 61
    keeper.leases.take("r2", "bob", "leased", 60)
    with pytest.raises(LeaseError, match=r"released by bob \(run r2"):
        keeper.leases.guard("r1", late, "switched", 60)


def test_a_run_whose_lease_ran_out_unnoticed_goes_on_where_no_other_has_begun(keeper):
    number = keeper.leases.take("r1", "ann", "leased", 60).number
    Host.now += 100
    keeper.leases.guard("r1", number, "started", 60)
    assert keeper.leases.holder().expires == Host.now + 60


@pytest.mark.parametrize("spoiled", [None, "", "{", "[]", "null", '"text"', "{}", '{"run": "r1"}', '{"number": 5}'], ids=repr)
def test_a_lost_or_broken_file_names_nobody_and_still_gives_a_higher_number(keeper, spoiled):
    first = keeper.leases.take("r1", "ann", "leased", 60).number
    file = keeper.path / "lease.json"
    if spoiled is None:
        file.unlink()
    else:
        file.write_text(spoiled)
    Host.now += 1
    assert keeper.leases.holder() is None
    assert keeper.leases.end() is None
    assert keeper.leases.take("r2", "bob", "leased", 60).number > first


def test_the_number_grows_also_when_the_clock_is_set_back(keeper):
    first = keeper.leases.take("r1", "ann", "leased", 60).number
    keeper.leases.end("r1")
    Host.now -= 10_000
    assert keeper.leases.take("r2", "bob", "leased", 60).number > first


def test_a_host_that_keeps_the_lease_for_the_first_time_goes_on_from_the_number_that_it_has_seen(keeper, other):
    taken = keeper.leases.take("r1", "ann@laptop", "leased", 60)
    other.leases.guard("r1", taken.number, "started")
    Host.now -= 3600
    assert other.leases.take("r2", "bob@runner", "leased", 60).number > taken.number


def test_a_broken_fence_keeps_nobody_out(keeper):
    number = keeper.leases.take("r1", "ann", "leased", 60).number
    (keeper.path / "fence.json").write_text("{")
    keeper.leases.guard("r1", number, "started", 60)
    assert keeper.file("fence")["number"] == number


def test_a_lease_that_was_given_back_is_free_at_once_and_only_its_own_run_gives_it_back(keeper):
    keeper.leases.take("r1", "ann", "leased", 60)
    assert keeper.leases.end("r2") is None
    assert keeper.leases.end("r1").owner == "ann"
    assert keeper.leases.end("r1") is None
    assert keeper.leases.take("r2", "bob", "leased", 60).run == "r2"


def test_unlock_ends_the_lease_of_whoever_has_it_and_that_run_changes_nothing_more(keeper):
    number = keeper.leases.take("r1", "ann", "leased", 60).number
    assert keeper.leases.end().run == "r1"
    with pytest.raises(LeaseError, match=r"this run \(r1\) has no lease of shop any more; it was ended by unlock"):
        keeper.leases.guard("r1", number, "switched", 60)


def test_two_calls_on_one_host_wait_for_each_other(tmp_path):
    order, leases = [], Leases("shop", str(tmp_path / "made" / "shop"), lambda: 0)
    inside = threading.Event()

    def second():
        inside.wait()
        with leases.locked():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with leases.locked():
        inside.set()
        thread.join(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_call_that_fails_gives_the_host_free(tmp_path):
    leases = Leases("shop", str(tmp_path), lambda: 0)
    with pytest.raises(RuntimeError), leases.locked():
        raise RuntimeError
    with leases.locked():
        pass


def test_the_lease_of_a_run_that_is_known_to_be_dead_is_taken_over_at_once(keeper):
    first = keeper.leases.take("r1", "ann", "leased", 60, process="p1")
    with pytest.raises(LeaseError) as refused:
        keeper.leases.take("r2", "ann", "leased", 60)
    assert refused.value.holder == first
    second = keeper.leases.take("r2", "ann", "leased", 60, process="p2", dead="r1")
    assert second.number > first.number
    assert (keeper.leases.holder().run, keeper.leases.holder().process) == ("r2", "p2")
    with pytest.raises(LeaseError, match="run r2"):
        keeper.leases.guard("r1", first.number, "started", 60)
