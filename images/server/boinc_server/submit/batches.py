"""Batches: what is known of one, and what its jobs make of it (submit_util.inc: get_batch_params)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, select, update

from boinc_server import models, work
from boinc_server.states import BatchState, ErrorMask, ServerState
from boinc_server.submit.access import RpcError, integer_of, text_of

if TYPE_CHECKING:
    from lxml import etree

    from boinc_server.database import AnyRow, Transaction

_b, _w, _r = models.batch.c, models.workunit.c, models.result.c
BATCH: Final = select(models.batch).where(_b.id == bindparam("id"))
_NAMED: Final = select(models.batch).where(_b.name == bindparam("name")).order_by(_b.id.desc()).limit(1)
JOBS: Final = (
    select(_w.id, _w.name, _w.rsc_fpops_est, _w.canonical_credit, _w.canonical_resultid, _w.error_mask, _w.mod_time)
    .where(_w.batch == bindparam("batch"))
    .order_by(_w.id)
)
_CPU: Final = select(func.sum(_r.cpu_time).label("n")).where(_r.batch == bindparam("batch"))
_UNFINISHED: Final = (
    select(func.count().label("n"))
    .join_from(models.result, models.batch, _b.id == _r.batch)
    .where(_b.user_id == bindparam("user"), _r.server_state < int(ServerState.OVER))
)


@dataclass(slots=True)
class Batch:
    """A batch and its jobs as of now."""

    row: AnyRow
    jobs: list[AnyRow]
    values: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.values[name] if name in self.values else getattr(self.row, name)


def find(tx: Transaction, call: etree._Element, user: AnyRow) -> AnyRow:
    """The batch a request names by batch_id or batch_name; it must be the user's. Raises RpcError."""
    batch_id, name = integer_of(call, "batch_id"), text_of(call, "batch_name")
    if batch_id:
        row = tx.one(BATCH, id=batch_id)
    elif name:
        row = tx.one(_NAMED, name=name)
    else:
        raise RpcError("batch not specified")
    if row is None:
        raise RpcError("no such batch")
    if row.user_id != user.id:
        raise RpcError("not owner of batch")
    return row


def named(tx: Transaction, name: str, user: AnyRow) -> AnyRow:
    """A batch of the user by its name. Raises RpcError."""
    row = tx.one(_NAMED, name=name)
    if row is None:
        raise RpcError(f"no batch named {name}")
    if row.user_id != user.id:
        raise RpcError(f"not owner of {name}")
    return row


def create(tx: Transaction, user: AnyRow, app: AnyRow, name: str, njobs: int, *, expire_time: float = 0.0) -> int:
    """A new batch in state INIT; its id."""
    return tx.insert(
        insert(models.batch),
        user_id=user.id,
        create_time=tx.now,
        njobs=njobs,
        state=int(BatchState.INIT),
        name=(name or f"{user.name}:{app.name}:{tx.now}")[:254],
        app_id=app.id,
        expire_time=expire_time,
        description="",
    )


def refresh(tx: Transaction, row: AnyRow) -> Batch:
    """Count the jobs of a batch and store what follows: progress, errors, credit, completion."""
    if row.state == BatchState.INIT:
        return Batch(row, [], {})
    jobs = tx.all(JOBS, batch=row.id)
    failed = sum(1 for job in jobs if job.error_mask and not job.canonical_resultid)
    done = sum(1 for job in jobs if job.canonical_resultid)
    values: dict[str, Any] = {
        "njobs": len(jobs),
        "nerror_jobs": failed,
        "fraction_done": (done + failed) / len(jobs) if jobs else 0.0,
        "credit_canonical": sum(job.canonical_credit for job in jobs if job.canonical_resultid),
    }
    if row.state == BatchState.IN_PROGRESS and jobs and done + failed == len(jobs):
        values |= {"state": int(BatchState.COMPLETE), "completion_time": float(tx.now)}
        tx.emit("batch.completed", batch=row.id, name=row.name, failed=failed)
    tx.execute(update(models.batch).where(_b.id == row.id).values(**values))
    return Batch(row, jobs, values)


def cpu_time(tx: Transaction, batch_id: int) -> float:
    row = tx.one(_CPU, batch=batch_id)
    return float(row.n or 0.0) if row else 0.0


def unfinished(tx: Transaction, user_id: int) -> int:
    """Results of the user's batches that are not over."""
    row = tx.one(_UNFINISHED, user=user_id)
    return int(row.n) if row else 0


def set_state(tx: Transaction, batch_id: int, state: BatchState) -> None:
    tx.execute(update(models.batch).where(_b.id == batch_id).values(state=int(state)))
    tx.emit("batch.state", batch=batch_id, state=int(state))


def cancel_jobs(tx: Transaction, jobs: list[AnyRow]) -> None:
    """Cancel those jobs that have no outcome yet."""
    for job in jobs:
        if not job.canonical_resultid and not job.error_mask & ErrorMask.CANCELLED:
            work.cancel(tx, job.id)
