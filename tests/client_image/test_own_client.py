"""--boinc-client: a client in the place of Debian's, here Debian's own with a mark at its end."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import JobState, engine, images
from harness.client import PROGRAM
from harness.rig import Rig
from harness.stack import Stack
from harness.versions import NEWEST

pytestmark = pytest.mark.engine
MARK = b"built here"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    container = engine.connect().containers.create(images.ensure("client", variant=NEWEST.suite), command=["none"])
    try:
        chunks, _ = container.get_archive(PROGRAM)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            assert file is not None
            path = tmp_path / "boinc"
            path.write_bytes(file.read() + MARK)
    finally:
        container.remove(force=True)
    path.chmod(0o755)
    return path


@pytest.fixture
def own_rig(program: Path) -> Iterator[Rig]:
    with Rig(name="own-client", client_program=program) as rig:
        yield rig


def test_the_scenarios_run_with_a_client_of_ones_own(own_rig: Rig) -> None:
    with Stack(own_rig, "own client") as stack:
        client = stack.client(attach=True)
        job = stack.project.submit("uppercase", input=b"hello")
        job.wait_for(JobState.VALIDATED)
        assert job.output() == b"HELLO"
        assert client.exec(["tail", "-c", str(len(MARK)), PROGRAM]) == MARK.decode()
