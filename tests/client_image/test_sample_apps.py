"""The sample applications on the hosts that they have to run on, without a client (the API library's standalone mode)."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from harness import containers, engine, images, labels
from tests.client_image.conftest import Hosts

pytestmark = pytest.mark.engine

APPS = ("1sec", "concat", "crash", "hang", "sleeper", "uppercase")
PLATFORM = "x86_64-pc-linux-gnu"


@pytest.fixture(scope="module")
def tree() -> dict[str, bytes]:
    """The files of the image `apps`, by path."""
    name = "client-image-apps"
    containers.remove_quietly(name)
    engine.connect().containers.create(images.ensure("apps"), "none", name=name, labels=labels.owner_labels())
    try:
        stream, _ = engine.connect().containers.get(name).get_archive("/apps")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            return {path: file.read() for path, file in files.items() if file is not None}
    finally:
        containers.remove_quietly(name)


def binary(tree: dict[str, bytes], app: str) -> bytes:
    return tree[f"apps/{app}/1.0/{PLATFORM}/{app}_1.0_{PLATFORM}"]


@pytest.mark.parametrize("app", APPS)
def test_an_app_is_laid_out_as_admins_know_it(tree: dict[str, bytes], app: str) -> None:
    assert re.search(rb"API_VERSION_[78]\.\d+\.\d+", binary(tree, app))
    assert b"<output_template>" in tree[f"apps/{app}/templates/{app}_out"]
    template = tree[f"apps/{app}/templates/{app}_in"].decode()
    expected = {"uppercase": ["in"], "concat": ["in_0", "in_1"]}.get(app, [])
    assert re.findall(r"<open_name>(.*)</open_name>", template) == expected
    assert template.count("<file_info>") == len(expected)


Run = Callable[..., tuple[int, str, dict[str, bytes]]]


@pytest.fixture
def slot(hosts: Hosts, suite: str, tree: dict[str, bytes]) -> Run:
    """Run an app in an empty folder on a host of each generation: (exit code, stderr.txt, the files afterwards)."""
    container = hosts.start(suite)

    def run(app: str, *arguments: str, files: dict[str, bytes] | None = None, limit: float = 20) -> tuple[int, str, dict[str, bytes]]:
        place(container, {f"slot/{name}": content for name, content in (files or {}).items()} | {"slot/app": binary(tree, app)})
        command = f"cd /tmp/slot && exec timeout -s KILL {limit} ./app {' '.join(arguments)}"
        code, _ = containers.execute(container, ["sh", "-c", command])
        stream, _ = container.get_archive("/tmp/slot")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            found = {m.name.removeprefix("slot/"): archive.extractfile(m) for m in archive if m.isfile()}
            after = {name: file.read() for name, file in found.items() if file is not None}
        containers.execute(container, ["rm", "-rf", "/tmp/slot"])
        assert isinstance(code, int)
        return code, after.pop("stderr.txt", b"").decode(), after

    return run


def place(container: Container, files: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        folder = tarfile.TarInfo("slot")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, 1000, 1000
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = len(content), 0o755, 1000, 1000
            archive.addfile(info, io.BytesIO(content))
    assert container.put_archive("/tmp", stream.getvalue())


def test_what_they_do(slot: Run) -> None:
    code, said, files = slot("uppercase", files={"in": "hello, Gr\u00fc\u00dfe\n".encode()})
    assert (code, files["out"].decode()) == (0, "HELLO, GR\u00fc\u00dfE\n"), said

    code, said, files = slot("concat", files={"in_0": b"a\n", "in_1": b"b", "in_2": b"c"})
    assert (code, files["out"]) == (0, b"a\nbc"), said
    assert "concatenated 3 files" in said

    code, said, files = slot("1sec")
    assert (code, files["out"]) == (0, b"1 second of work done\n"), said


def test_missing_inputs_are_named(slot: Run) -> None:
    for app, name in (("uppercase", "in"), ("concat", "in_0")):
        code, said, _ = slot(app)
        assert code == 3
        assert f"{app}: cannot open input '{name}': No such file" in said
    link = b"<soft_link>../../projects/none/missing</soft_link>\n"
    code, said, _ = slot("concat", files={"in_0": b"a", "in_1": link})
    assert code == 3
    assert "cannot open input 'in_1'" in said


def test_the_sleeper_goes_on_from_its_checkpoint(slot: Run) -> None:
    code, said, files = slot("sleeper", "5", "0.2", limit=1)
    assert code == 137
    assert "sleeper: starting, 5.000 seconds" in said
    done = float(files["checkpoint"])
    assert 0.2 <= done <= 1.0
    code, said, files = slot("sleeper", f"{done + 0.3:f}", files={"checkpoint": files["checkpoint"]})
    assert code == 0
    assert f"sleeper: resuming at {done:.3f} of" in said
    assert files["out"].startswith(b"slept ")
    code, said, _ = slot("sleeper", "0.1", files={"checkpoint": b"?"})
    assert code == 0
    assert "damaged" in said


@pytest.mark.parametrize(
    ("arguments", "status", "said_of_it"),
    [
        (("exit", "7"), 7, "about to crash: exit 7"),
        (("finish", "8"), 8, "called boinc_finish(8)"),
        (("signal", "11"), 139, "about to crash: signal 11"),
        (("abort",), 193, "SIGABRT: abort called"),
        (("quietly",), 2, "expected exit N, finish N, signal N or abort, got 'quietly'"),
        (("exit", "many"), 2, "expected a number >= 0, got 'many'"),
    ],
)
def test_crashes(slot: Run, arguments: tuple[str, ...], status: int, said_of_it: str) -> None:
    code, said, _ = slot("crash", *arguments)
    assert code == status
    assert said_of_it in said


def test_hang_hangs(slot: Run) -> None:
    code, said, _ = slot("hang", limit=1)
    assert code == 137
    assert "hanging" in said
