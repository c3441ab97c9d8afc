"""A project that cannot or will not serve a volunteer, and what the volunteer is told."""

from harness import JobState
from harness.stack import Stack
from harness.versions import ClientVersion


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
