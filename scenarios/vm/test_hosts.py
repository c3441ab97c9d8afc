"""Hosts that cannot run a VM, or not now: the volunteer is told why, and jobs flow again as soon as they can."""

import pytest

from harness import JobState
from harness.client import Client
from harness.faults.vbox import DRIVER_MISSING, INVALID_OBJECT_STATE, VMX_DISABLED, FakeCpu, VBoxError
from harness.stack import Stack

from .conftest import VM_DEADLINE, InstallVmApp

pytestmark = pytest.mark.timeout(400)


@pytest.mark.wrapper_features("without_acceleration")
@pytest.mark.parametrize(
    ("error", "words"), [(VMX_DISABLED, "is switched off on this computer"), (DRIVER_MISSING, "driver is not available")]
)
def test_a_task_waits_until_the_host_can(stack: Stack, volunteer: Client, vm_app: InstallVmApp, error: VBoxError, words: str) -> None:
    fault = stack.faults.vbox(volunteer, "startvm", error=error)
    job = vm_app().submit("cp in out", input=b"at last")

    volunteer.wait_message(words, within=VM_DEADLINE)
    fault.heal()

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert len(job.results()) == 1, "nothing was sent in vain"
    assert "ERR_CPU_VM_EXTENSIONS_DISABLED" not in str(job.result.record["stderr_out"])
    assert not volunteer.virtualbox.leftovers()


@pytest.mark.wrapper_features("without_acceleration")
def test_while_a_task_waits_no_other_is_sent(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    fault = stack.faults.vbox(volunteer, "startvm", error=VMX_DISABLED)
    app = vm_app()
    first = app.submit("true")
    volunteer.wait_message("is switched off on this computer", within=VM_DEADLINE)
    stack.history.wait_for(lambda event: event.kind == "trickle.up", "the project to hear of it", within=VM_DEADLINE)
    second = app.submit("true")

    volunteer.update(stack.project)
    volunteer.wait_message("No tasks sent")
    fault.heal()

    first.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    second.wait_for(JobState.VALIDATED, within=VM_DEADLINE)


def test_without_vt_x_no_job_is_sent(stack: Stack, vm_app: InstallVmApp) -> None:
    vm_app(needs_acceleration=True).submit("true")
    client = stack.client(vbox=True, cpu=FakeCpu(vmx=False, svm=False), attach=True)

    client.wait_message("No tasks sent")

    assert client.tasks() == ()


@pytest.mark.wrapper_features("without_acceleration")
def test_a_job_that_fails_without_vt_x_tells_the_server(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    stack.faults.vbox(volunteer, "startvm", error=VMX_DISABLED)
    job = vm_app(without_acceleration="fail").submit("true")

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)

    assert job.result.exit_status == 108
    assert "ERR_CPU_VM_EXTENSIONS_DISABLED" in str(job.result.record["stderr_out"])
    assert not volunteer.virtualbox.leftovers()


def test_an_error_that_passes_is_tried_again(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    stack.faults.vbox(volunteer, "startvm", error=INVALID_OBJECT_STATE, times=2)
    job = vm_app().submit("cp in out", input=b"third time lucky")

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert job.output("shared/out") == b"third time lucky"


def test_more_memory_than_the_host_has(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(memory_size_mb=1_000_000).submit("true")

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)

    assert job.result.exit_status == 198
    assert "needs 1000000 MB of memory; this host has" in str(job.result.record["stderr_out"])


def test_a_job_file_with_an_unknown_option(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(enable_netwrok=True).submit("true")

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)

    assert job.result.exit_status == 206
    assert "unknown option <enable_netwrok>" in str(job.result.record["stderr_out"])


def test_an_image_that_does_not_boot(volunteer: Client, vm_app: InstallVmApp) -> None:
    empty = bytes(0x8000) + b"\1CD001\1" + bytes(2041) + b"\xffCD001\1" + bytes(2041) + bytes(1 << 20)
    job = vm_app(iso=empty).submit("true")

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)

    assert job.result.exit_status == 206
    assert "does not boot" in str(job.result.record["stderr_out"])


def test_an_image_that_is_none(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(iso=b"no image at all").submit("true")

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)

    assert "is no ISO 9660 image" in str(job.result.record["stderr_out"])
