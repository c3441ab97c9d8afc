"""What an invariant is, what it may look at, and the error that names the broken ones."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from harness.errors import HarnessError
from harness.history import Event
from harness.jobs import Result


class Asked(Protocol):
    """What an invariant may ask of a project's server (a part of harness.project.base.Project)."""

    name: str

    def workunits(self) -> list[Mapping[str, object]]: ...

    def results(self, *, workunit: int | None = None, host: int | None = None) -> list[Result]: ...

    def hosts(self) -> list[Mapping[str, object]]: ...

    def users(self) -> list[Mapping[str, object]]: ...

    def outputs(self, result_id: int) -> Mapping[str, Mapping[str, object]]: ...


@dataclass(frozen=True, slots=True)
class World:
    """A scenario at its end.

    events     its history, in the order in which the events became known
    projects   its projects, for questions to their servers; empty if there is no server to ask any more
    now        the stack's virtual time (unix seconds)
    rate       virtual seconds a real second
    liveness   the scenario claims that everything it started has ended
    """

    events: Sequence[Event]
    projects: Sequence[Asked] = ()
    now: float = 0.0
    rate: float = 1.0
    liveness: bool = False

    def of(self, prefix: str) -> Iterator[Event]:
        """The events whose kind begins so."""
        return (event for event in self.events if event.kind.startswith(prefix))


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not be: which invariant says so, about what, and the event that shows it (if one does)."""

    invariant: str
    what: str
    event: Event | None = None

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}" + (f"\n    shown by {self.event}" if self.event else "")


class Invariant(abc.ABC):
    """Something that holds of every history. `name` is what switches it off, the docstring what it says."""

    name: ClassVar[str]
    #: only checked of scenarios that claim that everything they started has ended
    liveness: ClassVar[bool] = False

    @abc.abstractmethod
    def violations(self, world: World) -> Iterable[Violation]:
        """Everything in which this does not hold."""

    def violation(self, what: str, event: Event | None = None) -> Violation:
        return Violation(self.name, what, event)

    @property
    def about(self) -> str:
        return (self.__doc__ or "").strip().splitlines()[0]


class InvariantViolated(HarnessError):
    """A scenario's history breaks a rule that holds for all. Field: `violations`."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = violations
        names = sorted({violation.invariant for violation in violations})
        super().__init__(
            f"{len(violations)} violation{'s' if len(violations) != 1 else ''} of an invariant",
            thing=", ".join(names),
            expected="these to hold of every scenario",
            remedy=f'fix the part that broke it; if the scenario means to: @pytest.mark.invariant_off("{names[0]}", "why")',
            details="\n".join(str(violation) for violation in violations[:20]),
        )


@dataclass
class Report:
    """What a check found: violations, and the invariants that were not checked with the reason for each."""

    violations: list[Violation] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def check(world: World, invariants: Iterable[Invariant], *, off: Mapping[str, str] | None = None) -> Report:
    """Check the invariants that are not switched off (`off`: name -> reason)."""
    report = Report()
    for invariant in invariants:
        if off and invariant.name in off:
            report.skipped[invariant.name] = off[invariant.name]
        elif invariant.liveness and not world.liveness:
            report.skipped[invariant.name] = "the scenario may end while jobs are running"
        else:
            report.violations.extend(invariant.violations(world))
    return report
