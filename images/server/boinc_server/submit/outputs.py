"""Fetching output files of one's own batches (html/user/get_output.php, get_output2.php)."""

from __future__ import annotations

import hmac
import io
import zipfile
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from boinc_server import crypt, models
from boinc_server.outputs import OutputFile, outputs_of
from boinc_server.submit import batches

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project
    from boinc_server.public import Request

MAX_ZIP: Final = 512 * 1024 * 1024
_w, _r = models.workunit.c, models.result.c
_RESULT: Final = select(models.result).where(_r.id == bindparam("id"))
_RESULT_NAMED: Final = select(models.result).where(_r.name == bindparam("name"))
_JOB: Final = select(models.workunit).where(_w.id == bindparam("id"))
_JOB_NAMED: Final = select(models.workunit).where(_w.name == bindparam("name"))
_KEY: Final = select(models.user.c.authenticator).where(models.user.c.id == bindparam("id"))


class NoOutputError(Exception):
    """Why there is nothing to send."""


async def handle(project: Project, request: Request) -> None:
    """Send one file, or a zip of several."""
    query = request.query
    try:
        with project.transaction() as tx:
            name, files, single = _find(tx, project, query)
        if single:
            if not files or not files[0].path.is_file():
                raise NoOutputError("no such file")
            content, name = files[0].path.read_bytes(), f"{name}__{files[0].open_name}"
        else:
            content, name = _zip(files), f"{name}.zip"
    except NoOutputError as error:
        project.log.warning("output not sent: %s", error)
        project.emit("http.error", path=request.path, status=404, why=str(error), method=request.method)
        await request.reply(f"ERROR: {error}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8", 404)
        return
    plain = "".join(char if char.isalnum() or char in "._-" else "_" for char in name)
    disposition = (b"content-disposition", f'attachment; filename="{plain}"'.encode("ascii", "replace"))
    await request.reply(content, "application/octet-stream", 200, [disposition])


def _number(query: dict[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NoOutputError(f"missing or bad parameter: {name}")
    return int(text)


def _find(tx: Transaction, project: Project, query: dict[str, str]) -> tuple[str, list[OutputFile], bool]:
    """(name for the answer, files, whether the answer is one file) after checking who asks."""
    command = query.get("cmd", "")
    auth = query.get("auth_str", query.get("auth", ""))
    if command in {"batch_files", "batch"}:
        batch = tx.one(batches.BATCH, id=_number(query, "batch_id"))
        _check(tx, batch, auth, str(batch.id) if batch is not None else "")
        assert batch is not None
        return f"batch_{batch.id}", _batch_files(tx, project, batch), False
    if command in {"result_file", "result", "file"}:
        by_name = command == "result_file"
        result = tx.one(_RESULT_NAMED, name=query.get("result_name", "")) if by_name else tx.one(_RESULT, id=_number(query, "result_id"))
        if result is None:
            raise NoOutputError("no such job instance")
        job = tx.one(_JOB, id=result.workunitid)
    elif command in {"workunit_file", "workunit_files", "workunit"}:
        by_name = command == "workunit_file"
        job = tx.one(_JOB_NAMED, name=query.get("wu_name", "")) if by_name else tx.one(_JOB, id=_number(query, "wu_id"))
        result = tx.one(_RESULT, id=job.canonical_resultid) if job is not None else None
    else:
        raise NoOutputError("bad command")
    if job is None:
        raise NoOutputError("no such job")
    batch = tx.one(batches.BATCH, id=job.batch) if job.batch else None
    _check(tx, batch, auth, str(job.id) if command == "workunit_files" else result.name if result is not None else "")
    if result is None:
        raise NoOutputError(f"no canonical result for wu {job.name}")
    files = outputs_of(project, result.xml_doc_in)
    if command in {"result_file", "workunit_file", "file"}:
        number = _number(query, "file_num")
        if number >= len(files):
            raise NoOutputError(f"bad file num: {number} > {len(files)}")
        return result.name, [files[number]], True
    return result.name, files, len(files) == 1 and command != "workunit_files"


def _check(tx: Transaction, batch: AnyRow | None, auth: str, subject: str) -> None:
    """The owner's account key, or the MD5 of it and the name or id of what is asked for."""
    if batch is None:
        raise NoOutputError("no such batch")
    row = tx.one(_KEY, id=batch.user_id)
    key = row.authenticator if row is not None else ""
    sent = auth.encode("utf-8", "replace")
    if not key or not any(hmac.compare_digest(sent, good.encode()) for good in (key, crypt.md5_text(key + subject))):
        raise NoOutputError("bad authenticator")


def _batch_files(tx: Transaction, project: Project, batch: AnyRow) -> list[OutputFile]:
    files: list[OutputFile] = []
    for job in tx.all(batches.JOBS, batch=batch.id):
        result = tx.one(_RESULT, id=job.canonical_resultid) if job.canonical_resultid else None
        if result is not None:
            files += outputs_of(project, result.xml_doc_in)
    return files


def _zip(files: list[OutputFile]) -> bytes:
    """A zip of what is there; an output may be optional, so a missing one is no error."""
    present = [file for file in files if file.path.is_file()]
    if sum(file.path.stat().st_size for file in present) > MAX_ZIP:
        raise NoOutputError("too large for one zip: fetch the files one by one")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in present:
            archive.write(file.path, file.name)
    return buffer.getvalue()
