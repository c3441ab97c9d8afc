"""Who is calling: the user and the host record of a scheduler RPC.

sched/handle_request.cpp: authenticate_user, modify_host_struct, update_host_record.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, select, update

from boinc_server import crypt, models
from boinc_server.states import Outcome, ServerState
from boinc_server.wire import limits
from boinc_server.wire.request import SchedulerRequest

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import Update

    from boinc_server.database import AnyRow, Transaction

MAX_FLOPS: Final = 1e30
MAX_ZOMBIE_CHAIN: Final = 100
"""Merged hosts point to each other; a loop in the table must not hang us."""

_h = models.host.c
_HOST: Final = select(models.host).where(_h.id == bindparam("id"))
_HOST_BY_CPID: Final = (
    select(models.host).where(_h.userid == bindparam("user"), _h.host_cpid == bindparam("cpid")).order_by(_h.id.desc()).limit(1)
)
_HOST_BY_OTHER: Final = (
    select(models.host)
    .where(
        _h.domain_name == bindparam("domain_name"),
        _h.userid == bindparam("user"),
        _h.last_ip_addr == bindparam("ip"),
        _h.os_name == bindparam("os_name"),
        _h.p_model == bindparam("p_model"),
        _h.m_nbytes == bindparam("m_nbytes"),
    )
    .order_by(_h.id.desc())
    .limit(1)
)
_NEW_HOST: Final = insert(models.host)
_USER: Final = select(models.user).where(models.user.c.id == bindparam("id"))
_USER_BY_KEY: Final = select(models.user).where(models.user.c.authenticator == bindparam("key"))
_IN_PROGRESS: Final = select(models.result.c.id, models.result.c.name, models.result.c.workunitid).where(
    models.result.c.hostid == bindparam("host"), models.result.c.server_state == int(ServerState.IN_PROGRESS)
)
_DETACH: Final = (
    update(models.result)
    .where(models.result.c.id == bindparam("b_id"))
    .values(
        server_state=int(ServerState.OVER),
        outcome=int(Outcome.CLIENT_DETACHED),
        received_time=bindparam("b_now"),
        mod_time=bindparam("b_now"),
    )
)
_updates: dict[tuple[str, ...], Update] = {}


class NotAuthenticatedError(Exception):
    """The account key of a request fits no user.

    Args:
        knows_host: the request named an existing host; upstream's message differs a little then.
    """

    def __init__(self, *, knows_host: bool) -> None:
        super().__init__("invalid or missing account key")
        self.knows_host = knows_host


class Caller:
    """The outcome of `authenticate`."""

    __slots__ = ("created", "host", "messages", "send_hostid", "user", "weak_auth")

    def __init__(self) -> None:
        self.user: AnyRow
        self.host: AnyRow
        self.created = False
        self.send_hostid = False
        """The client has to be told its (new) host id; its rpc_seqno counts as 0 then."""
        self.weak_auth = False
        self.messages: list[str] = []


def weak_authenticator(user: AnyRow) -> str:
    """The weak account key of a user (sched/sched_types.cpp: get_weak_auth)."""
    return f"{user.id}_{crypt.md5_text(user.authenticator + user.passwd_hash)}"


def user_by_key(tx: Transaction, key: str) -> tuple[AnyRow, bool] | None:
    """The user with this account key, and whether it was a weak one."""
    if not key:
        return None
    number, underscore, _ = key.partition("_")
    if not underscore:
        user = tx.one(_USER_BY_KEY, key=key)
        return (user, False) if user is not None else None
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    user = tx.one(_USER, id=int(number))
    if user is None or weak_authenticator(user) != key:
        return None
    return user, True


def stored_cpid(host_cpid: str, email: str) -> str:
    """The host CPID as stored: hashed with the e-mail, so that no user can pose as another's host."""
    return crypt.md5_text(host_cpid + email) if host_cpid else ""


