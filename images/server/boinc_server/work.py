"""Making work: staging input files, creating workunits (tools/create_work, backend_lib) and their results."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, insert, select

from boinc_server import models, storage, templates
from boinc_server.database import Transaction
from boinc_server.job import Record
from boinc_server.states import NEVER, AssignTarget, ErrorMask, ServerState, TransitionerFlags

if TYPE_CHECKING:
    from boinc_server.project import Project

_INSERT_WORKUNIT: Final = insert(models.workunit)
_INSERT_RESULT: Final = insert(models.result)
_INSERT_ASSIGNMENT: Final = insert(models.assignment)
_WORKUNIT_NAMED: Final = select(models.workunit.c.id).where(models.workunit.c.name == bindparam("name"))
_NAME: Final = re.compile(r"[A-Za-z0-9_.+@=,-]{1,200}\Z")

PositiveCount = Annotated[int, Field(ge=1, le=10_000)]
PositiveNumber = Annotated[float, Field(gt=0, le=1e300)]


class WorkError(ValueError):
    """A job that cannot be created.

    Args:
        field: the option or argument that is wrong.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class WorkOptions(BaseModel):
    """The options of create_work, by its names. What is None comes from the template or is the default."""

    model_config = ConfigDict(extra="forbid")

    wu_template: str | None = None
    """File below templates/ or the text itself; default APP_in."""
    result_template: str | None = None
    """File below templates/ or the text itself; default APP_out."""
    rsc_fpops_est: PositiveNumber | None = None
    rsc_fpops_bound: PositiveNumber | None = None
    rsc_memory_bound: PositiveNumber | None = None
    rsc_disk_bound: PositiveNumber | None = None
    rsc_bandwidth_bound: Annotated[float, Field(ge=0)] | None = None
    delay_bound: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    min_quorum: PositiveCount | None = None
    target_nresults: PositiveCount | None = None
    max_error_results: PositiveCount | None = None
    max_total_results: PositiveCount | None = None
    max_success_results: PositiveCount | None = None
    priority: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] = 0
    batch: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    size_class: Annotated[int, Field(ge=-1, le=100)] | None = None
    hr_class: Annotated[int, Field(ge=0)] = 0
    app_version_num: Annotated[int, Field(ge=0)] = 0
    keywords: str = ""
    credit: Annotated[float, Field(ge=0)] | None = None
    opaque: float = 0
    sub_appname: str = ""
    additional_xml: str = ""
    transitioner_flags: Annotated[int, Field(ge=0, le=2)] = 0
    broadcast: bool = False
    broadcast_user: Annotated[int, Field(ge=1)] | None = None
    broadcast_team: Annotated[int, Field(ge=1)] | None = None
    target_host: Annotated[int, Field(ge=1)] | None = None
    target_user: Annotated[int, Field(ge=1)] | None = None
    target_team: Annotated[int, Field(ge=1)] | None = None

    def assignment(self) -> tuple[AssignTarget, int, bool] | None:
        """(target type, id, multi) of a targeted or broadcast job."""
        if self.broadcast:
            return AssignTarget.NONE, 0, True
        for target, kind, multi in (
            (self.broadcast_user, AssignTarget.USER, True),
            (self.broadcast_team, AssignTarget.TEAM, True),
            (self.target_host, AssignTarget.HOST, False),
            (self.target_user, AssignTarget.USER, False),
            (self.target_team, AssignTarget.TEAM, False),
        ):
            if target is not None:
                return kind, target, multi
        return None


DEFAULTS: Final[dict[str, Any]] = {
    "min_quorum": 1,
    "target_nresults": 1,
    "max_error_results": 1,
    "max_total_results": 1,
    "max_success_results": 1,
    "rsc_fpops_est": 3600e9,
    "rsc_fpops_bound": 86400e9,
    "rsc_memory_bound": 5e8,
    "rsc_disk_bound": 1e9,
    "rsc_bandwidth_bound": 0.0,
    "delay_bound": 7 * 86400,
    "size_class": -1,
    "batch": 0,
}


