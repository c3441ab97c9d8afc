"""Virtual time: each project has a clock that can run faster than the wall's, and jump."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """virtual(t) = origin_virtual + (t - origin_real) * rate, in unix seconds."""

    origin_real: float
    origin_virtual: float
    rate: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (self.origin_real, self.origin_virtual, self.rate)):
            raise ValueError("a clock is three finite numbers: origin_real, origin_virtual, rate")
        if not 0 < self.rate <= 1e6:
            raise ValueError(f"the rate of a clock must be above 0 and at most 1e6, not {self.rate}")
        if not 0 <= self.origin_virtual < 2**31 - 1:
            raise ValueError("origin_virtual must be unix seconds that fit BOINC's 31 bits")

    @classmethod
    def real(cls) -> ClockSpec:
        now = time.time()
        return cls(now, now, 1.0)

    def virtual(self, real: float) -> float:
        return self.origin_virtual + (real - self.origin_real) * self.rate

    def as_list(self) -> list[float]:
        return [self.origin_real, self.origin_virtual, self.rate]


class Clock:
    """The clock of one project. All times that the server stores or sends come from here."""

    def __init__(self, spec: ClockSpec | None = None) -> None:
        self._spec = spec or ClockSpec.real()
        self._listeners: list[Callable[[], None]] = []

    @property
    def spec(self) -> ClockSpec:
        return self._spec

    def now(self) -> float:
        """Virtual unix seconds."""
        return self._spec.virtual(time.time())

    def int_now(self) -> int:
        """Virtual unix seconds as the database stores them."""
        return int(self.now())

    def real_delay(self, virtual_time: float) -> float:
        """Wall seconds from now until the clock shows `virtual_time`; 0 when it is past."""
        return max(0.0, (virtual_time - self.now()) / self._spec.rate)

    def set(self, spec: ClockSpec) -> None:
        """Change speed or jump; whoever waits for a virtual time is told."""
        self._spec = spec
        for listener in list(self._listeners):
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)
