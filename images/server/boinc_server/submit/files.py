"""Job files: query_files and upload_files of job_file.php, and reading the forms they come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from sqlalchemy import bindparam, delete, insert, select, update

from boinc_server import models, storage, work
from boinc_server.body import BODY_TIMEOUT
from boinc_server.submit.access import RpcError, check_permissions, integer_of, number_of
from boinc_server.wire.reader import WireError

if TYPE_CHECKING:
    from lxml import etree

    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project
    from boinc_server.public import Request

MAX_PARTS: Final = 2000
MAX_FILES: Final = 256 * 1024 * 1024
"""Bytes of all files of one upload_files call."""
_f, _a = models.job_file.c, models.batch_file_assoc.c
_FILE: Final = select(models.job_file).where(_f.name == bindparam("name"))
_BATCH_OWNER: Final = select(models.batch.c.user_id).where(models.batch.c.id == bindparam("id"))
_ASSOCIATION: Final = select(_a.job_file_id).where(_a.batch_id == bindparam("batch"), _a.job_file_id == bindparam("file"))


@dataclass(slots=True)
class Form:
    """A POSTed form: text fields, and the contents of files in their order."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, bytes]] = field(default_factory=list)


async def read_form(request: Request, limit: int, may_be_big: Callable[[Form], bool]) -> Form:
    """Read a urlencoded or multipart form.

    Args:
        limit: bytes that anybody may send.
        may_be_big: whether the sender of the fields so far may send up to MAX_FILES bytes; asked once, at the limit.

    Raises WireError.
    """
    content_type, options = parse_options_header(request.headers.get(b"content-type", b""))
    if content_type != b"multipart/form-data":
        return Form(await request.parameters(limit))
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise WireError("multipart form without boundary")
    parts = _Parts(boundary)
    received, bound = 0, limit
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for piece in request.body.pieces():
                received += len(piece)
                if received > bound == limit and may_be_big(parts.form):
                    bound = MAX_FILES
                if received > bound:
                    raise WireError(f"body of more than {bound} bytes", 413)
                parts.write(piece)
        return parts.finish()
    except TimeoutError:
        raise WireError(f"body not received within {BODY_TIMEOUT:.0f} s", 408) from None
    except FormParserError:
        raise WireError("malformed multipart form") from None


class _Parts:
    """Collects the parts of a multipart body."""

    def __init__(self, boundary: bytes) -> None:
        self.form = Form()
        self.header = self.value = b""
        self.headers: dict[bytes, bytes] = {}
        self.data: list[bytes] = []
        self.count = 0
        callbacks: dict[str, Any] = {
            "on_part_begin": self.begin,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_part_data": self.part_data,
            "on_part_end": self.end,
        }
        self.parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # a TypedDict of all callbacks

    def write(self, data: bytes) -> None:
        self.parser.write(data)

    def finish(self) -> Form:
        self.parser.finalize()
        return self.form

    def begin(self) -> None:
        self.count += 1
        if self.count > MAX_PARTS:
            raise WireError(f"more than {MAX_PARTS} parts in a form")
        self.headers, self.data = {}, []

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        self.headers[self.header.lower()] = self.value
        self.header = self.value = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.data.append(data[start:end])

    def end(self) -> None:
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        content = b"".join(self.data)
        if b"filename" in options:
            self.form.files.append((name, content))
        else:
            self.form.fields[name] = content.decode("utf-8", "replace").replace("\0", "")


def handle(project: Project, call: etree._Element, form: Form) -> str:
    """One call of job_file.php; what stands inside its element. Raises RpcError."""
    names = [(element.text or "").strip() for element in call.iterfind("phys_name")]
    if call.tag not in {"query_files", "upload_files"}:
        raise RpcError("no such action")
    for name in names:
        try:
            storage.check_name(name)
        except storage.BadFilenameError:
            raise RpcError("bad filename") from None
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        batch_id = integer_of(call, "batch_id")
        owner = tx.one(_BATCH_OWNER, id=batch_id) if batch_id else None
        if batch_id and (owner is None or owner.user_id != user.id):
            raise RpcError("not owner of batch")
        delete_time = number_of(call, "delete_time") or 0.0
        if call.tag == "query_files":
            absent = [index for index, name in enumerate(names) if not _known(tx, name, batch_id, delete_time)]
            return "<absent_files>\n" + "".join(f"<file>{index}</file>\n" for index in absent) + "</absent_files>\n"
        return _upload(tx, names, form, batch_id, delete_time)


def _known(tx: Transaction, name: str, batch_id: int, delete_time: float) -> bool:
    """Whether the file is here; if so it is kept for the batch and until `delete_time`."""
    row = tx.one(_FILE, name=name)
    if not storage.download_path(tx.project, name).is_file():
        if row is not None:
            tx.execute(delete(models.job_file).where(_f.id == row.id))
        return False
    _keep(tx, name, row, batch_id, delete_time)
    return True


def _keep(tx: Transaction, name: str, row: AnyRow | None, batch_id: int, delete_time: float) -> None:
    if row is None:
        file_id = tx.insert(insert(models.job_file), name=name, create_time=float(tx.now), delete_time=delete_time)
    else:
        file_id = row.id
        if row.delete_time < delete_time:
            tx.execute(update(models.job_file).where(_f.id == file_id).values(delete_time=delete_time))
    if batch_id and tx.one(_ASSOCIATION, batch=batch_id, file=file_id) is None:
        tx.execute(insert(models.batch_file_assoc), {"batch_id": batch_id, "job_file_id": file_id})


def _upload(tx: Transaction, names: list[str], form: Form, batch_id: int, delete_time: float) -> str:
    if len(form.files) != len(names):
        raise RpcError(f"# of uploaded files ({len(form.files)}) doesn't agree with request ({len(names)})")
    for name, (_, content) in zip(names, form.files, strict=True):
        try:
            work.stage_file(tx.project, name, content)
        except work.WorkError:
            raise RpcError(f"file immutability violation for {name}") from None
        _keep(tx, name, tx.one(_FILE, name=name), batch_id, delete_time)
    return "<success/>\n"
