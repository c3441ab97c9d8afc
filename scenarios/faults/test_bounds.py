"""Bounds of a job, and what a client does to a task that breaks them."""

import pytest

from harness import JobState, script_app
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion

DISK_LIMIT_EXCEEDED, TIME_LIMIT_EXCEEDED, MEMORY_LIMIT_EXCEEDED = 196, 197, 198

stopped_by_the_client = pytest.mark.invariant_off(
    "task_states", "the client shows a task that it aborts as aborted until its process has ended, then as failed"
)
pytestmark = pytest.mark.virtual_time(reason="it skips the time a task may take")


@stopped_by_the_client
def test_a_looping_application_is_stopped_by_its_time_limit(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    # a host of 1e9 operations a second: two minutes
    job = stack.project.submit("hang", rsc_fpops_est=1e9, rsc_fpops_bound=1.2e11, max_error_results=1, max_total_results=1)
    client.wait_task(active_state="EXECUTING")

    job.wait_for(JobState.ERROR)

    assert job.results()[0].exit_status == TIME_LIMIT_EXCEEDED
    assert job.results()[0].outcome is Outcome.CLIENT_ERROR
    assert job.results()[0].elapsed_time >= 120


@stopped_by_the_client
def test_a_task_that_takes_too_much_disk_is_aborted(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="6000", rsc_disk_bound=3_000_000, max_error_results=1, max_total_results=1)
    client.wait_task(active_state="EXECUTING")

    client.exec(["sh", "-c", "head -c 5000000 /dev/zero > slots/0/core"])
    stack.clock.set_rate(60)  # the client looks at what tasks take every five minutes
    job.wait_for(JobState.ERROR)

    assert job.results()[0].exit_status == DISK_LIMIT_EXCEEDED


@stopped_by_the_client
def test_a_task_that_takes_more_memory_than_the_host_allows_is_aborted(stack: Stack) -> None:
    script_app.install(stack.project, "greedy", "exec perl -e '$taken = \"x\" x 300_000_000; sleep 100000'")
    client = stack.client(attach=True)
    share = 100 * 150e6 / client.rpc().get_host_info().m_nbytes
    client.set_preferences(ram_max_used_busy_pct=share, ram_max_used_idle_pct=share)
    job = stack.project.submit("greedy", max_error_results=1, max_total_results=1)

    job.wait_for(JobState.ERROR)

    assert job.results()[0].exit_status == MEMORY_LIMIT_EXCEEDED
    client.wait_message("client RAM limit")


@pytest.mark.project(max_wus_in_progress=2)
def test_no_more_tasks_at_once_than_the_project_allows(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True, preferences={"work_buf_min_days": 1})
    jobs = stack.project.submit_many("sleeper", [() for _ in range(6)], command_line="10", rsc_fpops_est=1e9)
    client.update(stack.project)
    for job in jobs:
        job.wait_for(JobState.VALIDATED)

    running = most = 0
    for event in stack.history:
        running += {"result.sent": 1, "result.reported": -1}.get(event.kind, 0)
        most = max(most, running)
    assert most <= 2 * 2, "two for each of two CPUs"
    assert most >= 2


def test_a_preference_limits_how_many_tasks_run(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True, preferences={"max_ncpus_pct": 50, "niu_max_ncpus_pct": 50, "work_buf_min_days": 1})
    jobs = stack.project.submit_many("sleeper", [() for _ in range(3)], command_line="20")
    client.update(stack.project)
    for job in jobs:
        job.wait_for(JobState.VALIDATED)

    cpus = max(1, (client.rpc().get_host_info().p_ncpus or 1) // 2)
    running: set[object] = set()
    for event in stack.history.find("task.state", client=client.name):
        (running.add if event.get("active_state") == "EXECUTING" else running.discard)(event.get("result"))
        assert len(running) <= cpus


def test_elapsed_time_is_what_the_task_took_by_its_hosts_clock(stack: Stack, client_version: ClientVersion) -> None:
    stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="60")
    job.wait_for(JobState.VALIDATED)

    assert 60 <= job.result.elapsed_time < 60 + 20 * stack.clock.rate
    assert job.result.cpu_time < 60
