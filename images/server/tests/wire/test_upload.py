"""The upload handler: sizes, offsets, certificates, names, and what a cut connection leaves."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from boinc_server import crypt, storage, upload
from boinc_server.body import BodyStream, DisconnectedError
from boinc_server.project import Project
from boinc_server.registry import Registry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAME = "wu_1_0_r123456_0"


def head(
    project: Project,
    name: str = NAME,
    *,
    nbytes: float | str = 5,
    max_nbytes: float = 1e6,
    offset: float | str = 0,
    md5: str = "",
    signature: str | None = None,
) -> bytes:
    """What a client sends before the data."""
    if signature is None:
        signature = crypt.sign_upload(name, max_nbytes, project.keys.upload)
    block = f"<xml_signature>\n{signature}</xml_signature>\n" if signature else ""
    return (
        "<data_server_request>\n    <core_client_major_version>8</core_client_major_version>\n"
        "    <core_client_minor_version>2</core_client_minor_version>\n    <core_client_release>15</core_client_release>\n"
        f"<file_upload>\n<file_info>\n<name>{name}</name>\n{block}<max_nbytes>{max_nbytes:.0f}</max_nbytes>\n</file_info>\n"
        f"<nbytes>{nbytes}</nbytes>\n<md5_cksum>{md5}</md5_cksum>\n<offset>{offset}</offset>\n<data>\n"
    ).encode()


def size_query(name: str = NAME) -> bytes:
    return f"<data_server_request>\n<get_file_size>{name}</get_file_size>\n</data_server_request>\n".encode()


class Sender:
    """Sends the pieces of a body, then nothing more, or goes away."""

    def __init__(self, pieces: Sequence[bytes], *, cut: bool = False) -> None:
        self.pieces = list(pieces)
        self.cut = cut

    async def receive(self) -> dict[str, Any]:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or self.cut}
        return {"type": "http.disconnect"}


class Upload:
    """Drives one project's handler."""

    def __init__(self, runner: asyncio.Runner, project: Project) -> None:
        self.runner = runner
        self.project = project

    def __call__(self, *pieces: bytes, cut: bool = False) -> tuple[int, str]:
        """(status, message or other text)"""
        stream = BodyStream(Sender(pieces, cut=cut).receive)  # type: ignore[arg-type]
        text = self.runner.run(upload.UploadHandler(self.project).handle(stream)).decode()
        match = re.fullmatch(r"<data_server_reply>\n    <status>(-?\d+)</status>\n(.*)</data_server_reply>\n", text, re.DOTALL)
        assert match, text
        return int(match.group(1)), match.group(2).strip()

    def path(self, name: str = NAME) -> Path:
        return storage.upload_path(self.project, name)

    def events(self) -> list[bytes]:
        return list(self.project.events.since(0))


@pytest.fixture
def send(runner: asyncio.Runner, project: Project) -> Upload:
    return Upload(runner, project)


def test_upload_and_size(send: Upload) -> None:
    md5 = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    assert send(size_query()) == (0, "<file_size>0</file_size>")
    assert send(head(send.project, md5=md5), b"hello") == (0, "")
    assert send.path().read_bytes() == b"hello"
    assert send(size_query()) == (0, "<file_size>5</file_size>")
    assert any(b'"upload.done"' in line and b'"result":"wu_1_0"' in line for line in send.events())


def test_a_success_carries_no_message(send: Upload) -> None:
    assert "<message>" not in send(head(send.project), b"hello")[1]


def test_header_and_data_in_any_pieces(send: Upload) -> None:
    body = head(send.project) + b"hello"
    assert send(*(body[i : i + 1] for i in range(len(body)))) == (0, "")
    assert send.path().read_bytes() == b"hello"


def test_empty_file(send: Upload) -> None:
    assert send(head(send.project, nbytes=0)) == (0, "")
    assert send.path().read_bytes() == b""


def test_what_follows_the_data_is_ignored(send: Upload) -> None:
    assert send(head(send.project) + b"hello, world") == (0, "")
    assert send.path().read_bytes() == b"hello"


def test_a_cut_upload_keeps_what_came_and_resumes(send: Upload) -> None:
    with pytest.raises(DisconnectedError):
        send(head(send.project) + b"he", cut=True)
    assert send(size_query()) == (0, "<file_size>2</file_size>")
    md5 = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    assert send(head(send.project, offset=2, md5=md5) + b"llo") == (0, "")
    assert send.path().read_bytes() == b"hello"
    assert any(b'"upload.failed"' in line for line in send.events())


