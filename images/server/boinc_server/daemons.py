"""Transitioner, validator, assimilator and file deleter as one: run at once when a workunit is due.

Nothing polls. A commit that changes a workunit names it, and it is settled right after; what has to
happen later (deadlines, deferred deletion) is a timer on the project's virtual clock.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select, union, update

from boinc_server import assimilator, db_purge, file_deleter, models, transitioner, validator
from boinc_server.database import Transaction
from boinc_server.job import Job
from boinc_server.plugins import Pending, PluginError
from boinc_server.states import NEVER, AssimilateState, FileDeleteState, TransitionerFlags
from boinc_server.templates import TemplateError
from boinc_server.work import WorkError

if TYPE_CHECKING:
    from boinc_server.project import Project

_WU: Final = models.workunit.c
_NEXT: Final = select(func.min(_WU.transition_time))
_DUE: Final = select(_WU.id).where(_WU.transition_time < bindparam("now")).order_by(_WU.transition_time).limit(1000)
_UNFINISHED: Final = union(
    select(_WU.id).where(models.TO_VALIDATE),
    select(_WU.id).where(models.TO_ASSIMILATE),
    select(_WU.id).where(_WU.file_delete_state == int(FileDeleteState.READY)),
)
_OLDEST_DONE: Final = select(func.min(_WU.mod_time)).where(_WU.file_delete_state == int(FileDeleteState.DONE))
_POSTPONE: Final = update(models.workunit).where(_WU.id == bindparam("_id")).values(transition_time=bindparam("when"))
_MAX_ROUNDS: Final = 20
_DELETE_AFTER: Final = 0.02
"""Wall seconds for which finished jobs gather until their files are deleted."""
_MAX_ANSWERS: Final = 10_000
_EXPECTED: Final = (PluginError, assimilator.TryAgainError, WorkError, TemplateError)
_RETRY: Final = 60
"""Virtual seconds until a workunit is tried again whose handling failed (a broken template, say)."""


class Daemons:
    """The daemons of one project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float(NEVER)
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: list[int] = []
        self._deletions: list[int] = []
        self._deleting: asyncio.TimerHandle | None = None
        self._computing: set[int] = set()
        """Workunits for which something is being computed off the loop."""
        self._closed = False

    def settle(self, workunits: list[int], attempts: int = 0) -> None:
        """Do all that can be done now for these workunits, each in BOINC's order of daemons.

        Args:
            attempts: how often something had to be computed for it already.
        """
        project = self._project
        if self._closed:
            return
        with project.transaction() as tx:
            if project.config.stop_daemons:
                for workunit in workunits:
                    tx.execute(_POSTPONE, {"_id": workunit, "when": tx.now})
                return
            try:
                with tx.savepoint():
                    deletions = [wu for wu in workunits if wu not in self._computing and self._process(tx, wu)]
            except Exception as error:  # noqa: BLE001 - one workunit must not hold up the others: find it, put it off
                self._again = []
                if len(workunits) > 1:
                    for workunit in workunits:
                        self.settle([workunit])
                elif isinstance(error, Pending):
                    # Due in the database: a kill while computing only means that it is computed again.
                    tx.execute(_POSTPONE, {"_id": workunits[0], "when": tx.now})
                    self._compute(workunits[0], error, attempts)
                else:
                    self._put_off(tx, workunits[0], error)
                return
            if deletions:
                tx.after_commit(partial(self._delete_later, deletions))
            again, self._again = self._again, []
            for workunit in again:
                self.settle([workunit])

    def _process(self, tx: Transaction, workunit_id: int) -> bool:
        """Run the daemons for one workunit until nothing changes; True when files can be deleted."""
        job = Job.load(tx, workunit_id)
        if job is None or job.wu.transitioner_flags == TransitionerFlags.NONE:
            return False
        wu = job.wu
        for _ in range(_MAX_ROUNDS):
            transitioner.transition(tx, job)
            if wu.need_validate:
                validator.validate(tx, job, validator.validator_for(tx, wu.appid))
                if wu.transition_time <= tx.now:
                    continue
            if wu.assimilate_state == AssimilateState.READY:
                if assimilator.has_handler(tx, wu.appid) and wu.was("assimilate_state") != AssimilateState.READY:
                    # Somebody else's code may fail: what was decided so far shall stand.
                    self._again.append(workunit_id)
                    break
                assimilator.assimilate(tx, job)
                if wu.assimilate_state == AssimilateState.DONE:
                    continue
            break
        job.save(tx)
        if wu.transition_time < NEVER:
            self.schedule(wu.transition_time)
        ready = int(FileDeleteState.READY)
        return wu.file_delete_state == ready or any(r.file_delete_state == ready for r in job.results)

    def _delete_later(self, workunits: list[int]) -> None:
        """Delete files soon, those of several jobs in one transaction."""
        self._deletions += workunits
        if self._deleting is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._delete()
            return
        self._deleting = loop.call_later(_DELETE_AFTER, self._delete)

    def _delete(self) -> None:
        self._deleting = None
        workunits, self._deletions = self._deletions, []
        if not self._closed:
            file_deleter.delete_files(self._project, workunits)
            self._purge()

    def _purge(self) -> None:
        """Option db_purge: finished jobs leave the database when they are old enough."""
        config = self._project.config
        if not config.db_purge or config.stop_daemons:
            return
        db_purge.purge(self._project)
        with self._project.transaction() as tx:
            row = tx.one(_OLDEST_DONE)
        if row is not None and row[0] is not None:
            self.schedule(row[0] + config.purge_min_age_days * 86400)

    def _put_off(self, tx: Transaction, workunit_id: int, error: Exception) -> None:
        """Something failed (a broken template, a plugin): say so, try again in a virtual minute."""
        if isinstance(error, _EXPECTED):
            self._project.log.warning("[WU#%d] %s; next try in %d s", workunit_id, error, _RETRY)
        else:
            self._project.log.error("[WU#%d] the daemons failed; next try in %d s", workunit_id, _RETRY, exc_info=error)
        tx.emit("job.stuck", workunit=workunit_id, why=str(error) or type(error).__name__)
        tx.execute(_POSTPONE, {"_id": workunit_id, "when": tx.now + _RETRY})
        self.schedule(tx.now + _RETRY)

    def _compute(self, workunit_id: int, pending: Pending, attempts: int) -> None:
        """Get an answer that takes time off the loop, then come back to this workunit."""

        async def compute() -> None:
            try:
                await asyncio.to_thread(pending.work)
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises
                self._computing.discard(workunit_id)
                self._failed(workunit_id, error)
            else:
                self._computing.discard(workunit_id)
                self.settle([workunit_id], attempts + 1)

        if attempts >= _MAX_ANSWERS:
            self._failed(workunit_id, RuntimeError("a validator or assimilator asks without end"))
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # No loop: a tool or a test; after the transaction, as it would be.
            with self._project.transaction() as tx:
                tx.after_commit(partial(self._compute_now, workunit_id, pending, attempts))
            return
        self._computing.add(workunit_id)
        task = loop.create_task(compute())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _compute_now(self, workunit_id: int, pending: Pending, attempts: int) -> None:
        try:
            pending.work()
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            self._failed(workunit_id, error)
        else:
            self.settle([workunit_id], attempts + 1)

    def _failed(self, workunit_id: int, error: Exception) -> None:
        if not self._closed:
            with self._project.transaction() as tx:
                self._put_off(tx, workunit_id, error)

    def run_due(self) -> int:
        """Settle every workunit whose time has come; returns how many there were."""
        seen: set[int] = set()
        while not self._closed and not self._project.config.stop_daemons:
            with self._project.transaction() as tx:
                due = [row.id for row in tx.all(_DUE, now=tx.now) if row.id not in seen and row.id not in self._computing]
            if not due:
                break
            # Once each: whatever is due again by then is for the next time, not for ever.
            seen.update(due)
            for start in range(0, len(due), 100):
                self.settle(due[start : start + 100])
        return len(seen)

    def recover(self) -> None:
        """After a start: finish what a stop or kill interrupted, then arm the timer."""
        with self._project.transaction() as tx:
            unfinished = [row.id for row in tx.all(_UNFINISHED)]
        for start in range(0, len(unfinished), 100):
            self.settle(unfinished[start : start + 100])
        self._fire()

    def schedule(self, virtual_time: float) -> None:
        """Make sure the daemons run soon after that virtual time."""
        if virtual_time < self._armed_for and not self._closed:
            self._arm(virtual_time)

    def _arm(self, virtual_time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = virtual_time
        if virtual_time >= NEVER:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        # One more second: a result is late when its deadline is past, not when it is reached.
        delay = self._project.clock.real_delay(virtual_time + 1) + 0.001
        self._timer = loop.call_later(min(delay, 86400.0), self._fire)

    def _fire(self) -> None:
        if self._closed:
            return
        self._armed_for = float(NEVER)
        self.run_due()
        self._purge()
        with self._project.transaction() as tx:
            row = tx.one(_NEXT)
        if row is not None and row[0] is not None:
            self._arm(min(float(row[0]), self._armed_for))

    def clock_changed(self) -> None:
        """The clock jumped or changed its speed: what is due now?"""
        self._fire()

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deleting is not None:
            self._deleting.cancel()
        for task in self._tasks:
            task.cancel()
