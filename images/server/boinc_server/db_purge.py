"""Deleting finished jobs from the database (sched/db_purge.cpp), without its XML archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, select

from boinc_server import models
from boinc_server.states import FileDeleteState

if TYPE_CHECKING:
    from boinc_server.project import Project

_W, _R = models.workunit.c, models.result.c
_CHUNK: Final = 1000
_PURGEABLE: Final = (
    select(_W.id).where(_W.file_delete_state == int(FileDeleteState.DONE), _W.mod_time <= bindparam("before")).order_by(_W.id).limit(_CHUNK)
)
_DELETE_RESULTS: Final = delete(models.result).where(_R.workunitid.in_(bindparam("ids", expanding=True)))
_DELETE_WORKUNITS: Final = delete(models.workunit).where(_W.id.in_(bindparam("ids", expanding=True)))


def purge(project: Project) -> int:
    """Delete all workunits whose files are deleted and which are old enough; returns how many."""
    total = 0
    while True:
        with project.transaction() as tx:
            before = int(tx.now - project.config.purge_min_age_days * 86400)
            ids = [row.id for row in tx.all(_PURGEABLE, before=before)]
            if ids:
                tx.execute(_DELETE_RESULTS, {"ids": ids})
                tx.execute(_DELETE_WORKUNITS, {"ids": ids})
                tx.emit("job.purged", workunits=len(ids), first=ids[0], last=ids[-1])
        total += len(ids)
        if len(ids) < _CHUNK:
            return total
