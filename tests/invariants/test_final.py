"""Invariants that ask the server, on fabricated projects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history import Event
from harness.invariants import World, final
from harness.invariants.final import CreditSums, JobsEnd, OneCanonicalResult, UploadsByteForByte, reported_files
from harness.jobs import Result

MD5 = "5d41402abc4b2a76b9719d911017c592"


@dataclass
class FakeProject:
    """Tables as a server would answer them."""

    name: str = "p"
    result_records: list[dict[str, object]] = field(default_factory=list)
    workunit_records: list[Mapping[str, object]] = field(default_factory=list)
    host_records: list[Mapping[str, object]] = field(default_factory=list)
    user_records: list[Mapping[str, object]] = field(default_factory=list)
    files: dict[int, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)

    def workunits(self) -> list[Mapping[str, object]]:
        return self.workunit_records

    def results(self, *, workunit: int | None = None, host: int | None = None) -> list[Result]:
        return [Result.from_record(record) for record in self.result_records]

    def hosts(self) -> list[Mapping[str, object]]:
        return self.host_records

    def users(self) -> list[Mapping[str, object]]:
        return self.user_records

    def outputs(self, result_id: int) -> Mapping[str, Mapping[str, object]]:
        return self.files.get(result_id, {})


def record(number: int, **columns: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": number,
        "name": f"wu_{number}",
        "workunitid": 1,
        "hostid": 1,
        "userid": 1,
        "server_state": 5,
        "outcome": 1,
        "validate_state": 1,
        "exit_status": 0,
        "stderr_out": "",
        "granted_credit": 0.0,
        "report_deadline": 0,
        "elapsed_time": 0.0,
        "cpu_time": 0.0,
        "xml_doc_out": "",
        "file_delete_state": 0,
    }
    return {**base, **columns}


@pytest.fixture(autouse=True, scope="module")
def at_once() -> Iterator[None]:
    """A fabricated server does not get any better by waiting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(final, "SETTLE", 0.0)
        yield


amounts = st.lists(st.floats(0, 1000), max_size=5)


@given(granted=amounts, wrong=st.floats(0.01, 100))
def test_credit_sums(granted: list[float], wrong: float) -> None:
    project = FakeProject(result_records=[record(number, granted_credit=amount) for number, amount in enumerate(granted)])
    project.host_records = [{"id": 1, "total_credit": sum(granted)}]
    project.user_records = [{"id": 1, "total_credit": sum(granted)}]
    assert list(CreditSums().violations(World([], [project]))) == []
    project.user_records = [{"id": 1, "total_credit": sum(granted) + wrong}]
    [violation] = CreditSums().violations(World([], [project]))
    assert "user 1" in violation.what


def test_one_canonical_result() -> None:
    project = FakeProject(
        result_records=[record(1), record(2, outcome=3)], workunit_records=[{"id": 1, "name": "wu", "canonical_resultid": 1}]
    )
    announced = Event("job.validated", 1, 1, "server", {"project": "p", "workunit": 1, "result": 1})
    assert list(OneCanonicalResult().violations(World([announced], [project]))) == []
    project.workunit_records = [{"id": 1, "name": "wu", "canonical_resultid": 2}]
    found = list(OneCanonicalResult().violations(World([announced], [project])))
    assert len(found) == 2, "another one than announced, and no success"


def output_xml(name: str, nbytes: int, md5: str) -> str:
    return f"<file_info>\n  <name>{name}</name>\n  <nbytes>{nbytes}.000000</nbytes>\n  <md5_cksum>{md5}</md5_cksum>\n</file_info>\n"


def test_what_a_client_reports_of_its_files() -> None:
    assert reported_files(output_xml("a_0", 5, MD5) + output_xml("a_1", 0, "0" * 32)) == {"a_0": (5, MD5), "a_1": (0, "0" * 32)}
    assert reported_files("") == {}
    assert reported_files("<file_info><name>x</name></file_info>") == {}


@pytest.mark.parametrize(("stored", "bad"), [((5, MD5), False), ((4, MD5), True), ((5, "0" * 32), True), (None, False)])
def test_uploads_byte_for_byte(stored: tuple[int, str] | None, bad: bool) -> None:
    project = FakeProject(result_records=[record(1, xml_doc_out=output_xml("wu_1_r5_0", 5, MD5))])
    if stored:
        project.files[1] = {"out": {"name": "wu_1_r5_0", "nbytes": stored[0], "md5": stored[1]}}
    assert bool(list(UploadsByteForByte().violations(World([], [project])))) == bad


@given(server_state=st.sampled_from([1, 2, 4, 5]), assimilated=st.sampled_from([0, 1, 2]))
def test_every_job_ends_when_that_is_claimed(server_state: int, assimilated: int) -> None:
    project = FakeProject(
        result_records=[record(1, server_state=server_state)], workunit_records=[{"id": 1, "name": "wu", "assimilate_state": assimilated}]
    )
    found = list(JobsEnd().violations(World([], [project], liveness=True)))
    assert len(found) == (server_state != 5) + (assimilated != 2)
