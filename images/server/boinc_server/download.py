"""Serving files to clients: whole or from an offset, never outside the download directory."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boinc_server.wire.names import is_valid_filename

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from boinc_server.project import Project

BLOCK: Final = 512 * 1024
SEND_TIMEOUT: Final = 300.0
"""Wall seconds for one block to leave: the client itself gives up below 10 bytes/s for 300 s."""
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")


class NotServedError(Exception):
    """Why a file is not sent: the HTTP status and a reason for the log."""

    def __init__(self, status: int, why: str, size: int = 0) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.size = size


def open_file(directory: Path, parts: list[str]) -> tuple[int, os.stat_result]:
    """Open directory/parts for reading, following no link. Raises NotServedError 404."""
    if not 1 <= len(parts) <= 4 or not all(is_valid_filename(part) for part in parts):
        raise NotServedError(404, "not a file name")
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for index, part in enumerate(parts):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            if index < len(parts) - 1:
                flags |= os.O_DIRECTORY
            try:
                below = os.open(part, flags, dir_fd=handle)
            except OSError:
                raise NotServedError(404, "no such file") from None
            os.close(handle)
            handle = below
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise NotServedError(404, "not a file")
    except BaseException:
        os.close(handle)
        raise
    return handle, info


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """(first, past the last) byte of a Range header; None when it is to be ignored.

    Raises NotServedError 416 when no byte of the file is in it. Several ranges are ignored, as
    RFC 9110 permits: no client of ours asks for them.
    """
    match = _RANGE.match(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start = int(first)
        end = min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise NotServedError(416, f"range {header[:60]} beyond {size} bytes", size)
    return start, end


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request and the way to answer it."""

    headers: dict[bytes, bytes]
    receive: Receive
    send: Send
    head: bool = False


async def serve(project: Project, parts: list[str], exchange: Exchange) -> None:
    """Answer a GET or HEAD for a file below download/.

    Raises NotServedError when nothing has been sent yet.
    """
    if project.config.stop_download:
        raise NotServedError(503, "downloads are stopped")
    handle, info = open_file(project.path("download"), parts)
    name = parts[-1]
    try:
        size, modified = info.st_size, formatdate(info.st_mtime, usegmt=True)
        etag = f'"{info.st_mtime_ns:x}-{size:x}"'
        headers = exchange.headers
        condition = headers.get(b"if-range", b"").decode("latin-1")
        wanted = None
        if (field := headers.get(b"range")) is not None and condition in ("", etag, modified):
            wanted = parse_range(field.decode("latin-1"), size)
        start, end = wanted or (0, size)
        reply_headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(end - start).encode()),
            (b"accept-ranges", b"bytes"),
            (b"last-modified", modified.encode()),
            (b"etag", etag.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        if wanted:
            reply_headers.append((b"content-range", f"bytes {start}-{end - 1}/{size}".encode()))
        await exchange.send({"type": "http.response.start", "status": 206 if wanted else 200, "headers": reply_headers})
        sent = await _send_file(handle, start, 0 if exchange.head else end - start, exchange)
    finally:
        os.close(handle)
    if exchange.head:
        return
    if sent == end - start:
        project.emit("download.done", name=name, nbytes=sent, range=[start, end] if wanted else None)
    else:
        project.log.warning("download of %s broke off after %d of %d bytes", name, sent, end - start)
        project.emit("download.failed", name=name, status=206 if wanted else 200, why=f"broke off after {sent} bytes")


async def _send_file(handle: int, position: int, left: int, exchange: Exchange) -> int:
    """Send `left` bytes; the number sent, which is less when the receiver went away."""
    if left <= BLOCK:
        # Small files are in the page cache; a thread would cost more than the read.
        block = os.pread(handle, left, position) if left else b""
        await exchange.send({"type": "http.response.body", "body": block})
        return len(block)
    gone = asyncio.ensure_future(_wait_disconnect(exchange.receive))
    sent = 0
    try:
        while left > 0 and not gone.done():
            block = await asyncio.to_thread(os.pread, handle, min(BLOCK, left), position)
            if not block:
                break
            left -= len(block)
            position += len(block)
            async with asyncio.timeout(SEND_TIMEOUT):
                await exchange.send({"type": "http.response.body", "body": block, "more_body": left > 0})
            # A receiver that went away while the block was being sent did not get it.
            sent += 0 if gone.done() and left > 0 else len(block)
    except (OSError, TimeoutError):
        return sent
    finally:
        gone.cancel()
    return sent


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
