"""The stack's clock when it is steered."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clock import Clock
from harness.errors import UsageError
from harness.guirpc import Project as AttachedProject
from harness.virtual_time import MARGIN, Due, StackClock, put_off
from harness.waiting import WaitTimeout

#: years ahead
LATER = 4e9


class Host:
    """Something that lives by the clock."""

    def __init__(self, name: str = "host1") -> None:
        self.name = name
        self.clocks: list[Clock] = []

    def set_clock(self, clock: Clock) -> None:
        self.clocks.append(clock)


@pytest.fixture
def clock() -> StackClock:
    return StackClock(Clock.fast(20))


def test_a_skip_reaches_everybody_and_keeps_the_rate(clock: StackClock) -> None:
    hosts = [Host("a"), Host("b")]
    for host in hosts:
        clock.steer(host)
    before = clock.now()

    clock.skip(3600)

    assert clock.now() - before == pytest.approx(3600, abs=5)
    assert clock.rate == 20
    assert hosts[0].clocks == hosts[1].clocks == [clock.current]


def test_time_can_go_back(clock: StackClock) -> None:
    before = clock.now()
    clock.skip(-1000)
    assert clock.now() - before == pytest.approx(-1000, abs=5)


def test_a_past_moment_is_told_by_the_clock_of_then(clock: StackClock) -> None:
    then = time.time()
    virtual = clock.at(then)
    clock.skip(86400)
    assert clock.at(then) == virtual
    assert clock.at(time.time()) - virtual > 86000


def test_the_rate_changes_without_a_jump(clock: StackClock) -> None:
    before = clock.now()
    clock.set_rate(5)
    assert clock.rate == 5
    assert clock.now() - before < 5
    with pytest.raises(UsageError):
        clock.set_rate(1000)


def test_a_skewed_host_keeps_its_skew_over_skips(clock: StackClock) -> None:
    host, other = Host("a"), Host("b")
    clock.steer(host)
    clock.steer(other)

    clock.skew(host, 600)
    clock.skip(100)

    assert host.clocks[-1].now() - clock.now() == pytest.approx(600, abs=1)
    assert other.clocks[-1].now() - clock.now() == pytest.approx(0, abs=1)
    clock.skew(host)
    assert host.clocks[-1].now() - clock.now() == pytest.approx(0, abs=1)


def test_a_drifting_host_runs_faster(clock: StackClock) -> None:
    host = Host()
    clock.skew(host, drift=1.5)
    assert host.clocks[-1].rate == pytest.approx(30)


def test_real_time_cannot_be_steered() -> None:
    clock = StackClock(Clock.real())
    assert clock.environment() == {}
    with pytest.raises(UsageError, match="virtual_time"):
        clock.skip(1)


def test_the_next_thing_is_the_soonest_of_its_kind(clock: StackClock) -> None:
    now = clock.now()
    clock.foresee(lambda: [Due(now + 500, "deadline", "r1"), Due(now - 5, "upload retry", "past")])
    clock.foresee(lambda: [Due(now + 90, "upload retry", "f1")])

    assert clock.next_due().thing == "f1"
    assert clock.skip_to_next("deadline").thing == "r1"
    assert clock.now() == pytest.approx(now + 500 + MARGIN, abs=5)


def test_nothing_to_skip_to_is_said_with_what_there_is(clock: StackClock) -> None:
    now = clock.now()
    clock.foresee(lambda: [Due(now + 500, "deadline", "r1")])
    with pytest.raises(WaitTimeout, match="deadline of r1"):
        clock.skip_to_next("upload", within=0)


def test_changes_are_noted(clock: StackClock) -> None:
    noted: list[SimpleNamespace] = []

    def note(kind: str, source: str, **data: Any) -> None:
        noted.append(SimpleNamespace(kind=kind, source=source, **data))

    clock.note = note
    clock.skip(60)
    clock.set_rate(10)
    assert [one.kind for one in noted] == ["clock.skipped", "clock.rate"]
    assert noted[0].seconds == 60


@pytest.mark.parametrize(
    ("projects", "tasks", "transfers", "is_put_off"),
    [
        ([{"next_rpc_time": LATER}], [], [], True),
        ([{"next_rpc_time": LATER, "scheduler_rpc_in_progress": True}], [], [], False),
        ([{"next_rpc_time": LATER}], [{"is_running": True}], [], False),
        ([{"next_rpc_time": LATER}], [], [{"is_active": True}], False),
        ([{}], [], [], False),
    ],
    ids=["waits", "talks", "computes", "transfers", "nothing"],
)
def test_a_client_that_does_something_has_put_off_nothing(
    projects: list[dict[str, Any]], tasks: list[dict[str, Any]], transfers: list[dict[str, Any]], is_put_off: bool
) -> None:
    client: Any = SimpleNamespace(
        name="host1",
        is_running=True,
        projects=lambda: [AttachedProject(**values) for values in projects],
        tasks=lambda: [SimpleNamespace(**values) for values in tasks],
        transfers=lambda: [SimpleNamespace(**values) for values in transfers],
        stack=SimpleNamespace(clock=SimpleNamespace(of=lambda _name: Clock.real())),
    )
    due = put_off([client])
    assert (due is not None and due.at == LATER) if is_put_off else due is None