def authenticate(tx: Transaction, request: SchedulerRequest) -> Caller:
    """Find the user and the host record, making one when needed.

    Raises NotAuthenticatedError.
    """
    caller = Caller()
    host = _host_by_id(tx, request.hostid, caller) if request.hostid > 0 else None
    if host is None:
        if request.hostid:
            caller.messages.append("Can't find host record")
        found = user_by_key(tx, request.authenticator)
        if found is None:
            raise NotAuthenticatedError(knows_host=False)
        caller.user, caller.weak_auth = found
        host = _host_by_cpid(tx, caller.user, request)
    else:
        _user_of_host(tx, host, request, caller)
        if host.userid != caller.user.id or request.rpc_seqno < host.rpc_seqno:
            # Another user's host, or a copied state file: this is some other computer.
            host = None
        else:
            caller.host = host
            return caller
    if host is None:
        host = _host_by_other(tx, caller.user, request)
    if host is None:
        host = _create(tx, caller.user, request)
        caller.created = True
    caller.host = host
    caller.send_hostid = True
    request.rpc_seqno = 0
    return caller


def _host_by_id(tx: Transaction, host_id: int, caller: Caller) -> AnyRow | None:
    host = tx.one(_HOST, id=host_id)
    for _ in range(MAX_ZOMBIE_CHAIN):
        if host is None or host.userid:
            return host
        # Merged into another one, whose id stands in rpc_seqno.
        host = tx.one(_HOST, id=host.rpc_seqno)
        caller.send_hostid = host is not None
    return None


def _user_of_host(tx: Transaction, host: AnyRow, request: SchedulerRequest, caller: Caller) -> None:
    user = tx.one(_USER, id=host.userid)
    if user is not None:
        if user.authenticator == request.authenticator:
            caller.user = user
            return
        if weak_authenticator(user) == request.authenticator:
            caller.user, caller.weak_auth = user, True
            return
    other = tx.one(_USER_BY_KEY, key=request.authenticator) if request.authenticator else None
    if other is None:
        raise NotAuthenticatedError(knows_host=True)
    caller.user = other


def _host_by_cpid(tx: Transaction, user: AnyRow, request: SchedulerRequest) -> AnyRow | None:
    info = request.host_info
    if not info.host_cpid:
        return None
    host = tx.one(_HOST_BY_CPID, user=user.id, cpid=stored_cpid(info.host_cpid, user.email_addr))
    if host is None:
        return None
    here = (info.p_ncpus, info.p_vendor, info.p_model, info.os_name, info.os_version)
    if (host.p_ncpus, host.p_vendor, host.p_model, host.os_name, host.os_version) != here:
        return None
    if not request.allow_multiple_clients and not request.other_results:
        detach_results(tx, host.id)
    return host


def _host_by_other(tx: Transaction, user: AnyRow, request: SchedulerRequest) -> AnyRow | None:
    """The user's newest host that looks like the same computer, unless several clients may share one."""
    info = request.host_info
    known = info.domain_name and info.ip_addr and info.os_name and info.p_model
    if request.allow_multiple_clients or not known:
        return None
    host = tx.one(
        _HOST_BY_OTHER,
        user=user.id,
        domain_name=info.domain_name,
        ip=info.ip_addr,
        os_name=info.os_name,
        p_model=info.p_model,
        m_nbytes=info.m_nbytes,
    )
    if host is not None and not request.other_results:
        detach_results(tx, host.id)
    return host


def _create(tx: Transaction, user: AnyRow, request: SchedulerRequest) -> AnyRow:
    values = client_columns(request)
    values |= {
        "create_time": tx.now,
        "userid": user.id,
        "rpc_seqno": 0,
        "expavg_time": float(tx.now),
        "venue": user.venue,
        "host_cpid": stored_cpid(request.host_info.host_cpid, user.email_addr),
    }
    host_id = tx.insert(_NEW_HOST, **values)
    tx.emit("host.created", host=host_id, user=user.id, domain_name=request.host_info.domain_name)
    host = tx.one(_HOST, id=host_id)
    assert host is not None
    return host


def detach_results(tx: Transaction, host_id: int) -> None:
    """End the host's results in progress: the client has detached and lost them (mark_results_over)."""
    for row in tx.all(_IN_PROGRESS, host=host_id):
        tx.execute(_DETACH, {"b_id": row.id, "b_now": tx.now})
        tx.execute(_TRANSITION, {"b_id": row.workunitid, "b_now": tx.now})
        tx.due(row.workunitid)
        tx.emit("result.detached", result=row.id, name=row.name, workunit=row.workunitid, host=host_id)


