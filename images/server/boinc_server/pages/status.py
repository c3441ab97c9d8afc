"""What the server status page counts (html/user/server_status.php)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from boinc_server import models
from boinc_server.states import AssimilateState, FileDeleteState, ServerState
from boinc_server.wire.reply import escape

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.project import Project

_BY_STATE: Final = select(models.result.c.server_state, func.count().label("n")).group_by(models.result.c.server_state)
_w = models.workunit.c


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by kind."""

    unsent: int
    in_progress: int
    over: int
    inactive: int
    workunits: int
    waiting_for_validation: int
    waiting_for_assimilation: int
    waiting_for_deletion: int
    users: int
    hosts: int

    @property
    def results(self) -> int:
        return self.unsent + self.in_progress + self.over + self.inactive


def counts(tx: Transaction) -> Counts:
    """Count, with a handful of indexed queries."""
    states = {int(row.server_state): int(row.n) for row in tx.all(_BY_STATE)}

    def number(query: Any) -> int:
        row = tx.one(query)
        return int(row[0]) if row else 0

    def workunits(*where: Any) -> int:
        return number(select(func.count()).select_from(models.workunit).where(*where))

    return Counts(
        states.get(ServerState.UNSENT, 0),
        states.get(ServerState.IN_PROGRESS, 0),
        states.get(ServerState.OVER, 0),
        states.get(ServerState.INACTIVE, 0),
        workunits(),
        workunits(_w.need_validate > 0),
        workunits(_w.assimilate_state == AssimilateState.READY),
        workunits(_w.file_delete_state == FileDeleteState.READY),
        number(select(func.count()).select_from(models.user)),
        number(select(func.count()).select_from(models.host)),
    )


def status_xml(project: Project, numbers: Counts) -> str:
    """server_status.php?xml=1"""
    config = project.config
    daemons = "".join(
        f"    <daemon><host>server</host><command>{name}</command><status>{'not running' if stopped else 'running'}</status></daemon>\n"
        for name, stopped in (
            ("scheduler", config.stop_sched),
            ("file_upload_handler", config.stop_upload),
            ("download", config.stop_download),
            ("transitioner", config.stop_daemons),
            ("validator", config.stop_daemons),
            ("assimilator", config.stop_daemons),
            ("file_deleter", config.stop_daemons),
        )
    )
    return (
        f"<server_status>\n  <update_time>{project.clock.int_now()}</update_time>\n  <project>{escape(project.long_name)}</project>\n"
        f"  <daemon_status>\n{daemons}  </daemon_status>\n  <database_file_states>\n"
        f"    <results_ready_to_send>{numbers.unsent}</results_ready_to_send>\n"
        f"    <results_in_progress>{numbers.in_progress}</results_in_progress>\n"
        f"    <workunits_waiting_for_validation>{numbers.waiting_for_validation}</workunits_waiting_for_validation>\n"
        f"    <workunits_waiting_for_assimilation>{numbers.waiting_for_assimilation}</workunits_waiting_for_assimilation>\n"
        f"    <workunits_waiting_for_deletion>{numbers.waiting_for_deletion}</workunits_waiting_for_deletion>\n"
        f"    <users_registered>{numbers.users}</users_registered>\n    <hosts_registered>{numbers.hosts}</hosts_registered>\n"
        "  </database_file_states>\n</server_status>\n"
    )
