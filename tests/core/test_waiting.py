"""Deadlines and waits."""

import time
from pathlib import Path

import pytest

from harness.waiting import Deadline, WaitTimeout, wait_until


def test_a_condition_that_holds_is_returned_at_once() -> None:
    began = time.monotonic()
    assert wait_until(lambda: "value", "a value", within=5) == "value"
    assert time.monotonic() - began < 0.5


def test_a_wait_of_zero_seconds_is_a_check() -> None:
    looks: list[int] = []
    with pytest.raises(WaitTimeout):
        wait_until(lambda: looks.append(1), "never", within=0)
    assert len(looks) == 1


def test_a_condition_that_comes_true_at_the_deadline_still_counts() -> None:
    deadline = Deadline(0.1)
    assert wait_until(lambda: deadline.expired, "the deadline", within=deadline, every=10)


def test_a_timeout_names_condition_state_and_evidence(tmp_path: Path) -> None:
    with pytest.raises(WaitTimeout) as caught:
        wait_until(lambda: None, "the moon to rise", within=0.05, last_state=lambda: "still set", evidence=tmp_path)
    error = caught.value
    assert error.condition == "the moon to rise"
    assert error.last_state == "still set"
    assert error.elapsed >= 0.05
    assert all(part in str(error) for part in ("the moon to rise", "still set", str(tmp_path)))


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_deadline_is_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Deadline(seconds)


def test_a_part_of_a_deadline_never_outlives_it() -> None:
    whole = Deadline(0.2)
    assert whole.at_most(10).remaining <= whole.remaining + 0.01
    assert Deadline(10).at_most(0.1).remaining <= 0.1
    assert Deadline.of(whole) is whole