def stage_file(project: Project, name: str, content: bytes) -> tuple[str, int]:
    """Put an input file where clients download it (bin/stage_file); returns its MD5 and size.

    Raises BadFilenameError, or WorkError when other content was staged by that name: clients would
    go on using the old one.
    """
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    target = storage.download_path(project, storage.check_name(name))
    known = storage.read_md5_file(target) if target.exists() else None
    if known is not None and known != (digest, float(len(content))):
        raise WorkError("name", f"file {name} is staged already with other content: BOINC's files never change, take a new name")
    if known is None:
        storage.write_atomically(target, content)
        storage.write_atomically(Path(f"{target}.md5"), f"{digest} {len(content)}\n".encode())
    return digest, len(content)


def inline_name(content: bytes, hint: str = "in") -> str:
    """A physical name for content that came without one; the same content gets the same name."""
    return f"{hint}_{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


def _template(project: Project, given: str | None, default: str, field: str) -> tuple[str, str]:
    """(path relative to the project, text) of a template given by name or as text."""
    if given is not None and "<" in given:
        name = f"inline_{hashlib.md5(given.encode(), usedforsecurity=False).hexdigest()}"
        file = project.path("templates", name)
        if not file.exists():
            storage.write_atomically(file, given.encode())
        return f"templates/{name}", given
    name = (given or default).removeprefix("templates/")
    if ".." in name or name.startswith("/"):
        raise WorkError(field, f"{name!r} is not below templates/")
    text = project.template(f"templates/{name}")
    if text is None:
        raise WorkError(field, f"there is no template templates/{name}: upload it, or give its text")
    return f"templates/{name}", text


def create_work(
    tx: Transaction,
    app_name: str,
    files: Sequence[templates.InputFile] = (),
    options: WorkOptions | None = None,
    name: str | None = None,
    command_line: str = "",
) -> int:
    """Create one workunit; returns its id. Its results appear when the transaction commits.

    An option given here counts as if the template said it.

    Raises WorkError, templates.TemplateError.
    """
    project = tx.project
    options = options or WorkOptions()
    app = project.catalog.app_named(app_name)
    if app is None:
        raise WorkError("app", f"there is no app {app_name!r} in project {project.name}")
    name = name or f"{app_name}_{tx.now}_{secrets.token_hex(5)}"
    if not _NAME.match(name) or ".." in name:
        raise WorkError("name", f"{name[:80]!r} is no workunit name: up to 200 letters, digits and _.+@=,-")
    if tx.one(_WORKUNIT_NAMED, name=name) is not None:
        raise WorkError("name", f"there is a workunit {name!r} already")
    _, wu_template = _template(project, options.wu_template, f"{app_name}_in", "options.wu_template")
    result_file, result_template = _template(project, options.result_template, f"{app_name}_out", "options.result_template")
    templates.check_result_template(result_template)
    job = templates.process_input_template(project, wu_template, files, command_line)
    columns = DEFAULTS | job.columns | {k: v for k in DEFAULTS if (v := getattr(options, k)) is not None}
    # process_input_template.cpp fills in what more replicas need
    columns["max_success_results"] = max(columns["max_success_results"], columns["target_nresults"])
    columns["max_total_results"] = max(columns["max_total_results"], columns["target_nresults"])
    _check(columns)
    xml_doc = job.xml_doc
    extra = options.additional_xml
    if options.sub_appname:
        extra += f"    <sub_appname>{options.sub_appname}</sub_appname>\n"
    if extra:
        xml_doc = xml_doc.replace("</workunit>", f"{extra.rstrip()}\n</workunit>")
    assigned = options.assignment()
    flags = options.transitioner_flags
    if assigned is not None:
        # The scheduler makes the results of assigned jobs; those of broadcast ones nobody looks at again.
        flags = int(TransitionerFlags.NONE if assigned[2] else TransitionerFlags.NO_NEW_RESULTS)
    workunit_id = tx.insert(
        _INSERT_WORKUNIT,
        **columns,
        create_time=tx.now,
        mod_time=tx.now,
        appid=app.id,
        name=name,
        xml_doc=xml_doc,
        result_template_file=result_file,
        priority=options.priority,
        hr_class=options.hr_class,
        app_version_num=options.app_version_num,
        keywords=options.keywords,
        opaque=options.opaque,
        canonical_credit=options.credit or 0.0,
        transitioner_flags=flags,
        transition_time=NEVER if flags else tx.now,
    )
    tx.emit("job.created", workunit=workunit_id, name=name, app=app_name)
    if assigned is not None:
        target_type, target_id, multi = assigned
        tx.insert(
            _INSERT_ASSIGNMENT,
            create_time=tx.now,
            target_id=target_id,
            target_type=int(target_type),
            multi=int(multi),
            workunitid=workunit_id,
        )
    if flags != TransitionerFlags.NONE:
        tx.due(workunit_id)
    return workunit_id


