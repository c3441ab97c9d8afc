"""Results that differ, and the project's own ways to compare and to use them."""

import pytest

from harness import ErrorMask, JobState, Outcome, ValidateState, script_app
from harness.client import Client
from harness.jobs import Result
from harness.stack import Stack
from harness.waiting import wait_until

pytestmark = pytest.mark.project(one_result_per_host_per_wu=1)

#: says what its host was told to say; a run time of no second would earn no credit
ORACLE = "sleep 15; cat ../../answer > out"


def hosts(stack: Stack, *answers: str) -> list[Client]:
    """One attached host for each answer; they are of one user."""
    script_app.install(stack.project, "oracle", ORACLE)
    clients = [stack.client() for _ in answers]
    for client, answer in zip(clients, answers, strict=True):
        client.exec(["sh", "-c", f"printf '{answer}' > {client.DATA_DIRECTORY}/answer"])
        client.attach(stack.project)
    return clients


def states(results: list[Result]) -> list[ValidateState]:
    return [result.validate_state for result in results]


def test_results_that_differ_are_inconclusive_until_a_third_host_decides(stack: Stack) -> None:
    hosts(stack, "42", "43")
    job = stack.project.submit("oracle", min_quorum=2, target_nresults=2, max_success_results=4, max_total_results=6)
    job.history.wait("result.inconclusive", within=30)
    wait_until(lambda: len(job.results()) == 3, "one more replica", within=10)
    assert states(job.results()[:2]) == [ValidateState.INCONCLUSIVE] * 2

    third = stack.client()
    third.exec(["sh", "-c", f"printf 43 > {third.DATA_DIRECTORY}/answer"])
    third.attach(stack.project)
    job.wait_for(JobState.ASSIMILATED)

    assert job.output() == b"43"
    assert sorted(states(job.results())) == [ValidateState.VALID, ValidateState.VALID, ValidateState.INVALID]
    assert [result.granted_credit > 0 for result in job.results()] == [state is ValidateState.VALID for state in states(job.results())]


def test_too_many_results_without_agreement_end_the_job(stack: Stack) -> None:
    hosts(stack, "1", "2", "3")
    job = stack.project.submit("oracle", min_quorum=2, target_nresults=2, max_success_results=2, max_total_results=6)

    job.wait_for(JobState.ERROR)

    assert job.error_mask is ErrorMask.TOO_MANY_SUCCESSES
    assert {result.outcome for result in job.results()} <= {Outcome.SUCCESS, Outcome.DIDNT_NEED}
    assert sum(result.granted_credit for result in job.results()) == 0


def test_too_many_results_in_all_end_the_job(stack: Stack) -> None:
    hosts(stack, "1", "2")
    job = stack.project.submit("oracle", min_quorum=2, target_nresults=2, max_success_results=2, max_total_results=2)

    job.wait_for(JobState.ERROR)

    assert ErrorMask.TOO_MANY_TOTAL in job.error_mask
    assert states(job.results()) == [ValidateState.NO_CHECK] * 2


def test_a_validator_in_python_decides_what_agrees(stack: Stack) -> None:
    stack.project.put_file("bin/close.py", CLOSE.encode())
    stack.project.configure(validators={"oracle": "python:close.py:Close"})
    hosts(stack, "3.14", "3.15", "rubbish")
    job = stack.project.submit("oracle", min_quorum=2, target_nresults=3, max_success_results=4, max_total_results=6, max_error_results=3)

    job.wait_for(JobState.REPORTED, count=3)
    job.wait_for(JobState.VALIDATED)

    by_outcome = {result.outcome for result in job.results() if result.validate_state is ValidateState.INVALID}
    assert states(job.results()).count(ValidateState.VALID) == 2
    assert by_outcome == {Outcome.VALIDATE_ERROR}


CLOSE = """
from boinc_server.validator import InvalidResultError

class Close:
    def init_result(self, result, files):
        try:
            return float(files[0].path.read_text())
        except ValueError as error:
            raise InvalidResultError(str(error)) from error

    def compare(self, first, second):
        return abs(first - second) < 0.1
"""


def test_scripts_validate_and_assimilate(stack: Stack) -> None:
    scripts = {
        "init.sh": '! grep -q rubbish "$1"',
        "compare.sh": '[ "$(tr a-z A-Z < "$1")" = "$(tr a-z A-Z < "$2")" ]',
        "keep.sh": 'kept="$(dirname "$0")/../apps/kept"; mkdir -p "$kept" && echo "$1 $(cat "$2")" > "$kept/result"',
    }
    for name, line in scripts.items():
        stack.project.put_file(f"bin/{name}", f"#!/bin/sh\n{line}\n".encode(), executable=True)
    stack.project.configure(
        script_validators={"oracle": {"init_script": "init.sh files", "compare_script": "compare.sh files files2"}},
        assimilators={"oracle": "script:keep.sh wu_name files"},
    )
    hosts(stack, "yes", "YES")
    job = stack.project.submit("oracle", min_quorum=2, target_nresults=2, max_success_results=4, max_total_results=6)

    job.wait_for(JobState.ASSIMILATED)

    assert states(job.results()) == [ValidateState.VALID] * 2
    name, answer = stack.project.get_file("apps/kept/result").decode().split()
    assert (name, answer.upper()) == (job.name, "YES")


def test_an_assimilator_in_python_is_called_once_for_each_job(stack: Stack) -> None:
    stack.project.put_file("bin/keep.py", KEEP.encode())
    stack.project.configure(assimilators={"oracle": "python:keep.py:keep"})
    hosts(stack, "42")
    jobs = [stack.project.submit("oracle") for _ in range(3)]

    for job in jobs:
        job.wait_for(JobState.ASSIMILATED)

    kept = stack.project.get_file("apps/kept").decode().split()
    assert sorted(kept) == sorted(f"{job.name}:42" for job in jobs)


KEEP = """
def keep(project, job, files):
    with project.path("apps", "kept").open("a") as kept:
        kept.write(f"{job.wu.name}:{files[0].path.read_text()}\\n")
"""


@pytest.mark.parametrize("source", ["script:make.sh", "python:make.py:make"])
def test_a_work_generator_makes_jobs_while_a_host_asks(stack: Stack, source: str) -> None:
    hosts(stack, "42")
    stack.project.put_file("bin/make.sh", b"#!/bin/sh\nfor n in $(seq $1); do echo --priority 7; done\n", executable=True)
    stack.project.put_file("bin/make.py", b"def make(count):\n    return [{'options': {'priority': 7}}] * count\n")

    stack.project.configure(work_generators={"oracle": {"source": source, "cushion": 4}})

    for number in range(1, 7):
        stack.history.wait("job.assimilated", within=30, workunit=number)
    assert {workunit["priority"] for workunit in stack.project.workunits()} == {7}
