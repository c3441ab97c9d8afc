"""The guest's network: none unless the job asks for it."""

import pytest

from harness import JobState
from harness.client import Client

from .conftest import VM_DEADLINE, InstallVmApp

pytestmark = pytest.mark.timeout(400)


def test_there_is_no_network_by_default(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit("ls /sys/class/net > out")

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert job.output("shared/out").split() == [b"lo"]


def test_nat_when_the_job_asks_for_it(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(enable_network=True).submit("ip addr > out", conf={"network": "yes"})

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert b"10.0.2.15" in job.output("shared/out")
