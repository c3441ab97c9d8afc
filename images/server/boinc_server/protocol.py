"""uvicorn's HTTP protocol with bounds on what comes before a body, which it leaves to a proxy in front of it.

Without them a connection that never ends its headers is held, and what it sends is kept in memory, for ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD: Final = 64 * 1024
"""Bytes of request line and headers."""
HEAD_TIMEOUT: Final = 60.0
"""Wall seconds from the first byte of a request, or from the connection, to the end of its headers."""
_log = logging.getLogger("boinc_server.public")


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            self._await_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._give_up(f"headers of more than {MAX_HEAD} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # Trailers after a chunked body: nobody wants them, and there is no end to them.
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_over()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._give_up, f"no end of the headers within {HEAD_TIMEOUT:g} s")

    def _head_over(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self, why: str) -> None:
        _log.warning("connection from %s closed: %s", self.client[0] if self.client else "?", why)
        self._head_over()
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response(why)
        else:
            # It sent more while it is still being answered: there is no place for another answer.
            self.transport.abort()
