"""Trickle messages: msg_from_host and msg_to_host (sched/handle_request.cpp, sched/trickle_handler.cpp)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select, update

from boinc_server import models
from boinc_server.states import ServerState
from boinc_server.wire.reader import unescape

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.rpc import Rpc

_INSERT: Final = insert(models.msg_from_host)
_INSERT_DOWN: Final = insert(models.msg_to_host)
_m = models.msg_to_host.c
_WAITING: Final = select(_m.id, _m.xml).where(_m.hostid == bindparam("host"), _m.handled == 0).order_by(_m.id)
_HANDLED: Final = update(models.msg_to_host).where(_m.id == bindparam("b_id")).values(handled=1)


#: of the trickles by which a waiting VM task says whether its host can run VMs: `<usable>0</usable>` with a `<reason>`, later `1`
VM_HOST: Final = "vm_host"
_up = models.msg_from_host.c
_VM_HOST: Final = select(_up.xml).where(_up.hostid == bindparam("host"), _up.variety == VM_HOST).order_by(_up.id.desc()).limit(1)
_r = models.result.c
_STATE: Final = select(_r.server_state).where(_r.name == bindparam("name"), _r.hostid == bindparam("host"))


def handle_up(rpc: Rpc) -> None:
    """Store what the host's applications sent, and acknowledge it."""
    for message in rpc.request.msgs_from_host:
        message_id = rpc.tx.insert(_INSERT, create_time=rpc.now, hostid=rpc.host.id, variety=message.variety, handled=0, xml=message.xml)
        rpc.tx.emit(
            "trickle.up", id=message_id, host=rpc.host.id, variety=message.variety, result_name=message.result_name, xml=message.xml
        )
        rpc.reply.message_ack = True


def vm_trouble(rpc: Rpc) -> str:
    """Why the host cannot run VMs, as a task says that waits there for it to be able to; empty if there is no such task (any more)."""
    last = rpc.tx.one(_VM_HOST, host=rpc.host.id)
    if last is None or _tag(last.xml, "usable") != "0":
        return ""
    task = rpc.tx.one(_STATE, name=_tag(last.xml, "result_name"), host=rpc.host.id)
    return _tag(last.xml, "reason")[:500] if task is not None and task.server_state == ServerState.IN_PROGRESS else ""


def _tag(xml: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", xml)
    return unescape(found[1]).strip() if found else ""


def handle_down(rpc: Rpc) -> None:
    """Send what waits for the host."""
    if rpc.project.config.msg_to_host:
        for row in rpc.tx.all(_WAITING, host=rpc.host.id):
            rpc.reply.trickles_down.append(row.xml)
            rpc.tx.execute(_HANDLED, {"b_id": row.id})
            rpc.tx.emit("trickle.down", id=row.id, host=rpc.host.id)


def send_down(tx: Transaction, host_id: int, result_name: str, text: str, variety: str = "") -> int:
    """Queue a trickle-down for a running result; `text` is what the application gets. Returns its id."""
    xml = f"<trickle_down>\n<result_name>{result_name}</result_name>\n<time>{tx.now}</time>\n{text.strip()}\n</trickle_down>\n"
    return tx.insert(_INSERT_DOWN, create_time=tx.now, hostid=host_id, variety=variety, handled=0, xml=xml)
