"""What mitmproxy does not offer: writing to a client's connection byte by byte, and breaking it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from mitmproxy import ctx
from mitmproxy.connection import Connection
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.net.http.http1 import assemble

#: how a paced body is sliced
SLICES_PER_SECOND = 10


def _handler(flow: HTTPFlow) -> Any:
    return ctx.master.addons.get("proxyserver").connections.get(flow.client_conn.id)


def _writer(flow: HTTPFlow, connection: Connection) -> asyncio.StreamWriter | None:
    handler = _handler(flow)
    io = handler.transports.get(connection) if handler else None
    return io.writer if io else None


def reset(flow: HTTPFlow, *, client: bool = True, server: bool = False) -> None:
    """Reset (RST, as a crashed peer does) the client's connection, the server's, or both. Without the server's, mitmproxy answers 502."""
    for connection in [*([flow.client_conn] if client else []), *([flow.server_conn] if server else [])]:
        writer = _writer(flow, connection)
        if writer is None:
            continue
        raw = writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


async def send(flow: HTTPFlow, response: Response, *, length: int | None = None, cut: int | None = None, rate: float | None = None) -> int:
    """Write a response to the client ourselves: `length` overrides Content-Length, `cut` ends the body early with a reset,
    `rate` is bytes a second. The connection is closed afterwards. Returns the number of body bytes sent.
    """
    writer = _writer(flow, flow.client_conn)
    if writer is None:
        return 0
    body = response.raw_content or b""
    response.headers.pop("transfer-encoding", None)
    response.headers["content-length"] = str(len(body) if length is None else length)
    response.headers["connection"] = "close"
    sent = body if cut is None else body[:cut]
    try:
        writer.write(assemble.assemble_response_head(response))
        if rate is None:
            writer.write(sent)
            await writer.drain()
        else:
            step = max(1, int(rate / SLICES_PER_SECOND))
            for start in range(0, len(sent), step):
                writer.write(sent[start : start + step])
                await writer.drain()
                await asyncio.sleep(min(step, len(sent) - start) / rate)
    except OSError:
        return 0
    if cut is not None and cut < len(body):
        await _sent(writer)
        reset(flow)
    else:
        writer.close()
    return len(sent)


async def _sent(writer: asyncio.StreamWriter) -> None:
    """Wait until the kernel has everything and had a moment to deliver it: a reset throws away what has not gone out yet."""
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
