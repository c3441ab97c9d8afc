"""Guests that fail, each in its own way."""

import pytest

from harness import JobState
from harness.client import Client
from harness.vbox_app import GUEST_LOG

from .conftest import VM_DEADLINE, InstallVmApp

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("command", "options", "exit_status", "words"),
    [
        pytest.param("echo bye; exit 3", {}, 3, "exit code 3", id="exits-with-3"),
        pytest.param("echo c > /proc/sysrq-trigger", {}, 195, "crashed (guru meditation)", id="panics"),
        pytest.param("true", {"completion_trigger_file": "done"}, 195, "off without a completion file ('done')", id="switches-off"),
        pytest.param(
            "sleep 600",
            {"heartbeat_filename": "never", "minimum_heartbeat_interval": 6},
            195,
            "The guest hangs: it has not made its heartbeat file 'never'",
            id="hangs",
        ),
        pytest.param(
            "ln -s /etc/passwd x; echo nonsense > completion_trigger_file; sleep 60", {}, 195, "no exit code but 'nonsense'", id="fakes"
        ),
        pytest.param(
            "touch $(seq 1 300); sleep 60",
            {"max_shared_files": 200},
            196,
            "more than 200 files",
            id="makes-many-files",
            marks=pytest.mark.wrapper_features("max_shared_files"),
        ),
    ],
)
def test_a_failing_guest_is_told(
    volunteer: Client, vm_app: InstallVmApp, command: str, options: dict[str, object], exit_status: int, words: str
) -> None:
    job = vm_app(**options).submit(command)

    job.wait_for(JobState.ERROR, within=VM_DEADLINE)

    assert job.result.exit_status == exit_status
    assert words in str(job.result.record["stderr_out"])
    assert not volunteer.virtualbox.leftovers()


@pytest.mark.wrapper_features("guest_log_limit_mb")
def test_a_guest_that_floods_its_log_ends_within_its_limits(volunteer: Client, vm_app: InstallVmApp) -> None:
    lines, length = 12_000, 100
    job = vm_app(guest_log_limit_mb=0.5).submit(f"yes $(head -c {length} /dev/zero | tr '\\0' x) | head -n {lines}", log=True)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    kept = job.output(GUEST_LOG)
    assert len(kept) <= 0.5 * 2**20 + 200
    assert b"is not kept" in kept.splitlines()[-1]
    stderr = str(job.result.record["stderr_out"])
    assert len(stderr) < 64 << 10
    assert "of the guest's log are left out here" in stderr


def test_the_job_duration_ends_a_job_with_success(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(job_duration=10).submit("sleep 3600")

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert job.result.exit_status == 0
    assert not volunteer.virtualbox.leftovers()
