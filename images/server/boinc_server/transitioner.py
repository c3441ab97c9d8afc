"""The transitioner: looks at one workunit and its results and decides what happens next.

Rules and their order are those of sched/transitioner.cpp (handle_wu).
"""

from __future__ import annotations

from typing import Final

from boinc_server import hav, work
from boinc_server.database import Transaction
from boinc_server.job import Job, Record, set_not_needed, set_validate_state
from boinc_server.states import (
    EXIT_ABORTED_VIA_GUI,
    NEVER,
    AssimilateState,
    ErrorMask,
    FileDeleteState,
    Outcome,
    ServerState,
    TransitionerFlags,
    ValidateState,
)

TEN_DAYS: Final = 10 * 86400


class _Counts:
    """How many results are in which state."""

    __slots__ = ("couldnt_send", "errors", "in_progress", "max_suffix", "new_to_validate", "no_reply", "over", "success", "total", "unsent")

    def __init__(self) -> None:
        self.total = self.unsent = self.in_progress = self.over = 0
        self.success = self.errors = self.no_reply = self.couldnt_send = 0
        self.max_suffix = -1
        self.new_to_validate = False


def result_suffix(name: str) -> int:
    """The number after the last underscore of a result's name, 0 if there is none."""
    tail = name.rpartition("_")[2]
    return int(tail) if tail.isdecimal() and tail.isascii() else 0


def transition(tx: Transaction, job: Job) -> None:
    """Apply the rules once. The caller saves the job; new results are inserted here."""
    wu = job.wu
    counts = _count(tx, job)
    _check_errors(job, counts)
    allowed = wu.max_total_results - counts.total
    needed = max(0, wu.target_nresults - counts.unsent - counts.in_progress - counts.success)
    if allowed < 0 or (allowed == 0 and needed > 0):
        wu.error_mask |= int(ErrorMask.TOO_MANY_TOTAL_RESULTS)
    needed = min(needed, max(0, allowed))
    if wu.error_mask:
        _give_up(tx, job)
    elif wu.canonical_resultid == 0 and needed and wu.transitioner_flags != TransitionerFlags.NO_NEW_RESULTS:
        work.create_results(tx, wu, counts.max_suffix + 1, needed, _priority_increase(tx, counts))
        job.save(tx)
        job.reload_results(tx)
    deferred = _assimilation_and_deletion(tx, job)
    wu.transition_time = _next_time(tx, job, deferred)


def _count(tx: Transaction, job: Job) -> _Counts:
    counts = _Counts()
    canonical = job.canonical
    too_late = canonical is not None and canonical.file_delete_state == FileDeleteState.DONE
    for result in job.results:
        counts.total += 1
        counts.max_suffix = max(counts.max_suffix, result_suffix(result.name))
        if result.server_state in (ServerState.INACTIVE, ServerState.UNSENT):
            counts.unsent += 1
        elif result.server_state == ServerState.IN_PROGRESS:
            if result.report_deadline < tx.now:
                _time_out(tx, job.wu, result)
                counts.over += 1
                counts.no_reply += 1
            else:
                counts.in_progress += 1
        else:
            counts.over += 1
            _count_over(tx, result, counts, too_late)
    return counts


def _count_over(tx: Transaction, result: Record, counts: _Counts, too_late: bool) -> None:
    match result.outcome:
        case Outcome.COULDNT_SEND:
            counts.couldnt_send += 1
        case Outcome.SUCCESS:
            if result.validate_state == ValidateState.INIT:
                if too_late:
                    # There is nothing left to compare with.
                    set_validate_state(tx, result, ValidateState.TOO_LATE)
                else:
                    counts.new_to_validate = True
            if result.validate_state != ValidateState.INVALID:
                counts.success += 1
        case Outcome.CLIENT_ERROR:
            # The volunteer's abort says nothing about the job.
            if result.exit_status == EXIT_ABORTED_VIA_GUI:
                counts.no_reply += 1
            else:
                counts.errors += 1
        case Outcome.VALIDATE_ERROR:
            counts.errors += 1
        case Outcome.CLIENT_DETACHED | Outcome.NO_REPLY:
            counts.no_reply += 1


