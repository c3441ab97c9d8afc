"""What the guest writes reaches the project: every line, once, in order."""

import re

import pytest

from harness import JobState
from harness.client import Client
from harness.jobs import Job
from harness.vbox_app import GUEST_LOG, VmApp, Wrapper

from .conftest import VM_DEADLINE, InstallVmApp

LINES = 10_000


def kept(job: Job, wrapper: Wrapper) -> list[tuple[str, str]]:
    """Times and texts of what a wrapper keeps of the guest's log: a file of its own, or, of others than ours, the end of stderr."""
    if wrapper.stock:
        return re.findall(r"^(\S+ \S+) .*?Guest Log: (.*)$", str(job.result.record["stderr_out"]), re.MULTILINE)
    return [(time, text) for time, _, text in (line.partition(" ") for line in job.output(GUEST_LOG).decode().splitlines())]


@pytest.mark.timeout(400)
def test_ten_thousand_lines_arrive_whole(volunteer: Client, vm_app: InstallVmApp, wrapper: Wrapper) -> None:
    app: VmApp = vm_app()
    job = app.submit(f"seq 1 {LINES}", log=True)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    log = kept(job, wrapper)
    assert [text for _, text in log if text.isdigit()] == [str(number) for number in range(1, LINES + 1)]
    assert [time for time, _ in log] == sorted(time for time, _ in log), "times go forward"
    stderr = str(job.result.record["stderr_out"])
    assert "Guest Log: 1\n" in stderr
    assert f"Guest Log: {LINES}\n" in stderr
    assert "of the guest's log are left out here" in stderr


def test_lines_of_any_length_are_whole(volunteer: Client, vm_app: InstallVmApp, wrapper: Wrapper) -> None:
    job = vm_app().submit("for n in 10 126 127 128 500 3000; do head -c $n /dev/zero | tr '\\0' x; echo; done; printf unfinished", log=True)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    lines = [text for _, text in kept(job, wrapper)]
    assert [len(line) for line in lines if line and set(line) == {"x"}] == [10, 126, 127, 128, 500, 3000]
    assert "unfinished" in lines
