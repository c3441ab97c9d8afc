"""Processes that die or stop: applications, the client, the server."""

import signal

import pytest

from harness import JobState
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion

EXIT_SIGNAL = 193


def test_a_killed_application_goes_on_from_its_checkpoint(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5")
    task = str(client.wait_task(active_state="EXECUTING").get("result"))
    client.wait_checkpoint(job)

    stack.faults.signal_task(client, task, signal.SIGKILL)
    job.wait_for(JobState.VALIDATED)

    assert job.result.stderr.count("starting") == 1
    assert "resuming" in job.result.stderr


def test_an_application_that_ends_by_a_fault_of_its_own_is_not_started_again(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="600 5", max_error_results=1, max_total_results=1)
    task = str(client.wait_task(active_state="EXECUTING").get("result"))

    stack.faults.signal_task(client, task, signal.SIGSEGV)
    job.wait_for(JobState.ERROR)

    assert job.results()[0].outcome is Outcome.CLIENT_ERROR
    assert job.results()[0].exit_status == EXIT_SIGNAL


def test_a_stopped_application_is_waited_for(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5")
    task = str(client.wait_task(active_state="EXECUTING").get("result"))

    with stack.faults.signal_task(client, task, signal.SIGSTOP):
        stack.clock.skip(300)
        client.update(stack.project)
        assert not job.history.find("result.reported")
    job.wait_for(JobState.VALIDATED)


def test_a_frozen_host_goes_on_where_it_was(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5")
    client.wait_task(active_state="EXECUTING")

    with stack.faults.freeze(client):
        stack.project.submit("uppercase", input=b"meanwhile")
    job.wait_for(JobState.VALIDATED)

    assert len(job.results()) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
def test_a_server_that_goes_and_comes_back_knows_its_jobs(stack: Stack, how: signal.Signals) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5")
    client.wait_task(active_state="EXECUTING")

    with stack.faults.kill(stack.server, how):
        assert not stack.server.healthy()
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert len(job.results()) == 1


def test_a_client_told_to_quit_ends_its_tasks_and_takes_them_up_again(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60 5")
    client.wait_task(active_state="EXECUTING")
    client.wait_checkpoint(job)

    with stack.faults.kill(client, signal.SIGTERM):
        stack.clock.skip(1000)
    job.wait_for(JobState.VALIDATED)

    assert "resuming" in job.result.stderr
