"""Guests that fail, each in its own way."""

import pytest

from harness import JobState
from harness.client import Client

from .conftest import VM_DEADLINE, InstallVmApp

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("command", "options", "exit_status", "words"),
    [
        pytest.param("echo bye; exit 3", {}, 3, "exit code 3", id="exits-with-3"),
        pytest.param(
            "sleep 600",
            {"heartbeat_filename": "never", "minimum_heartbeat_interval": 30},
            195,
            "The guest hangs: it has not made its heartbeat file 'never'",
            id="hangs",
        ),
        pytest.param(
            "ln -s /etc/passwd x; echo nonsense > completion_trigger_file; sleep 60", {}, 195, "no exit code but 'nonsense'", id="fakes"
        ),
        pytest.param("touch $(seq 1 300); sleep 60", {"max_shared_files": 200}, 196, "more than 200 files", id="makes-many-files"),
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


def test_the_job_duration_ends_a_job_with_success(volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app(job_duration=20).submit("sleep 3600")

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert job.result.exit_status == 0
    assert not volunteer.virtualbox.leftovers()
