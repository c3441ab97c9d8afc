"""One job from submission to the assimilated result, with each generation of the client."""

from harness import JobState
from harness.jobs import Outcome, ValidateState
from harness.stack import Stack
from harness.versions import ClientVersion


def test_one_job_is_computed_uploaded_and_validated(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client()
    client.attach(stack.project)
    job = stack.project.submit("uppercase", input=b"hello, world\n")

    job.wait_for(JobState.ASSIMILATED)

    assert job.output() == b"HELLO, WORLD\n"
    assert client.boinc_version.startswith(client_version.value)
    assert job.result.outcome is Outcome.SUCCESS
    assert job.result.validate_state is ValidateState.VALID
    assert job.result.granted_credit > 0
    assert job.history.in_order("job.created", "result.sent", "result.reported", "job.validated", "job.assimilated")


def test_twenty_jobs_at_once(stack: Stack, client_version: ClientVersion) -> None:
    jobs = stack.project.submit_many("uppercase", [f"job {number}".encode() for number in range(20)])
    stack.client(attach=True)

    for job in jobs:
        job.wait_for(JobState.VALIDATED)

    assert [job.output() for job in jobs] == [f"JOB {number}".encode() for number in range(20)]
    assert len(stack.project.results()) == 20
    assert len({job.name for job in jobs}) == 20


def test_several_inputs_are_concatenated_in_order(stack: Stack) -> None:
    stack.client(attach=True)
    job = stack.project.submit("concat", input=[b"first\n", b"second\n"])

    job.wait_for(JobState.VALIDATED)

    assert job.output() == b"first\nsecond\n"
