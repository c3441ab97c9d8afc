"""Suspended, stopped, killed, aborted: each ends with the right task state, and leaves nothing behind."""

import pytest

from harness import JobState
from harness.client import Client
from harness.jobs import Outcome
from harness.stack import Stack
from harness.waiting import wait_until

from .conftest import UNTIL_LET_GO, VM_DEADLINE, InstallVmApp, let_go

#: counts on where it was, in the guest's memory only: a guest that boots anew begins with 1
COUNT = f"n=0; {UNTIL_LET_GO}; do n=$((n + 1)); echo step $n; sleep 1; done; echo $n > out; grep -c . /proc/uptime"

pytestmark = pytest.mark.timeout(500)


def stderr(client: Client) -> str:
    """What the task in the first slot has written so far."""
    return client.exec(["cat", f"{client.DATA_DIRECTORY}/slots/0/stderr.txt"], check=False)


def test_a_suspended_task_pauses_its_vm(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit(COUNT)
    vm = volunteer.vm(job, within=VM_DEADLINE)
    vm.wait_guest_log("step 2", within=VM_DEADLINE)

    volunteer.suspend(stack.project, job.result.name)
    vm.wait_state("paused")
    volunteer.resume(stack.project, job.result.name)
    vm.wait_state("running")

    let_go(volunteer)
    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert int(job.output("shared/out")) >= 2
    assert not volunteer.virtualbox.leftovers()


def test_a_restarted_client_goes_on_from_the_saved_state(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit(COUNT)
    vm = volunteer.vm(job, within=VM_DEADLINE)
    vm.wait_guest_log("step 3", within=VM_DEADLINE)

    volunteer.restart()

    let_go(volunteer)
    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert str(job.result.record["stderr_out"]).count("Guest Log: step 1\n") == 1, "the guest did not begin again"
    assert int(job.output("shared/out")) >= 3, "and did not begin at all when it was told to go on"


def test_a_client_that_quits_waits_until_its_vm_is_saved(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit(COUNT)
    volunteer.vm(job, within=VM_DEADLINE).wait_guest_log("step 3", within=VM_DEADLINE)
    stack.faults.vbox_slow(volunteer, "controlvm * savestate", 5.0)  # as on a busy machine: longer than a minute of the stack's time

    volunteer.restart()

    let_go(volunteer)
    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert int(job.output("shared/out")) >= 3, "the guest went on with what it had in its memory"


def test_a_killed_client_goes_on_from_the_checkpoint(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(minimum_checkpoint_interval=2).submit(COUNT)
    vm = volunteer.vm(job, within=VM_DEADLINE)
    vm.wait_guest_log("step 2", within=VM_DEADLINE)
    wait_until(lambda: vm.info().get("CurrentSnapshotName"), "a checkpoint", within=VM_DEADLINE)

    volunteer.kill()
    volunteer.start_again()

    let_go(volunteer)
    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert "goes on from checkpoint" in str(job.result.record["stderr_out"])
    assert not volunteer.virtualbox.leftovers()


@pytest.mark.parametrize("program", ["VBoxHeadless", "VBoxSVC"])
def test_a_lost_process_of_virtualbox_costs_little(volunteer: Client, vm_app: InstallVmApp, program: str) -> None:
    job = vm_app(minimum_checkpoint_interval=2).submit(COUNT)
    vm = volunteer.vm(job, within=VM_DEADLINE)
    wait_until(lambda: vm.info().get("CurrentSnapshotName"), "a checkpoint", within=VM_DEADLINE)

    for process in volunteer.virtualbox.processes():
        if process.program == program:
            volunteer.exec(["kill", "-KILL", str(process.pid)])
    wait_until(lambda: "has died" in stderr(volunteer), "the wrapper to see it", within=VM_DEADLINE)

    let_go(volunteer)
    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert "has died" in str(job.result.record["stderr_out"])
    assert not volunteer.virtualbox.leftovers()


def test_an_aborted_task_leaves_nothing(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit(COUNT)
    volunteer.vm(job, within=VM_DEADLINE).wait_state("running")

    volunteer.abort(stack.project, job.result.name)

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)
    assert job.result.outcome is Outcome.CLIENT_ERROR
    volunteer.virtualbox.wait_clean()
