"""What a project offers: its platforms, apps and app versions, kept in memory until they change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from boinc_server import models
from boinc_server.database import AnyRow

if TYPE_CHECKING:
    from boinc_server.project import Project


@dataclass(frozen=True, slots=True)
class AppVersion:
    """A row of app_version with the names its numbers stand for."""

    id: int
    appid: int
    app_name: str
    version_num: int
    platform: str
    plan_class: str
    xml_doc: str
    min_core_version: int
    max_core_version: int
    beta: bool


class Catalog:
    """Read-only view of app, app_version and platform; `invalidate` after writing to them."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._loaded = False
        self._apps: dict[int, AnyRow] = {}
        self._names: dict[str, AnyRow] = {}
        self._versions: dict[int, AppVersion] = {}
        self._by_app: dict[int, list[AppVersion]] = {}
        self._platforms: dict[str, AnyRow] = {}

    def invalidate(self) -> None:
        """Something was written: read again at the next use (upstream: reread_db)."""
        self._loaded = False
        self._project.feeder.refill()

    def _load(self) -> None:
        if self._loaded:
            return
        with self._project.transaction() as tx:
            platforms = tx.all(select(models.platform))
            apps = tx.all(select(models.app))
            versions = tx.all(select(models.app_version).where(models.app_version.c.deprecated == 0))
        names = {row.id: row.name for row in platforms}
        self._platforms = {row.name: row for row in platforms if not row.deprecated}
        self._apps = {row.id: row for row in apps}
        self._names = {row.name: row for row in apps}
        self._versions = {}
        self._by_app = {}
        for row in versions:
            if row.appid not in self._apps:
                continue
            version = AppVersion(
                row.id,
                row.appid,
                self._apps[row.appid].name,
                row.version_num,
                names.get(row.platformid, ""),
                row.plan_class,
                row.xml_doc,
                row.min_core_version,
                row.max_core_version,
                bool(row.beta),
            )
            self._versions[row.id] = version
            self._by_app.setdefault(row.appid, []).append(version)
        self._loaded = True

    def app(self, app_id: int) -> AnyRow | None:
        self._load()
        return self._apps.get(app_id)

    def app_named(self, name: str) -> AnyRow | None:
        self._load()
        return self._names.get(name)

    def apps(self) -> list[AnyRow]:
        self._load()
        return list(self._apps.values())

    def version(self, version_id: int) -> AppVersion | None:
        self._load()
        return self._versions.get(version_id)

    def versions_of(self, app_id: int) -> list[AppVersion]:
        self._load()
        return self._by_app.get(app_id, [])

    def platforms(self) -> dict[str, AnyRow]:
        """Platform rows that are not deprecated, by name."""
        self._load()
        return self._platforms
