"""What a host with a running virtual machine may do: nothing that an ordinary user may not."""

import pytest

from harness import JobState
from harness.client import Client
from harness.stack import Stack

from .conftest import VM_DEADLINE, InstallVmApp

#: of every process: its name, user, capabilities, and what the kernel keeps from it
STATUS = (
    "for p in /proc/[0-9]*; do awk -v ORS=' ' '/^(Name|Uid|Cap...|NoNewPrivs|Seccomp):/ {print $1 $2}' $p/status 2>/dev/null && echo; done"
)


@pytest.mark.timeout(300)
def test_no_process_of_the_host_has_a_privilege(stack: Stack, volunteer: Client, vm_app: InstallVmApp) -> None:
    job = vm_app().submit("sleep 3600")
    volunteer.vm(job, within=VM_DEADLINE).wait_state("running", within=VM_DEADLINE)

    found = [
        dict(word.split(":", 1) for word in line.split()) for line in volunteer.exec(["sh", "-c", STATUS]).splitlines() if line.strip()
    ]
    devices = volunteer.exec(["sh", "-c", "ls /dev | grep -i -e vbox -e kvm || true"])
    volunteer.abort(stack.project, job.result.name)

    assert {"boinc", "VBoxSVC", "VBoxHeadless"} <= {process["Name"] for process in found}
    for process in found:
        name = process.pop("Name")
        assert process.pop("Uid") == str(Client.USER_ID), name
        assert process.pop("NoNewPrivs") == "1", name
        assert process.pop("Seccomp") == "2", name
        assert set(process.values()) == {"0000000000000000"}, f"{name}: {process}"
        assert len(process) == 5, "inheritable, permitted, effective, bounding and ambient capabilities"
    assert devices == ""
    job.wait_for(JobState.ERROR, within=VM_DEADLINE)
