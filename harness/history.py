"""The one ordered record of everything that happened in a stack.

Whatever is observable - the server's state transitions, a client's messages and task states, mails, faults - becomes an `Event`
here, with the real and the virtual time. Waits, assertions and the evidence all read this record; nothing polls beside it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.clock import Clock
from harness.errors import HarnessError
from harness.virtual_time import StackClock
from harness.waiting import Deadline, WaitTimeout

Predicate = Callable[["Event"], bool]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `kind` is dotted ("result.sent", "task.state"), `source` the part that said it ("server", a client's name, "faults"),
    `real` and `virtual` are unix seconds, `data` the event's own fields.
    """

    kind: str
    real: float
    virtual: float
    source: str
    data: Mapping[str, object] = field(default_factory=dict)

    def get(self, name: str) -> object:
        return self.data.get(name)

    def matches(self, kind: str, fields: Mapping[str, object]) -> bool:
        """Is this an event of that kind ("job." stands for all that begin so) whose fields have these values?"""
        kind_fits = self.kind.startswith(kind) if kind.endswith(".") else self.kind == kind
        return kind_fits and all(self.data.get(name) == value for name, value in fields.items())

    def as_json(self) -> str:
        record = {"kind": self.kind, "real": self.real, "virtual": self.virtual, "source": self.source, **self.data}
        return json.dumps(record, ensure_ascii=False, default=str)

    def __str__(self) -> str:
        fields = " ".join(f"{name}={value}" for name, value in self.data.items() if value not in (None, "", []))
        return f"{self.kind} ({self.source}) {fields}"


class History:
    """A growing list of events that threads add to and waits look at.

    Thread-safe. A view (`History.of`) shows the events that a predicate selects and grows with its parent.
    """

    def __init__(self, clock: Clock | StackClock, *, evidence: Path | None = None) -> None:
        self.clock = clock
        self.evidence = evidence
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._broken: HarnessError | None = None

    def add(self, kind: str, source: str, *, real: float | None = None, virtual: float | None = None, **data: object) -> Event:
        """Record an event; times default to now."""
        if real is None:
            real = time.time()
        event = Event(kind, real, self.clock.at(real) if virtual is None else virtual, source, data)
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()
        return event

    def break_off(self, error: HarnessError) -> None:
        """A source of events is gone: every wait that still hopes for one raises `error` instead of waiting it out."""
        with self._changed:
            self._broken = self._broken or error
            self._changed.notify_all()

    @property
    def broken(self) -> HarnessError | None:
        """Why no more events can be expected, if so."""
        return self._broken

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        with self._changed:
            return iter(list(self._events))

    def find(self, kind: str, **fields: object) -> list[Event]:
        """All events of a kind with these field values, oldest first."""
        return [event for event in self if event.matches(kind, fields)]

    def of(self, predicate: Predicate) -> HistoryView:
        """The events that `predicate` selects, as a history of their own."""
        return HistoryView(self, predicate)

    def in_order(self, *kinds: str) -> bool:
        """Did events of these kinds happen in this order (others may lie between)?"""
        return _in_order(self, kinds)

    def wait_for(
        self,
        predicate: Predicate,
        what: str,
        *,
        within: Deadline | float,
        fail_on: Predicate | None = None,
        last_state: Callable[[], str] | None = None,
    ) -> Event:
        """The first event, past or to come, that `predicate` accepts.

        An event that `fail_on` accepts ends the wait at once with `WaitFailed`. Raises `WaitTimeout` when time is up, and the
        error given to `break_off` when the source of the events has gone away.
        """
        deadline = Deadline.of(within)
        seen = 0
        with self._changed:
            while True:
                while seen < len(self._events):
                    event = self._events[seen]
                    seen += 1
                    if predicate(event):
                        return event
                    if fail_on is not None and fail_on(event):
                        raise WaitFailed(what, event, elapsed=deadline.elapsed, evidence=self.evidence)
                if self._broken is not None:
                    raise self._broken
                if deadline.expired:
                    break
                self._changed.wait(deadline.remaining)
        state = last_state() if last_state else self.tail()
        raise WaitTimeout(what, last_state=state, elapsed=deadline.elapsed, evidence=self.evidence)

    def wait(self, kind: str, *, within: Deadline | float, **fields: object) -> Event:
        """The first event of a kind with these field values (see `wait_for`)."""
        wanted = " ".join([kind, *(f"{name}={value!r}" for name, value in fields.items())])
        return self.wait_for(lambda event: event.matches(kind, fields), wanted, within=within)

    def tail(self, count: int = 3) -> str:
        """The last events in words, for messages."""
        with self._changed:
            last = self._events[-count:]
        return "; ".join(str(event) for event in last) or "no event at all"

    def write(self, path: Path) -> None:
        """Write the record as JSON lines, in the order in which the events became known."""
        path.write_text("".join(event.as_json() + "\n" for event in self), encoding="utf-8")


class HistoryView:
    """A live selection from a history."""

    def __init__(self, parent: History, predicate: Predicate) -> None:
        self._parent = parent
        self._predicate = predicate

    def __iter__(self) -> Iterator[Event]:
        return (event for event in self._parent if self._predicate(event))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def kinds(self) -> list[str]:
        return [event.kind for event in self]

    def find(self, kind: str, **fields: object) -> list[Event]:
        return [event for event in self if event.matches(kind, fields)]

    def in_order(self, *kinds: str) -> bool:
        return _in_order(self, kinds)

    def wait(self, kind: str, *, within: Deadline | float, **fields: object) -> Event:
        wanted = " ".join([kind, *(f"{name}={value!r}" for name, value in fields.items())])
        return self._parent.wait_for(
            lambda event: self._predicate(event) and event.matches(kind, fields),
            wanted,
            within=within,
            last_state=lambda: "; ".join(str(event) for event in list(self)[-3:]) or "no event of it at all",
        )


class WaitFailed(HarnessError):
    """What was waited for can no longer happen: `event` rules it out."""

    def __init__(self, condition: str, event: Event, *, elapsed: float, evidence: Path | None = None) -> None:
        self.condition = condition
        self.event = event
        self.elapsed = elapsed
        self.evidence = evidence
        super().__init__(
            "it can no longer happen",
            thing=condition,
            expected=f"no event that rules it out; after {elapsed:.1f} s came: {event}",
            remedy=f"look at the evidence: {evidence}" if evidence else "",
        )


def _in_order(events: Iterator[Event] | History | HistoryView, kinds: tuple[str, ...]) -> bool:
    rest = iter(events)
    return all(any(event.kind == kind for event in rest) for kind in kinds)
