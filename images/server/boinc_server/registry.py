"""Many projects on one server: made in milliseconds, found by name, removed without a trace."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.pool import NullPool

from boinc_server import appversions, crypt
from boinc_server.clock import ClockSpec
from boinc_server.config import ProjectConfig
from boinc_server.mail import Mailer
from boinc_server.project import DIRECTORIES, Project, write_project_file

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}\Z")
POOL_SIZE: Final = 4


class ProjectExistsError(Exception):
    """A project of that name is there already."""


class BadNameError(ValueError):
    """Not usable as a project's short name."""


class NoSuchProjectError(KeyError):
    """No project of that name."""


class KeyPool:
    """Keys made in advance: making a pair of 1024-bit keys takes longer than all the rest of a project."""

    def __init__(self) -> None:
        self._ready: list[crypt.ProjectKeys] = []
        self._filling: asyncio.Task[None] | None = None

    def take(self) -> crypt.ProjectKeys:
        """A set of keys from the pool, or made now when it is empty."""
        keys = self._ready.pop() if self._ready else crypt.generate_project_keys()
        self.refill()
        return keys

    def refill(self) -> None:
        """Fill the pool in a thread, if there is a running loop."""
        if self._filling is not None and not self._filling.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._filling = loop.create_task(self._fill())

    async def _fill(self) -> None:
        while len(self._ready) < POOL_SIZE:
            self._ready.append(await asyncio.to_thread(crypt.generate_project_keys))


class Registry:
    """All projects of this server.

    Args:
        data: the server's directory; projects live in data/projects/NAME.
        base_url: start of all master URLs, e.g. ``http://boinc.test/``.
        database_url: None for SQLite below each project; else an SQLAlchemy URL of a database server,
            on which each project gets the database NAME_<project>.
    """

    def __init__(self, data: Path, base_url: str, mailer: Mailer, database_url: str | None = None) -> None:
        self.data = data
        self.base_url = base_url
        self.mailer = mailer
        self.database_url = database_url
        self.keys = KeyPool()
        self._projects: dict[str, Project] = {}
        (data / "projects").mkdir(parents=True, exist_ok=True)

    def load(self) -> None:
        """Open the projects that an earlier run left; half-made ones are removed."""
        for root in sorted((self.data / "projects").iterdir()):
            if (root / "project.json").exists():
                project = Project(root.name, root, self.base_url, self.mailer, self._url(root.name))
                self._projects[root.name] = project
                project.daemons.recover()
            else:
                shutil.rmtree(root, ignore_errors=True)

    def create(self, name: str, long_name: str = "", config: dict[str, Any] | None = None, clock: ClockSpec | None = None) -> Project:
        """Make a project.

        Raises BadNameError, ProjectExistsError, pydantic.ValidationError for a wrong option.
        """
        if not NAME.match(name) or name.endswith("_cgi"):
            raise BadNameError(f"{name!r} is no project name: a letter, then up to 62 letters, digits, - or _, not ending in _cgi")
        options = ProjectConfig.model_validate(config or {})
        root = self.data / "projects" / name
        if name in self._projects or root.exists():
            raise ProjectExistsError(f"there is already a project {name}")
        for directory in DIRECTORIES:
            (root / directory).mkdir(parents=True)
        self.keys.take().save(root / "keys")
        if self.database_url is not None:
            # One of that name may be left of a project whose tree is gone.
            drop_database(make_url(self.database_url).set(database=self._database(name)).render_as_string(hide_password=False))
        # Last, since its presence is what makes the directory a project.
        write_project_file(root, long_name or name, options, clock or ClockSpec.real())
        project = self._projects[name] = Project(name, root, self.base_url, self.mailer, self._url(name))
        with project.transaction() as tx:
            appversions.add_platforms(tx)
        return project

    def _url(self, name: str) -> str | None:
        """The database of a project; on a database server it is created when missing."""
        if self.database_url is None:
            return None
        server = make_url(self.database_url)
        database = self._database(name)
        ensure_database(self.database_url, database)
        return server.set(database=database).render_as_string(hide_password=False)

    def _database(self, name: str) -> str:
        prefix = make_url(self.database_url or "").database or "boinc"
        # MariaDB allows 64 characters; project names differ in more than case and dashes.
        return f"{prefix}_{name}"[:63]

    def get(self, name: str) -> Project | None:
        return self._projects.get(name)

    def __getitem__(self, name: str) -> Project:
        try:
            return self._projects[name]
        except KeyError:
            raise NoSuchProjectError(name) from None

    def __iter__(self) -> Iterator[Project]:
        return iter(list(self._projects.values()))

    def __len__(self) -> int:
        return len(self._projects)

    def delete(self, name: str) -> None:
        """Close a project and remove its tree and database."""
        project = self[name]
        del self._projects[name]
        project.close()
        if self.database_url is not None:
            drop_database(project.db.url)
        # Renamed first: a name can be used again at once, and a kill leaves nothing that looks like a project.
        trash = project.root.with_name(f".{name}.{os.getpid()}.deleted")
        (project.root / "project.json").unlink(missing_ok=True)
        project.root.replace(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def close(self) -> None:
        for project in self:
            project.close()


def _administration(url: str) -> Engine:
    """An engine on the database server itself, to create and drop databases."""
    parsed = make_url(url)
    # PostgreSQL has no connection without a database; the one of this name is always there.
    database = "postgres" if parsed.get_backend_name() == "postgresql" else ""
    return create_engine(parsed.set(database=database), isolation_level="AUTOCOMMIT", poolclass=NullPool)


def ensure_database(server_url: str, database: str) -> None:
    """CREATE DATABASE on a MariaDB or PostgreSQL server unless it exists."""
    engine = _administration(server_url)
    with engine.connect() as conn:
        if engine.dialect.name == "postgresql":
            known = conn.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": database}).first() is not None
        else:
            known = database in inspect(conn).get_schema_names()
        if not known:
            # Names and addresses are compared as they are written, as SQLite does.
            options = "" if engine.dialect.name == "postgresql" else " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            conn.execute(text(f"CREATE DATABASE {engine.dialect.identifier_preparer.quote(database)}{options}"))


def drop_database(url: str) -> None:
    """DROP the database that `url` names."""
    engine = _administration(url)
    with engine.connect() as conn:
        conn.execute(text(f"DROP DATABASE IF EXISTS {engine.dialect.identifier_preparer.quote(str(make_url(url).database))}"))
