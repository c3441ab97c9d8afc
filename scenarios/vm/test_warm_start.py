"""Jobs that go on from a booted guest instead of booting one."""

import pytest

from harness import JobState
from harness.client import Client

from .conftest import VM_DEADLINE, InstallVmApp

WARM = {"wanted_file": "warm.wanted", "ready_file": "warm.ready", "go_file": "warm.go"}


@pytest.mark.timeout(500)
@pytest.mark.wrapper_features("warm_start")
def test_the_second_job_does_not_boot(volunteer: Client, vm_app: InstallVmApp) -> None:
    app = vm_app(warm_start=WARM)
    jobs = []
    for text in (b"cold", b"warm"):
        job = app.submit("tr a-z A-Z < in > out", input=text)
        job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)
        jobs.append(job)

    assert [job.output("shared/out") for job in jobs] == [b"COLD", b"WARM"]
    assert "boinc-guest: init after" in str(jobs[0].result.record["stderr_out"])
    assert "boinc-guest: init after" not in str(jobs[1].result.record["stderr_out"])
    assert "goes on from the saved state of a booted one" in str(jobs[1].result.record["stderr_out"])
    assert not volunteer.virtualbox.leftovers()
