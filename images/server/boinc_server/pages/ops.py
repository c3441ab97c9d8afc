"""The admin's pages, below /P_ops/: tables of everything, refreshed by the browser itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from boinc_server import models
from boinc_server.pages import session
from boinc_server.pages.render import PAGE_SIZE, message, offset, page
from boinc_server.pages.status import counts

if TYPE_CHECKING:
    from sqlalchemy import Table

    from boinc_server.project import Project
    from boinc_server.public import Request

EVENTS_SHOWN: Final = 100
TABLES: Final[dict[str, Table]] = {
    "workunit": models.workunit,
    "result": models.result,
    "host": models.host,
    "user": models.user,
    "app": models.app,
    "app_version": models.app_version,
    "batch": models.batch,
    "msg_from_host": models.msg_from_host,
    "msg_to_host": models.msg_to_host,
    "host_app_version": models.host_app_version,
}
SECRET: Final = frozenset({"passwd_hash", "authenticator", "login_token"})
BRIEF: Final = {
    "workunit": (
        "id", "name", "create_time", "canonical_resultid", "min_quorum", "target_nresults", "need_validate",
        "error_mask", "assimilate_state", "file_delete_state", "transition_time", "batch", "priority",
    ),
    "result": (
        "id", "name", "workunitid", "hostid", "server_state", "outcome", "validate_state", "client_state",
        "exit_status", "sent_time", "report_deadline", "received_time", "elapsed_time", "granted_credit",
    ),
    "host": ("id", "userid", "domain_name", "os_name", "os_version", "p_ncpus", "rpc_time", "rpc_seqno", "total_credit", "serialnum"),
    "user": ("id", "email_addr", "name", "create_time", "total_credit", "expavg_credit", "teamid", "email_validated"),
}  # fmt: skip
TIMES: Final = frozenset({"create_time", "sent_time", "received_time", "report_deadline", "transition_time", "rpc_time", "mod_time"})
STATES: Final = frozenset({"server_state", "outcome", "validate_state", "client_state", "assimilate_state", "file_delete_state"})
FILTERS: Final = {
    "workunit": ("id", "error_mask", "assimilate_state", "file_delete_state", "batch", "appid"),
    "result": ("id", "workunitid", "hostid", "userid", "server_state", "outcome", "validate_state", "appid", "batch"),
    "host": ("id", "userid"),
    "user": ("id",),
}
_REALM: Final = [(b"www-authenticate", b'Basic realm="project administration", charset="UTF-8"')]


async def handle_ops(project: Project, request: Request, name: str) -> bool:
    """Answer an admin page; False when there is none of that name."""
    if not session.is_admin(request):
        await request.reply(b"The user is admin, the password the control token.\n", "text/plain; charset=utf-8", 401, _REALM)
        return True
    if request.method not in {"GET", "HEAD"}:
        return False
    if name in {"", "index.php"}:
        await index(project, request)
    elif name == "db_action.php":
        await table(project, request)
    else:
        return False
    return True


async def index(project: Project, request: Request) -> None:
    """State graphs and the newest events; refreshes itself."""
    with project.transaction() as tx:
        numbers = counts(tx)
        r = models.result.c
        outcomes = tx.all(select(r.outcome, func.count()).where(r.server_state == 5).group_by(r.outcome).order_by(r.outcome))
        validity = tx.all(select(r.validate_state, func.count()).group_by(r.validate_state).order_by(r.validate_state))
    newest = [json.loads(line) for line in project.events.since(max(0, project.events.last_seq - EVENTS_SHOWN))]
    fields = ("seq", "project", "kind", "real", "virtual")
    events: list[tuple[dict[str, Any], str]] = [
        (event, ", ".join(f"{key}={value}" for key, value in event.items() if key not in fields)) for event in reversed(newest)
    ]
    await page(request, "ops_index.html", numbers=numbers, outcomes=outcomes, validity=validity, events=events, tables=list(TABLES))


async def table(project: Project, request: Request) -> None:
    """The rows of one table, newest first; one row in full when asked for by id with detail=1."""
    query = request.query
    name = query.get("table", "")
    source = TABLES.get(name)
    if source is None:
        await message(request, "No such table", "There is no such table.", 404)
        return
    start = offset(query)
    detail = bool(query.get("detail"))
    names = [column.name for column in source.c if column.name not in SECRET]
    shown = names if detail else [column for column in BRIEF.get(name, tuple(names)) if column in names]
    first = next(iter(source.primary_key.columns))
    statement = select(*(source.c[column] for column in shown)).order_by(first.desc()).limit(PAGE_SIZE).offset(start)
    chosen = {column: query[column] for column in FILTERS.get(name, ()) if query.get(column, "").removeprefix("-").isdecimal()}
    for column, value in chosen.items():
        statement = statement.where(source.c[column] == int(value[:10]))
    with project.transaction() as tx:
        rows = tx.all(statement)
        total = tx.one(select(func.count()).select_from(source))
    values: dict[str, Any] = {
        "table": name,
        "columns": shown,
        "rows": rows,
        "total": total[0] if total else 0,
        "start": start,
        "step": PAGE_SIZE,
    }
    await page(request, "ops_table.html", times=TIMES, states=STATES, chosen=chosen, detail=detail, **values)
