"""An image's files on their way: cut off, shared between images, and an engine that others use as well."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.oci import Image
from harness.oci.image import physical_name
from harness.stack import Stack
from harness.waiting import wait_until

from .conftest import WITHIN, Containers


def test_a_download_that_is_cut_in_the_middle_of_a_layer_goes_on_from_there(
    stack: Stack, containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    layer = image("base").layers[0]
    name = physical_name(layer.digest)
    stack.faults.http("download", cut=layer.size // 4, name=name, times=2)
    job = containers.submit(image("base"))

    stack.fast_forward(job)

    asked = stack.history.find("http.exchange", endpoint="download")
    replies = [event.get("status") for event in asked if name in str(event.get("path"))]
    assert replies == [200, 206, 206], "twice cut, then the rest"
    assert job.output("stdout") == b"hello from a container\n"
    assert len(job.results()) == 1


@pytest.mark.container_features("whiteouts")
def test_two_images_with_one_base_send_it_once(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    for target in ("tool1", "layered"):
        containers.submit(image(target), "true").wait_for(JobState.VALIDATED, within=WITHIN)

    base = physical_name(image("base").layers[0].digest)
    assert containers.downloads().count(base) == 1
    assert {layer.digest for layer in image("tool1").layers} & {layer.digest for layer in image("layered").layers} == {
        image("base").layers[0].digest
    }


@pytest.mark.time_rate(5)
@pytest.mark.container_features("kept_images")
def test_what_others_run_on_the_same_engine_is_not_touched(
    stack: Stack, containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    """BOINC's own docker_wrapper of one client removes what another client runs (https://github.com/BOINC/boinc/issues/7020)."""
    containers.submit(image("tool1")).wait_for(JobState.VALIDATED, within=WITHIN)
    own = image("tool1").id.removeprefix("sha256:")
    others = (f"boinc__{stack.project.name}__result_0", f"boinc-{own[:16]}")
    engine = volunteer.container_engine
    theirs = f"{engine.image_folder}/0123456789abcdef:theirs"
    engine.run("tag", own, theirs)
    for name in others:
        label = ["--label", "org.boinc.slot=0123456789abcdef", "--label", "org.boinc.project=other"]
        engine.run("run", "--detach", "--network", "none", "--name", name, *engine.run_options, *label, own, "sleep", "1000")
    once = {"max_error_results": 1, "max_total_results": 1}
    job = containers.submit(image("base"), "sh", "-c", "sleep 1000", options=once)
    wait_until(lambda: len(engine.containers()) == 3, "our container beside theirs", within=WITHIN, every=0.2)

    volunteer.abort(stack.project, job.result.name)
    job.wait_for(JobState.REPORTED, within=WITHIN)
    containers.submit(image("base")).wait_for(JobState.VALIDATED, within=WITHIN)

    assert sorted(engine.containers()) == sorted(others)
    assert engine.states() == ["running"] * 2
    assert theirs in engine.run("images", "--format", "{{.Repository}}:{{.Tag}}")
    engine.remove(*others)
