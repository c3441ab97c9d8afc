"""A project that cannot or will not serve a volunteer, and what the volunteer is told."""

import pytest

from harness import JobState
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until


def test_a_project_down_for_maintenance_is_asked_again_later(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    stack.project.configure(stop_sched=True)
    job = stack.project.submit("uppercase", input=b"later")

    client.update(stack.project)
    client.wait_message("Project is temporarily shut down for maintenance")
    assert not job.history.find("result.sent")

    stack.project.configure(stop_sched=False)
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)


def test_an_unsupported_platform_is_told_so(stack: Stack, client_version: ClientVersion) -> None:
    stack.project.deprecate_platform("x86_64-pc-linux-gnu")
    client = stack.client()
    client.attach(stack.project, wait=False)

    message = client.wait_message("This project doesn't support computers of type")

    assert "x86_64-pc-linux-gnu" in str(message.get("text"))


def test_a_scheduler_that_moved_is_found_on_the_master_page(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    stack.faults.http("scheduler", status=404, name="cgi$")
    moved = stack.project.master_url.removesuffix("/") + "_cgi/cgi?moved"
    stack.faults.http("master", replace=f"<html>\n<!--\n<scheduler>{moved}</scheduler>\n-->\n</html>\n")
    job = stack.project.submit("uppercase", input=b"found")

    def failures() -> int:
        texts = [str(event.get("text")) for event in stack.history.find("client.message")]
        return sum(text.startswith("Scheduler request") and " failed" in text for text in texts)

    for number in range(1, 11):  # the client looks at the master page again after ten failures
        client.update(stack.project)
        wait_until(lambda number=number: failures() >= number, "a failed RPC", within=20)  # type: ignore[misc]
    client.update(stack.project)
    job.wait_for(JobState.VALIDATED)

    assert failures() <= 12


@pytest.mark.client_versions("8.0", "8.2", reason="7.20 only says that it uses an old URL")
def test_a_client_moves_to_the_projects_new_master_url(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    before = stack.project.submit("uppercase", input=b"before")
    before.wait_for(JobState.ASSIMILATED)
    moved = stack.project.master_url.replace("boinc.test/", "boinc.test:80/")

    stack.project.configure(master_url=moved)
    client.update(stack.project)
    client.wait_message("Master URL changed")
    job = stack.project.submit("uppercase", input=b"after")
    job.wait_for(JobState.VALIDATED)

    assert [project.master_url for project in client.projects()] == [moved]
    assert len(stack.project.hosts()) == 1


@pytest.mark.virtual_time(reason="it skips the delay")
def test_a_client_keeps_away_as_long_as_the_project_asks(stack: Stack, client_version: ClientVersion) -> None:
    stack.project.configure(request_delay=4000)
    client = stack.client(attach=True)
    client.wait_message("Project requested delay of 4000 seconds")
    asked = stack.history.find("rpc.scheduler")[-1].virtual
    job = stack.project.submit("uppercase", input=b"later")

    stack.clock.skip(1000)
    [project] = client.projects()
    assert project.min_rpc_time >= asked + 3900
    stack.clock.skip_to(asked + 4000)

    assert job.wait_for(JobState.SENT).virtual >= asked + 4000


@pytest.mark.client_versions("7.20", reason="the project wants newer ones")
def test_a_client_that_is_too_old_is_told_so(stack: Stack, client_version: ClientVersion) -> None:
    stack.project.configure(min_core_client_version=80000)
    job = stack.project.submit("uppercase", input=b"too new")
    client = stack.client()
    client.attach(stack.project, wait=False)

    client.wait_message("Your BOINC client software is too old")

    assert not job.history.find("result.sent")


@pytest.mark.client_versions("7.20", reason="the project wants newer ones soon")
def test_a_client_hears_that_it_will_be_too_old(stack: Stack, client_version: ClientVersion) -> None:
    deadline = int(stack.clock.now()) + 2 * 86400 + 600
    stack.project.configure(min_core_client_version_announced=80000, min_core_client_upgrade_deadline=deadline)
    job = stack.project.submit("uppercase", input=b"still good")
    client = stack.client(attach=True)

    client.wait_message("this project will require a minimum BOINC version of 8.0.0")
    job.wait_for(JobState.VALIDATED)
