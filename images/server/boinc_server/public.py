"""The public side of the server, the only one that volunteers reach: port 80.

URLs of a project P, as the stock server lays them out:

* ``/P/`` master page and web pages, ``/P/*.php`` web RPCs, ``/P/download/...`` files;
* ``/P_cgi/cgi`` the scheduler, ``/P_cgi/file_upload_handler`` the upload handler;
* ``/P_ops/`` the admin's pages;
* ``/account_manager/`` an account manager for all projects of the server.

Whatever comes in, an answer goes out: BOINC's own error where it has one, else a short text with an
HTTP status. Refusals are logged and become events; details of a failure of ours stay in the log.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from boinc_server import account_manager, accounts, download, pages, scheduler, submit
from boinc_server.account_manager import PROJECT_RPCS, AccountManager
from boinc_server.body import BodyStream, DisconnectedError
from boinc_server.download import Exchange, NotServedError
from boinc_server.upload import UploadHandler
from boinc_server.wire import limits
from boinc_server.wire.reader import WireError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from boinc_server.project import Project
    from boinc_server.registry import Registry

GZIP_MIN: Final = 600
BIG_REQUEST: Final = 256 * 1024
XML: Final = "text/xml; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
_log = logging.getLogger("boinc_server.public")


class PublicApp:
    """The ASGI application."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.account_manager = AccountManager(registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            # A websocket, which nothing here speaks: closing before accepting answers 403.
            await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive, send)
        try:
            await self.route(request)
        except Refused as error:
            await self.refuse(request, error.status, error.why)
        except WireError as error:
            await self.refuse(request, error.status, error.what)
        except DisconnectedError as error:
            self.record(request, 499, str(error))
        except Exception as error:  # noqa: BLE001 - the last line of defence: log, answer, keep serving
            _log.exception("%s %s failed", request.method, request.path[:200])
            self.record(request, 500, f"{type(error).__name__} (see the log)")
            await request.reply(b"Internal server error\n", TEXT, 500)

    async def route(self, request: Request) -> None:
        """Find the project and what is asked of it. Raises Refused."""
        if len(request.raw_path) > limits.MAX_URL:
            raise Refused(414, "URL too long")
        first, _, rest = request.path[1:].partition("/")
        project = self.registry.get(first)
        if project is not None:
            request.project = project
            if rest == "" and not request.path.endswith("/"):
                await request.redirect(f"/{first}/")
            elif rest.startswith("download/"):
                await self.download(project, request, rest.split("/")[1:])
            else:
                await self.page(project, request, rest)
            return
        project = self.registry.get(first.removesuffix("_cgi")) if first.endswith("_cgi") else None
        if project is not None:
            request.project = project
            if rest == "cgi":
                await self.scheduler(project, request)
                return
            if rest.startswith("file_upload_handler"):
                await self.upload(project, request)
                return
        project = self.registry.get(first.removesuffix("_ops")) if first.endswith("_ops") else None
        if project is not None:
            request.project = project
            if await pages.handle_ops(project, request, rest):
                return
        if first == account_manager.PATH:
            await self.manager(request, rest)
            return
        if request.path == "/":
            await request.reply(pages.overview(self.registry), pages.HTML)
            return
        raise Refused(404, "no such page")

    async def scheduler(self, project: Project, request: Request) -> None:
        if request.method not in {"POST", "GET"}:
            raise Refused(405, f"{request.method} on the scheduler")
        body = await request.body.read_all(limits.MAX_SCHEDULER_REQUEST)
        # Reading a big request takes a while: not on the loop that serves everybody.
        parsed = await asyncio.to_thread(scheduler.parse, body) if len(body) > BIG_REQUEST else None
        reply = scheduler.handle_request(project, body, request.remote_addr, parsed)
        await request.reply(reply, XML)

    async def upload(self, project: Project, request: Request) -> None:
        if request.method not in {"POST", "GET"}:
            raise Refused(405, f"{request.method} on the upload handler")
        reply = await UploadHandler(project).handle(request.body)
        await request.reply(reply, TEXT)

    async def download(self, project: Project, request: Request, parts: list[str]) -> None:
        if request.method not in {"GET", "HEAD"}:
            raise Refused(405, f"{request.method} on a file")
        exchange = Exchange(request.headers, request.receive, request.send, request.method == "HEAD")
        try:
            await download.serve(project, parts, exchange)
        except NotServedError as error:
            project.emit("download.failed", name=parts[-1][:255], status=error.status, why=error.why)
            project.log.warning("download of %r refused: %d %s", "/".join(parts)[:300], error.status, error.why)
            extra = [(b"content-range", f"bytes */{error.size}".encode())] if error.status == 416 else []
            await request.reply(f"{error.why}\n".encode("utf-8", "replace"), TEXT, error.status, extra)

    async def manager(self, request: Request, name: str) -> None:
        """The account manager, which stands beside the projects."""
        if name in {"", "index.php", "get_project_config.php"}:
            await request.reply(self.account_manager.config().encode(), XML)
        elif name == "rpc.php":
            body = await request.body.read_all(limits.MAX_FORM)
            await request.reply((await self.account_manager.rpc(body)).encode("utf-8", "replace"), XML)
        else:
            raise Refused(404, "no such page")

    async def page(self, project: Project, request: Request, name: str) -> None:
        """Web RPCs and web pages."""
        if name == "get_project_config.php":
            await request.reply(accounts.project_config(project).encode(), XML)
        elif name in PROJECT_RPCS:
            await self.account_rpc(project, request, name)
        elif name in submit.RPCS:
            await self.check_web(project)
            await submit.handle(project, request, name)
        else:
            await self.check_web(project)
            if not await pages.handle(project, request, name):
                raise Refused(404, "no such page")

    @staticmethod
    async def check_web(project: Project) -> None:
        if project.config.stop_web:
            raise Refused(503, "This project is down for maintenance")

    async def account_rpc(self, project: Project, request: Request, name: str) -> None:
        """Account RPCs answer 200 with an ``<error>`` element, as the client's GUIs expect."""
        try:
            if project.config.stop_web:
                raise accounts.AccountError(accounts.ERR_PROJECT_DOWN)
            text = await PROJECT_RPCS[name](project, await request.parameters())
        except accounts.AccountError as error:
            text = accounts.error_xml(error.number, str(error))
            project.log.warning("%s: %s (%d)", name, error, error.number)
            project.emit("account.error", rpc=name, error_num=error.number, why=str(error))
        await request.reply(text.encode("utf-8", "replace"), XML)

    async def refuse(self, request: Request, status: int, why: str) -> None:
        self.record(request, status, why)
        await request.reply(f"{why}\n".encode("utf-8", "replace"), TEXT, status)

    def record(self, request: Request, status: int, why: str) -> None:
        """Log a refusal, and tell the project concerned."""
        path = request.path[:300]
        _log.warning("%s %r from %s: %d %s", request.method, path, request.remote_addr, status, why)
        if request.project is not None:
            request.project.log.warning("%s %r from %s: %d %s", request.method, path, request.remote_addr, status, why)
            request.project.emit("http.error", path=path, status=status, why=why, method=request.method)


