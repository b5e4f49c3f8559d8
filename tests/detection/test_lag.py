"""The lag of a process: the worst of its delays, as long as it matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.detection import lag as lags
from rapid.detection.lag import ACCURACY, HALF_LIFE, Lag


def test_the_worst_delay_counts_and_fades() -> None:
    lag = Lag(0.6)
    lag.called(9.8, 10.0)
    lag.called(10.0, 10.1)
    assert lag.at(10.0) == pytest.approx(0.2)
    assert lag.at(10.0 + HALF_LIFE) == pytest.approx(0.1)
    assert lag.at(10.0 + 10 * HALF_LIFE) == 0.0


def test_a_stall_is_no_lag() -> None:
    lag = Lag(0.6)
    lag.called(0.0, 5.0)
    assert lag.at(5.0) == 0.0


def test_what_every_timer_is_late_by_is_no_lag() -> None:
    lag = Lag(0.6)
    lag.called(1.0, 1.0 + ACCURACY / 2)
    assert lag.at(1.0 + ACCURACY / 2) == 0.0


def test_of_the_bounds_neither_that_of_the_timers_nor_that_of_a_stall_is_lag() -> None:
    lag = Lag(0.6)
    lag.called(0.0, ACCURACY)
    assert lag.at(ACCURACY) == 0.0
    lag.called(0.0, 0.6)
    assert lag.at(0.6) == 0.0


def test_what_has_faded_to_the_accuracy_is_the_least_lag_there_is() -> None:
    lag = Lag(0.6)
    lag.called(-2 * ACCURACY, 0.0)
    assert lag.at(HALF_LIFE) == ACCURACY


def test_a_delay_counts_half_after_the_half_life_however_long_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lags, "HALF_LIFE", 4.0)
    lag = Lag(0.6)
    lag.called(-0.2, 0.0)
    assert lag.at(4.0) == pytest.approx(0.1)


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.0, 3.0)), max_size=30))
def test_it_is_the_largest_of_all_delays_as_they_fade(calls: list[tuple[float, float]]) -> None:
    lag, now, delays = Lag(0.6), 0.0, []
    for late, pause in calls:
        due = now
        now += late
        lag.called(due, now)
        if ACCURACY < now - due < 0.6:
            delays.append((now, now - due))
        now += pause
    expected = max((late * 0.5 ** ((now - at) / HALF_LIFE) for at, late in delays), default=0.0)
    assert lag.at(now) == pytest.approx(expected if expected >= ACCURACY else 0.0, abs=1e-9)
