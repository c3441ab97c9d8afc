"""Suspending, quitting, aborting: a container does what its task is told."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.oci import Image
from harness.stack import Stack
from harness.waiting import wait_until

from .conftest import WITHIN, Containers

#: counts seconds; ends when there is a file `stop`; ignores SIGTERM
STUBBORN = "trap '' TERM; n=0; while [ ! -e /shared/stop ]; do n=$((n+1)); echo $n > /shared/count; sleep 0.1; done; echo done"


def count(client: Client) -> int:
    text = client.exec(["sh", "-c", "cat slots/*/shared/count"], check=False).strip()
    return int(text) if text.isdigit() else 0


def wait_counting(client: Client) -> None:
    seen = count(client)
    wait_until(lambda: count(client) > seen, "the container counting", within=WITHIN, every=0.1)


@pytest.mark.time_rate(2)
@pytest.mark.container_features("pause_without_cgroup")
def test_suspend_stops_the_container_and_resume_lets_it_go_on(
    stack: Stack, containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    volunteer.set_preferences(leave_apps_in_memory=1)
    job = containers.submit(image("base"), "sh", "-c", STUBBORN)
    wait_counting(volunteer)
    task = job.result.name

    volunteer.suspend(stack.project, task)
    volunteer.wait_task(result=task, active_state="SUSPENDED", within=WITHIN)

    def stopped() -> bool:
        if volunteer.container_engine.states() == ["paused"]:  # docker's way; podman's processes are the client's to stop
            return True
        states = volunteer.exec(["sh", "-c", "ps -e -o stat,args | grep -v grep | grep 'sh -c trap'"], check=False).splitlines()
        return bool(states) and any(line.startswith("T") for line in states)

    wait_until(stopped, "the container's processes stopped", within=WITHIN, every=0.1)
    seen = count(volunteer)
    volunteer.resume(stack.project, task)
    wait_until(lambda: count(volunteer) > seen, "the container going on", within=WITHIN, every=0.1)
    volunteer.exec(["sh", "-c", "touch slots/0/shared/stop"])
    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"done\n"
    assert len(job.results()) == 1


@pytest.mark.time_rate(1)
@pytest.mark.container_features("start_anew")
def test_a_client_that_is_restarted_runs_the_job_again(
    stack: Stack, containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    again = "echo start >> /shared/checkpoint; " + STUBBORN
    job = containers.submit(image("base"), "sh", "-c", again, stop_seconds=1)
    wait_counting(volunteer)

    volunteer.restart()
    wait_counting(volunteer)
    assert len(volunteer.container_engine.containers()) == 1, "the one that ignored SIGTERM is gone"
    volunteer.exec(["sh", "-c", "cp slots/*/shared/checkpoint /tmp/starts; touch slots/0/shared/stop"])
    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert volunteer.exec("cat /tmp/starts").split() == ["start", "start"], "what it had kept was there"
    assert "did not end within 1 s of SIGTERM" in job.result.stderr
    assert len(job.results()) == 1


@pytest.mark.time_rate(5)
def test_an_aborted_task_leaves_no_container(
    stack: Stack, containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    job = containers.submit(image("base"), "sh", "-c", STUBBORN)
    wait_counting(volunteer)

    volunteer.abort(stack.project, job.result.name)
    job.wait_for(JobState.REPORTED, within=WITHIN)

    assert volunteer.container_engine.containers() == []
    assert "sh -c trap" not in volunteer.exec("ps -e -o args")


@pytest.mark.container_features("waits")
def test_a_host_without_podman_says_so_and_fails_nothing(stack: Stack, containers: Containers, image: Callable[[str], Image]) -> None:
    job = containers.submit(image("base"))
    plain = stack.client(attach=True)

    plain.wait_message("needs Podman or Docker on this computer", within=WITHIN)

    notices = plain.rpc().get_notices(0)
    assert any("needs Podman or Docker" in notice.description for notice in notices), "the volunteer gets a notice"
    assert [result.exit_status for result in job.results()] == [0], "the task waits"
