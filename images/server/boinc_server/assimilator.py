"""The assimilator: hands finished jobs to whoever wants them, each exactly once (sched/assimilator.cpp)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from boinc_server import mail, plugins, validator
from boinc_server.database import Transaction
from boinc_server.job import Job
from boinc_server.outputs import OutputFile
from boinc_server.states import AssimilateState, ErrorMask, Outcome, ServerState

if TYPE_CHECKING:
    from boinc_server.project import Project


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


class Deferred(Exception):
    """Raised by a handler that wants the job later: it is ready again when another result is over."""


Handler = Callable[["Project", Job, Sequence[OutputFile]], None]
"""Called once for each finished job, with the outputs of the canonical result (none for a failed job).

An exception other than Deferred makes the server try again a virtual minute later.
"""
_handlers: dict[str, Handler] = {}


def register(name: str, handler: Handler) -> None:
    """Make a handler available to the option `assimilators`."""
    _handlers[name] = handler


class TryAgainError(Exception):
    """A handler failed."""


def has_handler(tx: Transaction, appid: int) -> bool:
    """Whether an app has an assimilator of its own."""
    app = tx.project.catalog.app(appid)
    return app is not None and app.name in tx.project.config.assimilators


def _handle(tx: Transaction, job: Job) -> None:
    """Hand the job to the app's own assimilator. Raises Deferred, TryAgainError, Pending, PluginError."""
    app = tx.project.catalog.app(job.wu.appid)
    name = tx.project.config.assimilators.get(app.name if app else "")
    if name is None:
        return
    files = validator.files_of(tx, job.canonical) if job.canonical is not None else []
    if name.startswith("script:"):
        if not plugins.run_assimilator_script(tx, job, name.removeprefix("script:"), files):
            raise TryAgainError(f"assimilator {name} failed for workunit {job.wu.name}")
        return
    handler = plugins.load_python(tx.project, name.removeprefix("python:")) if name.startswith("python:") else _handlers.get(name)
    if handler is None:
        raise plugins.PluginError(f"there is no assimilator {name!r}")
    handler(tx.project, job, files)


def assimilate(tx: Transaction, job: Job) -> None:
    """Move assimilate_state from READY to DONE. The caller saves the job."""
    wu = job.wu
    if wu.canonical_resultid == 0 and wu.error_mask == 0:
        wu.error_mask = int(ErrorMask.NO_CANONICAL_RESULT)
    try:
        _handle(tx, job)
    except Deferred:
        wu.assimilate_state = int(AssimilateState.INIT)
        return
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
