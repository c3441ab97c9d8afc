"""Granting credit: once per valid result, to host, user and team (sched/credit.cpp)."""

from __future__ import annotations

import math
from typing import Final

from sqlalchemy import Table, bindparam, select

from boinc_server import models
from boinc_server.database import Transaction
from boinc_server.job import Record
from boinc_server.states import COBBLESTONE_SCALE

CREDIT_HALF_LIFE: Final = 7 * 86400.0
SECONDS_PER_DAY: Final = 86400.0
UNKNOWN_FPOPS: Final = 1e9
"""What stands for a speed nobody knows, and AVG_CPU_FPOPS what is taken for it then."""
AVG_CPU_FPOPS: Final = 4.3e9
MAX_GRANTED_CREDIT: Final = 200 * 1000 * 365.0

_COLUMNS: Final = ("id", "total_credit", "expavg_credit", "expavg_time")
_SELECT: Final = {
    table.name: select(*(table.c[name] for name in _COLUMNS)).where(table.c.id == bindparam("id"))
    for table in (models.host, models.user, models.team)
}


def update_average(now: float, start: float, work: float, average: float, average_time: float) -> tuple[float, float]:
    """Exponentially decaying average per day with a half-life of a week (lib/util.cpp: update_average).

    Args:
        start: when the work was begun; only used for the first sample.

    Returns the new average and its time.
    """
    if average_time:
        elapsed = max(0.0, now - average_time)
        days = elapsed / SECONDS_PER_DAY
        weight = math.exp(-elapsed * math.log(2) / CREDIT_HALF_LIFE)
        average *= weight
        if 1.0 - weight > 1e-6:
            average += (1 - weight) * (work / days)
        else:
            # The limit for small intervals, where the quotient would lose all digits.
            average += math.log(2) * work * SECONDS_PER_DAY / CREDIT_HALF_LIFE
    elif work:
        days = max((now - start) / SECONDS_PER_DAY, 1.0)
        average = work / days
    return average, now


def _add(tx: Transaction, table: Table, row_id: int, amount: float, start: int) -> None:
    row = tx.one(_SELECT[table.name], id=row_id)
    if row is None:
        return
    average, time = update_average(tx.now, start, amount, row.expavg_credit, row.expavg_time)
    tx.update(table, row_id, total_credit=row.total_credit + amount, expavg_credit=average, expavg_time=time)


def grant(tx: Transaction, result: Record, amount: float) -> None:
    """Give `amount` for a result that was just found valid; all in the caller's transaction."""
    result.granted_credit = amount
    if amount <= 0:
        return
    _add(tx, models.host, result.hostid, amount, result.sent_time)
    _add(tx, models.user, result.userid, amount, result.sent_time)
    if result.teamid:
        _add(tx, models.team, result.teamid, amount, result.sent_time)
    tx.emit("credit.granted", result=result.id, name=result.name, host=result.hostid, user=result.userid, amount=amount)


def low_average(values: list[float]) -> float:
    """A mean in which each value counts by the share that the others have of the sum: large claims gain little (sched/credit.cpp).

    Of two values it is the harmonic mean; 0 of none.
    """
    if len(values) < 2:
        return sum(values)
    total = sum(values)
    return sum(value * (total - value) for value in values) / ((len(values) - 1) * total)


def _from_runtime(wu: Record, result: Record, limit: float) -> float | None:
    """Credit by run time and speed; None when it is out of range, and does not count."""
    flops = AVG_CPU_FPOPS if result.flops_estimate == UNKNOWN_FPOPS else result.flops_estimate
    count = flops * result.elapsed_time
    if count > 2 * wu.rsc_fpops_bound:
        count = wu.rsc_fpops_bound
    amount = float(count * COBBLESTONE_SCALE)
    return amount if 0 < amount <= limit else None


def amount_for(tx: Transaction, wu: Record, results: list[Record]) -> float:
    """What each valid result of a workunit gets, by the project's rule (validator options upstream)."""
    config = tx.project.config
    match config.credit:
        case "none":
            return 0.0
        case "from_wu":
            amount = wu.canonical_credit
        case "from_runtime":
            limit = config.max_granted_credit or MAX_GRANTED_CREDIT
            amount = low_average([c for r in results if (c := _from_runtime(wu, r, limit)) is not None])
        case _:
            amount = wu.rsc_fpops_est * COBBLESTONE_SCALE
    if config.max_granted_credit:
        amount = min(amount, config.max_granted_credit)
    return float(amount)