def _time_out(tx: Transaction, wu: Record, result: Record) -> None:
    result.server_state = int(ServerState.OVER)
    result.outcome = int(Outcome.NO_REPLY)
    hav.on_timeout(tx, result.hostid, hav.version_key(result.app_version_id, result.appid), wu.delay_bound)
    tx.emit("result.timed_out", result=result.id, name=result.name, workunit=wu.id, host=result.hostid)


def _check_errors(job: Job, counts: _Counts) -> None:
    wu = job.wu
    if counts.new_to_validate and counts.success >= wu.min_quorum:
        wu.need_validate = 1
    if counts.couldnt_send:
        wu.error_mask |= int(ErrorMask.COULDNT_SEND_RESULT)
    if counts.errors and not (counts.success or counts.in_progress or counts.no_reply):
        # Nobody has shown that this kind of computer can do it: let another kind try.
        wu.hr_class = 0
        wu.app_version_id = 0
    if counts.errors > wu.max_error_results:
        wu.error_mask |= int(ErrorMask.TOO_MANY_ERROR_RESULTS)


def _give_up(tx: Transaction, job: Job) -> None:
    for result in job.results:
        if result.server_state in (ServerState.INACTIVE, ServerState.UNSENT):
            set_not_needed(tx, result)
        elif (
            result.server_state == ServerState.OVER
            and result.outcome == Outcome.SUCCESS
            and result.validate_state in (ValidateState.INIT, ValidateState.INCONCLUSIVE)
        ):
            set_validate_state(tx, result, ValidateState.NO_CHECK)
    if job.wu.assimilate_state == AssimilateState.INIT:
        job.wu.assimilate_state = int(AssimilateState.READY)


def _priority_increase(tx: Transaction, counts: _Counts) -> int:
    config = tx.project.config
    if not counts.over:
        return 0
    if config.reliable_priority_on_over:
        return config.reliable_priority_on_over
    return 0 if counts.errors else config.reliable_priority_on_over_except_error


def _assimilation_and_deletion(tx: Transaction, job: Job) -> float:
    """Mark what is ready; returns when deletion may start if that is later, else 0."""
    wu = job.wu
    finished = ready = True
    last_received = 0
    for result in job.results:
        if result.server_state != ServerState.OVER:
            finished = ready = False
            continue
        last_received = max(last_received, result.received_time)
        if result.outcome == Outcome.SUCCESS and result.validate_state == ValidateState.INIT:
            finished = ready = False
        elif result.outcome == Outcome.NO_REPLY and tx.now < result.report_deadline:
            # It may still come.
            finished = False
    if ready and job.results and wu.canonical_resultid and wu.assimilate_state == AssimilateState.INIT:
        wu.assimilate_state = int(AssimilateState.READY)
    if wu.assimilate_state != AssimilateState.DONE:
        return 0
    delete_at = last_received + tx.project.config.delete_delay_hours * 3600
    if tx.now < delete_at:
        return delete_at
    if finished and wu.file_delete_state == FileDeleteState.INIT:
        wu.file_delete_state = int(FileDeleteState.READY)
    for result in job.results:
        if result.id == wu.canonical_resultid and not finished:
            continue
        over = result.outcome == Outcome.CLIENT_ERROR or (result.outcome == Outcome.SUCCESS and result.validate_state != ValidateState.INIT)
        if over and result.file_delete_state == FileDeleteState.INIT:
            result.file_delete_state = int(FileDeleteState.READY)
    return 0


def _next_time(tx: Transaction, job: Job, deferred: float) -> int:
    wu = job.wu
    when = NEVER if wu.canonical_resultid or wu.error_mask else tx.now + max(TEN_DAYS, int(1.5 * wu.delay_bound))
    for result in job.results:
        if result.server_state == ServerState.IN_PROGRESS:
            when = min(when, result.report_deadline)
    if deferred:
        when = min(when, int(deferred))
    if when < tx.now:
        when = tx.now + min(86400, max(60, 2 * (tx.now - when)))
    return min(when, NEVER)
