"""Faults as data: recorded, healed once, healed in any case."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clock import Clock
from harness.errors import HarnessError, UsageError
from harness.faults import Faults, FaultsNotHealed
from harness.faults.storage import DAMAGES, damaged
from harness.history import History
from harness.stack import Stack


@pytest.fixture
def faults() -> Faults:
    stack = SimpleNamespace(history=History(Clock.real()), proxy=None, projects=[])
    return Faults(cast("Stack", stack))


def kinds(faults: Faults) -> list[str]:
    return [event.kind for event in faults.stack.history]


def test_a_fault_is_recorded_when_it_begins_and_when_it_ends(faults: Faults) -> None:
    healed: list[str] = []
    fault = faults.add("flood", "cellar", lambda: healed.append("pumped"), depth=2)
    assert faults.active == [fault]

    fault.heal()
    fault.heal()

    assert healed == ["pumped"]
    assert faults.active == []
    assert kinds(faults) == ["fault.injected", "fault.healed"]
    [begun] = faults.stack.history.find("fault.injected")
    assert begun.data["depth"] == 2
    assert begun.data["target"] == "cellar"


def test_a_block_heals_even_when_it_fails(faults: Faults) -> None:
    with pytest.raises(ZeroDivisionError), faults.add("flood", "cellar", lambda: None):
        _ = 1 / 0
    assert kinds(faults) == ["fault.injected", "fault.healed"]


def test_what_healing_finds_out_is_recorded(faults: Faults) -> None:
    faults.add("http", "upload", lambda: {"fired": 3}).heal()
    assert faults.stack.history.find("fault.healed")[0].data["fired"] == 3


def test_all_are_healed_newest_first_and_failures_are_told_together(faults: Faults) -> None:
    order: list[str] = []

    def fails() -> None:
        raise HarnessError("the pump is broken")

    faults.add("a", "1", lambda: order.append("a"))
    faults.add("b", "2", fails)
    faults.add("c", "3", lambda: order.append("c"))

    with pytest.raises(FaultsNotHealed, match="pump is broken") as told:
        faults.close()

    assert order == ["c", "a"]
    assert [fault.kind for fault, _ in told.value.failures] == ["b"]


@pytest.mark.parametrize("asked", [{}, {"status": 500, "reset": True}, {"reset": True, "lose_reply": True}])
def test_an_http_fault_is_exactly_one_thing(faults: Faults, asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="exactly one"):
        faults.http("upload", **asked)


def test_an_unknown_endpoint_is_refused_before_anything_starts(faults: Faults) -> None:
    with pytest.raises(UsageError, match="scheduler, upload"):
        faults.http("kitchen", status=500)


@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "remove"])
def test_damage_changes_the_content(how: str) -> None:
    content = b"<client_state>" * 10
    assert damaged(content, how) != content


def test_damage_is_where_it_was_asked_for() -> None:
    assert damaged(b"abcdef", "truncate", 2) == b"ab"
    assert damaged(b"abc", "flip", 1) == b"a\x9dc"
    assert damaged(b"abc", "empty") == b""
    assert damaged(b"", "garbage") != b""
