"""pytest checks the invariants at the end of each scenario that passed so far; what they find fails it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import pytest

from harness.invariants import ALL, INVARIANTS, InvariantViolated, World, check

if TYPE_CHECKING:
    from harness.stack import Stack

MARK = "invariant_off"
LIVENESS = "liveness"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(name, reason): an invariant that this scenario breaks on purpose, and why")
    config.addinivalue_line("markers", f"{LIVENESS}: everything that this scenario started has ended with it, so no job may be left")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark that is wrong is told before anything starts."""
    for item in items:
        switched_off(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    result = yield
    stack: Stack | None = getattr(item, "funcargs", {}).get("stack")
    if stack is not None and len(stack.history):
        off = switched_off(item)
        report = check(world_of(stack, liveness=item.get_closest_marker(LIVENESS) is not None), ALL, off=off)
        if report.violations:
            for violation in report.violations:
                stack.history.add("invariant.violated", "invariants", invariant=violation.invariant, what=violation.what)
            pytest.fail(str(InvariantViolated(report.violations)), pytrace=False)
    return result


def switched_off(item: pytest.Item) -> Mapping[str, str]:
    """The invariants that marks of a scenario switch off, each with its reason."""
    off: dict[str, str] = {}
    for mark in item.iter_markers(MARK):
        if len(mark.args) != 2 or mark.args[0] not in INVARIANTS or not str(mark.args[1]).strip():
            raise pytest.UsageError(
                f'{item.nodeid}: write @pytest.mark.{MARK}("name", "reason"), with one of: {", ".join(INVARIANTS)}; got {mark.args!r}'
            )
        off[mark.args[0]] = str(mark.args[1])
    return off


def world_of(stack: Stack, *, liveness: bool = False) -> World:
    """A stack at its end. A server that the scenario left dead is not asked."""
    stack.faults.heal()
    alive = bool(stack.projects) and stack.rig.project_server.healthy()
    return World(
        events=list(stack.history),
        projects=list(stack.projects) if alive else [],
        now=stack.clock.now() if alive else 0.0,
        rate=stack.clock.rate,
        liveness=liveness,
    )
