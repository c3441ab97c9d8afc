"""Trickle messages: msg_from_host and msg_to_host (sched/handle_request.cpp, sched/trickle_handler.cpp)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select, update

from boinc_server import models

if TYPE_CHECKING:
    from boinc_server.database import Transaction
    from boinc_server.rpc import Rpc

_INSERT: Final = insert(models.msg_from_host)
_INSERT_DOWN: Final = insert(models.msg_to_host)
_m = models.msg_to_host.c
_WAITING: Final = select(_m.id, _m.xml).where(_m.hostid == bindparam("host"), _m.handled == 0).order_by(_m.id)
_HANDLED: Final = update(models.msg_to_host).where(_m.id == bindparam("b_id")).values(handled=1)


def handle(rpc: Rpc) -> None:
    """Store what the host's applications sent, acknowledge it, and send what waits for the host."""
    for message in rpc.request.msgs_from_host:
        message_id = rpc.tx.insert(_INSERT, create_time=rpc.now, hostid=rpc.host.id, variety=message.variety, handled=0, xml=message.xml)
        rpc.tx.emit(
            "trickle.up", id=message_id, host=rpc.host.id, variety=message.variety, result_name=message.result_name, xml=message.xml
        )
        rpc.reply.message_ack = True
    if rpc.project.config.msg_to_host:
        for row in rpc.tx.all(_WAITING, host=rpc.host.id):
            rpc.reply.trickles_down.append(row.xml)
            rpc.tx.execute(_HANDLED, {"b_id": row.id})
            rpc.tx.emit("trickle.down", id=row.id, host=rpc.host.id)


def send_down(tx: Transaction, host_id: int, result_name: str, text: str, variety: str = "") -> int:
    """Queue a trickle-down for a running result; `text` is what the application gets. Returns its id."""
    xml = f"<trickle_down>\n<result_name>{result_name}</result_name>\n<time>{tx.now}</time>\n{text.strip()}\n</trickle_down>\n"
    return tx.insert(_INSERT_DOWN, create_time=tx.now, hostid=host_id, variety=variety, handled=0, xml=xml)
