"""``python -m boinc_server``: both interfaces in one process until SIGTERM.

Environment:
    BOINC_DATA             directory of everything, default /data
    BOINC_URL_BASE         start of all master URLs, default http://boinc.test/
    BOINC_PORT             public port, default 80, on all addresses
    BOINC_CONTROL_TOKEN    bearer token of the control interface, required
    BOINC_CONTROL_HOST     name or address to bind it to, default 127.0.0.1
    BOINC_CONTROL_PORT     its port, default 8081
    BOINC_DATABASE_URL     SQLAlchemy URL of a database server, default SQLite below BOINC_DATA
    BOINC_SAMPLE_APPS      tree of sample applications, default /apps
    BOINC_SMTP_HOST, BOINC_SMTP_PORT   mail server; without it mails are only recorded
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import uvicorn
import uvloop

from boinc_server import __version__
from boinc_server.control.app import make_app
from boinc_server.mail import Mailer
from boinc_server.protocol import BoundedProtocol
from boinc_server.public import make_app as make_public_app
from boinc_server.registry import Registry

_log = logging.getLogger("boinc_server")
RESOLVE_ATTEMPTS: Final = 50


class SettingError(Exception):
    """An environment variable is missing or wrong."""


def _port(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.isdecimal() or not 0 <= int(text) < 65536:
        raise SettingError(f"{name} must be a port number, not {text!r}")
    return int(text)


async def _bind(host: str, port: int) -> socket.socket:
    """A listening socket on the address of `host`, which may take a moment to be known in a container."""
    for attempt in range(RESOLVE_ATTEMPTS):
        try:
            address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
            break
        except socket.gaierror as error:
            if attempt == RESOLVE_ATTEMPTS - 1:
                raise SettingError(f"cannot resolve {host!r}: {error}") from error
            await asyncio.sleep(0.1)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: one handler stops both servers."""

    def install_signal_handlers(self) -> None: ...


async def serve() -> None:
    """Run until SIGTERM or SIGINT. Raises SettingError."""
    token = os.environ.get("BOINC_CONTROL_TOKEN", "")
    if not token:
        raise SettingError("BOINC_CONTROL_TOKEN is not set: the control interface needs a token")
    data = Path(os.environ.get("BOINC_DATA", "/data"))
    base_url = os.environ.get("BOINC_URL_BASE") or "http://boinc.test/"
    mailer = Mailer(os.environ.get("BOINC_SMTP_HOST") or None, _port("BOINC_SMTP_PORT", 25))
    registry = Registry(data, base_url if base_url.endswith("/") else f"{base_url}/", mailer, os.environ.get("BOINC_DATABASE_URL") or None)
    registry.keys.refill()
    registry.load()
    control_app = make_app(registry, token, Path(os.environ.get("BOINC_SAMPLE_APPS", "/apps")))
    public = await _bind("0.0.0.0", _port("BOINC_PORT", 80))
    control = await _bind(os.environ.get("BOINC_CONTROL_HOST", "127.0.0.1"), _port("BOINC_CONTROL_PORT", 8081))
    # A client that sends nothing more is cut off; followers of events stay, keep-alive lines are output.
    common = {"log_level": "warning", "access_log": False, "lifespan": "off", "server_header": False, "timeout_graceful_shutdown": 3}
    common |= {"http": BoundedProtocol}
    servers = [
        _Server(uvicorn.Config(make_public_app(registry), timeout_keep_alive=75, **common)),  # type: ignore[arg-type]
        _Server(uvicorn.Config(control_app, **common)),  # type: ignore[arg-type]
    ]

    def stop() -> None:
        for project in registry:
            project.events.finish()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    # What is loaded now stays: keep the collector from walking over it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    where = (public.getsockname(), control.getsockname())
    _log.warning("boinc_server %s: %d projects, public %s, control %s", __version__, len(registry), *where)
    try:
        await asyncio.gather(servers[0].serve(sockets=[public]), servers[1].serve(sockets=[control]))
    finally:
        await mailer.flush()
        registry.close()


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    except SettingError as error:
        print(f"boinc_server: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
