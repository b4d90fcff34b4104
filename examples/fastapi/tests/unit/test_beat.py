from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.beat import Every, period_of


def at(second, minute=0):
    return datetime(2026, 1, 1, 12, minute, int(second), round(second % 1 * 1e6), UTC)


def every_ten_seconds(now):
    return Every(10, nowfun=lambda: now)


def test_a_period_starts_at_a_multiple_of_its_length():
    assert period_of(at(19.9), 10) == at(10)
    assert period_of(at(20), 10) == at(20)


def test_it_is_due_when_the_last_run_was_in_an_earlier_period():
    assert every_ten_seconds(at(20.01)).is_due(at(10)).is_due


def test_it_is_not_due_again_in_the_period_of_the_last_run():
    assert not every_ten_seconds(at(29.99)).is_due(at(20)).is_due


def test_after_a_pause_of_many_periods_it_is_due_once():
    assert every_ten_seconds(at(5, minute=1)).is_due(at(0)).is_due
    assert not every_ten_seconds(at(5, minute=1)).is_due(at(5, minute=1)).is_due


@pytest.mark.parametrize("now", [20.0, 23.25, 29.999])
def test_the_next_look_is_at_the_start_of_the_next_period(now):
    assert every_ten_seconds(at(now)).is_due(at(20)).next == pytest.approx(30 - now)
