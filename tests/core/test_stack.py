"""A stack and its clients, without an engine: names, skips, clocks."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from harness import virtual_time
from harness.client import QUIT_RATE, Client
from harness.clock import Clock
from harness.errors import UsageError
from harness.rig import Rig
from harness.stack import Stack, slug
from harness.virtual_time import MARGIN, Due
from harness.waiting import WaitTimeout


@pytest.mark.parametrize("name", ["a/b.py::test_it[8.2]", "x.scenario.yaml::4711_a_bug[7.20]", "::", "::Ünïcode", f"::{'x' * 80}"])
def test_every_scenario_can_name_a_project(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,23}", slug(name))


@pytest.mark.parametrize("name", ["8.2", "Host1", "a_b", "../up", "x" * 32])
def test_a_client_is_not_called_by_what_names_no_host(name: str) -> None:
    """A generation in the place of the name would be another client of the usual generation."""
    stack = Stack(Rig(), "::names", clock=Clock.real())
    with pytest.raises(UsageError, match=r"said with version=") as caught:
        stack.client(name)
    assert repr(name) in str(caught.value)
    assert stack.clients == []


def in_vain() -> WaitTimeout:
    return WaitTimeout("something", last_state="", elapsed=0.0)


def test_no_time_is_skipped_when_something_happens_just_as_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    history = ["job.created"]
    skipped: list[float] = []
    looks: list[int] = []
    end: Any = object()

    def put_off(_clients: object) -> Due:
        if not looks:
            history.append("result.sent")
        looks.append(len(skipped))
        return Due(1e5, "work fetch", "host1")

    def wait_for(*_: object, **__: object) -> Any:
        if not skipped:
            raise in_vain()
        return end

    monkeypatch.setattr(virtual_time, "put_off", put_off)
    clock = SimpleNamespace(now=lambda: 0.0, rate=30.0, skip_to=skipped.append)
    stack: Any = SimpleNamespace(history=history, clients=[], clock=clock)
    job: Any = SimpleNamespace(wait_for=wait_for)
    assert Stack.fast_forward(stack, job) is end
    assert (looks, skipped) == ([0, 0], [1e5 + MARGIN]), "the first look changed nothing"


def test_a_host_whose_client_does_not_end_gets_its_clock_back() -> None:
    clocks: list[Clock] = []

    def quit_in_vain() -> None:
        raise in_vain()

    own = Clock.fast(30)
    client: Any = SimpleNamespace(
        name="host1",
        has_virtualbox=True,
        stack=SimpleNamespace(clock=SimpleNamespace(of=lambda _name: own)),
        set_clock=clocks.append,
        _quit=quit_in_vain,
    )
    with pytest.raises(WaitTimeout):
        Client.stop(client)
    assert [clock.rate for clock in clocks] == [QUIT_RATE, 30]
    assert clocks[-1] is own
