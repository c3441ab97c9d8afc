"""A VirtualBox that is missing, broken, slow, hanging, or of the wrong version: told once, and jobs flow again when it works."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.faults import Fault
from harness.stack import Stack

from .conftest import VM_DEADLINE, InstallVmApp

pytestmark = pytest.mark.timeout(400)


def _missing(stack: Stack, client: Client) -> Fault:
    return stack.faults.vbox_missing(client)


def _broken(stack: Stack, client: Client) -> Fault:
    return stack.faults.vbox_broken(client, "createvm")


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        pytest.param(_missing, "VirtualBox is not installed on this computer", id="missing"),
        pytest.param(_broken, "VirtualBox on this computer does not work", id="broken"),
    ],
)
def test_a_task_waits_for_a_virtualbox_that_works(
    stack: Stack, volunteer: Client, vm_app: InstallVmApp, breaks: Callable[[Stack, Client], Fault], words: str
) -> None:
    fault = breaks(stack, volunteer)
    job = vm_app().submit("cp in out", input=b"at last")

    volunteer.wait_message(words, within=VM_DEADLINE)
    fault.heal()

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert job.output("shared/out") == b"at last"
    assert len(job.results()) == 1


def test_a_version_that_is_too_old(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    fault = stack.faults.vbox_version(volunteer, "6.1.0r140961")
    volunteer.restart()  # it looks at its start only
    job = vm_app().submit("cp in out", input=b"at last")

    volunteer.wait_message("is of version '6.1.0r140961'; the task needs 7.0 or later", within=VM_DEADLINE)
    fault.heal()
    volunteer.restart()

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert job.output("shared/out") == b"at last"


def test_without_virtualbox_no_job_is_sent(stack: Stack, vm_app: InstallVmApp) -> None:
    vm_app().submit("true")
    client = stack.client(attach=True)

    client.wait_message("VirtualBox is not installed")

    assert client.tasks() == ()


def test_calls_that_are_slow_or_fail_for_a_moment(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    stack.faults.vbox_slow(volunteer, "createvm", 3, times=1)
    stack.faults.vbox_broken(volunteer, "unregistervm", times=1)
    job = vm_app().submit("cp in out", input=b"in spite of it")

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert job.output("shared/out") == b"in spite of it"
