"""How an upstream project's state changes become events of the history.

The database says itself what happens: triggers on BOINC's tables write each change of a state into a journal, in a schema of its own
beside the project's. So no change is missed, however fast it is followed by the next one, and polling the journal 20 times a second is
all there is to do. `translate` turns a journal row into the events that the embedded server gives for the same change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.jobs import ErrorMask, Outcome, ServerState, ValidateState

SCHEMA: Final = "boinc_harness"
JOURNAL: Final = f"{SCHEMA}.journal"
#: table -> the columns (db/schema.sql) whose changes are recorded, all of them with each change
WATCHED: Final[Mapping[str, Sequence[str]]] = {
    "user": ("id", "email_addr", "name", "passwd_hash", "email_validated"),
    "host": ("id", "userid", "domain_name"),
    "workunit": ("id", "name", "appid", "canonical_resultid", "canonical_credit", "error_mask", "assimilate_state", "file_delete_state"),
    "result": (
        *("id", "name", "workunitid", "userid", "hostid", "server_state", "outcome", "client_state", "exit_status", "validate_state"),
        *("granted_credit", "sent_time", "received_time", "report_deadline", "app_version_id"),
    ),
    "msg_from_host": ("id", "hostid", "variety", "xml"),
    "msg_to_host": ("id", "hostid", "handled"),
}
_VALIDATED: Final = {
    ValidateState.VALID: "result.valid",
    ValidateState.INVALID: "result.invalid",
    ValidateState.INCONCLUSIVE: "result.inconclusive",
    ValidateState.TOO_LATE: "result.too_late",
    ValidateState.NO_CHECK: "result.no_check",
}
#: workunit.assimilate_state and file_delete_state (db/boinc_db_types.h)
_READY: Final = 1
_DONE: Final = 2

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the journal: at real time `at`, a row of `table` went from `old` (empty: it is new) to `new`."""

    at: float
    table: str
    old: Fields
    new: Fields

    def number(self, column: str) -> int:
        return int(_number(self.new.get(column)))

    def changed(self, column: str) -> bool:
        return bool(self.old) and self.old.get(column) != self.new.get(column)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def ddl(project_schema: str) -> Iterator[str]:
    """The statements that set the journal up beside a project's database."""
    yield f"CREATE DATABASE IF NOT EXISTS {SCHEMA} CHARACTER SET utf8mb4"
    yield (
        f"CREATE TABLE IF NOT EXISTS {JOURNAL} (seq BIGINT AUTO_INCREMENT PRIMARY KEY, at DECIMAL(20,6) NOT NULL, "
        "tab VARCHAR(64) NOT NULL, old LONGTEXT, new LONGTEXT NOT NULL) ENGINE=InnoDB"
    )
    for table, columns in WATCHED.items():
        where = f"`{project_schema}`.`{table}`"
        new, old = (f"JSON_OBJECT({', '.join(f'{column!r}, {row}.`{column}`' for column in columns)})" for row in ("NEW", "OLD"))
        insert = f"INSERT INTO {JOURNAL} (at, tab, old, new) VALUES (UNIX_TIMESTAMP(SYSDATE(6)), '{table}', "
        same = " AND ".join(f"OLD.`{column}` <=> NEW.`{column}`" for column in columns)
        name = f"`{project_schema}`.`boinc_harness_{table}"
        yield f"CREATE OR REPLACE TRIGGER {name}_new` AFTER INSERT ON {where} FOR EACH ROW {insert}NULL, {new})"
        yield (
            f"CREATE OR REPLACE TRIGGER {name}_changed` AFTER UPDATE ON {where} FOR EACH ROW "
            f"BEGIN IF NOT ({same}) THEN {insert}{old}, {new}); END IF; END"
        )


