"""The upload handler (sched/file_upload_handler.cpp): size queries and uploads with resume.

A file grows at its final place and stays writable while it is incomplete; when all its bytes are
there and its MD5 is right it becomes read-only, and only then is the upload acknowledged. Written
bytes are in the kernel's hands before that, so an acknowledged upload survives SIGKILL of this
process (not a power cut: there is no fsync, as in the stock handler).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from boinc_server import crypt, models, storage
from boinc_server.body import BodyStream, DisconnectedError
from boinc_server.states import ServerState
from boinc_server.wire import limits, names
from boinc_server.wire.reader import WireError, double, unescape
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.project import Project

SUCCESS: Final = 0
TRANSIENT: Final = 1
PERMANENT: Final = -1

MIN_FREE_SPACE: Final = 1e9
"""Bytes that must be free before a transfer may start (FUH_MIN_FREE_SPACE)."""
SMALL_VOLUME: Final = 20e9
"""On a volume smaller than this (a test's tmpfs) the rule above makes no sense and is not used."""
MAX_NBYTES: Final = 2.0**53
BLOCK: Final = 1024 * 1024
DRAIN_LIMIT: Final = 256 * 1024 * 1024
DRAIN_TIME: Final = 60.0
MD5_TRIES: Final = 3
"""So many uploads of one name may arrive with a wrong MD5 before the error becomes permanent."""

_MD5: Final = re.compile(r"[0-9a-f]{32}\Z")
_LINE: Final = re.compile(r"\s*<([a-z0-9_]+)>([^<]*)(?:</\1>)?")
_RESULT_STATE: Final = select(models.result.c.server_state).where(models.result.c.name == bindparam("name"))


class RefusedError(Exception):
    """An upload that is not accepted.

    Args:
        status: TRANSIENT (the client tries again) or PERMANENT (the output file has failed).
        message: told to the client.
        drain: read the rest of the body first, since the client only then listens.
    """

    def __init__(self, status: int, message: str, *, drain: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.drain = drain


@dataclass(slots=True)
class UploadHeader:
    """What stands before the data."""

    name: str = ""
    nbytes: float = -1.0
    max_nbytes: float = -1.0
    offset: float = 0.0
    md5_cksum: str = ""
    signature: str = ""
    has_data: bool = False
    size_query: str | None = None
    """The name asked for in ``<get_file_size>``; all else is empty then."""
    is_upload: bool = False


@dataclass(slots=True)
class Outcome:
    """How one request ended, for the event log."""

    name: str = ""
    nbytes: int = 0
    offset: int = 0


_busy: set[tuple[int, str]] = set()
"""Files being written now: (id of the project object, name)."""
_md5_failures: dict[tuple[int, str], int] = {}


def reply(status: int, text: str = "") -> bytes:
    """A ``<data_server_reply>``; `text` is a message unless the status is SUCCESS."""
    inner = ""
    if text:
        inner = f"    {text}\n" if status == SUCCESS else f"    <message>{escape(text[:1000])}</message>\n"
    return f"<data_server_reply>\n    <status>{status}</status>\n{inner}</data_server_reply>\n".encode("utf-8", "replace")


async def parse_header(body: BodyStream) -> UploadHeader:
    """Read line by line up to the data or the size query, as the stock handler does.

    Raises WireError when it is longer than any honest one.
    """
    header = UploadHeader()
    budget = limits.MAX_UPLOAD_HEADER
    while line := await body.read_line(budget):
        budget -= len(line)
        text = line.decode("utf-8", "replace")
        match = _LINE.match(text)
        if match is None:
            continue
        tag, value = match.groups()
        if tag == "get_file_size" and not header.is_upload:
            header.size_query = unescape(value.strip())
            return header
        if tag == "file_upload":
            header.is_upload = True
        elif tag == "xml_signature":
            lines = [value]
            while (line := await body.read_line(budget)) and b"</xml_signature>" not in line:
                budget -= len(line)
                lines.append(line.decode("ascii", "replace"))
            header.signature = "".join(lines).strip()
        elif tag == "data" and header.is_upload:
            header.has_data = True
            return header
        elif header.is_upload:
            _set(header, tag, value)
    return header


def _set(header: UploadHeader, tag: str, value: str) -> None:
    if tag == "name":
        header.name = unescape(value.strip())
    elif tag == "md5_cksum":
        header.md5_cksum = value.strip().lower()
    elif tag in ("nbytes", "max_nbytes", "offset"):
        try:
            number = double(value)
        except ValueError:
            number = -1.0
        setattr(header, tag, number)


class UploadHandler:
    """Answers the upload URL of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    async def handle(self, body: BodyStream) -> bytes:
        """The reply to one request; every refusal is logged and becomes an event.

        Raises DisconnectedError when there is nobody to reply to.
        """
        outcome = Outcome()
        try:
            return await self._answer(body, outcome)
        except RefusedError as error:
            self._failed(outcome, error.status, error.message)
            if error.drain:
                await _drain(body)
            return reply(error.status, error.message)
        except DisconnectedError as error:
            self._failed(outcome, TRANSIENT, str(error))
            raise

    async def _answer(self, body: BodyStream, outcome: Outcome) -> bytes:
        if self.project.config.stop_upload:
            raise RefusedError(TRANSIENT, "File uploads are temporarily disabled.")
        try:
            header = await parse_header(body)
        except WireError as error:
            raise RefusedError(PERMANENT, f"bad request: {error.what}") from None
        outcome.name = header.name or header.size_query or ""
        if header.size_query is not None:
            return self.file_size(header.size_query)
        if not header.is_upload:
            raise RefusedError(TRANSIENT, "no command")
        return await self.upload(header, body, outcome)

    def _failed(self, outcome: Outcome, status: int, message: str) -> None:
        name = outcome.name[:300]
        self.project.log.warning("upload of %r refused: %s (status %d)", name, message, status)
        self.project.emit("upload.failed", name=name, status=status, message=message, result=names.result_of_output(name))

    def path(self, name: str) -> Path:
        """Where an output file lies; the name must have been checked."""
        return storage.upload_path(self.project, name)

    def file_size(self, name: str) -> bytes:
        """Answer a size query: 0 for a file that is not there."""
        if not names.is_valid_filename(name):
            raise RefusedError(PERMANENT, "Bad filename")
        if self._volume_full():
            raise RefusedError(TRANSIENT, "Server is out of disk space")
        if self._key(name) in _busy:
            raise RefusedError(TRANSIENT, f"[{name}] locked by another upload")
        try:
            info = self.path(name).lstat()
        except FileNotFoundError:
            return reply(SUCCESS, "<file_size>0</file_size>")
        except OSError:
            raise RefusedError(TRANSIENT, "can't open file") from None
        if not stat.S_ISREG(info.st_mode):
            raise RefusedError(PERMANENT, "Bad filename")
        return reply(SUCCESS, f"<file_size>{info.st_size}</file_size>")

    def _volume_full(self) -> bool:
        volume = os.statvfs(self.project.path("upload"))
        total, free = volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize
        return total >= SMALL_VOLUME and free < MIN_FREE_SPACE

    def _key(self, name: str) -> tuple[int, str]:
        return id(self.project), name

    def check(self, header: UploadHeader) -> None:
        """Raise RefusedError unless the header entitles its sender to upload what it says."""
        config = self.project.config
        if not header.name:
            raise RefusedError(PERMANENT, "Missing name")
        if not header.has_data:
            raise RefusedError(PERMANENT, "Missing <data> tag")
        if not config.ignore_upload_certificates:
            if not header.signature:
                raise RefusedError(PERMANENT, "missing signature")
            if header.max_nbytes < 0:
                raise RefusedError(PERMANENT, "missing max_nbytes")
            permission = crypt.upload_permission(header.name, header.max_nbytes)
            if not crypt.verify_text(permission, header.signature, self.project.keys.upload.public):
                raise RefusedError(PERMANENT, "invalid signature")
        if header.nbytes < 0 or header.nbytes > MAX_NBYTES or not header.nbytes.is_integer():
            raise RefusedError(PERMANENT, "nbytes missing or negative")
        limit = config.max_upload_size if config.ignore_upload_certificates else header.max_nbytes
        if header.nbytes > limit and not (config.ignore_upload_certificates and limit == 0):
            size, bound = int(header.nbytes / 1024), int(limit / 1024)
            raise RefusedError(PERMANENT, f"file size ({size} KB) exceeds limit ({bound} KB)")
        if not names.is_valid_filename(header.name):
            raise RefusedError(PERMANENT, "file_upload_handler: invalid filename")
        if header.offset < 0 or not header.offset.is_integer():
            raise RefusedError(TRANSIENT, "offset is negative or no whole number")
        if header.md5_cksum and not _MD5.match(header.md5_cksum):
            raise RefusedError(PERMANENT, "md5_cksum is no MD5")

    async def upload(self, header: UploadHeader, body: BodyStream, outcome: Outcome) -> bytes:
        """Check, receive, verify, acknowledge."""
        self.check(header)
        nbytes, offset = outcome.nbytes, outcome.offset = int(header.nbytes), int(header.offset)
        key = self._key(header.name)
        if key in _busy:
            raise RefusedError(TRANSIENT, f"can't lock file {header.name}: another upload of it is going on")
        _busy.add(key)
        try:
            path = self.path(header.name)
            if self._is_final(path, header.name):
                # As if the stock handler met a read-only file: nothing is changed, the client is content.
                self.project.log.info("upload of %r swallowed: the result is reported", header.name)
                await _drain(body)
                return reply(SUCCESS)
            if nbytes and offset >= nbytes:
                if not path.is_file() or path.stat().st_size < nbytes:
                    # As upstream: whoever says that all is there is believed, at the own expense.
                    return reply(SUCCESS)
            else:
                path.parent.mkdir(exist_ok=True)
                await self._receive(path, header, body)
            _md5_failures.pop(key, None)
        finally:
            _busy.discard(key)
        self.project.log.info("upload of %r done: %d bytes from offset %d", header.name, nbytes, offset)
        result = names.result_of_output(header.name)
        self.project.emit("upload.done", name=header.name, nbytes=nbytes, offset=offset, result=result)
        return reply(SUCCESS)

    def _is_final(self, path: Path, name: str) -> bool:
        """True for a complete file whose result has been reported: a replayed certificate cannot change it."""
        try:
            mode = path.lstat().st_mode
        except OSError:
            return False
        if not stat.S_ISREG(mode):
            raise RefusedError(PERMANENT, "Bad filename")
        if mode & stat.S_IWUSR:
            return False
        with self.project.transaction() as tx:
            row = tx.one(_RESULT_STATE, name=names.result_of_output(name))
        return row is None or row[0] == ServerState.OVER

    async def _receive(self, path: Path, header: UploadHeader, body: BodyStream) -> None:
        """Write the data from the offset on and make the file read-only. Raises RefusedError."""
        nbytes, offset = int(header.nbytes), int(header.offset)
        file = _open(path, header.name)
        try:
            size = os.fstat(file).st_size
            if size < offset:
                raise RefusedError(TRANSIENT, f"length of file {header.name} {size} bytes < offset {offset} bytes")
            digest = hashlib.md5(usedforsecurity=False)
            if offset:
                await asyncio.to_thread(_hash_start, file, offset, digest)
            position = await _copy(body, file, (offset, nbytes), digest, header.name)
            if position < nbytes:
                message = f"EOF on socket read : asked for {nbytes - offset}, got {position - offset}"
                raise RefusedError(TRANSIENT, message)
            if header.md5_cksum and digest.hexdigest() != header.md5_cksum:
                os.ftruncate(file, 0)
                raise self._wrong_md5(header.name)
            if size > nbytes:
                os.ftruncate(file, nbytes)
            os.fchmod(file, 0o444)
        finally:
            os.close(file)

    def _wrong_md5(self, name: str) -> RefusedError:
        key = self._key(name)
        if len(_md5_failures) > 10_000:
            _md5_failures.clear()
        failures = _md5_failures[key] = _md5_failures.get(key, 0) + 1
        return RefusedError(PERMANENT if failures >= MD5_TRIES else TRANSIENT, f"wrong MD5 of {name}", drain=False)


def _open(path: Path, name: str) -> int:
    """Open for reading and writing, never through a link. Raises RefusedError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            return os.open(path, flags, 0o644)
        except PermissionError:
            # Complete but not reported: its holder may send it again (a resent result).
            path.chmod(0o644)
            return os.open(path, flags, 0o644)
    except OSError as error:
        permanent = error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO)
        status = PERMANENT if permanent else TRANSIENT
        raise RefusedError(status, f"can't open file {name}: {os.strerror(error.errno or 0)}") from None


def _hash_start(file: int, length: int, digest: hashlib._Hash) -> None:
    position = 0
    while position < length and (block := os.pread(file, min(BLOCK, length - position), position)):
        digest.update(block)
        position += len(block)


def _write(file: int, blocks: list[bytes], position: int, digest: hashlib._Hash) -> None:
    """Write and hash some blocks; runs in a thread, both calls release the interpreter."""
    for block in blocks:
        view = memoryview(block)
        while view:
            written = os.pwrite(file, view, position)
            position += written
            view = view[written:]
        digest.update(block)


async def _copy(body: BodyStream, file: int, span: tuple[int, int], digest: hashlib._Hash, name: str) -> int:
    """Copy the body to bytes `span` of the file; the position reached. What arrived is kept whatever happens.

    One block is written while the next is received; never more than two are in memory.
    """
    offset, nbytes = span
    received = position = offset
    blocks: list[bytes] = []
    gathered = 0
    writing: asyncio.Future[None] | None = None
    try:
        async for piece in body.pieces():
            kept = piece[: nbytes - received]
            received += len(kept)
            gathered += len(kept)
            blocks.append(kept)
            if gathered >= BLOCK:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(asyncio.to_thread(_write, file, blocks, position, digest))
                position += gathered
                blocks, gathered = [], 0
            if received >= nbytes:
                break
    except OSError as error:
        writing = None
        raise _cannot_write(name, error) from None
    finally:
        try:
            if writing is not None:
                await writing
            if gathered:
                _write(file, blocks, position, digest)
        except OSError as error:
            raise _cannot_write(name, error) from None
    return received


def _cannot_write(name: str, error: OSError) -> RefusedError:
    why = "No space left on server" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0)
    return RefusedError(TRANSIENT, f"can't write file {name}: {why}")


async def _drain(body: BodyStream) -> None:
    """Read and drop the rest, within bounds; whoever sends more loses the connection."""
    left = DRAIN_LIMIT
    try:
        async with asyncio.timeout(DRAIN_TIME):
            async for piece in body.pieces():
                left -= len(piece)
                if left < 0:
                    return
    except (TimeoutError, DisconnectedError):
        return
