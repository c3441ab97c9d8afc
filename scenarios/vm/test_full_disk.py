"""A host whose disk fills up while a VM writes: the guest is not left hanging, and its job is done when there is room again."""

import pytest

from harness import JobState
from harness.stack import Stack

from .conftest import VM_DEADLINE, InstallVmApp

WRITES = "echo up; cat in; for n in 1 2 3 4; do cat /dev/sr0 > /persistent/$n; sync; done; cp in out"


@pytest.mark.timeout(400)
@pytest.mark.time_rate(60)
@pytest.mark.wrapper_features("persistent_disk")
def test_a_full_disk_postpones_the_task_until_there_is_room(stack: Stack, vm_app: InstallVmApp) -> None:
    client = stack.client(vbox=True, disk_mb=500, attach=True)
    job = vm_app(persistent_disk={"name": "cache", "size_mb": 256}).submit(WRITES, input=b"room at last\n", disk_bound=1.5e8)
    client.vm(job, within=VM_DEADLINE).wait_guest_log("^up$", within=VM_DEADLINE)

    fault = stack.faults.fill_disk(client, leave_kb=12_000)
    client.wait_message("This computer's disk is full", within=VM_DEADLINE)
    fault.heal()

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
    assert job.output("shared/out") == b"room at last\n"
    assert len(job.results()) == 1