def _check(columns: dict[str, Any]) -> None:
    """The checks of backend_lib.cpp (create_work2)."""
    for option in (
        "rsc_fpops_est",
        "rsc_fpops_bound",
        "rsc_disk_bound",
        "target_nresults",
        "max_error_results",
        "max_total_results",
        "max_success_results",
    ):
        if not columns[option] > 0:
            raise WorkError(f"options.{option}", f"no {option} given; can't create job")
    for small, large in (
        ("max_success_results", "max_total_results"),
        ("max_error_results", "max_total_results"),
        ("target_nresults", "max_success_results"),
    ):
        if columns[small] > columns[large]:
            raise WorkError(f"options.{small}", f"{small} {columns[small]} > {large} {columns[large]}; can't create job")


def create_results(
    tx: Transaction, wu: Record, first_suffix: int, count: int, priority_increase: int = 0, *, offer: bool = True
) -> list[int]:
    """Add results to a workunit, named NAME_<suffix>; returns their ids.

    Args:
        offer: let any host have them.

    Raises WorkError when the output template has gone, TemplateError when it is wrong.
    """
    project = tx.project
    text = project.template(wu.result_template_file)
    if text is None:
        raise WorkError("result_template", f"workunit {wu.name}: {wu.result_template_file} does not exist")
    ids = []
    for suffix in range(first_suffix, first_suffix + count):
        name = f"{wu.name}_{suffix}"
        # The random part keeps strangers from guessing upload names.
        base = f"{name}_r{secrets.randbelow(2**31)}_"
        result_id = tx.insert(
            _INSERT_RESULT,
            create_time=tx.now,
            mod_time=tx.now,
            workunitid=wu.id,
            server_state=int(ServerState.INACTIVE if wu.size_class >= 0 else ServerState.UNSENT),
            name=name,
            xml_doc_in=templates.process_result_template(project, text, base),
            xml_doc_out="",
            stderr_out="",
            batch=wu.batch,
            random=random.getrandbits(31),
            appid=wu.appid,
            priority=wu.priority + priority_increase,
            size_class=wu.size_class,
        )
        ids.append(result_id)
        tx.emit("result.created", result=result_id, name=name, workunit=wu.id)
    if offer:
        project.feeder.offer(wu.appid, ids)
    return ids


_STATE: Final = select(models.workunit.c.name, models.workunit.c.error_mask).where(models.workunit.c.id == bindparam("id"))


def cancel(tx: Transaction, workunit_id: int) -> None:
    """Cancel a job (backend_lib.cpp: cancel_jobs). Clients that run it are told at their next RPC.

    Raises WorkError when there is no such workunit.
    """
    wu = tx.one(_STATE, id=workunit_id)
    if wu is None:
        raise WorkError("id", f"there is no workunit {workunit_id} in project {tx.project.name}")
    tx.update(
        models.workunit,
        workunit_id,
        error_mask=wu.error_mask | int(ErrorMask.CANCELLED),
        transition_time=tx.now,
        mod_time=tx.now,
    )
    tx.emit("job.cancelled", workunit=workunit_id, name=wu.name)
    tx.due(workunit_id)
