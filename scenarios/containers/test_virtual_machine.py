"""Container jobs in a virtual machine: the same jobs, the same outputs, on hosts that have VirtualBox and no container engine."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.jobs import Job
from harness.oci import Image
from harness.oci.image import physical_name
from harness.stack import Stack

from .conftest import INVENTORY, VM_WITHIN, WITHIN, Containers, of_the_image

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


@pytest.mark.usefixtures("only_when_asked")
def test_the_same_jobs_have_the_same_outputs_as_with_podman(stack: Stack, image: Callable[[str], Image]) -> None:
    script = """
        id; pwd; echo "$GREETING, $ODD"; cat /number /folder/* /two /odd/link /odd/private/file /odd/number; test -u /one && echo setuid
        tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' '
        tr a-z A-Z < /shared/in.txt > /shared/out.txt
        mkdir -p /shared/results/deep && echo x > /shared/results/deep/x && chmod 755 /shared/results/deep/x && echo y > /shared/results/y
        printf 'no newline' >&2
    """

    def submit(where: Containers) -> tuple[Job, Job]:
        one = image("odd")
        odd = {"ODD": "a'b\"c;d @HOME@"}
        return (
            where.submit(one, script, inputs={"in.txt": b"from a file\n"}, environment=odd, outputs=["out.txt"]),
            where.submit(one, *INVENTORY, user="root", entrypoint=[]),
        )

    natively = submit(Containers(stack))
    stack.client("podman", podman=True, attach=True)
    for job in natively:
        job.wait_for(JobState.VALIDATED, within=WITHIN)
    inside = submit(Containers(stack, "vm"))
    stack.client("vbox", vbox=True, attach=True)
    for job in inside:
        job.wait_for(JobState.VALIDATED, within=VM_WITHIN)

    for name in ("stdout", "stderr", "shared/out.txt", "shared/results.tgz"):
        assert inside[0].output(name) == natively[0].output(name), name
    assert b"good day, a'b\"c;d @HOME@\n2\nnew\nlinked\ndeep\nmine\n2\nsetuid\nlo\n" in inside[0].output("stdout")
    files = [of_the_image(jobs[1].output("stdout")) for jobs in (natively, inside)]
    assert files[0] == files[1]
    assert len(files[0]) > 250


@pytest.mark.usefixtures("only_when_asked")
def test_how_jobs_fail(machines: Containers, host: Client, image: Callable[[str], Image]) -> None:
    once = {"max_error_results": 1, "max_total_results": 1}
    hungry = "x=0123456789abcdef; while :; do x=$x$x; done"
    base = image("base")
    failing = machines.submit(base, "sh", "-c", "echo before; exit 7", options=once)
    missing = machines.submit(base, "no-such-program", options=once)
    too_much = machines.submit(base, "sh", "-c", hungry, memory_bytes=16e6, options=once)
    without_output = machines.submit(base, "true", outputs=["result.dat"], options=once)
    jobs = (failing, missing, too_much, without_output)

    for job in jobs:
        job.wait_for(JobState.ERROR, within=VM_WITHIN)

    assert [job.result.exit_status for job in jobs] == [7, 127, 198, 195]
    assert "before" in failing.result.stderr
    assert "no-such-program" in missing.result.stderr
    assert "used more memory than the job may" in too_much.result.stderr
    assert "the command wrote no result.dat" in without_output.result.stderr


@pytest.mark.usefixtures("only_when_asked")
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
