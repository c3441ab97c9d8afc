"""One job, one output: with podman, with docker, in a virtual machine."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest

from harness import JobState
from harness.jobs import Job
from harness.oci import Image
from harness.oci.versions import Where
from harness.stack import Stack

from .conftest import INVENTORY, VM_WITHIN, WITHIN, Containers, of_the_image

SCRIPT = """
    id; pwd; echo "$GREETING, $ODD"; cat /number /folder/* /two /odd/link /odd/private/file /odd/number; test -u /one && echo setuid
    tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' '
    tr a-z A-Z < /shared/in.txt > /shared/out.txt
    mkdir -p /shared/results/deep && echo x > /shared/results/deep/x && chmod 755 /shared/results/deep/x && echo y > /shared/results/y
    printf 'no newline' >&2
"""
SAID = b"good day, a'b\"c;d @HOME@\n2\nnew\nlinked\ndeep\nmine\n2\nsetuid\nlo\n"
#: what a host has for it -> where its jobs run, seconds for one
ENGINES: Mapping[str, tuple[Where, float]] = {"podman": ("native", WITHIN), "docker": ("native", WITHIN), "vbox": ("vm", VM_WITHIN)}


class Jobs(NamedTuple):
    words: Job  #: SCRIPT, in an image with a user, a working directory, an entrypoint and odd files
    files: Job  #: INVENTORY of that image
    elsewhere: Job  #: another user and another working directory, of the job's own
    failing: Job

    @classmethod
    def submit(cls, where: Containers, image: Callable[[str], Image]) -> "Jobs":
        odd, base = image("odd"), image("base")
        environment, once = {"ODD": "a'b\"c;d @HOME@"}, {"max_error_results": 1, "max_total_results": 1}
        look = "id -u; id -g; pwd; touch /shared/mine && stat -c %u /shared/mine; echo x > /shared/results.txt"
        return cls(
            where.submit(odd, SCRIPT, inputs={"in.txt": b"from a file\n"}, environment=environment, outputs=["out.txt"]),
            where.submit(odd, *INVENTORY, user="root", entrypoint=[]),
            where.submit(base, "sh", "-c", look, user="2000:3000", workdir="/etc", outputs=["results.txt"]),
            where.submit(base, "sh", "-c", "echo before; echo why >&2; exit 7", options=once),
        )


@pytest.fixture
def engines(on_docker: bool) -> list[str]:
    """Those that this run has."""
    return ["podman", "vbox", *(["docker"] if on_docker else [])]


@pytest.mark.timeout(900)
@pytest.mark.container_features("whiteouts", "users", "results")
def test_the_same_jobs_have_the_same_outputs(stack: Stack, engines: list[str], image: Callable[[str], Image]) -> None:
    made = {}
    for engine in engines:
        where, within = ENGINES[engine]
        jobs = Jobs.submit(Containers(stack, where), image)
        host = stack.client(engine, podman=engine == "podman", docker=engine == "docker", vbox=engine == "vbox", attach=True)
        for job in jobs[:3]:
            job.wait_for(JobState.VALIDATED, within=within)
        jobs.failing.wait_for(JobState.ERROR, within=within)
        host.stop()
        made[engine] = jobs

    hosts = [{job.result.record["hostid"] for job in jobs} for jobs in made.values()]
    assert hosts == [{number + 1} for number in range(len(engines))], "each host ran its own"
    first = made["podman"]
    assert SAID in first.words.output("stdout")
    assert first.elsewhere.output("stdout") == b"2000\n3000\n/etc\n2000\n"
    for engine, jobs in made.items():
        for name in ("stdout", "stderr", "shared/out.txt", "shared/results.tgz"):
            assert jobs.words.output(name) == first.words.output(name), f"{name} with {engine}"
        for name in ("stdout", "shared/results.txt"):
            assert jobs.elsewhere.output(name) == first.elsewhere.output(name), f"{name} with {engine}"
        found = of_the_image(jobs.files.output("stdout"))
        assert found == of_the_image(first.files.output("stdout")), engine
        assert len(found) > 250
        assert jobs.failing.result.exit_status == 7, engine
        assert all(word in jobs.failing.result.stderr for word in ("before", "why")), engine
