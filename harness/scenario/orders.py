"""The order of a run's events, in a form by which two runs of one scenario can be compared.

Events are compared lane by lane: what the server did with each job, what each client said about each task, what the scenario did.
How events of different lanes fall between each other is a race that no clock decides, and so is which of a task's downloads comes
first. Names, random numbers and times of a run are left out. A run ends as soon as it has seen what it expects, so a lane that only
ends earlier is the same order; one that has nothing at all is another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.history import Event

#: lane -> what happened there, in order
Orders = Mapping[str, tuple[str, ...]]
_OF_JOBS = ("job.", "result.", "upload.", "credit.")
_OF_SCENARIO = ("step.done", "fault.injected", "fault.healed", "expect.")
_VARIES = re.compile(r"_r\d+_|\d\d:\d\d:\d\d|\d+(\.\d+)? (sec|bytes)|\d+ completed tasks")


def orders(events: Iterable[Event]) -> Orders:
    """The lanes of a history."""
    events = list(events)
    lanes: dict[str, list[str]] = {}
    submitted = [event for event in events if event.kind == "scenario.submitted"]  # the server may tell of a job before it is noted here
    named = {event.get("workunit"): str(event.get("job")) for event in events if event.kind == "scenario.job"}
    jobs = {
        event.get("workunit"): (named.get(event.get("workunit"), f"job {number}"), str(event.get("name")))
        for number, event in enumerate(submitted, 1)
    }
    for event in events:
        if event.source == "server" and event.kind.startswith(_OF_JOBS) and event.get("workunit") in jobs:
            lanes.setdefault(jobs[event.get("workunit")][0], []).append(_fact(event, "outcome", "late"))
        elif event.kind.startswith(_OF_SCENARIO):
            lanes.setdefault("scenario", []).append(_fact(event, "step", "name", "target", "text"))
        elif event.kind == "client.message":
            text = str(event.get("text"))
            for label, name in jobs.values():
                if f"{name}_" in text:
                    said = _VARIES.sub("#", text.replace(f"{name}_", f"{label}_"))
                    lanes.setdefault(f"{label} on {event.source}", []).append(said)
    return {lane: tuple(facts) for lane, facts in sorted(lanes.items())}


def _fact(event: Event, *names: str) -> str:
    return " ".join([event.kind, *(f"{name}={event.get(name)}" for name in names if event.get(name) is not None)])


@dataclass(frozen=True, slots=True)
class Difference:
    """A lane that was not the same in all runs: each order with the runs (from 1) that had it, the most frequent first."""

    lane: str
    variants: Sequence[tuple[tuple[str, ...], Sequence[int]]]

    @property
    def subject(self) -> str:
        """Whose lane it is: a job's name, or `scenario`."""
        return self.lane.partition(" on ")[0]

    def __str__(self) -> str:
        usual, lines = self.variants[0][0], [f"{self.lane}: {len(self.variants)} orders"]
        lines += [f"  as in run {self.variants[0][1][0]} ({len(self.variants[0][1])} runs): {' -> '.join(usual)}"]
        for variant, runs in self.variants[1:]:
            same = next(
                (at for at, (one, other) in enumerate(zip(usual, variant, strict=False)) if one != other), min(map(len, (usual, variant)))
            )
            lines.append(f"  runs {', '.join(map(str, runs))}, from the {same + 1}. on: {' -> '.join(variant[same:]) or 'nothing more'}")
        return "\n".join(lines)


def differences(runs: Sequence[Orders]) -> list[Difference]:
    """The lanes in which runs differ."""
    found: list[Difference] = []
    for lane in sorted({lane for run in runs for lane in run}):
        seen = [run.get(lane, ()) for run in runs]
        longest = sorted(seen, key=len, reverse=True)
        variants = [next(other for other in longest if other[: len(one)] == one) if one else one for one in seen]
        counted = Counter(variants).most_common()
        if len(counted) > 1:
            with_runs = [(variant, [number for number, one in enumerate(variants, 1) if one == variant]) for variant, _ in counted]
            found.append(Difference(lane, with_runs))
    return found
