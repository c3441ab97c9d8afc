"""Invariants that read the history alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from harness.history import Event
from harness.invariants.base import Invariant, Violation, World

Key = tuple[object, object]
#: virtual seconds (and as many real ones) that a server may be late with what a deadline asks
LATENESS: Final = 60.0

#: result.* event -> the states it may come in, and the state after it (sched/transitioner.cpp, sched_send.cpp, sched_result.cpp,
#: db/boinc_db.cpp mark_results_over). A time-out or a detach is not the end: a late report is accepted.
_LEGAL: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "result.created": (frozenset({""}), "unsent"),
    "result.sent": (frozenset({"unsent"}), "in progress"),
    "result.resent": (frozenset({"in progress"}), "in progress"),
    "result.reported": (frozenset({"in progress", "no reply", "detached"}), "reported"),
    "result.timed_out": (frozenset({"in progress"}), "no reply"),
    "result.detached": (frozenset({"in progress"}), "detached"),
    "result.not_needed": (frozenset({"unsent"}), "not needed"),
    "result.inconclusive": (frozenset({"reported"}), "inconclusive"),
    "result.valid": (frozenset({"reported", "inconclusive"}), "valid"),
    "result.invalid": (frozenset({"reported", "inconclusive"}), "invalid"),
    "result.no_check": (frozenset({"reported", "inconclusive"}), "not checked"),
    "result.too_late": (frozenset({"reported", "inconclusive"}), "too late"),
}


def _key(event: Event, field: str) -> Key:
    return (event.get("project"), event.get(field))


def _label(event: Event) -> str:
    return str(event.get("name") or event.get("result") or event.get("workunit"))


class ResultStates(Invariant):
    """A result's states on the server follow BOINC's order and never go backwards."""

    name = "result_states"

    def violations(self, world: World) -> Iterable[Violation]:
        states: dict[Key, str] = defaultdict(str)
        for event in world.of("result."):
            rule = _LEGAL.get(event.kind)
            if rule is None:
                yield self.violation(f"{_label(event)}: {event.kind} is no event of a result that this knows", event)
                continue
            allowed, after = rule
            key = _key(event, "result")
            if states[key] not in allowed:
                before = states[key] or "not created"
                yield self.violation(f"{_label(event)}: {event.kind} while it is {before}; legal if {' or '.join(sorted(allowed))}", event)
            states[key] = after


class JobStates(Invariant):
    """A job is created, then validated or failed, then assimilated, then its files are deleted; validated needs a report."""

    name = "job_states"

    def violations(self, world: World) -> Iterable[Violation]:
        seen: dict[Key, set[str]] = defaultdict(set)
        for event in world.events:
            if event.kind == "result.reported":
                seen[_key(event, "workunit")].add(event.kind)
            elif event.kind.startswith("job."):
                had = seen[_key(event, "workunit")]
                wrong = self._wrong(event.kind, had)
                if wrong:
                    yield self.violation(f"{_label(event)}: {event.kind} {wrong}", event)
                had.add(event.kind)

    @staticmethod
    def _wrong(kind: str, had: set[str]) -> str:
        if kind == "job.created":
            return "twice" if kind in had else ""
        if "job.created" not in had:
            return "before it was created"
        if kind == "job.validated" and "result.reported" not in had:
            return "before any result was reported"
        if kind == "job.validated" and "job.error" in had:
            return "after it had failed"
        if kind == "job.error" and "job.validated" in had:
            return "after it was validated"
        if kind == "job.assimilated" and not had & {"job.validated", "job.error"}:
            return "without a canonical result or an error"
        # the jobs of an aborted batch lose their inputs at once (html/inc/submit_util.inc)
        if kind == "job.files_deleted" and not had & {"job.assimilated", "job.cancelled"}:
            return "before it was assimilated"
        return ""


class _Once(Invariant):
    """Events of some kinds happen at most once for each thing."""

    kinds: frozenset[str]
    field: str

    def violations(self, world: World) -> Iterable[Violation]:
        count: Counter[tuple[str, Key]] = Counter()
        for event in world.events:
            if event.kind in self.kinds:
                key = (event.kind, _key(event, self.field))
                count[key] += 1
                if count[key] > 1:
                    yield self.violation(f"{_label(event)}: {event.kind} for the {_ordinal(count[key])} time", event)


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


class AssimilatedOnce(_Once):
    """A job gets at most one canonical result, and is assimilated and failed at most once."""

    name = "assimilated_once"
    kinds = frozenset({"job.validated", "job.assimilated", "job.error"})
    field = "workunit"


class CreditGrantedOnce(Invariant):
    """Credit is granted once for each valid result, and for no other."""

    name = "credit_granted_once"

    def violations(self, world: World) -> Iterable[Violation]:
        valid: set[Key] = set()
        granted: set[Key] = set()
        for event in world.events:
            key = _key(event, "result")
            if event.kind == "result.valid":
                valid.add(key)
            elif event.kind == "credit.granted":
                if key in granted:
                    yield self.violation(f"{_label(event)}: credit again", event)
                if key not in valid:
                    yield self.violation(f"{_label(event)}: credit for a result that was not found valid", event)
                granted.add(key)


#: result states of the client in the order in which they come (lib/common_defs.h); the last ones are ends
_TASK_ORDER: Final = {"NEW": 0, "FILES_DOWNLOADING": 1, "FILES_DOWNLOADED": 2, "COMPUTE_ERROR": 3, "FILES_UPLOADING": 3}
_TASK_ENDS: Final = {"FILES_UPLOADED": 4, "ABORTED": 4, "UPLOAD_FAILED": 4}


class TaskStates(Invariant):
    """A task on a client never goes back to an earlier state, unless the client lost its memory or was given the task anew.

    One that was aborted is ready to be reported before its application has ended. A client that reports it as early as that finds a task
    that still runs where none should be, and aborts it once more with another exit code (client_state.cpp: garbage_collect).
    """

    name = "task_states"

    def violations(self, world: World) -> Iterable[Violation]:
        order = {**_TASK_ORDER, **_TASK_ENDS}
        last: dict[Key, str] = {}
        reported = set()
        for event in world.events:
            if event.kind == "result.reported":
                reported.add(event.get("name"))
            if event.kind in ("client.stopped", "client.started", "fault.injected"):
                # A killed client reads its state file, which may be older; a fault may have touched that file.
                last.clear()
            elif event.kind == "result.resent":
                for key in [key for key in last if key[1] == event.get("name")]:
                    del last[key]
            elif event.kind == "task.state":
                key, state = (event.get("client"), event.get("result")), str(event.get("state"))
                before = last.get(key)
                aborted_again = (before, state) == ("ABORTED", "COMPUTE_ERROR") and key[1] in reported
                if before is not None and state in order and order[state] < order.get(before, 0) and not aborted_again:
                    yield self.violation(f"{event.get('result')} on {event.get('client')}: {state} after {before}", event)
                last[key] = state


class MailsOnce(Invariant):
    """Each mail is sent once, and only because something asked for it."""

    name = "mails_once"

    def violations(self, world: World) -> Iterable[Violation]:
        address: dict[Key, object] = {}
        asked: Counter[tuple[object, object]] = Counter()
        sent: Counter[tuple[object, object]] = Counter()
        received: Counter[tuple[str, object]] = Counter()
        delivered: Counter[tuple[str, object]] = Counter()
        for event in world.events:
            if event.kind == "account.created":
                address[_key(event, "user")] = event.get("email")
            elif event.kind == "account.mail":
                asked[event.get("project"), address.get(_key(event, "user"))] += 1
            elif event.kind == "mail.sent":
                to = (event.get("project"), event.get("to"))
                delivered[str(event.get("to")), event.get("subject")] += 1
                sent[to] += 1
                if event.get("to") in address.values() and sent[to] > asked[to]:
                    yield self.violation(f"mail number {sent[to]} to {to[1]}, which asked for {asked[to]}", event)
        for event in world.of("mail.received"):
            for receiver in _words(event.get("to")):
                received[receiver, event.get("subject")] += 1
                if received[receiver, event.get("subject")] > delivered[receiver, event.get("subject")] > 0:
                    yield self.violation(f"{event.get('subject')!r} came to {receiver} more often than it was sent", event)


def _words(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


class LogOrder(Invariant):
    """Each part tells its events in the order in which they happened."""

    name = "log_order"
    #: real seconds by which clocks of one machine may differ between two readings
    slack = 0.002

    def violations(self, world: World) -> Iterable[Violation]:
        last: dict[tuple[str, object], Event] = {}
        for event in world.events:
            key = (event.source, event.get("project") if event.source == "server" else None)
            before = last.get(key)
            if before is not None and event.real < before.real - self.slack:
                yield self.violation(f"{event.source}: told {before.real - event.real:.3f} s after a later one", event)
            last[key] = event


class DeadlinesHold(Invariant):
    """A result that is sent is reported, sent again or given up by its deadline."""

    name = "deadlines_hold"

    def violations(self, world: World) -> Iterable[Violation]:
        if not world.now:
            return
        pending: dict[Key, tuple[float, Event]] = {}
        for event in world.of("result."):
            key = _key(event, "result")
            deadline = event.get("deadline")
            if event.kind in ("result.sent", "result.resent") and isinstance(deadline, int | float):
                pending[key] = (float(deadline), event)
            elif event.kind in ("result.reported", "result.timed_out", "result.detached"):
                pending.pop(key, None)
        for deadline, event in pending.values():
            late = world.now - deadline
            if late > LATENESS * max(1.0, world.rate):
                yield self.violation(f"{_label(event)}: still in progress {late:.0f} s after its deadline", event)


class FaultsHealed(Invariant):
    """Every fault that was begun is over at the end."""

    name = "faults_healed"

    def violations(self, world: World) -> Iterator[Violation]:
        going_on: dict[tuple[object, ...], Event] = {}
        for event in world.of("fault."):
            fault: tuple[object, ...] = (event.get("fault"), event.get("target"), event.get("number"))
            if event.kind == "fault.injected":
                going_on[fault] = event
            elif event.kind == "fault.healed":
                going_on.pop(fault, None)
        for key, event in going_on.items():
            yield self.violation(f"the fault {' '.join(str(word) for word in key if word)} was never healed", event)
