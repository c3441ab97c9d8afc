"""What a scenario looked like on one server, without what may differ from run to run (times, ids, names).

Of each job: the order of its own events, and of each of its results' events with outcome, exit status and credit. Of everything else:
the error numbers that were answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.history import Event
from harness.jobs import Outcome

#: an event that a scenario adds for what it asked of a server: fields `question` and `answer`
ANSWER = "server.answer"


@dataclass
class ResultShape:
    """One result: its events in order, and the numbers they came with."""

    events: list[str] = field(default_factory=list)
    credit: float = 0.0


@dataclass
class JobShape:
    """One job: its app, its own events in order, and its results in the order in which they were made."""

    app: str = ""
    events: list[str] = field(default_factory=list)
    results: list[ResultShape] = field(default_factory=list)


@dataclass
class Shape:
    """All of a scenario that is compared."""

    jobs: list[JobShape] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Shape:
        jobs = [
            JobShape(job["app"], list(job["events"]), [ResultShape(list(one["events"]), float(one["credit"])) for one in job["results"]])
            for job in _list(record.get("jobs"))
        ]
        answers = record.get("answers")
        return cls(jobs, {str(key): str(value) for key, value in answers.items()} if isinstance(answers, Mapping) else {})


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def shape_of(events: Iterable[Event]) -> Shape:
    """The shape of a history."""
    shape = Shape()
    jobs: dict[tuple[object, object], JobShape] = {}
    results: dict[tuple[object, object], ResultShape] = {}
    for event in events:
        if event.kind == ANSWER:
            shape.answers[str(event.get("question"))] = str(event.get("answer"))
        if event.source != "server":
            continue
        project = event.get("project")
        job = jobs.get((project, event.get("workunit")))
        if event.kind == "job.created":
            job = jobs[project, event.get("workunit")] = JobShape(app=str(event.get("app")))
            shape.jobs.append(job)
        if event.kind.startswith("job.") and job is not None:
            mask = f" (error mask {event.get('error_mask')})" if event.kind == "job.error" else ""
            job.events.append(event.kind + mask)
        elif event.kind.startswith("result."):
            if event.kind == "result.created" and job is not None:
                result = results[project, event.get("result")] = ResultShape()
                job.results.append(result)
            known = results.get((project, event.get("result")))
            if known is not None:
                known.events.append(_described(event))
        elif event.kind == "credit.granted":
            known = results.get((project, event.get("result")))
            amount = event.get("amount")
            if known is not None and isinstance(amount, int | float):
                known.events.append(event.kind)
                known.credit += float(amount)
    return shape


def _described(event: Event) -> str:
    if event.kind != "result.reported":
        return event.kind
    number = event.get("outcome")
    outcome = Outcome(number).name.lower() if isinstance(number, int) else "?"
    return f"{event.kind} ({outcome}, exit status {event.get('exit_status')})"
