"""A disk that outlives jobs: what one job leaves there, the next one finds."""

import pytest

from harness import JobState
from harness.client import Client
from harness.waiting import wait_until

from .conftest import UNTIL_LET_GO, VM_DEADLINE, InstallVmApp, let_go

DISK = {"name": "cache", "size_mb": 64}

pytestmark = [pytest.mark.timeout(600), pytest.mark.wrapper_features("persistent_disk")]


def test_three_jobs_and_a_restarted_client(volunteer: Client, vm_app: InstallVmApp) -> None:
    app = vm_app(persistent_disk=DISK)
    found = []
    for number in range(3):
        job = app.submit(f"ls /persistent > out; echo {number} > /persistent/from-job-{number}")
        job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
        found.append([name for name in job.output("shared/out").decode().split() if name.startswith("from")])
        if number == 1:
            volunteer.restart()

    assert found == [[], ["from-job-0"], ["from-job-0", "from-job-1"]]
    assert not volunteer.virtualbox.leftovers()


def test_two_jobs_at_once_share_an_image_and_its_disk(volunteer: Client, vm_app: InstallVmApp) -> None:
    app = vm_app(persistent_disk=DISK)
    first = app.submit("echo kept > /persistent/first")
    first.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    jobs = [app.submit(f"cat /persistent/first > out; {UNTIL_LET_GO}; do sleep 1; done") for _ in range(2)]
    wait_until(lambda: len(volunteer.virtualbox.machines()) == 2, "two VMs at once", within=VM_DEADLINE)
    let_go(volunteer, 0, 1)
    for job in jobs:
        job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert [job.output("shared/out") for job in jobs] == [b"kept\n"] * 2
    assert not volunteer.virtualbox.leftovers()


def test_a_failing_job_leaves_the_disk_as_it_was(volunteer: Client, vm_app: InstallVmApp) -> None:
    app = vm_app(persistent_disk=DISK)
    app.submit("echo poison > /persistent/poison; exit 1").wait_for(JobState.ERROR, within=VM_DEADLINE)
    job = app.submit("ls /persistent > out")

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert b"poison" not in job.output("shared/out")
