"""The assimilator: hands finished jobs to whoever wants them, each exactly once (sched/assimilator.cpp)."""

from __future__ import annotations

from boinc_server import mail
from boinc_server.database import Transaction
from boinc_server.job import Job
from boinc_server.states import AssimilateState, ErrorMask, Outcome, ServerState


def describe(mask: int) -> str:
    """An error_mask in words."""
    words = {
        ErrorMask.COULDNT_SEND_RESULT: "couldn't send result",
        ErrorMask.TOO_MANY_ERROR_RESULTS: "too many errors",
        ErrorMask.TOO_MANY_SUCCESS_RESULTS: "too many success results",
        ErrorMask.TOO_MANY_TOTAL_RESULTS: "too many total results",
        ErrorMask.CANCELLED: "cancelled",
        ErrorMask.NO_CANONICAL_RESULT: "no canonical result",
    }
    return ", ".join(text for bit, text in words.items() if mask & bit) or "no error"


def assimilate(tx: Transaction, job: Job) -> None:
    """Move assimilate_state from READY to DONE. The caller saves the job."""
    wu = job.wu
    if wu.canonical_resultid == 0 and wu.error_mask == 0:
        wu.error_mask = int(ErrorMask.NO_CANONICAL_RESULT)
    if wu.error_mask and wu.canonical_resultid == 0:
        reason = describe(wu.error_mask)
        tx.emit("job.error", workunit=wu.id, name=wu.name, error_mask=wu.error_mask, reason=reason)
        lines = [
            f"{r.name}: {ServerState(r.server_state).name.lower()}, {Outcome(r.outcome).name.lower()}, "
            f"exit status {r.exit_status}, host {r.hostid}"
            for r in job.results
        ]
        if not wu.error_mask & ErrorMask.CANCELLED:
            project, name = tx.project, wu.name
            tx.after_commit(lambda: mail.job_failed(project, name, reason, lines))
    wu.assimilate_state = int(AssimilateState.DONE)
    wu.transition_time = tx.now
    tx.emit("job.assimilated", workunit=wu.id, name=wu.name)
