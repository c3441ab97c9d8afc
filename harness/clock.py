"""The clock of a stack: real, or a virtual one that runs faster.

A clock is three numbers that every part of the stack computes with alike: at real time `r` (unix seconds) it shows
`origin_virtual + (r - origin_real) * rate`. The containers share the host's real clock, so nothing has to be kept in step:
the project server evaluates the formula, and a client's entrypoint turns it into a libfaketime specification.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.errors import UsageError

#: The default rate of scenarios in which no virtual machine takes part. Measured with `python -m bench --rates 10,20,30,40,60` on two
#: busy cores, a job takes 1.8 s from submission to validation at x10, 1.1 s at x20, 0.7 s at x30, 0.55 s at x40 and 0.43 s at x60: what is
#: left is real work, so more brings little. At x30 the client's shortest patience - 30 s without a heartbeat, until an application ends -
#: is a second of real time, which a starved container still gets through; at x60 it is half of one.
FAST_RATE = 30.0
#: a client that is sped up more than this misses its own RPC time-outs
MAX_RATE = 60.0


@dataclass(frozen=True, slots=True)
class Clock:
    """Virtual time as a function of real time; both are unix seconds, `rate` is virtual seconds per real second."""

    origin_real: float
    origin_virtual: float
    rate: float

    @classmethod
    def real(cls) -> Clock:
        """The clock on the wall."""
        return cls(0.0, 0.0, 1.0)

    @classmethod
    def fast(cls, rate: float = FAST_RATE) -> Clock:
        """A clock that shows the present now and runs `rate` times as fast from here on."""
        if not 1.0 <= rate <= MAX_RATE:
            raise UsageError(
                "a clock rate that would lie",
                thing=f"{rate:g}",
                expected=f"1 to {MAX_RATE:g} virtual seconds a second: beyond that the client misses its own time-outs",
                remedy="choose a lower rate",
            )
        now = time.time()
        return cls(now, now, rate)

    @classmethod
    def steerable(cls) -> Clock:
        """A clock that shows real time now and runs as fast, but may be skipped: its clients have a clock of their own."""
        return cls.fast(1.0)

    @property
    def is_real(self) -> bool:
        return self == Clock(0.0, 0.0, 1.0)

    def at(self, real: float) -> float:
        """The time this clock shows at real time `real`."""
        return self.origin_virtual + (real - self.origin_real) * self.rate

    def now(self) -> float:
        """The time this clock shows now."""
        return self.at(time.time())

    def at_rate(self, rate: float) -> Clock:
        """The clock that shows what this one shows now, and runs at another rate from here on."""
        now = time.time()
        return Clock(now, self.at(now), rate)

    def real_seconds(self, virtual_seconds: float) -> float:
        """How long `virtual_seconds` of this clock last in reality."""
        return virtual_seconds / self.rate

    def spec(self) -> list[float]:
        """The three numbers, as the project server and the client image take them."""
        return [self.origin_real, self.origin_virtual, self.rate]

    def environment(self) -> dict[str, str]:
        """The environment of a container that shall live by this clock; empty for real time."""
        return {} if self.is_real else {"HARNESS_CLOCK": " ".join(f"{number:.6f}" for number in self.spec())}
