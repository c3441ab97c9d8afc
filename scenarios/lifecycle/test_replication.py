"""Two volunteers compute the same job, and the server compares what they say."""

from harness import JobState
from harness.jobs import ValidateState
from harness.stack import Stack
from harness.versions import ClientVersion


def test_a_quorum_of_two_needs_two_hosts(stack: Stack, client_version: ClientVersion) -> None:
    stack.project.configure(one_result_per_user_per_wu=0, one_result_per_host_per_wu=1)
    first = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"quorum", min_quorum=2, target_nresults=2, max_total_results=4, max_success_results=4)
    job.wait_for(JobState.REPORTED)
    assert not job.history.find("job.validated"), "one result is no quorum"

    second = stack.client(attach=True)
    job.wait_for(JobState.ASSIMILATED)

    results = job.results()
    assert {result.validate_state for result in results} == {ValidateState.VALID}
    assert len({result.host_id for result in results}) == 2
    assert len(stack.project.hosts()) == 2, f"{first} and {second} are two hosts"
    assert len({result.granted_credit for result in results}) == 1
