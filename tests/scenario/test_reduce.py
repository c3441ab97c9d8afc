"""Delta debugging on a fake runner: the result still fails, and nothing of it can be left out."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scenario.dump import dump
from harness.scenario.reduce import Reducer, pruned
from harness.scenario.text import parse

Document = dict[str, Any]


@st.composite
def failing(draw: st.DrawFn) -> tuple[Document, set[str], set[str]]:
    """A scenario, and the jobs and faults that together make it fail."""
    jobs = [f"job{number}" for number in range(draw(st.integers(1, 8)))]
    faults = [f"fault{number}" for number in range(draw(st.integers(0, 8)))]
    document: Document = {
        "scenario": "something fails",
        "about": "words that nobody needs",
        "clients": [{"name": "host1", "preferences": {"disk_interval": 10}}, {"name": "host2"}],
        "jobs": [{"name": name, "app": "uppercase", "input": "x", "min_quorum": 1} for name in jobs],
        "faults": [{"name": name, "http": "upload", "status": 503} for name in faults],
        "steps": [{"submit": jobs[-1]}, {"kill": "host2"}, {"start": "host2"}],
        "expect": [{"job": name, "reaches": "validated"} for name in jobs],
    }
    needed_jobs = set(draw(st.lists(st.sampled_from(jobs), min_size=1, max_size=3)))
    needed_faults = set(draw(st.lists(st.sampled_from(faults), max_size=3))) if faults else set()
    return document, needed_jobs, needed_faults


def names(document: Document, key: str) -> set[str]:
    return {entry["name"] for entry in document.get(key, [])}


@settings(max_examples=80, deadline=None)
@given(failing())
def test_what_is_left_is_exactly_what_it_needs(case: tuple[Document, set[str], set[str]]) -> None:
    document, jobs, faults = case
    original = copy.deepcopy(document)

    def fails(candidate: Document) -> bool:
        return jobs <= names(candidate, "jobs") and faults <= names(candidate, "faults")

    reducer = Reducer(fails)
    smallest = reducer.reduce(document)

    assert document == original, "the original is not touched"
    assert names(smallest, "jobs") == jobs
    assert names(smallest, "faults") == faults
    assert "about" not in smallest
    assert not smallest.get("steps")
    assert not smallest.get("clients")
    assert all(set(job) == {"name", "app"} for job in smallest["jobs"])
    assert len(smallest["expect"]) == 1
    assert reducer.questions < 150


@settings(max_examples=50, deadline=None)
@given(failing(), st.integers(0, 20))
def test_when_time_is_up_what_was_found_so_far_still_fails(case: tuple[Document, set[str], set[str]], patience: int) -> None:
    document, jobs, _ = case
    asked = 0

    def fails(candidate: Document) -> bool:
        nonlocal asked
        asked += 1
        return jobs <= names(candidate, "jobs")

    smallest = Reducer(fails, stop=lambda: asked >= patience).reduce(document)
    assert asked <= patience
    assert jobs <= names(smallest, "jobs")
    assert pruned(smallest) is not None


def test_one_that_needs_everything_stays_as_it_is() -> None:
    document = {"scenario": "all of it", "jobs": [{"name": "j", "app": "uppercase"}], "expect": [{"job": "j", "reaches": "validated"}]}
    assert Reducer(lambda _: False).reduce(document) == document


def test_a_long_text_is_cut_short_if_it_need_not_be_long() -> None:
    document: Document = {
        "scenario": "a name is no text",
        "jobs": [{"name": "some_job", "app": "uppercase", "input": "x" * 300, "command_line": "y" * 300}],
        "expect": [{"job": "some_job", "output": "z" * 300}],
    }

    def fails(candidate: Document) -> bool:
        return "input" in candidate["jobs"][0] and len(candidate["jobs"][0].get("command_line", "")) == 300

    [job] = Reducer(fails).reduce(document)["jobs"]
    assert job == {"name": "some_job", "app": "uppercase", "input": "x" * 8, "command_line": "y" * 300}


@pytest.mark.parametrize(
    ("faults", "trigger"), [(3, {"event": "fault.healed", "count": 3}), (1, {"event": "fault.healed", "count": 1}), (0, None)]
)
def test_a_step_after_the_storm_waits_for_the_faults_that_are_left(faults: int, trigger: dict[str, object] | None) -> None:
    document: Document = {
        "scenario": "a storm",
        "clients": [{"name": "host1"}],
        "jobs": [{"name": "job1", "app": "uppercase", "input": "x"}],
        "faults": [{"http": "upload", "status": 503, "at": f"{number}s", "for": "1s"} for number in range(faults)],
        "steps": [{"on": {"event": "fault.healed", "count": 3}, "wait": "1s"}],
        "expect": [{"job": "job1", "reaches": "validated"}],
    }

    left = pruned(document)

    assert left is not None
    assert left["steps"][0].get("on") == trigger
    assert document["steps"][0]["on"]["count"] == 3, "the one that was given stays as it is"


def test_what_refers_to_something_gone_goes_with_it() -> None:
    document: Document = {
        "scenario": "dangling",
        "clients": [{"name": "host1"}],
        "jobs": [{"name": "a", "app": "uppercase"}],
        "steps": [{"name": "first", "kill": "host2"}, {"after": "first", "start": "host1"}, {"stop": "host1"}],
        "expect": [{"job": "a", "reaches": "validated"}, {"job": "b", "reaches": "validated"}],
    }
    left = pruned(document)
    assert left is not None
    assert left["steps"] == [{"stop": "host1"}]
    assert left["expect"] == [{"job": "a", "reaches": "validated"}]
    assert pruned({**document, "jobs": []}) is None, "a scenario that expects nothing is none"


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
documents = st.dictionaries(
    st.sampled_from(["scenario", "clients", "jobs", "steps", "expect", "project"]),
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    min_size=1,
)


@settings(max_examples=150, deadline=None)
@given(documents)
def test_what_is_written_is_read_again(document: Document) -> None:
    assert parse(dump(document)).value == document


@pytest.mark.parametrize(
    "text",
    [
        "8.2",
        "7.20",
        "yes",
        "null",
        "1e3",
        "0x10",
        "007",
        " leading",
        "trailing ",
        "a: b",
        "# no",
        "'",
        '"',
        "- x",
        "",
        "2026-11-22",
        "\x85",
        "a\u2028b",
        "\u2029",
    ],
)
def test_texts_stay_texts(text: str) -> None:
    assert parse(dump({"scenario": text, "clients": [{"version": text}]})).value == {"scenario": text, "clients": [{"version": text}]}
