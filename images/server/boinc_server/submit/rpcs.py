"""The commands of submit_rpc_handler.php. Each returns what stands inside the element named as the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select, update

from boinc_server import models, outputs
from boinc_server.states import BatchState, ErrorMask, Outcome, ServerState
from boinc_server.submit import batches
from boinc_server.submit.access import RpcError, check_permissions, integer_of, number_of, text_of
from boinc_server.submit.jobs import estimate, submit
from boinc_server.submit.words import state_string
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from lxml import etree

    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project

SUCCESS: Final = "<success>1</success>\n"
BATCH_FIELDS: Final = (
    "id", "create_time", "expire_time", "est_completion_time", "njobs", "fraction_done", "nerror_jobs", "state",
    "completion_time", "credit_estimate", "credit_canonical",
)  # fmt: skip
_w, _r = models.workunit.c, models.result.c
_JOB: Final = select(models.workunit).where(_w.id == bindparam("id"))
_JOB_NAMED: Final = select(models.workunit).where(_w.name == bindparam("name"))
_RESULTS: Final = select(models.result).where(_r.workunitid == bindparam("workunit")).order_by(_r.id)
ERRORS: Final = (
    (ErrorMask.COULDNT_SEND_RESULT, "couldnt_send_result"),
    (ErrorMask.TOO_MANY_ERROR_RESULTS, "too_many_error_results"),
    (ErrorMask.TOO_MANY_SUCCESS_RESULTS, "too_many_success_results"),
    (ErrorMask.TOO_MANY_TOTAL_RESULTS, "too_many_total_results"),
    (ErrorMask.CANCELLED, "cancelled"),
    (ErrorMask.NO_CANONICAL_RESULT, "no_canonical_result"),
)


def _number(value: float) -> str:
    """A number as PHP prints it: at most 14 digits, and no ".0"."""
    return f"{value:.14g}" if isinstance(value, float) else str(value)


def app_named(project: Project, name: str) -> AnyRow:
    """Raises RpcError."""
    app = project.catalog.app_named(name)
    if app is None:
        raise RpcError(f"app not found: {name}")
    return app


def _own_job(tx: Transaction, job: AnyRow | None, user: AnyRow) -> AnyRow:
    if job is None:
        raise RpcError("no such job")
    batch = tx.one(batches.BATCH, id=job.batch) if job.batch else None
    if batch is None or batch.user_id != user.id:
        raise RpcError("not owner")
    return job


def ping(_project: Project, _call: etree._Element) -> str:
    return SUCCESS


def create_batch(project: Project, call: etree._Element) -> str:
    app = app_named(project, text_of(call, "app_name"))
    with project.transaction() as tx:
        user = check_permissions(tx, call, app)
        expire = number_of(call, "expire_time") or 0.0
        batch_id = batches.create(tx, user, app, text_of(call, "batch_name"), 0, expire_time=expire)
    return f"<batch_id>{batch_id}</batch_id>\n"


def _batch_xml(tx: Transaction, project: Project, batch: batches.Batch, *, with_cpu_time: bool) -> str:
    app = project.catalog.app(batch.app_id)
    lines = [f"    <{name}>{_number(getattr(batch, name))}</{name}>\n" for name in BATCH_FIELDS]
    lines.append(f"    <name>{escape(batch.name)}</name>\n    <app_name>{escape(app.name if app else 'none')}</app_name>\n")
    if with_cpu_time:
        lines.append(f"    <total_cpu_time>{batches.cpu_time(tx, batch.id)}</total_cpu_time>\n")
    return "".join(lines)


def query_batches(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        rows = tx.all(select(models.batch).where(models.batch.c.user_id == user.id).order_by(models.batch.c.id))
        with_cpu_time = bool(integer_of(call, "get_cpu_time"))
        found = [
            _batch_xml(tx, project, batches.refresh(tx, row), with_cpu_time=with_cpu_time)
            for row in rows
            if row.state != BatchState.RETIRED
        ]
    return "".join(f"<batch>\n{batch}</batch>\n" for batch in found)


def query_batch(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        batch = batches.refresh(tx, batches.find(tx, call, user))
        lines = [_batch_xml(tx, project, batch, with_cpu_time=bool(integer_of(call, "get_cpu_time")))]
        details = bool(integer_of(call, "get_job_details"))
        lines += [
            f"<job>\n    <id>{job.id}</id>\n    <name>{escape(job.name)}</name>\n"
            f"    <canonical_instance_id>{job.canonical_resultid}</canonical_instance_id>\n"
            f"{_job_details(tx, job) if details else ''}</job>\n"
            for job in batch.jobs
        ]
    return "".join(lines)


def _job_details(tx: Transaction, job: AnyRow) -> str:
    lines = [f"    <error>{name}</error>\n" for flag, name in ERRORS if job.error_mask & flag]
    in_progress = False
    for result in tx.all(_RESULTS, workunit=job.id):
        in_progress |= result.server_state == ServerState.IN_PROGRESS
        if job.error_mask and result.outcome == Outcome.CLIENT_ERROR:
            lines.append(f"    <exit_status>{result.exit_status}</exit_status>\n")
        if result.id == job.canonical_resultid:
            lines.append(f"    <cpu_time>{result.cpu_time}</cpu_time>\n")
    if job.error_mask:
        status = "error"
    elif job.canonical_resultid:
        status = "done"
    else:
        status = "in_progress" if in_progress else "queued"
    return "".join([*lines, f"    <status>{status}</status>\n"])


def query_batch2(project: Project, call: etree._Element) -> str:
    """The variant for Condor: batches by name, states of jobs only."""
    since = number_of(call, "min_mod_time") or 0.0
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        found = [batches.named(tx, (element.text or "").strip(), user) for element in call.iterfind("batch_name")]
        lines = [f"<server_time>{project.clock.now()}</server_time>\n"]
        for batch in found:
            jobs = [job for job in tx.all(batches.JOBS, batch=batch.id) if job.mod_time > since or not since]
            lines.append(f"    <batch_size>{len(jobs)}</batch_size>\n")
            for job in jobs:
                status = _condor_status(tx, job)
                name = escape(job.name)
                lines.append(f"    <job>\n        <job_name>{name}</job_name>\n        <status>{status}</status>\n    </job>\n")
    return "".join(lines)


def _condor_status(tx: Transaction, job: AnyRow) -> str:
    if job.canonical_resultid:
        return "DONE"
    if job.error_mask:
        return "ERROR"
    return "IN_PROGRESS" if any(result.sent_time for result in tx.all(_RESULTS, workunit=job.id)) else "UNSENT"


def query_job(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        job = _own_job(tx, tx.one(_JOB, id=integer_of(call, "job_id")), user)
        results = tx.all(_RESULTS, workunit=job.id)
    lines = []
    for result in results:
        lines.append(
            f"<instance>\n    <name>{escape(result.name)}</name>\n    <id>{result.id}</id>\n    <state>{state_string(result)}</state>\n"
        )
        if result.server_state == ServerState.OVER:
            paths = [file.path for file in outputs.outputs_of(project, result.xml_doc_in)]
            lines += [f"    <outfile>\n        <size>{path.stat().st_size}</size>\n    </outfile>\n" for path in paths if path.is_file()]
        lines.append("</instance>\n")
    return "".join(lines)


def query_completed_job(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        job = _own_job(tx, tx.one(_JOB_NAMED, name=text_of(call, "job_name")), user)
        results = tx.all(_RESULTS, workunit=job.id)
    lines = [f"<completed_job>\n    <error_mask>{job.error_mask}</error_mask>\n"]
    over = (Outcome.SUCCESS, Outcome.CLIENT_ERROR, Outcome.VALIDATE_ERROR)
    if job.canonical_resultid:
        lines.append(f"    <canonical_resultid>{job.canonical_resultid}</canonical_resultid>\n")
        shown = [result for result in results if result.id == job.canonical_resultid]
    else:
        shown = [result for result in results if result.outcome in over][-1:]
        lines += [f"    <error_resultid>{result.id}</error_resultid>\n" for result in shown]
    for result in shown:
        # CDATA of escaped text, as upstream sends it.
        stderr = escape(result.stderr_out)
        lines.append(
            f"    <exit_status>{result.exit_status}</exit_status>\n    <elapsed_time>{result.elapsed_time}</elapsed_time>\n"
            f"    <cpu_time>{result.cpu_time}</cpu_time>\n    <stderr_out><![CDATA[\n{stderr}   ]]></stderr_out>\n"
        )
    return "".join([*lines, "</completed_job>\n"])


def abort_batch(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        batch = batches.find(tx, call, user)
        batches.cancel_jobs(tx, tx.all(batches.JOBS, batch=batch.id))
        batches.set_state(tx, batch.id, BatchState.ABORTED)
    return SUCCESS


def abort_jobs(project: Project, call: etree._Element) -> str:
    """All of the named jobs or, when one is not the user's, none."""
    names = [(element.text or "").strip() for element in call.iterfind("job_name")]
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        jobs = []
        for name in names:
            job = tx.one(_JOB_NAMED, name=name)
            if job is None:
                raise RpcError(f"no job {name}")
            if not job.batch:
                raise RpcError(f"job {name} is not part of a batch")
            batch = tx.one(batches.BATCH, id=job.batch)
            if batch is None or batch.user_id != user.id:
                raise RpcError("not owner of batch")
            jobs.append(job)
        batches.cancel_jobs(tx, jobs)
    return "".join([*(f"<aborted>{escape(name)}</aborted>\n" for name in names), SUCCESS])


