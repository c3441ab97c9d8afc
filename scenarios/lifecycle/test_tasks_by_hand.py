"""What a volunteer does to a running task: suspend, resume, abort, detach."""

from harness import ErrorMask, JobState
from harness.guirpc import ActiveTaskState
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion

ABORTED_VIA_GUI = 203


def test_a_suspended_task_waits_and_goes_on(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60")
    name = str(client.wait_task(active_state="EXECUTING").get("result"))

    client.suspend(stack.project, name)
    client.wait_task(result=name, active_state="SUSPENDED")
    task = client.task(name)
    assert task.suspended_via_gui
    assert task.active_task is not None
    assert task.active_task.active_task_state is ActiveTaskState.SUSPENDED
    assert not job.history.find("result.reported")

    client.resume(stack.project, name)
    job.wait_for(JobState.VALIDATED)
    assert b"slept" in job.output()


def test_an_aborted_task_ends_the_job_as_a_volunteers_choice(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="6000", max_total_results=1, max_error_results=1)
    name = str(client.wait_task(active_state="EXECUTING").get("result"))

    client.abort(stack.project, name)
    job.wait_for(JobState.ERROR)

    result = job.results()[0]
    assert result.outcome is Outcome.CLIENT_ERROR
    assert result.exit_status == ABORTED_VIA_GUI
    assert ErrorMask.TOO_MANY_TOTAL in job.error_mask
    assert ErrorMask.TOO_MANY_ERRORS not in job.error_mask, "an abort by the volunteer is not the application's error"


def test_detaching_drops_the_task_and_the_projects_files(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    stack.project.submit("sleeper", command_line="6000")
    client.wait_task(active_state="EXECUTING")
    assert client.files("projects")

    client.detach(stack.project)
    client.wait_message("Detaching from project")

    assert client.projects() == ()
    assert client.tasks() == ()
    assert client.files("projects") == []
    assert "sleeper" not in client.exec("ps ax")
