"""A host's network that is cut, or loses packets."""

import pytest

from harness import JobState
from harness.stack import Stack
from harness.versions import ClientVersion

pytestmark = pytest.mark.virtual_time(reason="it skips backoffs")


@pytest.mark.parametrize("how", ["drop", "reject"])
def test_a_host_computes_on_while_it_is_cut_off(stack: Stack, how: str) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="30")
    client.wait_task(active_state="EXECUTING")

    with stack.faults.partition(client, how=how):
        client.wait_task(state="FILES_UPLOADING")
        client.wait_message("Started upload")
        if how == "drop":  # nothing tells the client that its packets vanished; five minutes without an answer do
            stack.clock.skip(400)
        client.wait_message("Temporarily failed upload")
        assert not job.history.find("upload.done")
    stack.fast_forward(job)


def test_a_bad_line_delays_and_loses_nothing(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    stack.faults.lose(client, 0.2)
    jobs = stack.project.submit_many("uppercase", [f"{number}".encode() * 20_000 for number in range(3)])
    client.update(stack.project)

    for job in jobs:
        job.wait_for(JobState.VALIDATED)

    assert [job.output() for job in jobs] == [f"{number}".encode() * 20_000 for number in range(3)]