def retire_batch(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        batch = batches.refresh(tx, batches.find(tx, call, user))
        unsent = [job for job in batch.jobs if not job.canonical_resultid and _condor_status(tx, job) == "UNSENT"]
        batches.cancel_jobs(tx, unsent)
        batches.set_state(tx, batch.id, BatchState.RETIRED)
    return SUCCESS


def set_expire_time(project: Project, call: etree._Element) -> str:
    with project.transaction() as tx:
        user = check_permissions(tx, call)
        batch = batches.find(tx, call, user)
        expire = number_of(call, "expire_time") or 0.0
        tx.execute(update(models.batch).where(models.batch.c.id == batch.id).values(expire_time=expire))
    return SUCCESS


def get_templates(project: Project, call: etree._Element) -> str:
    name = text_of(call, "app_name")
    with project.transaction() as tx:
        if name:
            app = app_named(project, name)
        else:
            job = tx.one(_JOB_NAMED, name=text_of(call, "job_name"))
            found = project.catalog.app(job.appid) if job is not None else None
            if found is None:
                raise RpcError(f"job not found: {text_of(call, 'job_name')}")
            app = found
        check_permissions(tx, call, app)
    texts = [project.template(f"templates/{app.name}_{kind}") for kind in ("in", "out")]
    if None in texts:
        raise RpcError("template file missing")
    return f"<templates>\n{texts[0]}\n{texts[1]}\n</templates>\n"


def estimate_batch(project: Project, call: etree._Element) -> str:
    batch = _batch_element(call)
    app = app_named(project, text_of(batch, "app_name"))
    with project.transaction() as tx:
        check_permissions(tx, call, app)
        return f"<seconds>{estimate(tx, app, batch)}</seconds>\n"


def submit_batch(project: Project, call: etree._Element) -> str:
    batch = _batch_element(call)
    app = app_named(project, text_of(batch, "app_name"))
    with project.transaction() as tx:
        user = check_permissions(tx, call, app)
        return f"<batch_id>{submit(tx, app, user, batch)}</batch_id>\n"


def _batch_element(call: etree._Element) -> etree._Element:
    batch = call.find("batch")
    if batch is None:
        raise RpcError("no batch in request")
    return batch


COMMANDS: Final[dict[str, Callable[[Project, etree._Element], str]]] = {
    function.__name__: function
    for function in (
        abort_batch, abort_jobs, create_batch, estimate_batch, get_templates, ping, query_batch, query_batch2, query_batches,
        query_job, query_completed_job, retire_batch, set_expire_time, submit_batch,
    )
}  # fmt: skip
