"""What of an image goes over the wire: each layer once to each host, whatever jobs and images need it."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.oci import Image, Store, squash
from harness.oci.image import physical_name
from harness.waiting import wait_until

from .conftest import INVENTORY, WITHIN, Containers, of_the_image


def blobs_of(image: Image) -> set[str]:
    return {physical_name(digest) for digest in (image.id, image.manifest_digest, *(layer.digest for layer in image.layers))}


def test_ten_jobs_on_one_image_download_it_once(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    jobs = containers.submit_many(10, image("base"), ["echo", "one of ten"])

    for job in jobs:
        job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert {job.output("stdout") for job in jobs} == {b"one of ten\n"}
    assert sorted(containers.downloads()) == sorted(blobs_of(image("base"))), "each blob once"
    assert volunteer.container_engine.containers() == []


def test_a_new_version_of_an_image_sends_only_its_new_layers(
    containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    first = containers.submit(image("tool1"), "cat", "/version")
    first.wait_for(JobState.VALIDATED, within=WITHIN)
    before = containers.downloads()

    second = containers.submit(image("tool2"), "cat", "/version")
    second.wait_for(JobState.VALIDATED, within=WITHIN)
    third = containers.submit(image("tool2"), "echo", "nothing to fetch")
    third.wait_for(JobState.VALIDATED, within=WITHIN)

    assert (first.output("stdout"), second.output("stdout")) == (b"first\n", b"second\n")
    assert set(before) == blobs_of(image("tool1"))
    assert set(containers.downloads()[len(before) :]) == blobs_of(image("tool2")) - blobs_of(image("tool1"))
    assert len(containers.downloads()) == len(set(containers.downloads()))
    known = {found.name.rpartition("/")[2].partition(":")[0]: found for found in containers.work.images()}
    assert known["test-tool2"].jobs == 2
    assert known["test-tool1"].shared == sum(layer.size for layer in image("tool1").layers)


@pytest.mark.container_features("whiteouts", "users")
def test_a_squashed_image_runs_as_the_original(
    containers: Containers, volunteer: Client, image: Callable[[str], Image], store: Store
) -> None:
    squashed, savings = squash(image("layered"), image("base"), store)
    look = "id -u; pwd; cat /number /folder/* /two; test -u /one && echo setuid"
    both = (image("layered"), squashed)
    jobs = [containers.submit(one, *INVENTORY, user="root") for one in both]
    users = [containers.submit(one, "sh", "-c", look) for one in both]

    for job in (*jobs, *users):
        job.wait_for(JobState.VALIDATED, within=WITHIN)

    files = [of_the_image(job.output("stdout")) for job in jobs]
    assert files[0] == files[1]
    assert len(files[0]) > 250
    assert [job.output("stdout") for job in users] == [b"1000\n/tmp\n2\nnew\nlinked\nsetuid\n"] * 2
    assert len(squashed.layers) == len(image("base").layers) + 1
    assert savings.above_base_after < savings.above_base_before / 100, "the large file that was removed again is not sent"


@pytest.mark.container_features("fetch_again")
def test_a_damaged_layer_is_fetched_again(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    containers.submit(image("base")).wait_for(JobState.VALIDATED, within=WITHIN)
    shared = physical_name(image("base").layers[0].digest)
    folder = next(name for name in volunteer.exec("ls projects").split() if name.startswith("boinc.test"))
    path = f"projects/{folder}/{shared}"
    volunteer.exec(["sh", "-c", f"chmod u+w {path}; printf damaged | dd of={path} bs=1 seek=100 conv=notrunc"])

    job = containers.submit(image("tool1"), "cat", "/version")
    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"first\n"
    assert containers.downloads().count(shared) == 2
    assert len(job.results()) == 2, "one try found the damage, the next one had the layer"


@pytest.mark.container_features("kept_images")
def test_an_image_goes_when_the_client_has_deleted_its_files(
    containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    containers.submit(image("tool1")).wait_for(JobState.VALIDATED, within=WITHIN)
    first = image("tool1").id.removeprefix("sha256:")
    assert first in volunteer.container_engine.images()
    folder = next(name for name in volunteer.exec("ls projects").split() if name.startswith("boinc.test"))
    volunteer.exec(["rm", f"projects/{folder}/{physical_name(image('tool1').id)}"])

    containers.submit(image("base")).wait_for(JobState.VALIDATED, within=WITHIN)

    assert volunteer.container_engine.images() == [image("base").id.removeprefix("sha256:")]


def test_the_server_drops_layers_that_no_job_needs(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    done = containers.submit(image("tool1"))
    done.wait_for(JobState.ASSIMILATED, within=WITHIN)
    wait_until(lambda: done.workunit()["file_delete_state"] != 0, "its input files going", within=WITHIN, every=0.1)
    waiting = containers.submit(image("base"), "sh", "-c", "until [ -e /shared/go ]; do sleep 0.1; done")
    waiting.wait_for(JobState.SENT, within=WITHIN)

    gone = containers.work.collect_garbage()

    assert blobs_of(image("tool1")) - blobs_of(image("base")) == {name for name in gone if name.startswith("oci_")}
    again = containers.submit(image("tool1"), "cat", "/version")
    go = 'for folder in slots/*/shared; do touch "$folder/go" && echo told; done'
    wait_until(lambda: "told" in volunteer.exec(["sh", "-c", go], check=False), "the job waiting", within=WITHIN)
    again.wait_for(JobState.VALIDATED, within=WITHIN)
    assert again.output("stdout") == b"first\n"
    assert len(containers.downloads()) == len(set(containers.downloads())), "the volunteer had kept its own"
