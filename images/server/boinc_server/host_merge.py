"""Merging two records of one computer, as a volunteer asks for on the project's pages (html/inc/host.inc: merge_hosts).

The record that is merged stays as a pointer to the other one (see `hosts.authenticate`), which takes over its tasks and its credit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select, update

from boinc_server import models
from boinc_server.credit import update_average

if TYPE_CHECKING:
    from boinc_server.database import AnyRow, Transaction

#: names of one kind of operating system, whatever its version
_KINDS: Final = ("Windows", "Linux", "Darwin", "SunOS")
_HOST: Final = select(models.host).where(models.host.c.id == bindparam("id"))
_ANY_RESULT: Final = select(models.result.c.id).where(models.result.c.hostid == bindparam("host")).limit(1)
_MOVE_RESULTS: Final = (
    update(models.result).where(models.result.c.hostid == bindparam("b_old")).values(hostid=bindparam("b_new"), mod_time=bindparam("b_now"))
)


class HostsNotMergedError(Exception):
    """Two host records that cannot be one computer's, or one of them is not there."""


def obstacle(tx: Transaction, one: AnyRow, other: AnyRow) -> str:
    """Why two host records cannot be of one computer; empty if they can.

    Whoever could merge computers that are used at the same time could collect credit of many under one name. So records that
    have had credit or tasks must not overlap in time; a record that has had neither may (hosts_compatible).
    """
    overlap = one.rpc_time >= other.create_time and other.rpc_time >= one.create_time
    if overlap and _used(tx, one) and _used(tx, other):
        return f"computers {one.id} and {other.id} were in use at the same time"
    if not _same_system(one.os_name, other.os_name):
        return f"other operating systems: {one.os_name}, {other.os_name}"
    if (one.p_ncpus, one.p_vendor) != (other.p_ncpus, other.p_vendor) or not _same_model(one.p_model, other.p_model):
        return f"other processors: {one.p_ncpus} {one.p_vendor} {one.p_model}, {other.p_ncpus} {other.p_vendor} {other.p_model}"
    return ""


def _used(tx: Transaction, host: AnyRow) -> bool:
    return bool(host.total_credit) or tx.one(_ANY_RESULT, host=host.id) is not None


def _same_system(one: str, other: str) -> bool:
    return one == other or any(kind in one and kind in other for kind in _KINDS)


def _same_model(one: str, other: str) -> bool:
    """Names of processors are written in many ways: where both say family, model and stepping, these count (cpus_compatible)."""
    if one == other:
        return True
    (info, arch, speed), (info2, arch2, speed2) = _parse_model(one), _parse_model(other)
    if not info or not info2:
        return False
    return info == info2 and (not speed or not speed2 or speed == speed2) and (not arch or not arch2 or arch == arch2)


def _parse_model(model: str) -> tuple[str, str, str]:
    """Of "NAME 3.00GHz [x86 Family 6 Model 23 Stepping 6]": "Family 6 ...", "x86", "3.00GHz"; each may be empty."""
    speeds: list[str] = re.findall(r"\S*[GM]Hz\S*", model)
    bracket = re.search(r"\[([^\]]*)\]", model)
    inside = bracket[1] if bracket else ""
    arch, _, info = ("", "", inside) if inside.startswith("Family ") else inside.partition(" ")
    return info, arch, speeds[-1] if speeds else ""


def merge(tx: Transaction, one_id: int, other_id: int) -> int:
    """Merge the older of two hosts of one user into the newer; returns the id of the one that stays.

    Raises HostsNotMergedError.
    """
    one, other = tx.one(_HOST, id=one_id), tx.one(_HOST, id=other_id)
    if one is None or other is None or not one.userid or one.userid != other.userid:
        raise HostsNotMergedError(f"{one_id} and {other_id} are not two computers of one user")
    if one.id == other.id:
        raise HostsNotMergedError(f"computer {one.id} cannot be merged with itself")
    if problem := obstacle(tx, one, other):
        raise HostsNotMergedError(f"computers {one.id} and {other.id} cannot be merged: {problem}")
    old, new = sorted((one, other), key=lambda host: (host.create_time, host.id))
    recent = sum(update_average(tx.now, 0, 0, host.expavg_credit, host.expavg_time)[0] for host in (old, new))
    total = old.total_credit + new.total_credit
    tx.update(models.host, new.id, total_credit=total, expavg_credit=recent, expavg_time=float(tx.now))
    tx.execute(_MOVE_RESULTS, {"b_old": old.id, "b_new": new.id, "b_now": tx.now})
    tx.update(models.host, old.id, total_credit=0.0, expavg_credit=0.0, userid=0, rpc_seqno=new.id)
    tx.emit("host.merged", host=old.id, into=new.id, user=new.userid)
    return int(new.id)
