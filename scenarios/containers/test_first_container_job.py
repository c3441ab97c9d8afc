"""A command in a container, from an image that came through BOINC's own file transfer."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.oci import Image

from .conftest import WITHIN, Containers


@pytest.mark.container_features("kept_images")
def test_hello(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    job = containers.submit(image("base"))

    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"hello from a container\n"
    assert job.output("stderr") == b""
    assert "hello from a container" in job.result.stderr, "what the volunteer sees while it runs"
    assert volunteer.container_engine.containers() == []
    assert volunteer.container_engine.images() == [image("base").id.removeprefix("sha256:")], "it stays for the next job"
