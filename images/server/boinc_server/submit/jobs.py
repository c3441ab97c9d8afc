"""Turning a ``<batch>`` of a request into workunits, all of them or none."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from lxml import etree
from pydantic import ValidationError
from sqlalchemy import bindparam, func, select, update

from boinc_server import models, storage, templates, work
from boinc_server.states import BatchState
from boinc_server.submit import batches
from boinc_server.submit.access import RpcError, integer_of, number_of, rights_of, text_of
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction

MAX_JOBS: Final = 20_000
PARAMETERS: Final = ("rsc_disk_bound", "rsc_fpops_est", "rsc_fpops_bound", "rsc_memory_bound", "delay_bound")
_URL: Final = re.compile(r"https?://[!#$%&()*+,./0-9:;=?@A-Z\[\]_a-z~-]{1,1000}\Z")
_MD5: Final = re.compile(r"[0-9a-f]{32}\Z")
_FPOPS: Final = re.compile(r"<rsc_fpops_est>\s*([^<]+)</rsc_fpops_est>")
_CREDIT: Final = select(func.sum(models.user.c.expavg_credit).label("n"))
_START: Final = select(models.user_submit.c.logical_start_time).where(models.user_submit.c.user_id == bindparam("user"))


def _input_template(tx: Transaction, app: AnyRow, batch: etree._Element) -> str:
    name = text_of(batch, "workunit_template_file") or text_of(batch, "input_template_filename") or f"{app.name}_in"
    if "/" in name or ".." in name:
        raise RpcError("bad template name")
    return tx.project.template(f"templates/{name}") or ""


def _flops(tx: Transaction, app: AnyRow, batch: etree._Element) -> float:
    """FLOPs of all jobs: from each job, else from the batch's parameters, else from the template."""
    found = _FPOPS.search(_input_template(tx, app, batch))
    parameters = batch.find("job_params")
    default = (number_of(parameters, "rsc_fpops_est") if parameters is not None else None) or 0.0
    if not default and found:
        default = float(found.group(1))
    total = 0.0
    for job in batch.iterfind("job"):
        flops = number_of(job, "rsc_fpops_est") or default
        if flops <= 0:
            raise RpcError("no rsc_fpops_est given for job")
        total += flops
    return total


def estimate(tx: Transaction, app: AnyRow, batch: etree._Element) -> float:
    """Seconds the project may need for a batch: its FLOPs over the speed that recent credit tells."""
    row = tx.one(_CREDIT)
    credit = float(row.n or 0.0) if row else 0.0
    return _flops(tx, app, batch) / (1e9 * (credit or 200.0) / 200.0)


def submit(tx: Transaction, app: AnyRow, user: AnyRow, batch: etree._Element) -> int:
    """Create the jobs of a batch, and the batch unless batch_id names one; its id. Raises RpcError."""
    jobs = list(batch.iterfind("job"))
    if len(jobs) > MAX_JOBS:
        raise RpcError(f"more than {MAX_JOBS} jobs")
    rights = rights_of(tx, user.id)
    limit = rights.max_jobs_in_progress if rights else 0
    if limit and batches.unfinished(tx, user.id) + len(jobs) > limit:
        raise RpcError("limit on jobs in progress exceeded")
    row = _existing(tx, user, batch)
    end_time = _logical_end_time(tx, app, user, batch)
    batch_id = row.id if row is not None else batches.create(tx, user, app, text_of(batch, "batch_name"), len(jobs))
    options = _batch_options(batch, batch_id, end_time)
    for job in jobs:
        _create_job(tx, app, job, options)
    tx.execute(update(models.batch).where(models.batch.c.id == batch_id).values(njobs=len(jobs), logical_end_time=end_time))
    batches.set_state(tx, batch_id, BatchState.IN_PROGRESS)
    return int(batch_id)


def _existing(tx: Transaction, user: AnyRow, batch: etree._Element) -> AnyRow | None:
    batch_id = integer_of(batch, "batch_id")
    if not batch_id:
        return None
    row = tx.one(batches.BATCH, id=batch_id)
    if row is None:
        raise RpcError(f"no batch {batch_id}")
    if row.user_id != user.id:
        raise RpcError("not owner of batch")
    if row.state != BatchState.INIT:
        raise RpcError("batch not in init state")
    return row


