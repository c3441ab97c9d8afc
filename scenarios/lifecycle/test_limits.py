"""How much work a host gets: what it can do, what it may do, how far it is trusted."""

from typing import Any

import pytest

from harness import Job, JobState, ServerState
from harness.stack import Stack
from harness.waiting import wait_until

ONE_CPU = {"ncpus": 1}
DAY, WEEK = 86400, 7 * 86400


def sent(jobs: list[Job]) -> int:
    return sum(job.results()[0].server_state is not ServerState.UNSENT for job in jobs)


@pytest.mark.parametrize(
    ("bound", "message"),
    [({"rsc_memory_bound": 1e13}, "MB RAM but only"), ({"rsc_disk_bound": 1e15}, "MB more disk space")],
    ids=["memory", "disk"],
)
def test_a_job_too_large_for_the_host_is_told_and_stays_unsent(stack: Stack, bound: dict[str, Any], message: str) -> None:
    job = stack.project.submit("uppercase", input=b"large", **bound)

    text = str(stack.client(attach=True).wait_message(message).get("text"))

    assert "needs" in text
    assert sent([job]) == 0


def test_a_host_too_slow_for_a_deadline_is_told(stack: Stack) -> None:
    busy = stack.project.submit("sleeper", command_line="6000", rsc_fpops_est=1e13, rsc_fpops_bound=1e16)
    client = stack.client(attach=True, cc_options=ONE_CPU, preferences={"work_buf_min_days": 1})
    busy.wait_for(JobState.SENT)

    job = stack.project.submit("uppercase", input=b"hurry", rsc_fpops_est=1e13, rsc_fpops_bound=1e16, delay_bound=1000)
    client.update(stack.project)

    client.wait_message("Tasks won't finish in time")
    assert sent([job]) == 0


@pytest.mark.project(daily_result_quota=2)
@pytest.mark.virtual_time(reason="it skips a day")
def test_a_daily_quota_ends_with_the_day(stack: Stack) -> None:
    jobs = stack.project.submit_many("sleeper", [()] * 4, command_line="900000", rsc_fpops_est=1e12, rsc_fpops_bound=1e16, delay_bound=WEEK)
    client = stack.client(attach=True, cc_options=ONE_CPU, preferences={"work_buf_min_days": 1})
    client.wait_message("daily quota of 2 tasks")
    assert sent(jobs) == 2

    stack.clock.skip(DAY)
    client.update(stack.project)

    wait_until(lambda: sent(jobs) == 4, "the other two on the next day", within=30)


def test_a_deeper_buffer_takes_more_tasks(stack: Stack) -> None:
    stack.project.submit_many("sleeper", [()] * 12, command_line="90000", rsc_fpops_est=3.6e12, rsc_fpops_bound=1e16)
    client = stack.client(attach=True, cc_options=ONE_CPU, preferences={"work_buf_min_days": 0.01, "work_buf_additional_days": 0.01})
    client.wait_task(active_state="EXECUTING")
    assert len(client.tasks()) <= 2, "an hour of work is enough for a quarter of an hour"

    client.set_preferences(work_buf_min_days=0.4)
    client.update(stack.project)

    wait_until(lambda: len(client.tasks()) >= 7, "tasks for a good part of ten hours", within=30)


@pytest.mark.project(one_result_per_host_per_wu=1)
def test_adaptive_replication_stops_checking_hosts_that_were_right_ten_times(stack: Stack) -> None:
    stack.start_clients(2, attach=True)
    stack.project.install_app("uppercase")
    stack.project.edit("app", "uppercase", target_nresults=2)
    inputs = [f"{number}".encode() for number in range(14)]

    first = stack.project.submit_many("uppercase", inputs, max_success_results=3, max_total_results=5)
    for job in first:
        job.wait_for(JobState.ASSIMILATED)
    assert {len(job.results()) for job in first[:6]} == {2}, "nobody is trusted at first"

    def is_left_unchecked(number: int) -> bool:
        job = stack.project.submit("uppercase", input=f"later {number}".encode(), max_success_results=3, max_total_results=5)
        job.wait_for(JobState.ASSIMILATED)
        return len(job.results()) == 1

    # a host that is trusted is so by a throw of dice for each request: once in fourteen or less often it is checked all the same
    assert any(is_left_unchecked(number) for number in range(6))
