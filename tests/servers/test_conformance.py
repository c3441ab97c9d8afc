"""What is compared of two servers, what counts as a difference, and the report."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.conformance.compare import Comparison, Record, compare, differences, read, render
from harness.conformance.shape import ANSWER, JobShape, ResultShape, Shape, shape_of
from harness.history import Event

pytest_plugins = ["pytester"]


def event(kind: str, source: str = "server", **fields: object) -> Event:
    return Event(kind, 1.0, 1.0, source, {"project": "p", **fields})


HISTORY = [
    event("job.created", workunit=1, app="uppercase"),
    event("result.created", workunit=1, result=5),
    event("task.state", "host1", workunit=1),
    event("result.sent", workunit=1, result=5),
    event("result.reported", workunit=1, result=5, outcome=1, exit_status=0),
    event("result.valid", workunit=1, result=5),
    event("credit.granted", result=5, amount=0.25),
    event("job.validated", workunit=1),
    event(ANSWER, "scenario", question="lookup of nobody", answer=-136),
]
JOB = ["job.created", "job.validated"]
RESULT = ["result.created", "result.sent", "result.reported (success, exit status 0)", "result.valid", "credit.granted"]


def shape(events: list[str], *results: list[str], credit: float = 0.25) -> Shape:
    return Shape([JobShape("uppercase", events, [ResultShape(one, credit) for one in results])])


def test_a_history_without_times_ids_and_names() -> None:
    found = shape_of(HISTORY)
    assert found.jobs == [JobShape("uppercase", JOB, [ResultShape(RESULT, 0.25)])]
    assert found.answers == {"lookup of nobody": "-136"}
    assert Shape.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_a_scenario_that_ended_earlier_is_the_same() -> None:
    assert differences(shape(JOB, RESULT), shape([*JOB, "job.assimilated"], RESULT[:-2])) == []


def test_another_order_is_a_difference() -> None:
    [text] = differences(shape(JOB, RESULT), shape(["job.created", "job.error (error mask 2)"], RESULT))
    assert "after job.created" in text
    assert "job.validated against job.error (error mask 2)" in text


def test_another_outcome_is_a_difference() -> None:
    failed = [*RESULT[:2], "result.reported (client_error, exit status 3)"]
    [text] = differences(shape(JOB, RESULT), shape(JOB, failed))
    assert "client_error, exit status 3" in text


def test_results_are_the_same_in_any_order() -> None:
    lost = [*RESULT[:2], "result.timed_out"]
    assert differences(shape(JOB, RESULT, lost), shape(JOB, lost, RESULT)) == []


def test_credit_is_a_difference_only_where_there_is_none() -> None:
    assert differences(shape(JOB, RESULT), shape(JOB, RESULT, credit=7.5)) == []
    [text] = differences(shape(JOB, [*RESULT, "x"]), shape(JOB, [*RESULT[:-1], "x"]))
    assert "credit.granted against x" in text


def test_other_answers_are_differences() -> None:
    assert differences(Shape(answers={"a": "-1", "b": "0"}), Shape(answers={"a": "-2", "b": "0"})) == ["a: -1 against -2"]


def record(server: str, outcome: str = "passed", why: str = "", found: Shape | None = None) -> Record:
    return Record("scenarios/x.py::test_x", server, outcome, why, 1.5, found or shape(JOB, RESULT))


def test_the_report_has_the_table_the_differences_and_the_reasons() -> None:
    same = Comparison("a.py::test_a", record("embedded"), record("upstream"))
    other = Comparison("b.py::test_b", record("embedded"), record("upstream", found=shape(["job.created", "job.cancelled"], RESULT)))
    skipped = Comparison("c.py::test_c", record("embedded"), record("upstream", "skipped", "needs mail, which the upstream server has not"))
    failed = Comparison("d.py::test_d", record("embedded"), record("upstream", "failed", "waited in vain"))
    report = render([same, other, skipped, failed], ("embedded", "upstream"))
    assert "* on both: 2; the same on both: 1" in report
    assert "| a.py::test_a | passed (1.5 s) | passed (1.5 s) | same |" in report
    assert "| b.py::test_b | passed (1.5 s) | passed (1.5 s) | 1 differ |" in report
    assert "| c.py::test_c | passed (1.5 s) | needs mail |  |" in report
    assert "job.validated against job.cancelled" in report
    assert "on upstream: waited in vain" in report


def test_records_are_read_back_and_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(record("embedded", "failed").as_json() + "\n" + record("embedded").as_json() + "\n")
    [found] = read(path).values()
    assert found == record("embedded")
    [both] = compare(read(path), {})
    assert both.other is None


def test_the_command_compares_two_files_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    one, other, out = tmp_path / "one", tmp_path / "other", tmp_path / "report.md"
    one.write_text(record("embedded").as_json() + "\n")
    other.write_text(record("upstream").as_json() + "\n")
    run = CliRunner().invoke(cli, ["conformance", "--records", str(one), str(other), "--out", str(out)])
    assert run.exit_code == 0
    assert "the same on both: 1" in out.read_text()
    other.write_text(record("upstream", found=shape(["job.created", "job.cancelled"])).as_json() + "\n")
    assert CliRunner().invoke(cli, ["conformance", "--records", str(one), str(other)]).exit_code == 1
    other.write_text("{}\n")
    assert "this is no record" in str(CliRunner().invoke(cli, ["conformance", "--records", str(one), str(other)]).exception)


def test_pytest_writes_a_line_for_each_scenario_with_the_reason_of_a_skip(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.needs("mail")
        def test_skipped(): pass

        def test_passed(): pass

        def test_failed(): raise ValueError("no good")
        """
    )
    pytester.runpytest("--server=upstream:x", "--record-conformance=r.jsonl")
    records = read(pytester.path / "r.jsonl")
    assert [one.outcome for one in records.values()] == ["skipped", "passed", "failed"]
    assert {one.server for one in records.values()} == {"upstream"}
    skipped, _, failed = records.values()
    assert skipped.why == "needs mail, which the upstream server has not"
    assert "no good" in failed.why
