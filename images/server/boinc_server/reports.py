"""Results that a client reports (sched/sched_result.cpp: handle_results)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from boinc_server import hav, models
from boinc_server.database import AnyRow
from boinc_server.models import BLOB_SIZE
from boinc_server.states import EXIT_ABORTED_BY_PROJECT, ClientState, Outcome, ServerState, ValidateState
from boinc_server.wire.request import ReportedResult

if TYPE_CHECKING:
    from boinc_server.rpc import Rpc

_R = models.result.c
_KNOWN: Final = select(
    _R.id,
    _R.name,
    _R.workunitid,
    _R.server_state,
    _R.outcome,
    _R.hostid,
    _R.userid,
    _R.sent_time,
    _R.received_time,
    _R.report_deadline,
    _R.app_version_id,
    _R.appid,
    _R.flops_estimate,
).where(_R.name.in_(bindparam("names", expanding=True)))
_COLUMNS: Final = (
    "server_state",
    "outcome",
    "validate_state",
    "client_state",
    "received_time",
    "mod_time",
    "cpu_time",
    "elapsed_time",
    "exit_status",
    "xml_doc_out",
    "stderr_out",
    "app_version_num",
    "teamid",
    "peak_working_set_size",
    "peak_swap_size",
    "peak_disk_usage",
    "hostid",
)
_STORE: Final = update(models.result).where(_R.id == bindparam("_id")).values({column: bindparam(f"v_{column}") for column in _COLUMNS})
_OWNER: Final = select(models.host.c.userid).where(models.host.c.id == bindparam("id"))
_CHUNK: Final = 500


def handle(rpc: Rpc) -> None:
    """Take in the reported results, acknowledge them, and let the daemons look at their workunits."""
    results = rpc.request.results
    if not results:
        return
    config = rpc.project.config
    limit = config.max_results_accepted or config.report_max
    if limit:
        # What is not acknowledged is reported again.
        results = results[:limit]
    known: dict[str, AnyRow] = {}
    names = [result.name for result in results]
    for start in range(0, len(names), _CHUNK):
        known |= {row.name: row for row in rpc.tx.execute(_KNOWN, {"names": names[start : start + _CHUNK]})}
    due: dict[int, None] = {}
    for reported in results:
        rpc.reply.result_acks.append(reported.name)
        rpc.reported.append(reported.name)
        # Taken out: what is reported twice in one request counts once.
        row = known.pop(reported.name) if reported.name in known else None
        if row is not None and _acceptable(rpc, row):
            _store(rpc, row, reported)
            due[row.workunitid] = None
    if due:
        rpc.project.daemons.settle(list(due))


def _acceptable(rpc: Rpc, row: AnyRow) -> bool:
    """Whether a report about this result counts; if not it is acknowledged all the same, once and for all."""
    log = rpc.project.log
    if row.server_state in (ServerState.UNSENT, ServerState.INACTIVE):
        log.warning("[HOST#%d] [RESULT#%d %s] got unexpected result: it was never sent", rpc.host.id, row.id, row.name)
        return False
    if row.server_state == ServerState.OVER and row.outcome not in (Outcome.NO_REPLY, Outcome.CLIENT_DETACHED):
        log.info("[HOST#%d] [RESULT#%d %s] result already over", rpc.host.id, row.id, row.name)
        return False
    if row.hostid != rpc.host.id:
        owner = rpc.tx.one(_OWNER, id=row.hostid)
        if owner is None or owner.userid != rpc.user.id:
            log.warning("[HOST#%d] [RESULT#%d %s] got result from wrong host; expected HOST#%d", rpc.host.id, row.id, row.name, row.hostid)
            return False
    return True


def _times(rpc: Rpc, row: AnyRow, reported: ReportedResult) -> tuple[float, float]:
    """Run time and CPU time that can be true: one CPU's time is run time, nothing runs longer than since it was sent (sched_result.cpp)."""
    elapsed, cpu = reported.final_elapsed_time, reported.final_cpu_time
    if elapsed < cpu and "mt" not in reported.plan_class:
        elapsed = cpu
    if elapsed <= 0:
        elapsed = max(0.0, cpu)
    turnaround = rpc.now - row.sent_time
    if turnaround >= 0:
        elapsed = min(elapsed, float(turnaround))
    return elapsed, min(cpu, elapsed * rpc.host.p_ncpus)


def _store(rpc: Rpc, row: AnyRow, reported: ReportedResult) -> None:
    tx = rpc.tx
    success = reported.state == ClientState.FILES_UPLOADED and reported.exit_status == 0
    late = row.server_state == ServerState.OVER or row.report_deadline < tx.now
    elapsed, cpu = _times(rpc, row, reported)
    values: dict[str, Any] = {
        "server_state": int(ServerState.OVER),
        "outcome": int(Outcome.SUCCESS if success else Outcome.CLIENT_ERROR),
        "validate_state": int(ValidateState.INIT if success else ValidateState.INVALID),
        "client_state": reported.state,
        "received_time": tx.now,
        "mod_time": tx.now,
        "cpu_time": cpu,
        "elapsed_time": elapsed,
        "exit_status": reported.exit_status,
        "xml_doc_out": "".join(info.xml for info in reported.file_infos)[: BLOB_SIZE - 1],
        "stderr_out": reported.stderr_out[: BLOB_SIZE - 1],
        "app_version_num": reported.version_num,
        "teamid": rpc.user.teamid,
        "peak_working_set_size": reported.final_peak_working_set_size,
        "peak_swap_size": reported.final_peak_swap_size,
        "peak_disk_usage": reported.final_peak_disk_usage,
        "hostid": row.hostid,
    }
    tx.execute(_STORE, {"_id": row.id} | {f"v_{name}": value for name, value in values.items()})
    tx.emit(
        "result.reported",
        result=row.id,
        name=row.name,
        workunit=row.workunitid,
        host=rpc.host.id,
        outcome=values["outcome"],
        exit_status=reported.exit_status,
        client_state=reported.state,
        late=late,
    )
    key = hav.version_key(row.app_version_id, row.appid)
    if success:
        hav.on_success(tx, row.hostid, key)
    else:
        hav.on_error(tx, row.hostid, key, aborted_by_project=reported.exit_status == EXIT_ABORTED_BY_PROJECT)
