"""What a job in a container gets, and what becomes of what it does."""

import io
import tarfile
from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.jobs import Outcome
from harness.oci import Image

from .conftest import WITHIN, Containers


@pytest.mark.container_features("results")
def test_inputs_outputs_and_surroundings(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    script = """
        tr a-z A-Z < /root/shared/in.txt > /root/shared/out.txt
        mkdir -p /root/shared/results/deep
        pwd > /root/shared/results/deep/pwd
        printf '%s\\n' "$GREETING" "$ODD" "$0" > /root/shared/results/words
        echo loud >&2
        tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' '
    """
    job = containers.submit(
        image("base"),
        "-c",
        script,
        "$0 is 'quoted'; $(never run)",
        inputs={"in.txt": b"from a file\n"},
        entrypoint=["/bin/sh"],
        environment={"GREETING": "good day", "ODD": "a'b\"c;d"},
        workdir="/etc",
        outputs=["out.txt"],
    )

    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("shared/out.txt") == b"FROM A FILE\n"
    assert job.output("stderr") == b"loud\n"
    assert job.output("stdout") == b"lo\n", "there is no network but the container's own loopback"
    with tarfile.open(fileobj=io.BytesIO(job.output("shared/results.tgz"))) as results:
        words, place = (results.extractfile(f"results/{name}") for name in ("words", "deep/pwd"))
        assert words is not None
        assert place is not None
        assert words.read() == b"good day\na'b\"c;d\n$0 is 'quoted'; $(never run)\n"
        assert place.read() == b"/etc\n"


@pytest.mark.container_features("users", "results")
def test_a_user_without_rights_writes_results(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    script = "id -u; mkdir -p /shared/results/mine && echo x > /shared/results/mine/x; chmod 700 /shared/results"
    job = containers.submit(image("base"), "sh", "-c", script, user="1000")

    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"1000\n"
    assert len(job.output("shared/results.tgz")) > 0
    assert volunteer.files("slots") == [], "also what another user wrote is gone"


@pytest.mark.container_features("shown", "missing_outputs")
def test_a_failing_command_is_a_failed_task_that_says_it(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    once = {"max_error_results": 1, "max_total_results": 1}
    failing = containers.submit(image("base"), "sh", "-c", "echo before; exit 7", options=once)
    missing = containers.submit(image("base"), "no-such-program", options=once)
    without_output = containers.submit(image("base"), "true", outputs=["result.dat"], options=once)

    for job in (failing, missing, without_output):
        job.wait_for(JobState.ERROR, within=WITHIN)

    assert {result.outcome for result in failing.results()} == {Outcome.CLIENT_ERROR}
    assert {result.exit_status for result in failing.results()} == {7}
    assert "before" in failing.result.stderr
    assert {result.exit_status for result in missing.results()} == {127}
    assert "no-such-program" in missing.result.stderr
    assert "the command wrote no result.dat" in without_output.result.stderr
    assert volunteer.container_engine.containers() == []


@pytest.mark.container_features("memory")
def test_too_much_memory(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    hungry = "x=0123456789abcdef; while :; do x=$x$x; [ ${#x} -gt 200000000 ] && sleep 100; done"
    job = containers.submit(image("base"), "sh", "-c", hungry, memory_bytes=64e6)

    job.wait_for(JobState.REPORTED, within=WITHIN)

    assert job.results()[0].exit_status == 198, "EXIT_MEM_LIMIT_EXCEEDED"
    assert volunteer.container_engine.containers() == []