def _logical_end_time(tx: Transaction, app: AnyRow, user: AnyRow, batch: etree._Element) -> float:
    """With allocation_priority: when the user's share of the project would have done this (adjust_user_priority)."""
    if batch.find("allocation_priority") is None:
        return 0.0
    row = tx.one(_START, user=user.id)
    start = max(row.logical_start_time if row else 0.0, float(tx.now))
    end = start + estimate(tx, app, batch)
    tx.execute(update(models.user_submit).where(models.user_submit.c.user_id == user.id).values(logical_start_time=end))
    return end


def _batch_options(batch: etree._Element, batch_id: int, end_time: float) -> dict[str, Any]:
    options: dict[str, Any] = {"batch": batch_id}
    if end_time:
        options["priority"] = -int(end_time)
    elif batch.find("priority") is not None:
        options["priority"] = integer_of(batch, "priority")
    if name := text_of(batch, "input_template_filename"):
        options["wu_template"] = name
    if name := text_of(batch, "output_template_filename"):
        options["result_template"] = name
    if number := integer_of(batch, "app_version_num"):
        options["app_version_num"] = number
    parameters = batch.find("job_params")
    if parameters is not None:
        for name in PARAMETERS:
            value = number_of(parameters, name)
            if value:
                options[name] = int(value) if name == "delay_bound" else value
    return options


def _create_job(tx: Transaction, app: AnyRow, job: etree._Element, options: dict[str, Any]) -> None:
    options = dict(options)
    if (flops := number_of(job, "rsc_fpops_est")) is not None:
        options["rsc_fpops_est"] = flops
    if job.find("priority") is not None:
        options["priority"] = integer_of(job, "priority")
    for target in ("target_team", "target_user", "target_host"):
        if number := integer_of(job, target):
            options[target] = number
            break
    for tag, option in (("input_template", "wu_template"), ("output_template", "result_template")):
        template = job.find(tag)
        if template is not None:
            options[option] = etree.tostring(template, encoding="unicode", with_tail=False).replace(
                "<file_info/>", "<file_info></file_info>"
            )
    files = [_input_file(tx, file) for file in job.iterfind("input_file")]
    try:
        checked = work.WorkOptions.model_validate(options)
        work.create_work(tx, app.name, files, checked, text_of(job, "name") or None, text_of(job, "command_line"))
    except (work.WorkError, templates.TemplateError) as error:
        raise RpcError(f"create_work failed: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise RpcError(f"create_work failed: {first['loc'][0]}: {first['msg']}") from None


def _input_file(tx: Transaction, file: etree._Element) -> templates.InputFile:
    """One ``<input_file>``. The modes that make the server read its own disk or fetch a URL are not offered."""
    mode = text_of(file, "mode")
    project = tx.project
    if mode == "remote":
        return _remote_file(file)
    source = file.findtext("source") or ""
    try:
        if mode == "local_staged":
            name = storage.check_name(source.strip())
            if not storage.download_path(project, name).is_file():
                raise RpcError(f"file {name} is not staged")
            return templates.InputFile(name)
        if mode == "inline":
            content = source.encode("utf-8", "replace")
            name = f"jf_{hashlib.md5(content, usedforsecurity=False).hexdigest()}"
            work.stage_file(project, name, content)
            return templates.InputFile(name)
    except (storage.BadFilenameError, work.WorkError) as error:
        raise RpcError(str(error)) from None
    raise RpcError(f"unsupported file mode: {mode}")


def _remote_file(file: etree._Element) -> templates.InputFile:
    """A file that clients fetch elsewhere; what it says is written into XML, so it is checked first."""
    url, md5, nbytes = text_of(file, "url"), text_of(file, "md5"), number_of(file, "nbytes")
    if not _URL.match(url):
        raise RpcError("url of a remote file is no http URL")
    if not _MD5.match(md5) or nbytes is None or nbytes <= 0 or not nbytes.is_integer():
        raise RpcError("a remote file needs md5 and nbytes")
    return templates.InputFile(f"jf_{md5}", escape(url), nbytes, md5)
