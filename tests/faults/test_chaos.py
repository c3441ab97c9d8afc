"""Schedules from seeds: always the same, always valid."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.faults import chaos
from harness.scenario import loader


def test_a_seed_always_gives_the_same_scenario() -> None:
    assert chaos.scenario(7) == chaos.scenario(7)
    assert chaos.scenario(7) != chaos.scenario(8)


@pytest.mark.parametrize("seed", range(12))
def test_every_schedule_is_a_valid_scenario_file_whose_faults_all_end(seed: int) -> None:
    loaded = loader.loads(chaos.scenario(seed), Path("chaos.scenario.yaml"))
    assert loaded.scenario.jobs
    assert all(fault.lasts for fault in loaded.scenario.faults)


def test_seeds_make_faults_of_every_kind() -> None:
    verbs = {verb for seed in range(60) for fault in chaos.schedule(seed)["faults"] for verb in fault}
    assert {"http", "kill", "freeze", "partition", "lose", "skew"} <= verbs


@pytest.mark.parametrize(("text", "seeds"), [("7", [7]), ("1-3", [1, 2, 3]), ("3, 9,20-21", [3, 9, 20, 21])])
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert chaos.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "1-99999999"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        chaos.parse_seeds(text)


def test_a_seed_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError):
        chaos.schedule(2**32)


def test_a_clock_that_was_set_back_by_a_day_is_given_a_day() -> None:
    schedules = [chaos.schedule(seed) for seed in range(60)]
    set_back = [any(fault.get("seconds") == chaos.DAY for fault in one["faults"]) for one in schedules]
    assert any(set_back)
    assert [{"skip": "1d"} in one["steps"] for one in schedules] == set_back


def test_no_download_is_damaged_for_good() -> None:
    """A damaged input fails its job on that host however often it is tried."""
    faults = [fault for seed in range(200) for fault in chaos.schedule(seed)["faults"]]
    assert any("wrong_length" in fault for fault in faults)
    assert not [fault for fault in faults if fault.get("http") == "download" and fault.keys() & {"replace", "wrong_length"}]
