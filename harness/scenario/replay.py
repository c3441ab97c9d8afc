"""A scenario file without pytest: once, or again and again while it is made smaller."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import invariants
from harness.clock import Clock
from harness.errors import EngineUnavailable, HarnessError, UsageError
from harness.history import History, WaitFailed
from harness.invariants import InvariantViolated
from harness.invariants.plugin import world_of
from harness.rig import Rig
from harness.scenario import dump, runner
from harness.scenario.loader import LoadedScenario, loads
from harness.scenario.orders import Difference, Orders, differences, orders
from harness.scenario.problems import ScenarioFileError
from harness.scenario.reduce import Reducer
from harness.scenario.runner import ScenarioFailed
from harness.scenario.timeline import StepFailed
from harness.stack import Stack
from harness.versions import NEWEST, ClientVersion
from harness.waiting import Deadline, WaitTimeout


@dataclass(frozen=True, slots=True)
class Failure:
    """How a scenario failed: the kind of error, and what was wrong (expectations, invariants, the step), each with the milestones
    that it had reached (see `harness.scenario.checks.Finding`)."""

    kind: str
    wrong: Mapping[str, frozenset[str]]
    message: str = ""

    @classmethod
    def of(cls, error: HarnessError) -> Failure:
        if isinstance(error, ScenarioFailed):
            return cls("expectation", {finding.text: finding.progress for finding in error.findings}, str(error))
        if isinstance(error, InvariantViolated):
            return cls("invariant", {violation.invariant: frozenset() for violation in error.violations}, str(error))
        if isinstance(error, StepFailed):
            return cls("step", {f"{error.step}: {_sort_of(error.why)}": frozenset()}, str(error))
        return cls(type(error).__name__, {_sort_of(error): frozenset()}, str(error))

    def is_like(self, other: Failure | None) -> bool:
        """Is this the same trouble? One of the wrong things in common is enough: a smaller scenario may have fewer."""
        if other is None or self.kind != other.kind:
            return False
        return any(self.wrong[what] <= other.wrong[what] for what in self.wrong.keys() & other.wrong.keys())


def _sort_of(error: HarnessError) -> str:
    """What an error is about, without the names, numbers and lines that differ from run to run."""
    if isinstance(error, WaitFailed):
        return f"{type(error).__name__} {error.event.kind}"
    return type(error).__name__ if isinstance(error, WaitTimeout) else error.what


def replay(
    rig: Rig, loaded: LoadedScenario, *, version: ClientVersion = NEWEST, keep: Callable[[History], None] = lambda _: None
) -> Failure | None:
    """Run a scenario on a stack of its own; how it failed, or None. `keep` is given what happened.

    Raises `UsageError` or `EngineUnavailable` when it cannot be run at all.
    """
    scenario = loaded.scenario
    clock = Clock.real() if scenario.real_time else Clock.fast(scenario.rate) if scenario.rate else Clock.fast()
    with Stack(rig, f"::{loaded.file.name.partition('.')[0]}", clock=clock, version=version) as stack:
        try:
            runner.run(loaded, stack)
            report = invariants.check(world_of(stack), invariants.ALL, off=scenario.invariants_off)
            if report.violations:
                raise InvariantViolated(report.violations)
        except (UsageError, EngineUnavailable):
            raise
        except HarnessError as error:
            return Failure.of(error)
        finally:
            keep(stack.history)
    return None


@dataclass(frozen=True, slots=True)
class Repetition:
    """What came of many runs of one scenario: how each failed (None: it passed), and the order of its events."""

    failures: list[Failure | None]
    orders: list[Orders]
    races: Mapping[str, str]
    """What the scenario leaves open, and why (`Scenario.races`)."""

    @property
    def outcomes(self) -> Counter[str]:
        """How often it passed or failed in which way."""
        return Counter("passed" if one is None else f"{one.kind}: {'; '.join(sorted(one.wrong))}" for one in self.failures)

    @property
    def differences(self) -> list[Difference]:
        """Those that the scenario does not leave open."""
        return [one for one in differences(self.orders) if one.subject not in self.races]

    @property
    def declared(self) -> list[Difference]:
        """Those that it does."""
        return [one for one in differences(self.orders) if one.subject in self.races]

    @property
    def is_steady(self) -> bool:
        return len(self.outcomes) == 1 and not self.differences


def repeat(
    rig: Rig, loaded: LoadedScenario, times: int, *, version: ClientVersion = NEWEST, say: Callable[[str], None] = lambda _: None
) -> Repetition:
    """Run a scenario again and again."""
    done = Repetition([], [], loaded.scenario.races)
    for number in range(1, times + 1):
        failure = replay(rig, loaded, version=version, keep=lambda history: done.orders.append(orders(history)))
        done.failures.append(failure)
        say(f"run {number}: {'passed' if failure is None else failure.message.splitlines()[0]}")
    return done


def reduce_file(
    rig: Rig,
    loaded: LoadedScenario,
    *,
    seconds: float,
    tries: int = 1,
    version: ClientVersion = NEWEST,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write NAME.reduced.scenario.yaml beside a failing scenario file and return its path.

    `tries`: how often a smaller scenario is run before it counts as passing, for failures that do not come each time.
    """
    deadline = Deadline(seconds)
    say(f"running {loaded.file.name} as it is ...")
    original = _first_failure(rig, loaded, tries, version)
    if original is None:
        raise UsageError(
            "a scenario that passes cannot be reduced",
            thing=str(loaded.file),
            expected=f"it to fail in one of {tries} tries",
            remedy="give it more: --tries 5",
        )
    say(f"it fails: {original.kind}: {', '.join(sorted(original.wrong))}")

    def fails(document: dict[str, Any]) -> bool:
        text = dump.dump(document)
        try:
            candidate = loads(text, loaded.file)
        except ScenarioFileError:
            return False
        failure = _first_failure(rig, candidate, tries, version)
        verdict = "still fails" if original.is_like(failure) else "passes" if failure is None else "fails in another way"
        say(f"  {_parts(document)} in {len(text)} characters: {verdict}")
        return original.is_like(failure)

    reducer = Reducer(fails, stop=lambda: deadline.expired)
    smallest = reducer.reduce(copy.deepcopy(loaded.document.value))
    path = loaded.file.with_name(loaded.file.name.replace(".scenario.yaml", ".reduced.scenario.yaml"))
    words = f"{loaded.file.name}, made smaller in {reducer.questions} runs" + ("; there was no time for more" if deadline.expired else "")
    path.write_text(dump.dump(smallest, comment=words), encoding="utf-8")
    return path


def _first_failure(rig: Rig, loaded: LoadedScenario, tries: int, version: ClientVersion) -> Failure | None:
    for _ in range(tries):
        failure = replay(rig, loaded, version=version)
        if failure is not None:
            return failure
    return None


def _parts(document: dict[str, Any]) -> str:
    words = {"clients": "client", "jobs": "job", "faults": "fault", "steps": "step", "expect": "expectation"}
    counts = {word: len(document.get(name) or ()) for name, word in words.items()}
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count)
