"""One BOINC project: its database, clock, options, keys, files and record of events."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from boinc_server import crypt, plan_class_spec
from boinc_server.catalog import Catalog
from boinc_server.clock import Clock, ClockSpec
from boinc_server.config import ProjectConfig
from boinc_server.daemons import Daemons
from boinc_server.database import Database, Transaction
from boinc_server.events import EventLog
from boinc_server.feeder import Feeder
from boinc_server.generators import Generators
from boinc_server.mail import Mailer
from boinc_server.plan_class_spec import PlanClassSpecs
from boinc_server.plugins import Scripts

DIRECTORIES: Final = ("apps", "bin", "templates", "download", "upload", "keys", "log")


class Project:
    """A project that is being served.

    Made by `registry.Registry`; the tree under `root` is the project's own and survives restarts.

    Args:
        name: the short name, also the last part of the master URL.
        root: the project's directory.
        base_url: what the master URL starts with, ending in a slash.
        database_url: an SQLAlchemy URL, by default SQLite below `root`.
    """

    def __init__(self, name: str, root: Path, base_url: str, mailer: Mailer, database_url: str | None = None) -> None:
        self.name = name
        self.root = root
        stored = json.loads((root / "project.json").read_text())
        self.long_name: str = stored["long_name"]
        self.config = ProjectConfig.model_validate(stored["config"])
        self.clock = Clock(ClockSpec(*stored["clock"]))
        self.master_url = self.config.master_url or f"{base_url}{name}/"
        # The stock layout: NAME/ for pages and downloads, NAME_cgi/ for the two CGI programs.
        self.cgi_url = f"{base_url}{name}_cgi/"
        self.keys = crypt.ProjectKeys.load(root / "keys")
        self.db = Database(database_url or f"sqlite:///{root / 'db.sqlite'}")
        self.events = EventLog(name, root / "log" / "events.ndjson", self.clock)
        self.mailer = mailer
        self.log = self._make_log()
        self.catalog = Catalog(self)
        self.scripts = Scripts(self)
        self.feeder = Feeder(self)
        self.daemons = Daemons(self)
        self.generators = Generators(self)
        self.closed = False
        self._open: Transaction | None = None
        self._templates: dict[str, tuple[int, str]] = {}
        self._plan_classes: tuple[str, PlanClassSpecs] | None = None
        self.clock.on_change(self.daemons.clock_changed)

    @property
    def scheduler_url(self) -> str:
        return f"{self.cgi_url}cgi"

    @property
    def upload_url(self) -> str:
        return f"{self.cgi_url}file_upload_handler"

    @property
    def download_url(self) -> str:
        return f"{self.master_url}download"

    def path(self, *parts: str) -> Path:
        """A path in the project's tree, e.g. ``path("upload")``. Parts are trusted."""
        return self.root.joinpath(*parts)

    def template(self, name: str) -> str | None:
        """The text of a template, by its path below the project; None when there is none."""
        file = self.root / name
        try:
            changed = file.stat().st_mtime_ns
        except OSError:
            return None
        known = self._templates.get(name)
        if known is None or known[0] != changed:
            known = self._templates[name] = (changed, file.read_text(encoding="utf-8", errors="replace"))
        return known[1]

    def plan_classes(self) -> PlanClassSpecs | None:
        """What plan_class_spec.xml says, None without one. A wrong one makes every class infeasible."""
        text = self.template("plan_class_spec.xml")
        if text is None:
            return None
        if self._plan_classes is None or self._plan_classes[0] != text:
            try:
                specs = plan_class_spec.parse(text)
            except plan_class_spec.SpecError as error:
                self.log.warning("%s", error)
                specs = PlanClassSpecs([])
            self._plan_classes = (text, specs)
        return self._plan_classes[1]

    def _make_log(self) -> logging.Logger:
        # Not in logging's own registry: a deleted project must not stay there for ever.
        log = logging.Logger(f"boinc_server.project.{self.name}", logging.INFO)
        handler = logging.FileHandler(self.root / "log" / "server.log", encoding="utf-8", delay=True)
        clock = self.clock

        class Formatter(logging.Formatter):
            def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
                return f"{clock.now():.3f}"

        handler.setFormatter(Formatter("%(asctime)s [%(levelname)s] %(message)s"))
        log.addHandler(handler)
        return log

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One database transaction; a nested call joins the open one.

        At the end: commit, publish the events, then let the daemons look at the workunits named by
        `Transaction.due`. On an exception nothing of it has happened.
        """
        if self._open is not None:
            yield self._open
            return
        try:
            with self.db.begin() as conn:
                tx = self._open = Transaction(self, conn)
                try:
                    yield tx
                finally:
                    self._open = None
        except BaseException:
            # What is in memory may tell of things that did not happen.
            self.catalog.invalidate()
            self.feeder.reset()
            raise
        self.events.append(tx.events)
        for hook in tx.hooks:
            try:
                hook()
            except Exception:
                # What is committed stays; the caller's own work is done.
                self.log.exception("something after a commit failed")
        if tx.due_workunits:
            self.daemons.settle(list(tx.due_workunits))

    def emit(self, kind: str, **fields: Any) -> None:
        """Record an event; with the open transaction if there is one, else at once."""
        if self._open is not None:
            self._open.emit(kind, **fields)
        else:
            self.events.emit(kind, **fields)

    def configure(self, changes: dict[str, Any]) -> ProjectConfig:
        """Change options (names of config.xml) and keep them. Raises pydantic.ValidationError."""
        stopped = self.config.stop_daemons
        self.config = ProjectConfig.model_validate(self.config.model_dump() | changes)
        self.save()
        self.catalog.invalidate()
        if stopped and not self.config.stop_daemons:
            self.daemons.recover()
        self.generators.check()
        return self.config

    def set_clock(self, spec: ClockSpec) -> None:
        self.clock.set(spec)
        self.save()

    def save(self) -> None:
        write_project_file(self.root, self.long_name, self.config, self.clock.spec)

    def close(self) -> None:
        """Stop timers, end followers, close files and the database."""
        self.closed = True
        self.daemons.close()
        self.generators.close()
        self.events.close()
        for handler in self.log.handlers:
            handler.close()
        self.db.close()


def write_project_file(root: Path, long_name: str, config: ProjectConfig, clock: ClockSpec) -> None:
    """Write project.json so that a kill leaves the old or the new one."""
    content = {"long_name": long_name, "config": config.model_dump(exclude_defaults=True), "clock": clock.as_list()}
    temporary = root / "project.json.new"
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(root / "project.json")
