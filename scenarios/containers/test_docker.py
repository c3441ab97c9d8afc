"""Docker outside of the client's container: what its containers may, and clients that share the engine."""

from collections.abc import Callable

import pytest

from harness import JobState
from harness.client import Client
from harness.oci import Image
from harness.stack import Stack
from harness.waiting import wait_until

from .conftest import WITHIN, Containers

pytestmark = [pytest.mark.usefixtures("docker_too"), pytest.mark.container_features("outside_engine")]

#: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP: what podman gives
CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 31
RUNNING = "echo up > /shared/up; while [ ! -e /shared/stop ]; do sleep 0.1; done; echo done"


def test_a_container_gets_neither_the_socket_nor_rights(containers: Containers, volunteer: Client, image: Callable[[str], Image]) -> None:
    look = """
        for name in CapEff CapBnd NoNewPrivs Seccomp; do grep "^$name:" /proc/self/status | tr -d '\\t'; done
        cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2> /dev/null
        find / -xdev -name '*.sock'
        if mknod /device c 1 3 2> /dev/null; then echo device; fi
    """
    job = containers.submit(image("base"), "sh", "-c", look, user="root")

    job.wait_for(JobState.VALIDATED, within=WITHIN)

    mask = f"{CAPABILITIES:016x}"
    assert job.output("stdout").decode().split() == [f"CapEff:{mask}", f"CapBnd:{mask}", "NoNewPrivs:1", "Seccomp:2", "2048"]


def test_what_another_boinc_has_on_the_engine_stays(stack: Stack) -> None:
    """At its start the client removes what looks left over of docker_wrapper's, unless it knows that it is not alone."""
    first = stack.client("first", docker=True)
    engine = first.container_engine
    name = f"boinc__{first.container_name}__job_0"
    engine.run("create", *engine.run_options, "--network", "none", "--name", name, first.image)

    second = stack.client("second", docker=True)
    second.wait_message("This computer is not attached to any projects")  # it cleans up before that

    assert engine.containers() == [name]


@pytest.mark.time_rate(5)
def test_a_second_client_on_the_engine_is_not_harmed(stack: Stack, containers: Containers, image: Callable[[str], Image]) -> None:
    """https://github.com/BOINC/boinc/issues/7020, between two clients in containers with the same paths."""
    once = {"max_error_results": 1, "max_total_results": 1}
    first = stack.client("first", docker=True, attach=True)
    lasting = containers.submit(image("base"), "sh", "-c", RUNNING)
    wait_until(lambda: first.exec("cat slots/0/shared/up", check=False).strip() == "up", "the first client's job running", within=WITHIN)
    first.rpc().project_nomorework(stack.project.master_url)
    running = first.container_engine.containers()
    second = stack.client("second", docker=True, attach=True)
    aborted = containers.submit(image("base"), "sh", "-c", RUNNING, options=once)
    wait_until(lambda: len(second.container_engine.containers()) == 1, "the second client's job beside it", within=WITHIN, every=0.1)

    second.abort(stack.project, aborted.result.name)
    aborted.wait_for(JobState.REPORTED, within=WITHIN)
    second.restart()
    containers.submit(image("tool1"), "cat", "/version").wait_for(JobState.VALIDATED, within=WITHIN)

    assert second.container_engine.containers() == []
    assert first.container_engine.containers() == running
    assert first.container_engine.states() == ["running"]
    assert first.container_engine.images() == [image("base").id.removeprefix("sha256:")]
    first.exec("touch slots/0/shared/stop")
    lasting.wait_for(JobState.VALIDATED, within=WITHIN)
    assert lasting.output("stdout") == b"done\n"
    assert len(lasting.results()) == 1


@pytest.mark.time_rate(1)
def test_a_client_that_is_killed_finds_its_container_again(
    stack: Stack, containers: Containers, volunteer: Client, image: Callable[[str], Image]
) -> None:
    job = containers.submit(image("base"), "sh", "-c", "rm -f /shared/up; " + RUNNING, user="root")
    wait_until(lambda: volunteer.exec("cat slots/0/shared/up", check=False).strip() == "up", "the job running", within=WITHIN)
    volunteer.wait_saved(job, within=WITHIN)
    before = volunteer.container_engine.run("ps", "--quiet", *volunteer.container_engine.own)

    volunteer.kill()
    volunteer.start_again()
    wait_until(
        lambda: volunteer.container_engine.run("ps", "--quiet", *volunteer.container_engine.own) not in ("", before),
        "another container in its place",
        within=WITHIN,
        every=0.2,
    )
    assert len(volunteer.container_engine.containers()) == 1, "the one that the killed client left on the engine is gone"
    volunteer.exec("touch slots/0/shared/stop")
    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"done\n"
    assert volunteer.files("slots") == [], "what root wrote in two containers is gone, too"
