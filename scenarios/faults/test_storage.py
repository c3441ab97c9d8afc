"""Data directories that are full, read-only or damaged."""

import pytest

from harness import JobState
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

pytestmark = pytest.mark.virtual_time(reason="it skips backoffs")


@pytest.mark.parametrize("how", ["empty", "truncate", "garbage", "flip"])
def test_a_damaged_state_file_costs_no_job(stack: Stack, how: str) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5", max_total_results=5)
    client.wait_task(active_state="EXECUTING")
    client.wait_saved(job)

    with stack.faults.kill(client):
        stack.faults.damage(client, "client_state.xml", how)
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert len(stack.project.hosts()) == 1, "it is the same host to the project"


def test_a_host_that_forgot_everything_is_known_again(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5", max_total_results=5)
    client.wait_task(active_state="EXECUTING")
    client.wait_saved(job)

    with stack.faults.kill(client):
        for name in ("client_state.xml", "client_state_prev.xml"):
            stack.faults.damage(client, name, "garbage")
    job.wait_for(JobState.VALIDATED)

    lost, second = job.results()
    assert lost.outcome is Outcome.CLIENT_DETACHED
    assert second.outcome is Outcome.SUCCESS
    assert second.host_id == lost.host_id, "the server knew the host by its cross-project id"


def test_a_damaged_checkpoint_means_starting_again(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5", max_total_results=5, max_error_results=3)
    client.wait_task(active_state="EXECUTING")
    client.wait_saved(job)
    client.wait_checkpoint(job)

    with stack.faults.kill(client):
        stack.faults.damage(client, "slots/0/checkpoint", "garbage")
    job.wait_for(JobState.VALIDATED)

    assert "damaged" in job.result.stderr


@pytest.mark.project(default_disk_min_free_gb=0)
def test_a_host_with_a_full_disk_gets_no_work_until_there_is_room(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True, disk_mb=256, preferences={"disk_min_free_gb": 0, "disk_max_used_pct": 100})
    fault = stack.faults.fill_disk(client, leave_kb=1000)

    def told() -> bool:
        client.update(stack.project)
        [host] = stack.project.hosts()
        return float(str(host["d_free"])) < 20_000_000

    # a request that was under way when the disk was filled still speaks of room, and would get the job
    wait_until(told, "the server knowing that the disk is full", within=20, every=0.5)
    job = stack.project.submit("uppercase", input=b"x" * 2_000_000, rsc_disk_bound=20_000_000)
    client.update(stack.project)
    client.wait_message("more disk space")
    assert not job.history.find("result.sent")
    fault.heal()
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)


def test_a_client_that_cannot_write_its_state_ends(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True, disk_mb=32)
    stack.faults.fill_disk(client)

    client.wait_ended(within=30)

    assert "write state file" in client.log()