_TRANSITION: Final = update(models.workunit).where(models.workunit.c.id == bindparam("b_id")).values(transition_time=bindparam("b_now"))


def client_columns(request: SchedulerRequest) -> dict[str, Any]:
    """The columns of a host that its client determines (modify_host_struct)."""
    info, times, net = request.host_info, request.time_stats, request.net_stats
    columns: dict[str, Any] = {
        "timezone": info.timezone,
        "domain_name": info.domain_name,
        "serialnum": serialnum(request),
        "last_ip_addr": info.ip_addr,
        "on_frac": times.on_frac,
        "connected_frac": times.connected_frac,
        "active_frac": times.active_frac,
        "gpu_active_frac": times.gpu_active_frac,
        "duration_correction_factor": request.duration_correction_factor,
        "p_ncpus": info.p_ncpus,
        "p_vendor": info.p_vendor,
        "p_model": info.p_model,
        "p_fpops": info.p_fpops,
        "p_iops": info.p_iops,
        "p_membw": info.p_membw,
        "os_name": info.os_name,
        "os_version": info.os_version,
        "m_nbytes": info.m_nbytes,
        "m_cache": info.m_cache,
        "m_swap": info.m_swap,
        "d_total": info.d_total,
        "d_free": info.d_free,
        "n_bwup": net.bwup,
        "n_bwdown": net.bwdown,
        "product_name": info.product_name,
        "misc": misc(request),
        "p_ngpus": max(0, min(sum(coproc.count for coproc in request.coprocs), limits.INT_MAX)),
        "p_gpu_fpops": min(sum(max(0, coproc.count) * coproc.peak_flops for coproc in request.coprocs), MAX_FLOPS),
    }
    if request.disk_usage is not None:
        columns["d_boinc_used_total"] = request.disk_usage.d_boinc_used_total
        columns["d_boinc_used_project"] = request.disk_usage.d_boinc_used_project
    return columns


def serialnum(request: SchedulerRequest) -> str:
    """The bracketed summary older servers keep in this column: client, coprocessors, VirtualBox, docker."""
    info = request.host_info
    parts = [f"[BOINC|{request.client_version}{'|' + request.client_brand if request.client_brand else ''}]"]
    parts += [f"[{coproc.type or coproc.tag}|{coproc.name}|{coproc.count}]" for coproc in request.coprocs]
    if info.virtualbox_version:
        extensions = 0 if info.p_vm_extensions_disabled else 1
        parts.append(f"[vbox|{info.virtualbox_version}|{extensions}]")
    if info.docker_version:
        parts.append(f"[docker|{info.docker_version}|{info.docker_type}]")
    return "".join(parts)[:254]


def misc(request: SchedulerRequest) -> str:
    """What has no column of its own, as JSON (host_info_json)."""
    info = request.host_info
    values = {
        "virtualbox_version": info.virtualbox_version,
        "docker_version": info.docker_version,
        "docker_type": info.docker_type,
        "p_vm_extensions_disabled": info.p_vm_extensions_disabled,
        "p_features": info.p_features[:2000],
    }
    return json.dumps({key: value for key, value in values.items() if value}, separators=(",", ":"))


def update_record(tx: Transaction, host: AnyRow, changes: dict[str, Any]) -> None:
    """Write the columns that differ from the stored row, with one prepared statement per set of columns."""
    stored = host._mapping  # noqa: SLF001 - the documented name for access by column
    differing = {name: value for name, value in changes.items() if stored[name] != value}
    if not differing:
        return
    key = tuple(differing)
    statement = _updates.get(key)
    if statement is None:
        if len(_updates) > 500:
            _updates.clear()
        statement = update(models.host).where(_h.id == bindparam("b_id")).values({name: bindparam(f"v_{name}") for name in key})
        _updates[key] = statement
    tx.execute(statement, {f"v_{name}": value for name, value in differing.items()} | {"b_id": host.id})
