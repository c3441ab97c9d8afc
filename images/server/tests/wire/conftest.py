"""A registry in a temporary directory, one project on it, and a way to send requests to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from boinc_server import accounts, models, simulate, templates, work
from boinc_server.mail import Mailer
from boinc_server.project import Project
from boinc_server.public import make_app
from boinc_server.registry import Registry
from sqlalchemy import insert, select

BASE = "http://boinc.test/"


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    # BOINC_TEST_DATABASE_URL: the same tests on MariaDB or PostgreSQL.
    registry = Registry(tmp_path, BASE, Mailer(), os.environ.get("BOINC_TEST_DATABASE_URL"))
    yield registry
    for project in list(registry):
        registry.delete(project.name)
    registry.close()


@pytest.fixture
def project(registry: Registry) -> Project:
    return registry.create("p", "Project P")


class Http:
    """A synchronous client of the ASGI application, no sockets involved."""

    def __init__(self, runner: asyncio.Runner, registry: Registry) -> None:
        self._runner = runner
        self._transport = httpx.ASGITransport(make_app(registry), client=("10.0.0.9", 4242))

    def __call__(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://boinc.test") as client:
                return await client.request(method, url, **options)

        return self._runner.run(send())

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self("GET", url, **options)

    def post(self, url: str, content: bytes | str, **options: Any) -> httpx.Response:
        return self("POST", url, content=content, **options)


@pytest.fixture
def http(runner: asyncio.Runner, registry: Registry) -> Http:
    return Http(runner, registry)


WU_TEMPLATE = "<file_info>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
RESULT_TEMPLATE = (
    "<file_info>\n<name><OUTFILE_0/></name>\n<generated_locally/>\n<upload_when_present/>\n<max_nbytes>1000000</max_nbytes>\n"
    "<url><UPLOAD_URL/></url>\n</file_info>\n<result>\n<file_ref>\n<file_name><OUTFILE_0/></file_name>\n<open_name>out</open_name>\n"
    "</file_ref>\n</result>\n"
)
PLATFORM = "x86_64-pc-linux-gnu"


def add_app(project: Project, name: str = "uppercase", *, plan_class: str = "", version_num: int = 100, **columns: Any) -> int:
    """An app with one version of one (unsigned) file, straight into the tables."""
    with project.transaction() as tx:
        platform = tx.one(select(models.platform.c.id).where(models.platform.c.name == PLATFORM))
        platform_id = platform[0] if platform else tx.insert(insert(models.platform), name=PLATFORM, user_friendly_name="Linux")
        app_id = tx.insert(insert(models.app), name=name, user_friendly_name=name.title(), create_time=tx.now, **columns)
        xml = (
            f"<file_info>\n<name>{name}_1</name>\n<url>{project.download_url}/{name}_1</url>\n<executable/>\n<nbytes>3</nbytes>\n"
            f"</file_info>\n<app_version>\n<app_name>{name}</app_name>\n<version_num>{version_num}</version_num>\n<file_ref>\n"
            f"<file_name>{name}_1</file_name>\n<main_program/>\n</file_ref>\n</app_version>\n"
        )
        tx.insert(
            insert(models.app_version),
            appid=app_id,
            version_num=version_num,
            platformid=platform_id,
            plan_class=plan_class,
            xml_doc=xml,
            create_time=tx.now,
        )
    project.path("templates", f"{name}_in").write_text(WU_TEMPLATE)
    project.path("templates", f"{name}_out").write_text(RESULT_TEMPLATE)
    project.catalog.invalidate()
    return app_id


def add_job(project: Project, content: bytes = b"hello", app: str = "uppercase", **options: Any) -> int:
    """Create a workunit with one input file; its id."""
    name = work.inline_name(content)
    work.stage_file(project, name, content)
    with project.transaction() as tx:
        return work.create_work(tx, app, [templates.InputFile(name)], work.WorkOptions(**options))


def add_user(project: Project, email: str = "ann@boinc.test", name: str = "Ann") -> Any:
    return accounts.create(project, email, accounts.passwd_hash(email, "secret"), name)


class Volunteer:
    """A simulated host together with the transport to the project under test."""

    def __init__(self, http: Http, project: Project, authenticator: str, **machine: Any) -> None:
        self.http = http
        self.project = project
        self.host = simulate.SimulatedHost(authenticator, **machine)

    def rpc(self, seconds: float = 0.0, finished: list[simulate.Finished] | None = None, **options: Any) -> simulate.Reply:
        """One scheduler RPC."""
        body = self.host.request(seconds, finished, **options)
        response = self.http.post(f"/{self.project.name}_cgi/cgi", body, headers={"content-type": "text/xml"})
        assert response.status_code == 200
        return self.host.accept(response.content, finished)

    def upload(self, file: simulate.File, content: bytes) -> str:
        """Upload one output; the reply's text."""
        return self.http.post(file.urls[0], simulate.upload_request(file, content)).text

    def compute(self, task: simulate.Task, content: bytes | None = None) -> simulate.Finished:
        """Download the inputs, upper-case the first, upload it as the first output."""
        response = self.http.get(task.inputs[0].urls[0])
        assert response.status_code == 200
        output = response.content.upper() if content is None else content
        assert "<status>0</status>" in self.upload(task.outputs[0], output)
        return simulate.Finished(task.name, outputs=[(task.outputs[0], output)])


@pytest.fixture
def ann(http: Http, project: Project) -> Volunteer:
    """A volunteer of a project with the app uppercase."""
    add_app(project)
    return Volunteer(http, project, add_user(project).authenticator)
