"""A handle on one job: a workunit and its results, as the project server sees them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.history import Event, HistoryView
from harness.waiting import Deadline

if TYPE_CHECKING:
    from harness.project.base import Project

#: real seconds a job may take before a wait gives up, unless the scenario says otherwise
JOB_DEADLINE = 60.0


class JobState(enum.Enum):
    """How far a job has come; each state is reached by the event named in `_REACHED_BY`."""

    UNSENT = "unsent"
    SENT = "sent"
    REPORTED = "reported"
    VALIDATED = "validated"
    ASSIMILATED = "assimilated"
    ERROR = "error"
    CANCELLED = "cancelled"


_REACHED_BY: Mapping[JobState, str] = {
    JobState.UNSENT: "job.created",
    JobState.SENT: "result.sent",
    JobState.REPORTED: "result.reported",
    JobState.VALIDATED: "job.validated",
    JobState.ASSIMILATED: "job.assimilated",
    JobState.ERROR: "job.error",
    JobState.CANCELLED: "job.cancelled",
}


class Outcome(enum.IntEnum):
    """result.outcome (db/boinc_db_types.h)."""

    INIT = 0
    SUCCESS = 1
    COULDNT_SEND = 2
    CLIENT_ERROR = 3
    NO_REPLY = 4
    DIDNT_NEED = 5
    VALIDATE_ERROR = 6
    CLIENT_DETACHED = 7


class ServerState(enum.IntEnum):
    """result.server_state (db/boinc_db_types.h)."""

    INACTIVE = 1
    UNSENT = 2
    IN_PROGRESS = 4
    OVER = 5


class ValidateState(enum.IntEnum):
    """result.validate_state (db/boinc_db_types.h)."""

    INIT = 0
    VALID = 1
    INVALID = 2
    NO_CHECK = 3
    INCONCLUSIVE = 4
    TOO_LATE = 5


class ErrorMask(enum.IntFlag):
    """workunit.error_mask (db/boinc_db_types.h)."""

    COULDNT_SEND = 1
    TOO_MANY_ERRORS = 2
    TOO_MANY_SUCCESSES = 4
    TOO_MANY_TOTAL = 8
    CANCELLED = 16
    NO_CANONICAL_RESULT = 32


@dataclass(frozen=True, slots=True)
class Result:
    """One result (one try of a job on one host) as the server holds it."""

    id: int
    name: str
    workunit_id: int
    host_id: int
    server_state: ServerState
    outcome: Outcome
    validate_state: ValidateState
    exit_status: int
    stderr: str
    granted_credit: float
    report_deadline: float
    elapsed_time: float
    cpu_time: float
    record: Mapping[str, object]

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Result:
        """From the server's columns, which bear BOINC's names."""
        number = {name: value for name, value in record.items() if isinstance(value, int | float)}
        return cls(
            id=int(number["id"]),
            name=str(record["name"]),
            workunit_id=int(number["workunitid"]),
            host_id=int(number["hostid"]),
            server_state=ServerState(int(number["server_state"])),
            outcome=Outcome(int(number["outcome"])),
            validate_state=ValidateState(int(number["validate_state"])),
            exit_status=int(number["exit_status"]),
            stderr=str(record.get("stderr_out") or ""),
            granted_credit=float(number["granted_credit"]),
            report_deadline=float(number["report_deadline"]),
            elapsed_time=float(number["elapsed_time"]),
            cpu_time=float(number["cpu_time"]),
            record=record,
        )


class Job:
    """One workunit of a project.

    The handle stays valid as long as the project; every question goes to the server, every wait to the stack's history.
    """

    def __init__(self, project: Project, workunit_id: int, name: str, app: str) -> None:
        self.project = project
        self.id = workunit_id
        self.name = name
        self.app = app

    def __repr__(self) -> str:
        return f"<Job {self.name} of {self.project.name}>"

    def _concerns(self, event: Event) -> bool:
        return event.get("project") == self.project.name and event.get("workunit") == self.id

    @property
    def history(self) -> HistoryView:
        """The server's events of this job and its results."""
        return self.project.history.of(self._concerns)

    def results(self) -> list[Result]:
        """All results, oldest first."""
        return self.project.results(workunit=self.id)

    @property
    def result(self) -> Result:
        """The canonical result if there is one, else the newest."""
        results = self.results()
        canonical = self.workunit().get("canonical_resultid")
        return next((result for result in results if result.id == canonical), results[-1])

    def workunit(self) -> Mapping[str, object]:
        """The workunit's columns, by BOINC's names."""
        return self.project.workunit(self.id)

    @property
    def error_mask(self) -> ErrorMask:
        mask = self.workunit()["error_mask"]
        assert isinstance(mask, int)
        return ErrorMask(mask)

    def output(self, name: str = "out") -> bytes:
        """The bytes of an output file of the canonical (or newest) result; `name` is the logical name (open_name)."""
        return self.project.output(self.result.id, name)

    def cancel(self) -> None:
        """Cancel the job on the server."""
        self.project.cancel(self.id)

    def wait_for(
        self,
        state: JobState,
        *,
        within: Deadline | float = JOB_DEADLINE,
        fail_on: JobState | None = None,
        count: int = 1,
    ) -> Event:
        """Wait (real seconds) until the job has reached `state`, `count` times for states that its results reach one by one.

        Reaching `fail_on` first raises `WaitFailed`; a job that can no longer be validated fails a wait for VALIDATED or
        ASSIMILATED by itself. Raises `WaitTimeout` with the job's state when time is up.
        """
        if fail_on is None and state in (JobState.VALIDATED, JobState.ASSIMILATED):
            fail_on = JobState.ERROR
        wanted = _REACHED_BY[state]
        unwanted = _REACHED_BY[fail_on] if fail_on else None
        reached: list[Event] = []

        def arrives(event: Event) -> bool:
            if self._concerns(event) and event.kind == wanted:
                reached.append(event)
            return len(reached) >= count

        return self.project.history.wait_for(
            arrives,
            f"{self!r} {state.value}" + (f" {count} times" if count > 1 else ""),
            within=within,
            fail_on=None if unwanted is None else lambda event: event.kind == unwanted and self._concerns(event),
            last_state=self.describe,
        )

    def describe(self) -> str:
        """Where the job stands, for messages."""
        tries = ", ".join(
            f"{result.name}: {result.server_state.name}"
            + (f"/{result.outcome.name}" if result.outcome else "")
            + (f" exit {result.exit_status}" if result.exit_status else "")
            for result in self.results()
        )
        clients = self.project.history.of(lambda event: event.kind == "task.state")
        last = list(clients)[-1:]
        seen = f"; on the client: {last[0]}" if last else ""
        return f"results [{tries or 'none'}]{seen}"
