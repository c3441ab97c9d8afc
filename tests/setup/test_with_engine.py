"""What only a real engine can show."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import build, engine, images, labels, sweep
from harness.errors import EngineUnavailable, ImageBuildFailed, PortTaken
from harness.waiting import wait_until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def base() -> str:
    return images.ensure("base", "trixie")


OWNER = """
import sys, time
from harness import docker_host, engine, labels
name = "bh-test-" + labels.run_id()
network = engine.create_network(name)
client = engine.connect()
client.volumes.create(name, labels=labels.owner_labels())
client.containers.run(sys.argv[1], ["sleep", "600"], detach=True, network=name, name=name, labels=labels.owner_labels())
client.images.get(sys.argv[1]).tag(docker_host.image_folder(name) + "/0123456789abcdef", "job")
print(labels.run_id(), flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_left_behind_is_swept_and_not_before(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = uuid.uuid4().hex[:8]
    monkeypatch.setenv("BOINC_HARNESS_RUN", run)
    with subprocess.Popen([sys.executable, "-c", OWNER, base], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline().strip() == run
            assert not sweep.sweep(run=run)
            assert sorted(thing.kind for thing in sweep.left_by(run)) == ["container", "image", "network", "volume"]
        finally:
            owner.send_signal(signal.SIGKILL)
    found = sweep.sweep(run=run)
    assert (len(found.containers), len(found.networks), len(found.volumes), found.failed) == (1, 1, 1, {})
    assert len(found.removed["image"]) == 1
    assert base in images.present(), "only the job's own name of it is gone"
    assert sweep.left_by(run) == []


class Pipe:
    """A socket in front of the engine's, which can be taken away while somebody talks through it."""

    def __init__(self, path: Path, target: str) -> None:
        self.address = f"unix://{path}"
        self._path = path
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._open += [near, far]
                threading.Thread(target=self._copy, args=(near, far), daemon=True).start()

    @staticmethod
    def _copy(near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)

    def cut(self) -> None:
        """The engine stops: nobody listens, and open connections end."""
        self._path.unlink(missing_ok=True)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    real = engine.host()
    if not real.startswith("unix://"):
        pytest.skip(f"the engine is not behind a socket of this host but at {real}")
    found = Pipe(tmp_path / "engine.sock", real.removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_HOST", found.address)
    yield found
    found.cut()


def test_an_engine_that_stops_in_the_middle_is_named_with_what_was_being_done(pipe: Pipe) -> None:
    client = engine.connect()
    assert images.present()
    pipe.cut()
    with pytest.raises(EngineUnavailable, match="stopped answering while starting host1") as caught, engine.guard("starting host1"):
        client.containers.list()
    assert pipe.address in str(caught.value)
    assert caught.value.remedy
    with pytest.raises(EngineUnavailable):
        engine.connect()
    with pytest.raises(EngineUnavailable):
        engine.create_network("bh-test-never")


def test_an_engine_that_stops_during_a_build_is_named_with_the_image(base: str, pipe: Pipe, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nRUN : {uuid.uuid4()}; sleep 60\n", encoding="utf-8")
    threading.Timer(2.0, pipe.cut).start()
    tag = "boinc-harness/test-cut:0"
    with pytest.raises((EngineUnavailable, ImageBuildFailed), match=tag):
        build.build(tag, [("Dockerfile", tmp_path / "Dockerfile")], suite="trixie", args={"BASE": base}, within=40)


def test_a_port_that_is_taken_is_named(base: str) -> None:
    client = engine.connect()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        container = client.containers.create(base, ["sleep", "60"], ports={"80/tcp": ("127.0.0.1", port)}, labels=labels.owner_labels())
        try:
            with pytest.raises(PortTaken, match=str(port)), engine.guard("starting the server"):
                container.start()
        finally:
            container.remove(force=True)


GREETER = """
my $s = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die;
while (my $c = $s->accept) { print $c "hello\\n"; close $c }
"""


@pytest.mark.parametrize("mode", ["bridge", "published"])
def test_a_container_is_reached_at_the_address_that_is_given(base: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "bridge" and not engine.is_local():
        pytest.skip("the engine's networks are not this host's")
    monkeypatch.setenv("BOINC_HARNESS_ADDRESS", mode)
    client = engine.connect()
    network = engine.create_network(f"bh-test-{uuid.uuid4().hex[:8]}")
    container = client.containers.create(
        base,
        ["perl", "-MIO::Socket", "-e", GREETER],
        network=network.name,
        ports=engine.publish([8000]),
        labels=labels.owner_labels(),
    )
    try:
        container.start()

        def heard() -> bytes:
            with contextlib.suppress(OSError), socket.create_connection(engine.address(container, 8000), timeout=2) as talk:
                return talk.recv(100)
            return b""

        assert wait_until(heard, "the container to answer", within=15, last_state=lambda: container.logs().decode()) == b"hello\n"
    finally:
        container.remove(force=True)
        network.remove()


def test_a_build_leaves_no_setting_of_this_machine_in_the_image(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy on the loopback interface is reachable from the build; neither it nor any secret stays in the image."""
    tag = f"boinc-harness/test-secrets:{uuid.uuid4().hex[:12]}"
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://me:secret-word@127.0.0.1:{port}")
        (tmp_path / "Dockerfile").write_text(
            f"ARG BASE\nFROM ${{BASE}}\n"
            f"RUN --mount=type=secret,id=apt,target=/etc/apt/sources.list.d/debian.sources --mount=type=secret,id=ca"
            f" --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=npm,target=/root/.npmrc\\\n"
            f" : {tag}; grep -q global /etc/pip.conf && grep -q fund /root/.npmrc && echo $http_proxy | grep -q 'secret.word'"
            f" && bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'\n",
            encoding="utf-8",
        )
        build.build(tag, [("Dockerfile", tmp_path / "Dockerfile")], suite="trixie", args={"BASE": base}, within=60)
    client = engine.connect()
    image = client.images.get(tag)
    try:
        assert "secret-word" not in str(image.attrs)
        assert "secret-word" not in str(image.history())
        find = "cat /etc/apt/sources.list.d/* /etc/pip.conf /root/.npmrc /run/secrets/* 2>/dev/null; true"
        assert client.containers.run(tag, ["sh", "-c", find], remove=True, network_mode="none") == b""
    finally:
        client.images.remove(tag, force=True)


def test_two_processes_that_want_one_image_build_it_once(base: str, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from harness import images\n"
        "images.ROOT = Path(sys.argv[1])\n"
        "images.SPECS = {'base': images.SPECS['base'], 'test-twice': images.Spec('test-twice', ('trixie',))}\n"
        "print(images.ensure('test-twice'))"
    )
    folder = tmp_path / "images" / "test-twice"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nRUN : {uuid.uuid4()}; sleep 1\n", encoding="utf-8")
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=90) for process in processes]
    tags = {out.strip() for out, _ in answers}
    assert len(tags) == 1, answers
    try:
        assert sum("building" in err for _, err in answers) == 1, answers
    finally:
        engine.connect().images.remove(tags.pop(), force=True)
