"""The embedded server on a real port, in a thread of this process; a fresh project for each test."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from boinc_server import accounts, models, simulate, templates, work
from boinc_server.database import AnyRow, Transaction
from boinc_server.mail import Mailer
from boinc_server.project import Project
from boinc_server.protocol import BoundedProtocol
from boinc_server.public import make_app
from boinc_server.registry import Registry
from sqlalchemy import insert, select, update

T = TypeVar("T")
WU_TEMPLATE = "<file_info>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
RESULT_TEMPLATE = (
    "<file_info>\n<name><OUTFILE_0/></name>\n<generated_locally/>\n<upload_when_present/>\n<max_nbytes>1000000</max_nbytes>\n"
    "<url><UPLOAD_URL/></url>\n</file_info>\n<result>\n<file_ref>\n<file_name><OUTFILE_0/></file_name>\n<open_name>out</open_name>\n"
    "</file_ref>\n</result>\n"
)
EMAIL = "ann@boinc.test"
PASSWORD_HASH = accounts.passwd_hash(EMAIL, "secret")


class Server:
    """The public port, and a way to run code on the loop that serves it."""

    def __init__(self, data: Path) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}/"
        self.registry = Registry(data, self.base, Mailer())
        options: dict[str, Any] = {"log_level": "error", "access_log": False, "lifespan": "off", "server_header": False}
        config = uvicorn.Config(make_app(self.registry), http=BoundedProtocol, **options)
        self._server = uvicorn.Server(config)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="conformance-server", daemon=True)
        self._thread.start()
        self._names = (f"p{number}" for number in itertools.count(1))

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._server.serve(sockets=[listener]))

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the server's loop, as everything that touches a project must."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def new_project(self) -> World:
        return World(self, self.call(lambda: self.registry.create(next(self._names), "Conformance & Co.")))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self.registry.close()


class World:
    """A project with the app uppercase, the user Ann, and her simulated computer."""

    def __init__(self, server: Server, project: Project) -> None:
        self.server = server
        self.project = project
        self.http = httpx.Client(timeout=30)
        self.user = self.call(self._prepare)
        self.host = self.new_host()

    def call(self, function: Callable[[], T]) -> T:
        return self.server.call(function)

    def _prepare(self) -> AnyRow:
        project = self.project
        with project.transaction() as tx:
            platform = tx.one(select(models.platform.c.id).where(models.platform.c.name == simulate.PLATFORM))
            assert platform is not None
            app_id = tx.insert(insert(models.app), name="uppercase", user_friendly_name="Upper case", create_time=tx.now)
            xml = (
                f"<file_info>\n<name>uppercase_1</name>\n<url>{project.download_url}/uppercase_1</url>\n<executable/>\n<nbytes>3</nbytes>\n"
                "</file_info>\n<app_version>\n<app_name>uppercase</app_name>\n<version_num>100</version_num>\n<file_ref>\n"
                "<file_name>uppercase_1</file_name>\n<main_program/>\n</file_ref>\n</app_version>\n"
            )
            version = {"appid": app_id, "version_num": 100, "platformid": platform.id, "plan_class": "", "xml_doc": xml}
            tx.insert(insert(models.app_version), **version, create_time=tx.now)
        project.path("templates", "uppercase_in").write_text(WU_TEMPLATE)
        project.path("templates", "uppercase_out").write_text(RESULT_TEMPLATE)
        project.catalog.invalidate()
        return accounts.create(project, EMAIL, PASSWORD_HASH, "Ann")

    # --- the database

    def transaction(self, function: Callable[[Transaction], T]) -> T:
        """Run `function` in a transaction."""

        def run() -> T:
            with self.project.transaction() as tx:
                return function(tx)

        return self.call(run)

    def row(self, table: Any, row_id: int = 1) -> Any:
        return self.transaction(lambda tx: tx.one(select(table).where(table.c.id == row_id)))

    def set(self, table: Any, **values: Any) -> None:
        self.transaction(lambda tx: tx.execute(update(table).values(**values)))

    def configure(self, **options: Any) -> None:
        self.call(lambda: self.project.configure(options))

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.call(lambda: list(self.project.events.since(0)))
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def add_job(self, content: bytes = b"hello", **options: Any) -> int:
        def create() -> int:
            name = work.inline_name(content)
            work.stage_file(self.project, name, content)
            with self.project.transaction() as tx:
                return work.create_work(tx, "uppercase", [templates.InputFile(name)], work.WorkOptions(**options))

        return self.call(create)

    # --- the volunteer

    def new_host(self, **machine: Any) -> simulate.SimulatedHost:
        return simulate.SimulatedHost(self.user.authenticator, **machine)

    @property
    def url(self) -> str:
        """The master URL."""
        return self.project.master_url

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.url + path, **options)

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """POST to the scheduler."""
        return self.http.post(self.project.scheduler_url, content=body, headers={"content-type": "text/xml"} | headers)

    def rpc(
        self, seconds: float = 0.0, finished: list[simulate.Finished] | None = None, host: simulate.SimulatedHost | None = None
    ) -> simulate.Reply:
        host = host or self.host
        response = self.post(host.request(seconds, finished))
        assert response.status_code == 200
        return host.accept(response.content, finished)

    def upload(self, body: bytes) -> tuple[int, str]:
        """POST to the upload handler: (status, rest of the reply)."""
        response = self.http.post(self.project.upload_url, content=body)
        assert response.status_code == 200
        assert len(response.content) < 8192
        status = int(response.text.split("<status>")[1].split("</status>")[0])
        return status, response.text

    def compute(self, task: simulate.Task, content: bytes = b"HELLO") -> simulate.Finished:
        """Upload `content` as the task's output."""
        assert self.upload(simulate.upload_request(task.outputs[0], content))[0] == 0
        return simulate.Finished(task.name, outputs=[(task.outputs[0], content)])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def world(server: Server) -> Iterator[World]:
    world = server.new_project()
    yield world
    world.http.close()
    server.call(lambda: server.registry.delete(world.project.name))
