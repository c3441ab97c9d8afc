"""Jobs that run in a container engine or in a virtual machine, whichever a volunteer has; and volunteers who have neither."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.oci import Image
from harness.stack import Stack

from .conftest import VM_WITHIN, WITHIN, Containers


def test_a_host_with_neither_gets_no_task_and_hears_why(stack: Stack, image: Callable[[str], Image]) -> None:
    job = Containers(stack, "either").submit(image("base"))
    plain = stack.client("plain", attach=True)

    plain.wait_message("VirtualBox is not installed", within=WITHIN)

    assert any("VirtualBox is not installed" in notice.description for notice in plain.rpc().get_notices(0))
    assert [result.record["hostid"] for result in job.results()] == [0], "nobody has it"


@pytest.mark.timeout(600)
def test_each_volunteer_runs_it_with_what_it_has(stack: Stack, image: Callable[[str], Image]) -> None:
    anywhere = Containers(stack, "either")
    podman = stack.client("podman", podman=True, attach=True)
    first = anywhere.submit(image("base"))
    first.wait_for(JobState.VALIDATED, within=WITHIN)
    podman.stop()
    stack.client("vbox", vbox=True, attach=True)
    second = anywhere.submit(image("base"))
    second.wait_for(JobState.VALIDATED, within=VM_WITHIN)

    assert [job.output("stdout") for job in (first, second)] == [b"hello from a container\n"] * 2
    assert [job.result.record["hostid"] for job in (first, second)] == [1, 2]
