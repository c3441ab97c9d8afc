"""All parts of a project at work on many jobs, and two projects that share a host."""

import httpx
import pytest

from harness import JobState
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until


def test_two_results_from_one_host_make_a_quorum_and_leave_no_files(stack: Stack, client_version: ClientVersion) -> None:
    stack.use_proxy()
    stack.client(attach=True)
    stack.project.configure(keep_outputs=False)
    job = stack.project.submit("uppercase", input=b"Twice", min_quorum=2, target_nresults=2)

    job.wait_for(JobState.ASSIMILATED)
    job.history.wait("job.files_deleted", within=20)

    assert len(job.results()) == 2
    assert all(not stack.project.outputs(result.id) for result in job.results())
    path = next(
        str(event.get("path"))
        for event in stack.history.find("http.exchange", endpoint="download", status=200)
        if "/in_" in str(event.get("path"))
    )
    assert httpx.get(f"{stack.server.public_url()}{path}", trust_env=False).status_code == 404


def test_sixty_results_go_through_all_daemons(stack: Stack) -> None:
    stack.project.configure(stop_daemons=True)
    jobs = stack.project.submit_many("uppercase", [f"job {number}".encode() for number in range(30)], min_quorum=2, target_nresults=2)
    stack.start_clients(2, attach=True)
    assert not stack.history.find("result.sent"), "without its daemons a project has nothing to send"

    stack.project.configure(stop_daemons=False)
    for job in jobs:
        job.history.wait("job.files_deleted", within=60)

    for kind in ("job.created", "job.validated", "job.assimilated", "job.files_deleted"):
        assert len(stack.history.find(kind)) == 30, kind
    for kind in ("result.created", "result.sent", "result.reported", "result.valid", "credit.granted"):
        assert len(stack.history.find(kind)) == 60, kind
    granted = sum(result.granted_credit for result in stack.project.results())
    assert stack.project.users()[0]["total_credit"] == pytest.approx(granted) != 0


@pytest.mark.project(next_rpc_delay=0)
def test_two_projects_share_a_host_by_their_resource_shares(stack: Stack) -> None:
    small, large = stack.project, stack.new_project()
    for project, share in ((small, 1), (large, 5)):
        wishes = f"<project_preferences>\n<resource_share>{share}</resource_share>\n</project_preferences>\n"
        project.edit("user", project.account().id, project_prefs=wishes)
    client = stack.client(cc_options={"ncpus": 1}, preferences={"work_buf_min_days": 1, "cpu_scheduling_period_minutes": 1})
    jobs = [project.submit("sleeper", command_line="20", rsc_fpops_est=2e10) for _ in range(6) for project in (small, large)]
    for project in (small, large):
        client.attach(project)

    for job in jobs:
        job.wait_for(JobState.VALIDATED)

    order = [event.get("project") for event in stack.history.find("job.validated")]
    assert order[:6].count(large.name) > order[:6].count(small.name)
    assert {project.resource_share for project in client.projects()} == {1, 5}


def test_a_task_survives_three_restarts(stack: Stack) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="100 5")
    client.wait_task(active_state="EXECUTING")

    for _ in range(3):
        client.wait_checkpoint(job)
        client.restart()
    job.wait_for(JobState.VALIDATED)

    lines = [line for line in job.result.stderr.splitlines() if "resuming at" in line]
    resumed = [float(line.partition("resuming at ")[2].split()[0]) for line in lines]
    assert len(resumed) == 3
    assert resumed == sorted(resumed), "it never lost what it had"


def test_progress_is_seen_while_an_application_computes(stack: Stack) -> None:
    client = stack.client(attach=True)
    stack.project.submit("sleeper", command_line="100 5")
    name = str(client.wait_task(active_state="EXECUTING").get("result"))

    def progress() -> float:
        active = client.task(name).active_task
        return active.fraction_done if active is not None else 0.0

    wait_until(lambda: progress() > 0.1, "a tenth of it", within=20)
    earlier = progress()
    wait_until(lambda: progress() > earlier + 0.1, "a tenth more", within=20)
    active = client.task(name).active_task
    assert active is not None
    assert active.checkpoint_cpu_time <= active.current_cpu_time <= active.elapsed_time


def test_a_second_of_work_takes_a_second(stack: Stack) -> None:
    stack.client(attach=True)
    job = stack.project.submit("1sec")

    job.wait_for(JobState.ASSIMILATED)

    assert job.output() == b"1 second of work done\n"
    assert job.result.elapsed_time >= 1
