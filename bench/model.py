"""What a measurement is, and what it comes to."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.world import World


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure. `sample` measures it once and returns it in `unit`; `target` is the most it may be, None: no target."""

    name: str
    what: str
    unit: str
    target: float | None
    sample: Callable[[World], float]
    #: taken at most so many times, however many runs were asked for: what takes minutes
    at_most: int | None = None
    #: left out unless named with --only
    default: bool = True


@dataclass(slots=True)
class Outcome:
    """The samples of one measure."""

    measure: Measure
    samples: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.samples) if self.samples else None

    @property
    def met(self) -> bool | None:
        """Whether the median is within the target; None without a target or a sample."""
        if self.measure.target is None or self.median is None:
            return None
        return self.median <= self.measure.target

    def record(self) -> dict[str, object]:
        return {
            "name": self.measure.name,
            "what": self.measure.what,
            "unit": self.measure.unit,
            "target": self.measure.target,
            "median": self.median,
            "samples": self.samples,
            "met": self.met,
            "error": self.error or None,
        }


def interleaved(measures: list[Measure], runs: int) -> list[Measure]:
    """The order in which samples are taken: one of each measure, then the next of each, so that a slow minute hits all of them."""
    return [measure for run in range(runs) for measure in measures if measure.at_most is None or run < measure.at_most]
