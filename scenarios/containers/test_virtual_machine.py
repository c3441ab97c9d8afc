"""Container jobs in a virtual machine: the same jobs, the same outputs, on hosts that have VirtualBox and no container engine."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.oci import Image
from harness.oci.image import physical_name
from harness.stack import Stack

from .conftest import VM_MEMORY, VM_WITHIN, Containers

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def machines(stack: Stack) -> Containers:
    """Jobs that run in virtual machines."""
    return Containers(stack, "vm")


@pytest.fixture
def host(stack: Stack, machines: Containers) -> Client:
    """A host with VirtualBox, attached to the project."""
    return stack.client("vbox", vbox=True, attach=True)


def test_the_second_job_finds_the_layers_on_the_disk(machines: Containers, host: Client, image: Callable[[str], Image]) -> None:
    first = machines.submit(image("tool1"), "cat", "/version")
    first.wait_for(JobState.VALIDATED, within=VM_WITHIN)
    before = machines.downloads()
    second = machines.submit(image("tool1"), "cat", "/version")
    second.wait_for(JobState.VALIDATED, within=VM_WITHIN)

    assert [job.output("stdout") for job in (first, second)] == [b"first\n"] * 2
    assert "made ready for the guest" in first.result.stderr
    assert "all layers are on the disk from earlier jobs" in second.result.stderr
    assert machines.downloads() == before, "nothing of the image was sent again"
    assert not host.virtualbox.leftovers()


def test_how_jobs_fail_and_what_memory_they_have(machines: Containers, host: Client, image: Callable[[str], Image]) -> None:
    """The machine has 64 MB more than the job: that is enough for a job which needs all of its own."""
    once = {"max_error_results": 1, "max_total_results": 1}
    base = image("base")
    most = VM_MEMORY // 2**20 - 2
    fill = f"dd if=/dev/zero of=/dev/shm/all bs=1M count={most} 2> /dev/null && stat -c %s /dev/shm/all"
    fitting = machines.submit(base, "sh", "-c", fill)
    too_much = machines.submit(base, "sh", "-c", f"{fill}; dd if=/dev/zero of=/dev/more bs=1M count=10", options=once)
    failing = machines.submit(base, "sh", "-c", "echo before; exit 7", options=once)
    missing = machines.submit(base, "no-such-program", options=once)
    without_output = machines.submit(base, "true", outputs=["result.dat"], options=once)
    jobs = (failing, missing, too_much, without_output)

    fitting.wait_for(JobState.VALIDATED, within=VM_WITHIN)
    for job in jobs:
        job.wait_for(JobState.ERROR, within=VM_WITHIN)

    assert fitting.output("stdout") == f"{most * 2**20}\n".encode()
    assert [job.result.exit_status for job in jobs] == [7, 127, 198, 195]
    assert "before" in failing.result.stderr
    assert "no-such-program" in missing.result.stderr
    assert "used more memory than the job may" in too_much.result.stderr
    assert "the command wrote no result.dat" in without_output.result.stderr


def test_a_damaged_layer_is_fetched_again(machines: Containers, host: Client, image: Callable[[str], Image]) -> None:
    layer = physical_name(image("tool1").layers[-1].digest)
    job = machines.submit(image("tool1"), "cat", "/version")
    job.wait_for(JobState.VALIDATED, within=VM_WITHIN)
    assert machines.downloads().count(layer) == 1
    folder = next(name for name in host.exec("ls projects").split() if name.startswith("boinc.test"))
    host.exec(["sh", "-c", f"printf x | dd of=projects/{folder}/{layer} bs=1 seek=40 conv=notrunc && rm -r projects/{folder}/vm_disks"])

    again = machines.submit(image("tool1"), "cat", "/version")
    again.wait_for(JobState.VALIDATED, within=VM_WITHIN)

    assert again.output("stdout") == b"first\n"
    assert machines.downloads().count(layer) == 2
    assert len(again.results()) == 2, "one try found the damage, the next one had the layer"