class Refused(Exception):
    """A request that is answered with an HTTP status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Request:
    """One HTTP request, lean: the scheduler's hot path needs a body and an address only."""

    __slots__ = ("_headers", "body", "method", "path", "project", "raw_path", "receive", "scope", "send", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: bytes = scope.get("raw_path") or self.path.encode("utf-8", "replace")
        self.body = BodyStream(receive)
        self.project: Project | None = None
        self.started = False
        self._headers: dict[bytes, bytes] | None = None

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Lower-case names; of repeated ones the last."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers

    @property
    def remote_addr(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the URL."""
        if len(self.scope["query_string"]) > limits.MAX_URL:
            raise Refused(414, "URL too long")
        return self._parse(self.scope["query_string"].decode("latin-1"))

    @staticmethod
    def _parse(text: str) -> dict[str, str]:
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000, errors="replace")
        except ValueError:
            raise Refused(400, "too many parameters") from None
        return {key: value.replace("\0", "") for key, value in pairs}

    async def parameters(self, limit: int = limits.MAX_FORM) -> dict[str, str]:
        """Parameters of the URL and of a urlencoded body; the body's win."""
        values = self.query
        if self.method == "POST":
            values |= self._parse((await self.body.read_all(limit)).decode("utf-8", "replace"))
        return values

    async def reply(self, body: bytes, content_type: str, status: int = 200, extra: list[tuple[bytes, bytes]] | None = None) -> None:
        """Send a whole answer; compressed when the client takes that. Nothing if one has begun."""
        if self.started:
            return
        self.started = True
        headers = [(b"content-type", content_type.encode()), (b"x-content-type-options", b"nosniff"), *(extra or [])]
        if len(body) >= GZIP_MIN and b"gzip" in self.headers.get(b"accept-encoding", b""):
            body = gzip.compress(body, 1, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def redirect(self, location: str, status: int = 301, extra: list[tuple[bytes, bytes]] | None = None) -> None:
        await self.reply(b"", TEXT, status, [(b"location", location.encode("utf-8", "replace")), *(extra or [])])


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def make_app(registry: Registry) -> ASGIApp:
    """The ASGI application for port 80."""
    return PublicApp(registry)
