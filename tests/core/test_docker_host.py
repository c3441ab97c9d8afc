"""Docker on volunteers' hosts: never without the user's word, and only the engine that runs the clients."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from harness import docker_host, engine, labels
from harness.docker_host import DockerSocketRefused, NoDockerSocket
from harness.errors import UsageError
from harness.rig import Rig
from harness.stack import Stack


class OtherEngine(BaseHTTPRequestHandler):
    """As much of an engine as is needed to say that it is another one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"ID": "another", "ApiVersion": "1.45", "Version": "26.1"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def another_engine(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "docker.sock"
    with ThreadingUnixStreamServer(str(path), OtherEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


@pytest.mark.engine
def test_a_scenario_gets_no_socket_that_the_user_has_not_named() -> None:
    with Rig(name="docker-test") as rig, Stack(rig, "no_socket") as stack, pytest.raises(NoDockerSocket, match="--docker-socket PATH"):
        stack.client(docker=True)


@pytest.mark.engine
def test_the_engine_that_runs_the_clients_is_taken() -> None:
    if not engine.host().startswith("unix://"):
        pytest.skip(f"the engine is at {engine.host()}, which is no socket")
    path = Path(engine.host().removeprefix("unix://"))
    assert docker_host.check_socket(path) == path.stat().st_gid


@pytest.mark.engine
def test_another_engine_is_refused(another_engine: Path) -> None:
    with pytest.raises(DockerSocketRefused, match="the engine that runs the clients") as refused:
        docker_host.check_socket(another_engine)
    assert refused.value.socket == another_engine


def test_what_is_no_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DockerSocketRefused, match="a unix socket of a docker engine"):
        docker_host.check_socket(tmp_path)
    silent = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(silent))
    with pytest.raises(DockerSocketRefused, match="an engine that answers"):
        docker_host.check_socket(silent)


@pytest.mark.engine
@pytest.mark.parametrize("more", [{"podman": True}, {"vbox": True}, {"gui": True}, {"disk_mb": 10}])
def test_a_host_has_docker_or_something_else(more: dict[str, int]) -> None:
    with Rig(name="docker-test") as rig, Stack(rig, "too_much") as stack, pytest.raises(UsageError):
        stack.client(docker=True, **more)  # type: ignore[arg-type]  # the client's own options


def test_everything_of_a_clients_jobs_carries_the_labels_of_its_run() -> None:
    found = docker_host.environment("boinc-harness-x-s1-Host 1", keep=False)
    words = dict(word.split("=", 1) for word in found["BOINC_CONTAINER_LABELS"].replace("Host 1", "Host_1").split(" "))
    assert labels.owner_labels().items() <= words.items()
    assert docker_host.run_of(f"{found['BOINC_CONTAINER_IMAGES']}/key:tag") == labels.run_id()
    assert found["BOINC_CONTAINER_IMAGES"] == found["BOINC_CONTAINER_IMAGES"].lower()


@pytest.mark.parametrize(
    "name", ["boinc-harness/client:sid", "localhost/boinc/run/client/key:tag", "localhost/boinc-harness/x", "hello-world"]
)
def test_other_images_belong_to_no_run(name: str) -> None:
    assert docker_host.run_of(name) == ""
