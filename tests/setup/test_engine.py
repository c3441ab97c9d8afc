"""Finding the engine, addresses in both modes with a fake container, and what the engine's refusals mean."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest
import requests.exceptions

from harness import dockerhttp, engine
from harness.errors import EngineUnavailable, HarnessError, PortTaken, UsageError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "BOINC_HARNESS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))


class FakeContainer:
    """A container as far as `address` looks at it; `reload` counts."""

    name = "server"

    def __init__(self, networks: dict[str, str], ports: dict[str, str] | None = None, *, late: bool = False) -> None:
        bindings = {port: [{"HostIp": "127.0.0.1", "HostPort": number}] for port, number in (ports or {}).items()}
        settings = {"Networks": {n: {"IPAddress": a} for n, a in networks.items()}, "Ports": bindings}
        self._settled = {"State": {"Status": "running"}, "NetworkSettings": settings}
        self.attrs: dict[str, Any] = {} if late else self._settled
        self.reloads = 0

    def reload(self) -> None:
        self.reloads += 1
        self.attrs = self._settled


def _address(container: FakeContainer, port: int, network: str | None = None) -> engine.Address:
    return engine.address(cast("Any", container), port, network=network)


def test_bridge_mode_takes_the_address_on_the_named_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_HARNESS_ADDRESS", "bridge")
    container = FakeContainer({"control": "172.18.0.2", "volunteers": "172.19.0.2"})
    assert _address(container, 8081, "volunteers") == ("172.19.0.2", 8081)
    assert _address(container, 8081) == ("172.18.0.2", 8081)
    assert container.reloads == 0
    assert engine.publish([80, 8081]) == {}


def test_published_mode_takes_the_port_that_the_engine_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_HARNESS_ADDRESS", "published")
    assert engine.publish([8081]) == {"8081/tcp": ("127.0.0.1", 0)}
    assert _address(FakeContainer({"control": "172.18.0.2"}, {"8081/tcp": "49153"}), 8081, "control") == ("127.0.0.1", 49153)
    monkeypatch.setenv("DOCKER_HOST", "ssh://root@far.example:22")
    assert _address(FakeContainer({"control": "172.18.0.2"}, {"8081/tcp": "49153"}), 8081) == ("far.example", 49153)
    assert engine.publish([8081]) == {"8081/tcp": ("0.0.0.0", 0)}


def test_an_address_that_was_not_there_at_first_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_HARNESS_ADDRESS", "bridge")
    container = FakeContainer({"control": "172.18.0.2"}, late=True)
    assert _address(container, 80) == ("172.18.0.2", 80)
    assert container.reloads == 1


@pytest.mark.parametrize("mode", ["bridge", "published"])
def test_a_container_without_an_address_is_an_error_with_its_name(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_HARNESS_ADDRESS", mode)
    with pytest.raises(HarnessError, match=r"port 80 of a container cannot be reached: server \(running\)"):
        _address(FakeContainer({"control": ""}), 80, "control")


def test_a_wrong_address_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC_HARNESS_ADDRESS", "magic")
    with pytest.raises(UsageError, match="bridge or published"):
        engine.is_local()


def test_the_engine_is_found_by_variable_then_context_then_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.host().startswith("unix://")
    meta = tmp_path / "config" / "contexts" / "meta" / "abc"
    meta.mkdir(parents=True)
    (tmp_path / "config" / "config.json").write_text('{"currentContext": "far"}', encoding="utf-8")
    (meta / "meta.json").write_text('{"Name": "far", "Endpoints": {"docker": {"Host": "ssh://far.example"}}}', encoding="utf-8")
    assert engine.host() == "ssh://far.example"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engine.host().startswith("unix://")
    monkeypatch.setenv("DOCKER_HOST", "tcp://near.example:2375")
    assert engine.host() == "tcp://near.example:2375"


def test_a_broken_client_configuration_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text("{not json", encoding="utf-8")
    assert engine.host().startswith("unix://")


Answer = Callable[[str], tuple[int, object]]


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """An HTTP server that plays the engine; call the fixture with a function from path to (status, JSON)."""
    servers: list[HTTPServer] = []

    def start(answer: Answer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer(self.path)
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_engine_that_answers_is_available(fake_engine: Callable[[Answer], None]) -> None:
    fake_engine(lambda path: (200, "OK") if path == "/_ping" else (404, ""))
    engine.ping()
    assert engine.main(["--quiet"]) == 0


def test_an_engine_that_answers_with_an_error_is_not(fake_engine: Callable[[Answer], None]) -> None:
    fake_engine(lambda _: (503, "starting"))
    with pytest.raises(EngineUnavailable, match="HTTP 503"):
        engine.ping()


def test_the_images_of_the_engine_are_listed_even_those_without_a_tag(fake_engine: Callable[[Answer], None]) -> None:
    fake_engine(lambda _: (200, [{"RepoTags": ["a:1", "a:2"]}, {"RepoTags": None}, {}]))
    assert dockerhttp.image_tags(engine.host(), "a") == {"a:1", "a:2"}


def test_an_engine_that_talks_nonsense_is_an_error(fake_engine: Callable[[Answer], None]) -> None:
    fake_engine(lambda _: (500, {"message": "broken"}))
    with pytest.raises(EngineUnavailable, match="HTTP 500"):
        dockerhttp.image_tags(engine.host(), "a")


def test_no_engine_at_all_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnavailable, match="no container engine answers") as caught:
        engine.ping()
    assert "./run" in caught.value.remedy
    assert engine.main([]) == 69
    assert "none.sock" in capsys.readouterr().err


def test_a_user_who_may_not_use_the_engine_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> tuple[int, bytes]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(dockerhttp, "get", refuse)
    with pytest.raises(EngineUnavailable, match="may not use the container engine") as caught:
        engine.connect()
    assert "docker" in caught.value.remedy


def test_an_engine_that_accepts_and_says_nothing_does_not_hold_anybody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with pytest.raises(EngineUnavailable, match="timed out"):
            engine.ping(timeout=0.2)


def _refusal(text: str) -> docker.errors.APIError:
    return docker.errors.APIError("500 Server Error", explanation=text)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (requests.exceptions.ConnectionError("Connection aborted"), EngineUnavailable, ["stopped answering while doing it", "./run"]),
        (requests.exceptions.ReadTimeout("Read timed out"), EngineUnavailable, ["stopped answering while doing it"]),
        (ConnectionResetError("reset"), EngineUnavailable, ["stopped answering"]),
        (docker.errors.DockerException("Error while fetching server API version"), EngineUnavailable, ["doing it"]),
        (_refusal("Bind for 127.0.0.1:8080 failed: port is already allocated"), PortTaken, ["8080", "doing it", "another port"]),
        (_refusal("listen tcp4 0.0.0.0:80: bind: address already in use"), PortTaken, ["0.0.0.0:80"]),
        (_refusal("write /var/lib/docker: no space left on device"), HarnessError, ["disk is full", "doing it", "docker system df"]),
        (_refusal("could not find an available, non-overlapping IPv4 address pool"), HarnessError, ["network", "harness sweep"]),
    ],
)
def test_what_goes_wrong_in_the_engine_is_named_with_its_remedy(error: Exception, kind: type[HarnessError], words: list[str]) -> None:
    with pytest.raises(kind) as caught, engine.guard("doing it"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("error", [docker.errors.NotFound("no such container"), _refusal("conflict"), ValueError("ours"), KeyError("k")])
def test_errors_that_only_a_program_understands_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, engine.guard("doing it"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("version", "numbers"), [("26.1.5+dfsg1", (26, 1, 5)), ("20.10.24", (20, 10, 24)), ("28.0.0-rc.1", (28, 0, 0)), ("", ())]
)
def test_engine_versions_compare_as_numbers(version: str, numbers: tuple[int, ...]) -> None:
    found = SimpleNamespace(version=version)
    assert engine.Capabilities.version_tuple.fget(found) == numbers  # type: ignore[attr-defined]
