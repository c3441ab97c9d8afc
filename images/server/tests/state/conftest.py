"""A project with a clock that stands still until a test moves it, and simulated volunteers without HTTP."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from boinc_server import accounts, appversions, crypt, models, scheduler, simulate, storage, templates, work
from boinc_server.clock import ClockSpec
from boinc_server.database import AnyRow
from boinc_server.mail import Mailer
from boinc_server.registry import Registry
from sqlalchemy import select

DATABASE_URL = os.environ.get("BOINC_TEST_DATABASE_URL")
"""Run these tests on a database server instead of SQLite: an SQLAlchemy URL whose user may create databases."""
DAY = 86400
START = 1_700_000_000
NO_INPUT = "<workunit>\n</workunit>\n"
ONE_OUTPUT = """<file_info>
    <name><OUTFILE_0/></name>
    <max_nbytes>1000000</max_nbytes>
    <url><UPLOAD_URL/></url>
</file_info>
<result>
    <file_ref>
        <file_name><OUTFILE_0/></file_name>
        <open_name>out</open_name>
    </file_ref>
</result>
"""
PLATFORM = "x86_64-pc-linux-gnu"


class Host:
    """A simulated volunteer's computer."""

    def __init__(self, world: World, user: AnyRow, name: str, **machine: Any) -> None:
        self.world = world
        self.user = user
        number = len(world.hosts) + 1
        self.client = simulate.SimulatedHost(user.authenticator, name, ip_addr=f"10.1.0.{number}", **machine)
        self.tasks: dict[str, simulate.Task] = {}
        self.app_versions = ""
        """XML of the app versions the client has of its own."""
        world.hosts.append(self)

    def rpc(self, seconds: float = 0.0, finished: Sequence[simulate.Finished] = (), **options: Any) -> simulate.Reply:
        """One scheduler RPC."""
        done = list(finished)
        body = self.client.request(seconds, done, **options)
        body = body.replace(b"<app_versions>\n", b"<app_versions>\n" + self.app_versions.encode())
        reply = self.client.accept(scheduler.handle_request(self.world.project, body, "10.9.9.9"), done)
        self.tasks |= {task.name: task for task in reply.tasks}
        return reply

    @property
    def id(self) -> int:
        return self.client.hostid

    def fetch(self, seconds: float = 1.0) -> list[str]:
        """Ask for work; the names of what came."""
        return [task.name for task in self.rpc(seconds).tasks]

    def done(self, name: str, content: bytes = b"right", **fields: Any) -> simulate.Finished:
        """A result computed and uploaded, ready to be reported."""
        outputs = []
        for file in self.tasks[name].outputs:
            storage.write_atomically(storage.upload_path(self.world.project, file.name), content)
            outputs.append((file, content))
        return simulate.Finished(name, outputs=outputs, **fields)

    def report(self, name: str, content: bytes = b"right", **fields: Any) -> simulate.Reply:
        return self.rpc(finished=[self.done(name, content, **fields)])

    def fail(self, name: str, exit_status: int = 1) -> simulate.Reply:
        return self.rpc(finished=[simulate.Finished(name, state=3, exit_status=exit_status)])


class World:
    """One project and those who take part in it."""

    def __init__(self, registry: Registry, **config: Any) -> None:
        self.registry = registry
        self.project = registry.create(
            f"p{len(registry)}", "Project", {"verify_email": False} | config, ClockSpec(time.time(), START, 1e-9)
        )
        self.hosts: list[Host] = []
        self.app("work")

    def app(self, name: str, versions: Sequence[str] = (PLATFORM,), **columns: Any) -> int:
        """An app with version 1.0 for each of `versions` (PLATFORM or PLATFORM__PLANCLASS)."""
        for version in versions:
            directory = self.project.path("apps", name, "1.0", version)
            directory.mkdir(parents=True)
            (directory / f"{name}_1.0_{version}").write_bytes(b"API_VERSION_8.2.15\0")
        self.project.path("templates", f"{name}_in").write_text(NO_INPUT)
        self.project.path("templates", f"{name}_out").write_text(ONE_OUTPUT)
        with self.project.transaction() as tx:
            app_id = appversions.add_app(tx, name, columns)
            _, messages = appversions.update_versions(tx)
        assert not messages
        return app_id

    def user(self, name: str = "ann") -> AnyRow:
        email = f"{name}@boinc.test"
        return accounts.create(self.project, email, accounts.passwd_hash(email, "secret"), name)

    def host(self, name: str = "", user: AnyRow | None = None, **machine: Any) -> Host:
        """A computer, of a user of its own unless given."""
        name = name or f"host-{len(self.hosts) + 1}"
        return Host(self, user or self.user(f"user-of-{name}"), name, **machine)

    def job(self, app: str = "work", files: Sequence[templates.InputFile] = (), name: str | None = None, **options: Any) -> int:
        with self.project.transaction() as tx:
            return work.create_work(tx, app, files, work.WorkOptions(**options), name)

    def wu(self, workunit: int) -> AnyRow:
        with self.project.transaction() as tx:
            row = tx.one(select(models.workunit).where(models.workunit.c.id == workunit))
        assert row is not None
        return row

    def results(self, workunit: int) -> list[AnyRow]:
        with self.project.transaction() as tx:
            return tx.all(select(models.result).where(models.result.c.workunitid == workunit).order_by(models.result.c.id))

    def rows(self, table: Any) -> list[AnyRow]:
        with self.project.transaction() as tx:
            return tx.all(select(table))

    def hav(self, host: Host) -> AnyRow:
        [row] = [r for r in self.rows(models.host_app_version) if r.host_id == host.id]
        return row

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; deadlines take effect."""
        self.project.clock.set(ClockSpec(time.time(), self.project.clock.now() + seconds, 1e-9))

    def configure(self, **options: Any) -> None:
        self.project.configure(options)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        everything = [json.loads(line) for line in self.project.events.since(0)]
        return [event for event in everything if not kinds or event["kind"] in kinds]


@pytest.fixture(scope="session")
def keys() -> crypt.ProjectKeys:
    return crypt.generate_project_keys()


@pytest.fixture(autouse=True)
def _same_keys(monkeypatch: pytest.MonkeyPatch, keys: crypt.ProjectKeys) -> None:
    """Making keys takes longer than most of these tests, and they are not about keys."""
    monkeypatch.setattr(crypt, "generate_project_keys", lambda: keys)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path, "http://boinc.test/", Mailer(), DATABASE_URL)
    yield registry
    for project in list(registry):
        if DATABASE_URL and not project.closed:
            registry.delete(project.name)
    registry.close()


@pytest.fixture
def world(registry: Registry) -> World:
    return World(registry)
