"""A host whose disk is full when a VM writes: the guest is not left hanging, and the volunteer and the project are told why."""

from pathlib import PurePosixPath

import pytest

from harness import JobState
from harness.client import Client
from harness.faults import Fault
from harness.guirpc import RunMode
from harness.jobs import Job
from harness.stack import Stack

from .conftest import UNTIL_LET_GO, VM_DEADLINE, InstallVmApp, let_go

#: 6 MB that do not compress, once it is told to
WRITES = (
    f"echo up; {UNTIL_LET_GO}; do sleep 1; done; head -c 300000 /dev/urandom > /tmp/noise; "
    "for n in $(seq 20); do cat /tmp/noise > /persistent/$n; sync; done; cp in out"
)
FULL = "This computer's disk is full: the virtual machine could not write to its disk"

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.time_rate(10),
    pytest.mark.virtual_time(reason="it skips the ten minutes after which a task that found the disk full is tried again"),
    # else a project keeps away from a host with less than 1 GB free, whatever the volunteer's preferences are
    pytest.mark.project(default_disk_min_free_gb=0),
    pytest.mark.wrapper_features("persistent_disk"),
]


def fill(stack: Stack, vm_app: InstallVmApp) -> tuple[Client, Job, Fault]:
    """A host whose disk has become full under a VM that runs, and what the task was taken off for."""
    client = stack.client(vbox=True, disk_mb=400, preferences={"disk_min_free_gb": 0}, attach=True)
    job = vm_app(persistent_disk={"name": "cache", "size_mb": 64}).submit(WRITES, input=b"room at last\n", disk_bound=1.5e8)
    client.vm(job, within=VM_DEADLINE).wait_guest_log("^up$", within=VM_DEADLINE)
    # a client that cannot write its state file ends, and each contact with the scheduler makes it write that
    client.set_network_mode(RunMode.NEVER)
    fault = stack.faults.fill_disk(client, leave_kb=3000)
    let_go(client)
    client.wait_message(FULL, within=VM_DEADLINE)
    client.virtualbox.wait_clean()
    client.set_network_mode(RunMode.AUTO)
    return client, job, fault


def test_a_disk_that_is_full_for_a_while_costs_no_task(stack: Stack, vm_app: InstallVmApp) -> None:
    _, job, fault = fill(stack, vm_app)
    fault.heal()
    stack.clock.skip(600)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert job.output("shared/out") == b"room at last\n"
    assert len(job.results()) == 1


def test_a_disk_that_stays_full_ends_the_task_and_harms_nothing_else(stack: Stack, vm_app: InstallVmApp) -> None:
    client, job, _ = fill(stack, vm_app)

    stack.fast_forward(job, JobState.ERROR, within=VM_DEADLINE)

    assert job.result.exit_status == 196
    assert f"{FULL}. It still is after 20 minutes." in str(job.result.record["stderr_out"])
    client.virtualbox.wait_clean()
    assert client.files("slots") == []
    disks = {PurePosixPath(name).name for name in client.files("projects") if "/vm_disks/" in name}
    assert disks == {"base.vdi", "info", "lock"}, "the persistent disk as it was, without what this job wrote"
    stack.project.submit("uppercase", input=b"x", rsc_disk_bound=1e6).wait_for(JobState.VALIDATED)
