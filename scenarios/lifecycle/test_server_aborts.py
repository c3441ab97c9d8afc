"""Tasks that the project takes back."""

import pytest

from harness import JobState, Outcome, ValidateState, script_app
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

ABORTED_BY_PROJECT = 202
#: waits until its host is told to let it go
WAITS = "while [ ! -e ../../go ]; do sleep 1; done; echo gone > out"


def test_a_running_task_of_a_cancelled_job_is_aborted(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="6000", max_total_results=3)
    client.wait_task(active_state="EXECUTING")

    job.cancel()
    client.update(stack.project)
    job.wait_for(JobState.REPORTED)

    [result] = job.results()
    assert (result.outcome, result.exit_status) == (Outcome.CLIENT_ERROR, ABORTED_BY_PROJECT)
    assert not job.history.find("result.created")[1:], "nobody else is asked"


@pytest.mark.virtual_time(reason="it skips a minute")
def test_a_task_that_nobody_needs_any_more_is_given_up_unless_it_has_started(stack: Stack) -> None:
    stack.project.configure(one_result_per_host_per_wu=1)
    script_app.install(stack.project, "waits", WAITS)
    slow = stack.client(attach=True, cc_options={"ncpus": 1}, preferences={"work_buf_min_days": 1})
    jobs = stack.project.submit_many("waits", [()] * 2, target_nresults=2, max_success_results=2, max_total_results=3)
    wait_until(lambda: len(slow.tasks()) == 2, "both tasks on the slow host", within=30)
    running = str(slow.wait_task(active_state="EXECUTING").get("result"))
    stack.clock.skip(90)  # a client notices that a task has started when it plans anew, which it does once a minute

    fast = stack.client()
    fast.exec(["touch", "go"])
    fast.attach(stack.project)
    for job in jobs:
        job.wait_for(JobState.VALIDATED)
    slow.update(stack.project)
    stack.history.wait("result.reported", within=30, exit_status=ABORTED_BY_PROJECT)
    slow.exec(["touch", "go"])
    stack.history.wait("result.reported", within=30, name=running, exit_status=0)

    states = [result.validate_state for job in jobs for result in job.results()]
    assert states.count(ValidateState.VALID) == 3, "the task that had started went on, and counts"
    assert states.count(ValidateState.INVALID) == 1
