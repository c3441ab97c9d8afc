"""Known bugs of BOINC about container jobs; where they are docker_wrapper's, with the one that --docker-wrapper names."""

import pytest

from harness import JobState
from harness.client import Client
from harness.jobs import Job
from harness.oci import Image, Store, load
from harness.oci.samples import sample
from harness.oci.work import ContainerWork
from harness.stack import Stack
from harness.waiting import wait_until

WITHIN = 90.0
ONCE = {"max_error_results": 1, "max_total_results": 1}
#: a second BOINC client on the same host, with a folder and a port of its own
SECOND = "mkdir /tmp/second; setsid boinc --dir /tmp/second --gui_rpc_port 31999 {} > /tmp/second/log 2>&1 &"
only_newest = pytest.mark.client_versions("8.2", reason="clients know container engines from 8.2 on")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return load(sample("base"), Store(tmp_path_factory.mktemp("oci")))


@pytest.fixture
def work(stack: Stack, request: pytest.FixtureRequest) -> ContainerWork:
    """Container jobs that docker_wrapper runs."""
    if not request.config.getoption("--docker-wrapper"):
        pytest.skip("BOINC's docker_wrapper was not given (--docker-wrapper PATH)")
    return ContainerWork.install(stack.server.control, stack.project.name, plug=stack.rig.docker_wrapper)


def submit(stack: Stack, work: ContainerWork, image: Image, script: str) -> Job:
    made = work.submit(image, ["sh", "-c", script], options=ONCE)
    return Job(stack.project, *made.workunits[0], work.app)


def wait_shared(client: Client, name: str) -> None:
    wait_until(lambda: client.exec(["sh", "-c", f"cat slots/*/shared/{name}"], check=False).strip() == "up", f"{name} there", within=WITHIN)


@pytest.mark.issue(6196)
@pytest.mark.time_rate(1)
@only_newest
def test_a_finished_job_leaves_no_image(stack: Stack, work: ContainerWork, image: Image, client_version: object) -> None:
    client = stack.client(podman=True, attach=True)
    submit(stack, work, image, "echo done").wait_for(JobState.VALIDATED, within=WITHIN)

    assert client.container_engine.containers() == []
    assert client.container_engine.images() == []


@pytest.mark.issue(6196)
@pytest.mark.time_rate(5)
@pytest.mark.invariant_off("task_states", "it ends with exit code 0 and no word, so that the client takes ABORTED for COMPUTE_ERROR")
@only_newest
def test_an_aborted_job_leaves_no_image(stack: Stack, work: ContainerWork, image: Image, client_version: object) -> None:
    client = stack.client(podman=True, attach=True)
    job = submit(stack, work, image, "echo up > /shared/up; sleep 1000")
    wait_shared(client, "up")

    client.abort(stack.project, job.result.name)
    job.wait_for(JobState.REPORTED, within=WITHIN)
    # the client may report before the wrapper has ended
    wait_until(lambda: client.container_engine.containers() == [], "the container going", within=WITHIN, every=0.5)
    wait_until(lambda: client.container_engine.images() == [], "the image going", within=WITHIN, every=0.5)

    assert "aborted by user" in job.result.stderr


@pytest.mark.issue(6957)
@pytest.mark.known_failure("8.2", reason="it cannot pause a container that has ended, gives up, and is started to run it again")
@pytest.mark.time_rate(1)
@only_newest
def test_a_task_that_is_suspended_when_its_container_has_just_ended_runs_once(
    stack: Stack, work: ContainerWork, image: Image, client_version: object
) -> None:
    client = stack.client(podman=True, attach=True)
    client.set_preferences(leave_apps_in_memory=1)
    job = submit(stack, work, image, "sleep 3; echo start; cat /boinc/starts; echo again >> /boinc/starts; echo up > /shared/up")
    wait_shared(client, "up")
    wait_until(lambda: client.container_engine.states() == ["exited"], "the container's end", within=WITHIN, every=0.05)

    client.suspend(stack.project, job.result.name)
    # it looks for the container's end every ten seconds, and for the client's wishes every second
    wait_until(lambda: "command: pause" in client.exec("cat slots/0/stderr.txt", check=False), "an attempt to pause it", within=WITHIN)
    client.resume(stack.project, job.result.name)
    job.wait_for(JobState.VALIDATED, within=WITHIN)

    assert job.output("stdout") == b"start\n", "it was run a second time"


@pytest.mark.issue(7020)
@only_newest
@pytest.mark.parametrize(
    "option",
    [
        pytest.param("", id="alone", marks=pytest.mark.known_failure("8.2", reason="it takes them for left over of its own tasks")),
        pytest.param("--allow_multiple_clients", id="allow_multiple_clients"),
    ],
)
def test_a_second_client_spares_the_containers_of_the_first(stack: Stack, option: str, client_version: object) -> None:
    client = stack.client(podman=True)
    engine = client.container_engine
    engine.run("create", "--network", "none", "--name", "boinc__first.test__job_0", "localhost/hello-world")

    client.exec(["sh", "-c", SECOND.format(option)])
    # it cleans up before that
    wait_until(lambda: "Initialization completed" in client.exec("cat /tmp/second/log", check=False), "the second client", within=WITHIN)

    assert engine.containers() == ["boinc__first.test__job_0"]
