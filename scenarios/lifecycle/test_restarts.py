"""Parts that go away in the middle of a job and come back."""

from harness import JobState
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

MEGABYTE = 1_000_000


def test_a_restarted_client_goes_on_from_the_checkpoint(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="120 10")
    client.wait_task(active_state="EXECUTING")
    client.wait_checkpoint(job)

    client.restart()
    job.wait_for(JobState.VALIDATED)

    assert "resuming at" in job.result.stderr, "the second process found the first one's checkpoint"
    assert b"slept" in job.output()
    assert len(job.results()) == 1
    assert "Received signal" not in client.log(), "a client that writes this may wait for itself for ever"


def test_a_killed_client_does_not_lose_the_task(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 10")
    client.wait_task(active_state="EXECUTING")
    client.wait_saved(job)

    client.kill()
    client.start_again()
    job.wait_for(JobState.VALIDATED)

    assert len(job.results()) == 1


def test_an_upload_survives_a_server_restart(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    client.set_preferences(max_bytes_sec_up=MEGABYTE / stack.clock.rate)
    content = b"x" * (8 * MEGABYTE)
    job = stack.project.submit("uppercase", input=content)
    job.wait_for(JobState.SENT)

    def part_is_stored() -> bool:
        """What a client has sent may still be on its way, or in the server's memory."""
        return any(file["nbytes"] for file in stack.project.outputs(job.results()[0].id).values())

    wait_until(part_is_stored, "a part of the output on the server's disk", within=30)
    stack.server.kill()
    stack.server.start()
    client.wait_message("Temporarily failed upload")
    client.set_preferences(max_bytes_sec_up=0)
    client.retry_transfers(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert job.output() == content.upper()
    offsets = [event.get("offset") for event in job.project.history.find("upload.done")]
    assert max(int(str(offset)) for offset in offsets) > 0, "it went on where it was cut off"
