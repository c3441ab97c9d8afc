"""Jobs for chosen hosts, users and teams (sched/sched_assign.cpp).

Targeted jobs go to one host of their target at a time and are otherwise like any other; broadcast jobs go to
every host of their target once, and are not validated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, or_, select

from boinc_server import dispatch, models, work
from boinc_server.feeder import ONE, Slot, Work
from boinc_server.job import Job
from boinc_server.states import AssignTarget, Outcome, ServerState, ValidateState

if TYPE_CHECKING:
    from boinc_server.database import AnyRow
    from boinc_server.feasibility import Checks
    from boinc_server.limits import Needs
    from boinc_server.rpc import Rpc
    from boinc_server.versions import VersionChooser

_A = models.assignment.c
_FOR_ME: Final = or_(
    and_(_A.target_type == int(AssignTarget.HOST), _A.target_id == bindparam("host")),
    and_(_A.target_type == int(AssignTarget.USER), _A.target_id == bindparam("user")),
    and_(_A.target_type == int(AssignTarget.TEAM), _A.target_id == bindparam("team"), _A.target_id > 0),
)
_TARGETED: Final = select(models.assignment).where(_A.multi == 0, _FOR_ME).order_by(_A.id)
_BROADCAST: Final = select(models.assignment).where(_A.multi == 1, or_(_A.target_type == int(AssignTarget.NONE), _FOR_ME)).order_by(_A.id)
_FORGET: Final = delete(models.assignment).where(_A.id == bindparam("_id"))


class _NoVersionError(Exception):
    """The host cannot run the job it was meant for: take back the result just made."""


def send(rpc: Rpc, needs: Needs, chooser: VersionChooser, checks: Checks) -> bool:
    """Send the jobs assigned to this host, its user or team; True when there were any."""
    config = rpc.project.config
    sent = False
    if config.enable_assignment:
        for assignment in _mine(rpc, _TARGETED):
            if needs.open:
                sent |= _send_one(rpc, assignment, needs, chooser, checks)
    if not sent and config.enable_assignment_multi:
        for assignment in _mine(rpc, _BROADCAST):
            sent |= _send_one(rpc, assignment, needs, chooser, checks)
    return sent


def _mine(rpc: Rpc, query: object) -> list[AnyRow]:
    return list(rpc.tx.execute(query, {"host": rpc.host.id, "user": rpc.user.id, "team": rpc.user.teamid}))  # type: ignore[arg-type]


def _send_one(rpc: Rpc, assignment: AnyRow, needs: Needs, chooser: VersionChooser, checks: Checks) -> bool:
    tx = rpc.tx
    job = Job.load(tx, assignment.workunitid)
    if job is None:
        tx.execute(_FORGET, {"_id": assignment.id})
        return False
    if any(result.hostid == rpc.host.id for result in job.results) or not (assignment.multi or _needed(job)):
        return False
    if job.wu.error_mask or (needs.selected_apps and job.wu.appid not in needs.selected_apps):
        return False
    try:
        with tx.savepoint():
            [result_id] = work.create_results(tx, job.wu, len(job.results), 1, offer=False)
            row = tx.one(ONE, id=result_id)
            assert row is not None
            slot = Slot((0, row.id), row.id, row, Work.of(row))
            best = chooser.choose(slot, check_needs=False)
            if best is None:
                raise _NoVersionError
            dispatch.commit(rpc, slot, best, needs, checks)
    except _NoVersionError:
        rpc.project.log.warning("[HOST#%d] no app version for assigned workunit %s", rpc.host.id, job.wu.name)
        return False
    return True


def _needed(job: Job) -> bool:
    """Whether a targeted job lacks a result (need_targeted_instance)."""
    wu = job.wu
    if wu.need_validate or wu.canonical_resultid:
        return False
    pending = 0
    for result in job.results:
        succeeded = result.outcome == Outcome.SUCCESS and result.validate_state != ValidateState.INVALID
        if result.server_state != ServerState.OVER or succeeded:
            pending += 1
    return bool(wu.target_nresults > pending)
