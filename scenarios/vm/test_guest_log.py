"""What the guest writes reaches the project: every line, once, in order."""

import pytest

from harness import JobState
from harness.client import Client
from harness.vbox_app import GUEST_LOG, VmApp

from .conftest import VM_DEADLINE, InstallVmApp

LINES = 10_000


@pytest.mark.timeout(400)
def test_ten_thousand_lines_arrive_whole(volunteer: Client, vm_app: InstallVmApp) -> None:
    app: VmApp = vm_app()
    job = app.submit(f"seq 1 {LINES}", log=True)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    log = job.output(GUEST_LOG).decode().splitlines()
    lines = [line.partition(" ")[2] for line in log]
    assert [line for line in lines if line.isdigit()] == [str(number) for number in range(1, LINES + 1)]
    assert [line.partition(" ")[0] for line in log] == sorted(line.partition(" ")[0] for line in log), "times go forward"
    stderr = str(job.result.record["stderr_out"])
    assert "Guest Log: 1\n" in stderr
    assert f"Guest Log: {LINES}\n" in stderr
    assert "of the guest's log are left out here" in stderr


def test_lines_of_any_length_are_whole(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit("for n in 10 126 127 128 500 3000; do head -c $n /dev/zero | tr '\\0' x; echo; done; printf unfinished", log=True)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    lines = [line.partition(" ")[2] for line in job.output(GUEST_LOG).decode().splitlines()]
    assert [len(line) for line in lines if line and set(line) == {"x"}] == [10, 126, 127, 128, 500, 3000]
    assert "unfinished" in lines
