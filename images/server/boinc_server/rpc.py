"""What the parts of one scheduler RPC share while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boinc_server.wire.reply import SchedulerReply
from boinc_server.wire.request import GlobalPrefs, SchedulerRequest

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction
    from boinc_server.project import Project


@dataclass(slots=True)
class Rpc:
    """One authenticated scheduler RPC, inside its transaction.

    `host` is the row as it was before this RPC (a new host's row included); whoever wants to change
    a column puts it into `host_changes`, which is written once at the end.
    """

    project: Project
    tx: Transaction
    request: SchedulerRequest
    reply: SchedulerReply
    user: AnyRow
    host: AnyRow
    host_changes: dict[str, Any] = field(default_factory=dict)
    prefs: GlobalPrefs = field(default_factory=GlobalPrefs)
    """The preferences to decide by: the working ones, else the stored ones, else defaults."""
    platforms: list[str] = field(default_factory=list)
    """The client's platforms that this project knows, best first; "anonymous" as itself."""
    ok_to_send_work: bool = True
    """False once some rule (version ban, key, interval, resent results) forbids new work."""
    reported: list[str] = field(default_factory=list)
    """Names of the results reported in this RPC, for the event."""
    sent: list[str] = field(default_factory=list)
    """Names of the results sent in this RPC, new or again."""

    @property
    def now(self) -> int:
        """Virtual unix seconds, the same all through the RPC."""
        return self.tx.now
