"""Deadlines and waits: the only place of the harness that sleeps.

Every wait has a `Deadline` on the monotonic clock (real seconds: what a person waits for, whatever the stack's virtual clock says),
names the condition it waits for, and when it gives up says the last state it saw and where the evidence is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.errors import HarnessError

T = TypeVar("T")

#: seconds between two looks at a condition that nobody announces
POLL = 0.05


class WaitTimeout(HarnessError):
    """A condition did not come true in time.

    Fields beyond those of `HarnessError`: `condition`, `last_state` (text), `elapsed` (real seconds), `evidence` (folder or None).
    """

    exit_code = 75  # sysexits.h: temporary failure

    def __init__(self, condition: str, *, last_state: str, elapsed: float, evidence: Path | None = None) -> None:
        self.condition = condition
        self.last_state = last_state
        self.elapsed = elapsed
        self.evidence = evidence
        super().__init__(
            f"waited {elapsed:.1f} s in vain",
            thing=condition,
            expected=f"it to come true; the last state seen: {last_state or 'nothing at all'}",
            remedy=f"look at the evidence: {evidence}" if evidence else "",
        )


class Deadline:
    """A point on the monotonic clock by which something has to be done."""

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"a deadline is a finite number of seconds >= 0, not {seconds!r}")
        self._start = time.monotonic()
        self._end = self._start + seconds

    @classmethod
    def of(cls, within: Deadline | float) -> Deadline:
        """`within` itself if it is a deadline already, else a new one that many seconds from now."""
        return within if isinstance(within, Deadline) else cls(within)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def elapsed(self) -> float:
        """Seconds since the deadline was set."""
        return time.monotonic() - self._start

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._end

    def at_most(self, seconds: float) -> Deadline:
        """A deadline of `seconds` from now, but not later than this one."""
        return Deadline(min(seconds, self.remaining))

    def pause(self, seconds: float = POLL) -> None:
        """Sleep for `seconds`, but not past the deadline."""
        time.sleep(min(seconds, self.remaining))

    def __repr__(self) -> str:
        return f"<Deadline: {self.remaining:.2f} s left>"


def wait_until(
    condition: Callable[[], T | None],
    what: str,
    *,
    within: Deadline | float,
    every: float = POLL,
    last_state: Callable[[], str] = str,
    evidence: Path | None = None,
) -> T:
    """Call `condition` until it returns something true, and return that.

    `what` names the condition in the error; `last_state` is asked once, when time is up. The condition is looked at once more
    at the deadline itself, so a wait of 0 seconds is a check. Raises `WaitTimeout`.
    """
    deadline = Deadline.of(within)
    while True:
        last_chance = deadline.expired
        value = condition()
        if value:
            return value
        if last_chance:
            raise WaitTimeout(what, last_state=last_state(), elapsed=deadline.elapsed, evidence=evidence)
        deadline.pause(every)
