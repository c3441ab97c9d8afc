"""Applications that fail: what the volunteer sees, what the server makes of it."""

from harness import ErrorMask, JobState
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion


def test_a_crash_is_tried_again_until_there_were_too_many(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("crash", command_line="exit 3", max_error_results=2, max_total_results=5)

    for number in range(3):
        client.wait_task(result=f"{job.name}_{number}", state="COMPUTE_ERROR")
        client.update(stack.project)  # by itself it stays away for a minute or two after an error
    job.wait_for(JobState.ERROR)

    results = [result for result in job.results() if result.outcome is Outcome.CLIENT_ERROR]
    assert len(results) == 3, "more than max_error_results=2 errors end the job"
    assert {result.exit_status for result in results} == {3}
    assert ErrorMask.TOO_MANY_ERRORS in job.error_mask
    assert "exit 3" in results[0].stderr
    client.wait_message(f"Computation for task {results[0].name} finished")


def test_a_failed_task_is_retried_on_another_host(stack: Stack, client_version: ClientVersion) -> None:
    stack.project.configure(one_result_per_user_per_wu=0, one_result_per_host_per_wu=1)
    clients = stack.start_clients(2, attach=True)
    job = stack.project.submit("crash", command_line="exit 7", max_error_results=2, max_total_results=5)

    for number in range(2):
        stack.history.wait("task.state", result=f"{job.name}_{number}", state="COMPUTE_ERROR", within=30)
        for client in clients:  # the one that failed to report it, the other one to ask for work
            client.update(stack.project)
        job.wait_for(JobState.REPORTED, count=number + 1)

    failed = [result for result in job.results() if result.outcome is Outcome.CLIENT_ERROR]
    assert len({result.host_id for result in failed}) == 2


def test_a_signal_is_reported_as_one(stack: Stack) -> None:
    stack.client(attach=True)
    job = stack.project.submit("crash", command_line="signal 11")

    job.wait_for(JobState.REPORTED)

    assert job.results()[0].outcome is Outcome.CLIENT_ERROR
    assert "signal 11" in job.results()[0].stderr
