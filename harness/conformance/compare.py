"""Two servers' records of the same scenarios, side by side: the table of what ran, and what differs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.conformance.shape import JobShape, ResultShape, Shape
from harness.errors import UsageError


@dataclass
class Record:
    """One scenario on one server. `outcome`: passed, failed or skipped; `why`: the reason of a skip, the first line of a failure."""

    scenario: str
    server: str
    outcome: str
    why: str = ""
    seconds: float = 0.0
    shape: Shape = field(default_factory=Shape)

    def as_json(self) -> str:
        return json.dumps(
            {
                "scenario": self.scenario,
                "server": self.server,
                "outcome": self.outcome,
                "why": self.why,
                "seconds": round(self.seconds, 2),
                "shape": self.shape.as_json(),
            },
            ensure_ascii=False,
        )


def read(path: Path) -> dict[str, Record]:
    """The records of a file, by scenario; the last one of each counts. Raises `UsageError`."""
    found: dict[str, Record] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found[one["scenario"]] = Record(
                one["scenario"], one["server"], one["outcome"], one["why"], one["seconds"], Shape.from_json(one["shape"])
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "this is no record of scenarios",
            thing=str(path),
            expected=f"a file that pytest wrote with --record-conformance; {type(error).__name__}: {error}",
        ) from error
    return found


def differences(one: Shape, other: Shape) -> list[str]:
    """What differs between two servers' shapes of a scenario, `one` against `other`.

    A scenario ends when it has seen enough, and what happens after that depends on the pace: a sequence that is the beginning of the
    other's is no difference. How much credit was granted is not compared, only that it was: BOINC's server grants by the run time that
    the client measured, which is never twice the same.
    """
    found = []
    if len(one.jobs) != len(other.jobs):
        found.append(f"{len(one.jobs)} jobs against {len(other.jobs)}")
    for number, (mine, theirs) in enumerate(zip(one.jobs, other.jobs, strict=False)):
        found += [f"job {number} ({mine.app}): {text}" for text in _job(mine, theirs)]
    for question in sorted(one.answers.keys() | other.answers.keys()):
        mine_answer, their_answer = one.answers.get(question, "not asked"), other.answers.get(question, "not asked")
        if mine_answer != their_answer:
            found.append(f"{question}: {mine_answer} against {their_answer}")
    return list(dict.fromkeys(found))


def _job(one: JobShape, other: JobShape) -> Iterator[str]:
    if one.app != other.app:
        yield f"of application {one.app} against {other.app}"
        return
    yield from _sequence("the job", one.events, other.events)
    # results are made and handed out in an order that hosts decide: the same ones in any order are the same
    for mine, theirs in _paired(one.results, other.results):
        yield from _sequence("a result", mine.events, theirs.events)


def _paired(one: Sequence[ResultShape], other: Sequence[ResultShape]) -> Iterable[tuple[ResultShape, ResultShape]]:
    rest = list(other)
    unmatched = []
    for mine in one:
        match = next((theirs for theirs in rest if not list(_sequence("", mine.events, theirs.events))), None)
        if match is None:
            unmatched.append(mine)
        else:
            rest.remove(match)
            yield mine, match
    yield from zip(unmatched, rest, strict=False)


def _sequence(what: str, one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    """Where two sequences part, if not merely because one ends."""
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            before = one[place - 1] if place else "the beginning"
            yield f"after {before}, {what} saw {mine} against {theirs}"
            return


@dataclass
class Comparison:
    """A scenario on both servers."""

    scenario: str
    one: Record | None
    other: Record | None

    @property
    def both_ran(self) -> bool:
        return all(record is not None and record.outcome == "passed" for record in (self.one, self.other))

    @property
    def differences(self) -> list[str]:
        return differences(self.one.shape, self.other.shape) if self.both_ran and self.one and self.other else []


def compare(one: dict[str, Record], other: dict[str, Record]) -> list[Comparison]:
    return [Comparison(name, one.get(name), other.get(name)) for name in dict.fromkeys([*one, *other])]


def render(compared: Sequence[Comparison], names: tuple[str, str]) -> str:
    """The report in Markdown: counts, the table scenario x server, differences, and reasons of skips and failures."""
    lines = ["# Scenarios x servers", ""]
    for name, records in zip(names, ([one.one for one in compared], [one.other for one in compared]), strict=True):
        outcomes = Counter(record.outcome for record in records if record is not None)
        lines.append(f"* {name}: " + ", ".join(f"{outcomes[state]} {state}" for state in ("passed", "failed", "skipped")))
    ran = [one for one in compared if one.both_ran]
    differing = [one for one in ran if one.differences]
    lines += [f"* on both: {len(ran)}; the same on both: {len(ran) - len(differing)}", ""]
    lines += [f"| Scenario | {names[0]} | {names[1]} | Compared |", "|---|---|---|---|"]
    for one in compared:
        verdict = ("same" if not one.differences else f"{len(one.differences)} differ") if one.both_ran else ""
        lines.append(f"| {one.scenario} | {_cell(one.one)} | {_cell(one.other)} | {verdict} |")
    if differing:
        lines += ["", f"## Differences ({names[0]} against {names[1]})", ""]
        for one in differing:
            lines += [f"* {one.scenario}", *(f"    * {text}" for text in one.differences)]
    failed = [record for one in compared for record in (one.one, one.other) if record is not None and record.outcome == "failed"]
    if failed:
        lines += ["", "## Failures", "", *(f"* {record.scenario} on {record.server}: {record.why}" for record in failed)]
    return "\n".join(lines) + "\n"


def _cell(record: Record | None) -> str:
    if record is None:
        return "not run"
    if record.outcome == "skipped":
        return record.why.replace("|", "/").removesuffix(f", which the {record.server} server has not") or "skipped"
    return f"{record.outcome} ({record.seconds:.1f} s)"
