"""One workunit with its results, loaded for the daemons; changes are noticed and written back once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select

from boinc_server import models
from boinc_server.database import AnyRow, Transaction
from boinc_server.states import Outcome, ServerState, ValidateState

_WU: Final = models.workunit.c
_RES: Final = models.result.c

# Everything but the long texts.
WORKUNIT_COLUMNS: Final = tuple(c.name for c in models.workunit.columns if c.name not in ("xml_doc", "keywords", "opaque", "fileset_id"))
RESULT_COLUMNS: Final = (
    "id",
    "name",
    "workunitid",
    "server_state",
    "outcome",
    "client_state",
    "validate_state",
    "file_delete_state",
    "hostid",
    "userid",
    "teamid",
    "report_deadline",
    "sent_time",
    "received_time",
    "exit_status",
    "app_version_id",
    "appid",
    "cpu_time",
    "elapsed_time",
    "flops_estimate",
    "claimed_credit",
    "granted_credit",
    "runtime_outlier",
)
_LOAD_WORKUNIT: Final = select(*(models.workunit.c[name] for name in WORKUNIT_COLUMNS)).where(_WU.id == bindparam("id"))
_LOAD_RESULTS: Final = (
    select(*(models.result.c[name] for name in RESULT_COLUMNS)).where(_RES.workunitid == bindparam("id")).order_by(_RES.id)
)


class Record:
    """A row whose changed columns are written by `save`."""

    __slots__ = ("__dict__", "_original", "_table")

    def __init__(self, row: AnyRow, table: Any) -> None:
        values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
        object.__setattr__(self, "_original", dict(values))
        object.__setattr__(self, "_table", table)
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def was(self, name: str) -> Any:
        """What the database has for a column."""
        original: dict[str, Any] = self._original
        return original[name]

    def changes(self) -> dict[str, Any]:
        """Columns that differ from what the database has."""
        original: dict[str, Any] = self._original
        current = self.__dict__
        if current == original:
            return {}
        return {name: value for name, value in current.items() if original[name] != value}

    def save(self, tx: Transaction) -> bool:
        """Write what changed; True when something did."""
        changes = self.changes()
        if not changes:
            return False
        tx.update(self._table, self.__dict__["id"], **(changes | {"mod_time": tx.now}))
        self._original.update(changes)
        return True


class Job:
    """A workunit (`wu`) and its results in the order of creation."""

    __slots__ = ("results", "wu")

    def __init__(self, wu: Record, results: list[Record]) -> None:
        self.wu = wu
        self.results = results

    @classmethod
    def load(cls, tx: Transaction, workunit_id: int) -> Job | None:
        """None when there is no such workunit."""
        row = tx.one(_LOAD_WORKUNIT, id=workunit_id)
        if row is None:
            return None
        job = cls(Record(row, models.workunit), [])
        job.reload_results(tx)
        return job

    def reload_results(self, tx: Transaction) -> None:
        self.results = [Record(r, models.result) for r in tx.all(_LOAD_RESULTS, id=self.wu.id)]

    def save(self, tx: Transaction) -> None:
        for result in self.results:
            result.save(tx)
        if self.wu.save(tx):
            tx.project.feeder.workunit_changed(self.wu)

    @property
    def canonical(self) -> Record | None:
        """The canonical result, if one was chosen and is still there."""
        chosen = self.wu.canonical_resultid
        return next((r for r in self.results if r.id == chosen), None) if chosen else None


def is_success(result: Record) -> bool:
    return bool(result.server_state == ServerState.OVER and result.outcome == Outcome.SUCCESS)


def set_not_needed(tx: Transaction, result: Record) -> None:
    """An unsent result that nobody has to compute any more."""
    result.server_state = int(ServerState.OVER)
    result.outcome = int(Outcome.DIDNT_NEED)
    tx.project.feeder.drop_result(result.id)
    tx.emit("result.not_needed", result=result.id, name=result.name, workunit=result.workunitid)


def set_validate_state(tx: Transaction, result: Record, state: ValidateState) -> None:
    """Change validate_state and record the event of that name."""
    if result.validate_state == state:
        return
    result.validate_state = int(state)
    kind = {
        ValidateState.VALID: "result.valid",
        ValidateState.INVALID: "result.invalid",
        ValidateState.INCONCLUSIVE: "result.inconclusive",
        ValidateState.TOO_LATE: "result.too_late",
        ValidateState.NO_CHECK: "result.no_check",
    }.get(state)
    if kind is not None:
        tx.emit(kind, result=result.id, name=result.name, workunit=result.workunitid, host=result.hostid)
