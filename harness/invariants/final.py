"""Invariants that ask the server how things stand at the end."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from harness.invariants.base import Asked, Invariant, Violation, World
from harness.jobs import Outcome, Result, ServerState
from harness.waiting import Deadline

#: more uploads than this are sampled: the check shall not cost more than the scenario
MOST_UPLOADS: Final = 200
#: real seconds that a server has to agree with itself: between two questions it may have got on
SETTLE: Final = 2.0


def _number(record: Mapping[str, object], name: str) -> float:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


class OneCanonicalResult(Invariant):
    """A job has exactly the canonical result that was announced, and that result is one of its successes."""

    name = "one_canonical_result"

    def violations(self, world: World) -> Iterable[Violation]:
        announced = {(event.get("project"), event.get("workunit")): event for event in world.of("job.validated")}
        for project in world.projects:
            # The results first: a result that is canonical afterwards had been there before.
            results = {result.id: result for result in project.results()}
            for workunit in project.workunits():
                name, chosen = workunit.get("name"), workunit.get("canonical_resultid")
                event = announced.get((project.name, workunit.get("id")))
                if event is not None and chosen != event.get("result"):
                    yield self.violation(f"{name}: result {event.get('result')} was announced as canonical, {chosen} is", event)
                result = results.get(chosen) if isinstance(chosen, int) else None
                if result is not None and (result.workunit_id != workunit.get("id") or result.outcome is not Outcome.SUCCESS):
                    yield self.violation(f"{name}: its canonical result {result.name} is no success of it ({result.outcome.name})")


class CreditSums(Invariant):
    """What hosts and users hold is the sum of what their results were granted."""

    name = "credit_sums"

    def violations(self, world: World) -> Iterable[Violation]:
        for project in world.projects:
            yield from _settled(lambda project=project: list(self._compare(project)))  # type: ignore[misc]

    def _compare(self, project: Asked) -> Iterator[Violation]:
        by_host: dict[int, float] = defaultdict(float)
        by_user: dict[int, float] = defaultdict(float)
        for result in project.results():
            by_host[result.host_id] += result.granted_credit
            by_user[int(_number(result.record, "userid"))] += result.granted_credit
        for kind, records, sums in (("host", project.hosts(), by_host), ("user", project.users(), by_user)):
            for record in records:
                number = int(_number(record, "id"))
                held, granted = _number(record, "total_credit"), sums[number]
                if abs(held - granted) > 1e-6 * max(1.0, abs(held)):
                    yield self.violation(f"{project.name}: {kind} {number} holds {held:g} credits, its results were granted {granted:g}")


def _settled(look: Callable[[], list[Violation]]) -> list[Violation]:
    """What is still wrong when the server had time to finish what it was doing."""
    deadline = Deadline(SETTLE)
    found = look()
    while found and not deadline.expired:
        deadline.pause(0.1)
        found = look()
    return found


_FILE: Final = re.compile(r"<file_info>(.*?)</file_info>", re.DOTALL)


def reported_files(xml: str) -> dict[str, tuple[int, str]]:
    """Name -> (bytes, MD5) of the output files that a client reported (result.xml_doc_out)."""
    found = {}
    for block in _FILE.findall(xml):
        fields = dict(re.findall(r"<(name|nbytes|md5_cksum)>\s*([^<\s]*)\s*</", block))
        if "name" in fields and "md5_cksum" in fields:
            found[fields["name"]] = (int(float(fields.get("nbytes") or 0)), fields["md5_cksum"].lower())
    return found


class UploadsByteForByte(Invariant):
    """What lies on the server is byte for byte what the client computed, by the checksums both made on their own."""

    name = "uploads_byte_for_byte"

    def violations(self, world: World) -> Iterable[Violation]:
        for project in world.projects:
            successes = [
                result
                for result in project.results()
                if result.outcome is Outcome.SUCCESS and _number(result.record, "file_delete_state") == 0
            ]
            for result in successes[:MOST_UPLOADS]:
                yield from self._compare(project, result)

    def _compare(self, project: Asked, result: Result) -> Iterator[Violation]:
        stored = {str(entry.get("name")): entry for entry in project.outputs(result.id).values()}
        for name, (nbytes, md5) in reported_files(str(result.record.get("xml_doc_out") or "")).items():
            entry = stored.get(name)
            if entry is None:
                continue  # optional, deleted, or reported to be absent
            if entry.get("nbytes") != nbytes or str(entry.get("md5")).lower() != md5:
                yield self.violation(
                    f"{result.name}: {name} has {entry.get('nbytes')} bytes, MD5 {entry.get('md5')} on the server; "
                    f"the client computed {nbytes} bytes, MD5 {md5}"
                )


class JobsEnd(Invariant):
    """Every job ends: all its results are over, and it is assimilated."""

    name = "jobs_end"
    liveness = True

    def violations(self, world: World) -> Iterable[Violation]:
        for project in world.projects:
            for result in project.results():
                if result.server_state is not ServerState.OVER:
                    yield self.violation(f"{result.name} is still {result.server_state.name.replace('_', ' ').lower()}")
            for workunit in project.workunits():
                if workunit.get("assimilate_state") != 2:
                    yield self.violation(f"{workunit.get('name')} was never assimilated")
