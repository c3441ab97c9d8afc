"""The project changes its code signing key while clients are attached."""

from harness import JobState
from harness.stack import Stack
from harness.versions import ClientVersion


def test_a_client_takes_a_new_key_that_the_old_one_vouches_for(stack: Stack, client_version: ClientVersion) -> None:
    stack.client(attach=True)
    stack.project.submit("uppercase", input=b"one").wait_for(JobState.ASSIMILATED)

    stack.project.change_code_sign_key()

    # A known application, and one that only the new key has signed.
    jobs = [stack.project.submit("uppercase", input=b"two"), stack.project.submit("concat", input=[b"a", b"b"])]
    for job in jobs:
        job.wait_for(JobState.ASSIMILATED)


def test_a_key_that_nobody_vouches_for_stops_the_work(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    stack.project.submit("uppercase", input=b"one").wait_for(JobState.ASSIMILATED)

    stack.project.change_code_sign_key(announce=False)
    job = stack.project.submit("uppercase", input=b"two")

    client.wait_message("The project has changed its security key")
    assert [result.host_id for result in job.results()] == [0]
