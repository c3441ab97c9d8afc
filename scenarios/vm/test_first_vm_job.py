"""A job in a virtual machine, from submission to the validated result."""

from harness import JobState
from harness.stack import Stack

from .conftest import VM_DEADLINE, InstallVmApp


def test_input_and_output_pass_through_the_shared_folder(stack: Stack, vm_app: InstallVmApp) -> None:
    job = vm_app().submit("tr a-z A-Z < in > out", input=b"hello from a guest\n")
    client = stack.client(vbox=True, attach=True)

    job.wait_for(JobState.VALIDATED, within=VM_DEADLINE)

    assert job.output("shared/out") == b"HELLO FROM A GUEST\n"
    assert job.result.exit_status == 0
    assert not client.virtualbox.leftovers()