def translate(change: Change, apps: Mapping[int, str]) -> Iterator[tuple[str, dict[str, object]]]:
    """The events of one change: (kind, fields) each, in the order in which the embedded server gives them."""
    match change.table:
        case "result":
            yield from _result(change)
        case "workunit":
            yield from _workunit(change, apps)
        case "user":
            yield from _user(change)
        case "host" if not change.old:
            new = change.new
            yield "host.created", {"host": new["id"], "user": new["userid"], "domain_name": new["domain_name"]}
        case "msg_from_host" if not change.old:
            new = change.new
            about = {"id": new["id"], "host": new["hostid"], "variety": new["variety"], "xml": new["xml"]}
            found = re.search(r"<result_name>\s*([^<\s]+)", str(new["xml"]))
            yield "trickle.up", about | {"result_name": found[1] if found else ""}
        case "msg_to_host" if change.changed("handled"):
            yield "trickle.down", {"id": change.new["id"], "host": change.new["hostid"]}


def _result(change: Change) -> Iterator[tuple[str, dict[str, object]]]:
    new = change.new
    about: dict[str, object] = {"result": new["id"], "name": new["name"], "workunit": new["workunitid"]}
    host = {"host": new["hostid"]}
    if not change.old:
        yield "result.created", about
        return
    state, outcome = change.number("server_state"), change.number("outcome")
    if change.changed("received_time") and outcome != Outcome.CLIENT_DETACHED:
        ends = {name: new[name] for name in ("outcome", "exit_status", "client_state")}
        yield "result.reported", about | host | ends
    elif state == ServerState.OVER and (change.changed("outcome") or change.changed("server_state")):
        kind = {
            Outcome.NO_REPLY: "result.timed_out",
            Outcome.CLIENT_DETACHED: "result.detached",
            Outcome.DIDNT_NEED: "result.not_needed",
        }.get(Outcome(outcome))
        if kind is not None:
            yield kind, about if kind == "result.not_needed" else about | host
    elif state == ServerState.IN_PROGRESS and change.changed("sent_time"):
        kind = "result.resent" if change.old.get("server_state") == ServerState.IN_PROGRESS else "result.sent"
        yield kind, about | host | {"deadline": new["report_deadline"], "app_version": new["app_version_id"]}
    if change.changed("validate_state"):
        kind = _VALIDATED.get(ValidateState(change.number("validate_state")))
        if kind is not None:
            yield kind, about | host
    if _number(new["granted_credit"]) > 0 and not _number(change.old.get("granted_credit")):
        credit = {"user": new["userid"], "amount": new["granted_credit"]}
        yield "credit.granted", {"result": new["id"], "name": new["name"]} | host | credit


def _workunit(change: Change, apps: Mapping[int, str]) -> Iterator[tuple[str, dict[str, object]]]:
    new = change.new
    about: dict[str, object] = {"workunit": new["id"], "name": new["name"]}
    if not change.old:
        yield "job.created", about | {"app": apps.get(change.number("appid"), "")}
        return
    mask = ErrorMask(change.number("error_mask"))
    if ErrorMask.CANCELLED in mask and not int(_number(change.old.get("error_mask"))) & ErrorMask.CANCELLED:
        yield "job.cancelled", about
    if change.changed("canonical_resultid") and new["canonical_resultid"]:
        yield "job.validated", about | {"result": new["canonical_resultid"], "credit": new["canonical_credit"]}
    if change.changed("assimilate_state"):
        if change.number("assimilate_state") == _READY and mask and not new["canonical_resultid"]:
            reason = ", ".join(str(one.name).lower().replace("_", " ") for one in mask)
            yield "job.error", about | {"error_mask": int(mask), "reason": reason}
        if change.number("assimilate_state") == _DONE:
            yield "job.assimilated", about
    if change.changed("file_delete_state") and change.number("file_delete_state") == _DONE:
        yield "job.files_deleted", about


def _user(change: Change) -> Iterator[tuple[str, dict[str, object]]]:
    new = change.new
    if not change.old:
        yield "account.created", {"user": new["id"], "email": new["email_addr"], "name": new["name"]}
        return
    if change.changed("email_validated") and new["email_validated"]:
        yield "account.verified", {"user": new["id"], "email": new["email_addr"]}
    if change.changed("passwd_hash"):
        yield "account.password", {"user": new["id"]}
