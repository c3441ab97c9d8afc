"""The file deleter: removes the files of finished jobs (sched/file_deleter.cpp).

A workunit's or result's state is READY in the database before a file goes, and DONE after: a kill
in between only means that it is tried again.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from boinc_server import models, outputs, storage
from boinc_server.states import FileDeleteState

if TYPE_CHECKING:
    from boinc_server.project import Project

_FILE_INFO: Final = re.compile(r"<file_info>(.*?)</file_info>", re.DOTALL)
_NAME: Final = re.compile(r"<name>\s*([^<\s]+)\s*</name>")
_NO_DELETE: Final = re.compile(r"<no_delete\s*/>|<no_delete>\s*1\s*</no_delete>")
_WORKUNIT: Final = select(models.workunit.c.xml_doc, models.workunit.c.name).where(
    models.workunit.c.id == bindparam("id"), models.workunit.c.file_delete_state == int(FileDeleteState.READY)
)
_RESULTS: Final = select(models.result.c.id, models.result.c.xml_doc_in).where(
    models.result.c.workunitid == bindparam("id"), models.result.c.file_delete_state == int(FileDeleteState.READY)
)


def deletable(xml: str) -> list[str]:
    """Names of the files that an XML document describes and does not protect by ``<no_delete/>``."""
    names = []
    for body in _FILE_INFO.findall(xml):
        name = _NAME.search(body)
        if name is not None and not _NO_DELETE.search(body):
            names.append(name.group(1))
    return names


def _unlink(project: Project, name: str, *, upload: bool) -> bool:
    """Remove a file (or, an output, put it aside); a missing one is no error. False when it could not be removed."""
    try:
        storage.check_name(name)
    except storage.BadFilenameError:
        return True
    base = storage.upload_path(project, name) if upload else storage.download_path(project, name)
    companions = ("",) if upload else ("", ".gz", ".md5")
    try:
        if upload and project.config.keep_outputs:
            kept = outputs.kept_path(project, name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                base.replace(kept)
            return True
        for suffix in companions:
            base.with_name(base.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        project.log.warning("cannot delete %s: %s", base, error)
        return False
    return True


def _unlink_all(project: Project, names: list[str], *, upload: bool) -> bool:
    """Remove each; one that cannot be removed does not keep the others."""
    failed = [name for name in names if not _unlink(project, name, upload=upload)]
    return not failed


def delete_files(project: Project, workunits: list[int]) -> None:
    """Delete what is READY of some workunits and their results, and record it."""
    if project.config.dont_delete_files:
        return
    with project.transaction() as tx:
        for workunit_id in workunits:
            for result in tx.all(_RESULTS, id=workunit_id):
                ok = _unlink_all(project, deletable(result.xml_doc_in), upload=True)
                tx.update(models.result, result.id, file_delete_state=int(FileDeleteState.DONE if ok else FileDeleteState.ERROR))
            wu = tx.one(_WORKUNIT, id=workunit_id)
            if wu is not None and "nodelete" not in wu.name:
                ok = _unlink_all(project, deletable(wu.xml_doc), upload=False)
                state = int(FileDeleteState.DONE if ok else FileDeleteState.ERROR)
                tx.update(models.workunit, workunit_id, file_delete_state=state, mod_time=tx.now)
                tx.emit("job.files_deleted", workunit=workunit_id, name=wu.name)
