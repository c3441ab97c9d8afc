"""Running a command in a container, against an engine that is made up."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from harness import containers

FRAMES = b"\x01\0\0\0\0\0\0\x06first\n" + b"\x02\0\0\0\0\0\0\x07second\n" + b"\x01\0\0\0\0\0\0\x00"


class Engine(http.server.BaseHTTPRequestHandler):
    """Sends the head of an answer and all that a command printed at once, as an engine does whose client is slow to read."""

    asked: dict[str, object]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/containers/c0ffee/exec"):
            type(self).asked = body
            self.answer(b'{"Id": "4711"}', "application/json")
        elif self.asked["Cmd"] == ["missing"]:
            self.answer(b'{"message": "container c0ffee is not running"}', "application/json", status=409)
        else:
            self.answer(FRAMES, "application/vnd.docker.multiplexed-stream")

    def do_GET(self) -> None:
        assert self.path.endswith("/exec/4711/json")
        self.answer(b'{"ExitCode": 3}', "application/json")

    def answer(self, content: bytes, kind: str, status: int = 200) -> None:
        self.wfile.write(f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode() + content)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def container() -> Iterator[Container]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{server.server_port}", version="1.43")
        yield client.containers.prepare_model({"Id": "c0ffee"})
        client.close()
        server.shutdown()
        thread.join()


def test_what_comes_with_the_head_of_the_answer_is_not_lost(container: Container) -> None:
    done = containers.execute(container, ["cat", "file"], user="boinc", workdir="/x", environment={"A": "b"})
    assert done == (3, b"first\nsecond\n")
    assert done.text == "first\nsecond\n"
    asked = {name: Engine.asked[name] for name in ("Cmd", "User", "WorkingDir", "Env")}
    assert asked == {"Cmd": ["cat", "file"], "User": "boinc", "WorkingDir": "/x", "Env": ["A=b"]}


def test_a_container_that_does_not_run_is_told(container: Container) -> None:
    with pytest.raises(docker.errors.APIError, match="is not running"):
        containers.execute(container, ["missing"])