def test_an_offset_at_the_end_counts_as_done_only_when_all_is_there(send: Upload) -> None:
    def done() -> int:
        return sum(b'"upload.done"' in line for line in send.events())

    assert send(head(send.project, offset=5, nbytes=5)) == (0, "")
    assert done() == 0
    send(head(send.project) + b"hello")
    assert send(head(send.project, offset=5, nbytes=5)) == (0, "")
    # The second one was swallowed: no result of that name is in progress.
    assert done() == 1
    send.path().chmod(0o644)
    assert send(head(send.project, offset=5, nbytes=5)) == (0, "")
    assert done() == 2


def test_a_short_body_is_transient_and_kept(send: Upload) -> None:
    assert send(head(send.project) + b"hel") == (1, "<message>EOF on socket read : asked for 5, got 3</message>")
    assert send(size_query()) == (0, "<file_size>3</file_size>")


REFUSED: list[tuple[dict[str, Any], bytes, int, str]] = [
    ({"name": ""}, b"hello", -1, "Missing name"),
    ({"signature": ""}, b"hello", -1, "missing signature"),
    ({"signature": "ab\n.\n"}, b"hello", -1, "invalid signature"),
    ({"max_nbytes": -1}, b"hello", -1, "missing max_nbytes"),
    ({"nbytes": ""}, b"hello", 0, ""),
    ({"nbytes": "-5"}, b"hello", -1, "nbytes missing or negative"),
    ({"nbytes": "nan"}, b"hello", -1, "nbytes missing or negative"),
    ({"nbytes": "1.5"}, b"hello", -1, "nbytes missing or negative"),
    ({"nbytes": "1e300"}, b"hello", -1, "nbytes missing or negative"),
    ({"nbytes": 4096, "max_nbytes": 1024}, b"x" * 4096, -1, "file size (4 KB) exceeds limit (1 KB)"),
    ({"offset": 3}, b"lo", 1, f"length of file {NAME} 0 bytes &lt; offset 3 bytes"),
    ({"offset": "-1"}, b"hello", 1, "offset is negative or no whole number"),
    ({"offset": 5}, b"", 0, ""),
    ({"offset": 500}, b"", 0, ""),
    ({"md5": "xyz"}, b"hello", -1, "md5_cksum is no MD5"),
]


@pytest.mark.parametrize(("fields", "data", "status", "message"), REFUSED)
def test_what_is_refused(send: Upload, fields: dict[str, Any], data: bytes, status: int, message: str) -> None:
    assert send(head(send.project, **fields) + data) == (status, f"<message>{message}</message>" if message else "")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 1, "no command"),
        (b"<data_server_request>\n", 1, "no command"),
        (b"<file_upload>\n<name>x</name>\n", -1, "Missing &lt;data&gt; tag"),
        (b"x" * 100_000, -1, "bad request: line of more than 65536 bytes"),
        (b"<file_upload>\n" + b"<url>x</url>\n" * 20_000, -1, "bad request: line of more than"),
        (b"<get_file_size>a/../b</get_file_size>\n", -1, "Bad filename"),
    ],
)
def test_bodies_that_are_no_upload(send: Upload, body: bytes, status: int, message: str) -> None:
    got, text = send(body)
    assert got == status
    assert message in text


BAD_NAMES = [
    "..", "../../etc/passwd", "a/../b", "/etc/passwd", "a/b", "%2e%2e", "a%2fb", "a\x01b", ".", "x" * 4096, "a\\b", "..%00", "a..b",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_path_tricks_even_with_a_valid_signature(send: Upload, name: str, tmp_path: Path) -> None:
    def tree() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if "log" not in path.parts)

    before = tree()
    status, _ = send(head(send.project, name) + b"hello")
    assert status == -1
    assert send(size_query(name))[0] == -1
    assert tree() == before


