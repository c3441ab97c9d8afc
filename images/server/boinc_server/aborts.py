"""Which of the results a client holds it should give up (sched/handle_request.cpp: send_result_abort)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from boinc_server import models
from boinc_server.states import AssimilateState, ErrorMask, Outcome, ServerState

if TYPE_CHECKING:
    from boinc_server.database import AnyRow
    from boinc_server.rpc import Rpc

_r, _w = models.result.c, models.workunit.c
_HELD: Final = (
    select(_r.name, _r.server_state, _r.outcome, _w.error_mask, _w.assimilate_state)
    .join_from(models.result, models.workunit, _w.id == _r.workunitid)
    .where(_r.hostid == bindparam("host"), _r.name.in_(bindparam("names", expanding=True)))
)
_CHUNK: Final = 500


def send_result_aborts(rpc: Rpc) -> None:
    """Tell the client what to abort outright and what to abort only when not started.

    A result unknown here, or of another host, is aborted, and so is one of a cancelled workunit.
    One whose workunit is assimilated, or which timed out, is aborted unless it has started.
    """
    names = [held.name for held in rpc.request.other_results]
    known: dict[str, AnyRow] = {}
    for start in range(0, len(names), _CHUNK):
        for row in rpc.tx.execute(_HELD, {"host": rpc.host.id, "names": names[start : start + _CHUNK]}):
            known[row.name] = row
    for name in names:
        found = known.get(name)
        if found is None or found.error_mask & ErrorMask.CANCELLED:
            rpc.reply.result_aborts.append(name)
            rpc.reply.insert_message(f"Result {name} is no longer usable")
        elif found.assimilate_state == AssimilateState.DONE or (
            found.server_state == ServerState.OVER and found.outcome == Outcome.NO_REPLY
        ):
            rpc.reply.result_aborts_if_not_started.append(name)
