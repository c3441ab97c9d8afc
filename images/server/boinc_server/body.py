"""Reading request bodies with bounds on size and on time, so that nobody slow or big hurts others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Receive

from boinc_server.wire.reader import WireError

IDLE_TIMEOUT: Final = 60.0
"""Wall seconds without a byte after which a sender is given up (Apache's default Timeout)."""
BODY_TIMEOUT: Final = 120.0
"""Wall seconds for a whole request that is not an upload."""


class DisconnectedError(Exception):
    """The sender went away, or sent nothing for too long."""


class BodyStream:
    """The bytes of one request, in order."""

    def __init__(self, receive: Receive, idle_timeout: float = IDLE_TIMEOUT) -> None:
        self._receive = receive
        self._idle = idle_timeout
        self._buffer = b""
        self._more = True

    async def _fill(self) -> bool:
        """Get the next non-empty piece; False at the end. Raises DisconnectedError."""
        while self._more:
            try:
                async with asyncio.timeout(self._idle):
                    message = await self._receive()
            except TimeoutError:
                raise DisconnectedError(f"nothing received for {self._idle:.0f} s") from None
            if message["type"] == "http.disconnect":
                raise DisconnectedError("connection closed by the sender")
            self._more = bool(message.get("more_body", False))
            piece = message.get("body", b"")
            if piece:
                self._buffer = self._buffer + piece if self._buffer else piece
                return True
        return False

    async def read_all(self, limit: int, timeout: float = BODY_TIMEOUT) -> bytes:
        """The whole body.

        Raises:
            WireError: 413 above `limit` bytes, 408 when it takes more than `timeout` seconds.
            DisconnectedError: the sender went away.
        """
        pieces = [self._buffer]
        size = len(self._buffer)
        self._buffer = b""
        try:
            async with asyncio.timeout(timeout):
                while await self._fill():
                    size += len(self._buffer)
                    if size > limit:
                        raise WireError(f"body of more than {limit} bytes", 413)
                    pieces.append(self._buffer)
                    self._buffer = b""
        except TimeoutError:
            raise WireError(f"body not received within {timeout:.0f} s", 408) from None
        return b"".join(pieces)

    async def read_line(self, limit: int) -> bytes:
        """The next line with its newline; what is left at the end; b"" after that.

        Raises WireError for a line of more than `limit` bytes.
        """
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            if start > limit:
                raise WireError(f"line of more than {limit} bytes")
            if not await self._fill():
                line, self._buffer = self._buffer, b""
                return line
        if end >= limit:
            raise WireError(f"line of more than {limit} bytes")
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return line

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is left, as it comes."""
        while self._buffer or await self._fill():
            piece, self._buffer = self._buffer, b""
            yield piece