def test_links_are_not_followed(send: Upload, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    send.path().parent.mkdir(exist_ok=True)
    send.path().symlink_to(victim)
    assert send(head(send.project) + b"hello")[0] == -1
    assert send(size_query())[0] == -1
    assert victim.read_text() == "precious"


def test_a_signature_of_another_project_is_refused(send: Upload, registry: Registry) -> None:
    other = registry.create("q")
    assert send(head(send.project, signature=crypt.sign_upload(NAME, 1e6, other.keys.upload)) + b"hello")[1] == (
        "<message>invalid signature</message>"
    )


def test_a_signature_for_another_name_or_size_is_refused(send: Upload) -> None:
    for name, size in (("wu_2_0_r1_0", 1e6), (NAME, 2e6)):
        signature = crypt.sign_upload(name, size, send.project.keys.upload)
        assert send(head(send.project, signature=signature) + b"hello")[0] == -1


def test_the_code_signing_key_signs_no_uploads(send: Upload) -> None:
    signature = crypt.sign_upload(NAME, 1e6, send.project.keys.code_sign)
    assert send(head(send.project, signature=signature) + b"hello")[0] == -1


def test_wrong_md5_is_transient_then_permanent(send: Upload) -> None:
    body = head(send.project, md5="0" * 32) + b"hello"
    assert [send(body)[0] for _ in range(3)] == [1, 1, -1]
    assert send(size_query()) == (0, "<file_size>0</file_size>")


def test_a_replayed_certificate_cannot_change_a_reported_output(send: Upload) -> None:
    assert send(head(send.project) + b"hello") == (0, "")
    # The result is not known as in progress: as after its report.
    assert send(head(send.project) + b"HELLO") == (0, "")
    assert send.path().read_bytes() == b"hello"


def test_stopped_uploads_are_transient(send: Upload) -> None:
    send.project.configure({"stop_upload": True})
    assert send(head(send.project) + b"hello") == (1, "<message>File uploads are temporarily disabled.</message>")


def test_without_certificates_no_signature_is_needed(send: Upload) -> None:
    send.project.configure({"ignore_upload_certificates": True})
    assert send(head(send.project, signature="", max_nbytes=1) + b"hello") == (0, "")


def test_one_writer_at_a_time(runner: asyncio.Runner, project: Project) -> None:
    async def both() -> tuple[bytes, bytes]:
        started = asyncio.Event()
        finish = asyncio.Event()
        pieces = [head(project) + b"he", b"llo"]

        async def slow() -> dict[str, Any]:
            piece = pieces.pop(0)
            if not pieces:
                started.set()
                await finish.wait()
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        first = asyncio.create_task(upload.UploadHandler(project).handle(BodyStream(slow)))  # type: ignore[arg-type]
        await started.wait()
        second = await upload.UploadHandler(project).handle(BodyStream(Sender([head(project) + b"HELLO"]).receive))  # type: ignore[arg-type]
        query = await upload.UploadHandler(project).handle(BodyStream(Sender([size_query()]).receive))  # type: ignore[arg-type]
        assert b"locked by another upload" in query
        finish.set()
        return await first, second

    first, second = runner.run(both())
    assert b"<status>0</status>" in first
    assert b"<status>1</status>" in second
    assert storage.upload_path(project, NAME).read_bytes() == b"hello"


def test_a_silent_sender_is_given_up(runner: asyncio.Runner, project: Project) -> None:
    async def silent() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(DisconnectedError, match="nothing received"):
        runner.run(upload.UploadHandler(project).handle(BodyStream(silent, idle_timeout=0.05)))  # type: ignore[arg-type]


def test_a_big_upload_in_big_pieces(send: Upload) -> None:
    data = bytes(range(256)) * 20_000
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    pieces = [data[i : i + 65536] for i in range(0, len(data), 65536)]
    assert send(head(send.project, nbytes=len(data), max_nbytes=1e8, md5=md5), *pieces) == (0, "")
    assert hashlib.md5(send.path().read_bytes(), usedforsecurity=False).hexdigest() == md5


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), lies=st.lists(st.integers(0, 500), max_size=3))
def test_resume_state_machine(send: Upload, data: bytes, cuts: list[int], lies: list[int]) -> None:
    """However a transfer is cut, and whatever wrong offsets are tried in between, the file ends up right."""
    name = f"wu_{hashlib.md5(repr((data, cuts, lies)).encode(), usedforsecurity=False).hexdigest()}_0_r1_0"
    send.path(name).unlink(missing_ok=True)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()

    def known() -> int:
        status, text = send(size_query(name))
        assert status == 0
        return int(text.removeprefix("<file_size>").removesuffix("</file_size>"))

    for cut in cuts:
        offset = known()
        if offset >= len(data):
            break
        rest = data[offset : offset + cut % (len(data) - offset)]
        with pytest.raises(DisconnectedError):
            send(head(send.project, name, nbytes=len(data), offset=offset, md5=md5), *([rest] if rest else []), cut=True)
        assert known() == offset + len(rest)
    for lie in lies:
        size = known()
        if size < lie < len(data):
            assert send(head(send.project, name, nbytes=len(data), offset=lie, md5=md5) + data[lie:])[0] == 1
            assert known() == size
    offset = known()
    assert send(head(send.project, name, nbytes=len(data), offset=offset, md5=md5) + data[offset:])[0] == 0
    if offset < len(data) or not data:
        assert send.path(name).read_bytes() == data


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.binary(max_size=200), st.sampled_from([b"<file_upload>\n", b"<data>\n", b"<name>x</name>\n"])), min_size=1, max_size=8
    )
)
def test_any_bytes_get_an_answer(send: Upload, pieces: list[bytes]) -> None:
    status, _ = send(*pieces)
    assert status in {1, -1, 0}
