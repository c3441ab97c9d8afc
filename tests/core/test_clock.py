"""The stack's clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clock import MAX_RATE, Clock
from harness.errors import UsageError

times = st.floats(min_value=0, max_value=4e9)
rates = st.floats(min_value=1, max_value=MAX_RATE)


@given(origin_real=times, origin_virtual=times, rate=rates, first=times, later=times)
def test_time_never_runs_backwards(origin_real: float, origin_virtual: float, rate: float, first: float, later: float) -> None:
    clock = Clock(origin_real, origin_virtual, rate)
    low, high = sorted((first, later))
    assert clock.at(low) <= clock.at(high)
    assert clock.at(high) - clock.at(low) == pytest.approx((high - low) * rate, rel=1e-6, abs=1e-3)


def test_the_real_clock_is_the_one_on_the_wall() -> None:
    clock = Clock.real()
    assert clock.is_real
    assert clock.at(1234.5) == 1234.5
    assert clock.environment() == {}


def test_a_steerable_clock_shows_real_time_but_is_the_clients_own() -> None:
    clock = Clock.steerable()
    assert not clock.is_real
    assert clock.at(clock.origin_real + 5) == clock.origin_real + 5
    assert "HARNESS_CLOCK" in clock.environment()


def test_a_fast_clock_begins_now() -> None:
    clock = Clock.fast(20)
    assert clock.at(clock.origin_real) == clock.origin_real
    assert clock.at(clock.origin_real + 3) == clock.origin_real + 60
    assert clock.real_seconds(60) == 3


def test_a_container_gets_the_same_three_numbers() -> None:
    clock = Clock(1000.25, 2000.5, 20)
    assert [float(word) for word in clock.environment()["HARNESS_CLOCK"].split()] == clock.spec()


@pytest.mark.parametrize("rate", [0.5, 0, -1, MAX_RATE + 1, float("nan")])
def test_a_rate_that_would_lie_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="clock rate"):
        Clock.fast(rate)
