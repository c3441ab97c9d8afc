"""A command in a container, from an image that came through BOINC's own file transfer."""

from collections.abc import Callable

from harness import JobState
from harness.client import Client
from harness.oci import Image

from .conftest import WITHIN, Containers


def test_hello(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    job = containers.submit(image("base"))

    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"hello from a container\n"
    assert job.output("stderr") == b""
    assert "hello from a container" in job.result.stderr, "what the volunteer sees while it runs"
    assert volunteer.podman.containers() == []
    assert volunteer.podman.images() == [image("base").id.removeprefix("sha256:")], "it stays for the next job"
