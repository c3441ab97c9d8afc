"""What is known of an app version on a host: quotas, trust, turnaround (host_app_version).

Rules: sched/sched_version.cpp, sched/transitioner.cpp (result_timed_out), sched/sched_result.cpp,
sched/validator.cpp (is_valid, is_invalid).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from boinc_server import models
from boinc_server.database import AnyRow, Transaction

_T: Final = models.host_app_version
_KEY: Final = (_T.c.host_id == bindparam("_host"), _T.c.app_version_id == bindparam("_version"))
_SELECT: Final = select(_T).where(*_KEY)
_SELECT_HOST: Final = select(_T).where(_T.c.host_id == bindparam("_host"))
_INSERT: Final = insert(_T)
_QUOTA: Final = update(_T).where(*_KEY).values(max_jobs_per_day=bindparam("max"), consecutive_valid=bindparam("valid"))
_TURNAROUND: Final = (
    update(_T)
    .where(*_KEY)
    .values(turnaround_n=bindparam("n"), turnaround_avg=bindparam("avg"), turnaround_var=bindparam("var"), turnaround_q=bindparam("q"))
)
_SENT: Final = update(_T).where(*_KEY).values(n_jobs_today=_T.c.n_jobs_today + bindparam("count"))
_NEW_DAY: Final = update(_T).where(_T.c.host_id == bindparam("_host")).values(n_jobs_today=0)

# lib/average.h: samples until which all count alike; weight after that; limit of one sample in averages.
AVG_THRESHOLD: Final = 20
AVG_WEIGHT: Final = 0.01
AVG_LIMIT: Final = 10.0


def version_key(app_version_id: int, appid: int) -> int:
    """generalized_app_version_id: a number also for applications of the volunteer's own."""
    return app_version_id if app_version_id > 0 else appid * 1_000_000 - app_version_id


def get(tx: Transaction, host_id: int, key: int) -> AnyRow | None:
    return tx.one(_SELECT, _host=host_id, _version=key)


def of_host(tx: Transaction, host_id: int) -> dict[int, AnyRow]:
    """All rows of a host by version key."""
    return {row.app_version_id: row for row in tx.all(_SELECT_HOST, _host=host_id)}


def ensure(tx: Transaction, host_id: int, key: int) -> AnyRow:
    """The row, made when missing."""
    row = get(tx, host_id, key)
    if row is None:
        tx.execute(_INSERT, {"host_id": host_id, "app_version_id": key})
        row = get(tx, host_id, key)
        assert row is not None
    return row


def _store(tx: Transaction, row: AnyRow, max_jobs: int, valid: int) -> None:
    if (max_jobs, valid) != (row.max_jobs_per_day, row.consecutive_valid):
        tx.execute(_QUOTA, {"_host": row.host_id, "_version": row.app_version_id, "max": max_jobs, "valid": valid})


def penalised(row: AnyRow, quota: int) -> int:
    """max_jobs_per_day after an error or timeout: one less, at least 1."""
    return max(1, min(row.max_jobs_per_day or quota, quota) - 1)


def on_timeout(tx: Transaction, host_id: int, key: int, delay_bound: int) -> None:
    """A result was not returned in time: one job a day less, trust gone, the full bound as turnaround."""
    row = get(tx, host_id, key)
    if row is None:
        return
    add_turnaround(tx, row, float(delay_bound))
    _store(tx, row, penalised(row, tx.project.config.daily_result_quota), 0)


def on_error(tx: Transaction, host_id: int, key: int, *, aborted_by_project: bool) -> None:
    """A client error was reported; an abort that the project asked for does not count."""
    row = get(tx, host_id, key)
    if row is not None and not aborted_by_project:
        _store(tx, row, penalised(row, tx.project.config.daily_result_quota), 0)


def on_success(tx: Transaction, host_id: int, key: int) -> None:
    """A success was reported: the quota doubles, up to the full one."""
    quota = tx.project.config.daily_result_quota
    if not quota:
        return
    row = get(tx, host_id, key)
    if row is None:
        return
    current = row.max_jobs_per_day or quota
    if current < quota:
        _store(tx, row, min(quota, current * 2), row.consecutive_valid)


_ELAPSED: Final = update(_T).where(*_KEY).values(et_n=bindparam("n"), et_avg=bindparam("avg"))


def add_elapsed(tx: Transaction, row: AnyRow, seconds_per_flop: float) -> None:
    """Running average of elapsed time per estimated FLOP: how fast this host really is with this version."""
    n = row.et_n + 1
    sample = min(seconds_per_flop, row.et_avg * AVG_LIMIT) if n > 1 and row.et_avg > 0 else seconds_per_flop
    average = row.et_avg + (sample - row.et_avg) * (1 / n if n < AVG_THRESHOLD else AVG_WEIGHT)
    tx.execute(_ELAPSED, {"_host": row.host_id, "_version": row.app_version_id, "n": n, "avg": average})


def on_valid(tx: Transaction, host_id: int, key: int, turnaround: float, *, replicated: bool, seconds_per_flop: float = 0) -> None:
    """A result was found valid; unreplicated ones earn no trust."""
    row = get(tx, host_id, key)
    if row is None:
        return
    add_turnaround(tx, row, turnaround)
    if seconds_per_flop > 0:
        add_elapsed(tx, row, seconds_per_flop)
    _store(tx, row, row.max_jobs_per_day + 1, row.consecutive_valid + (1 if replicated else 0))


def on_invalid(tx: Transaction, host_id: int, key: int) -> None:
    """A result was found invalid: trust gone, surplus quota shrinks."""
    row = get(tx, host_id, key)
    if row is not None:
        above = row.max_jobs_per_day > tx.project.config.daily_result_quota
        _store(tx, row, row.max_jobs_per_day - 1 if above else row.max_jobs_per_day, 0)


def on_sent(tx: Transaction, host_id: int, key: int, count: int) -> None:
    """Results were sent: they count against today's quota."""
    if tx.execute(_SENT, {"_host": host_id, "_version": key, "count": count}).rowcount == 0:
        quota = tx.project.config.daily_result_quota
        tx.execute(_INSERT, {"host_id": host_id, "app_version_id": key, "n_jobs_today": count, "max_jobs_per_day": quota})


def new_day(tx: Transaction, host_id: int) -> None:
    tx.execute(_NEW_DAY, {"_host": host_id})


def add_turnaround(tx: Transaction, row: AnyRow, sample: float) -> None:
    """Running average and variance of the time from sending to receiving (lib/average.h: update_var)."""
    n = row.turnaround_n + 1
    avg, var, q = row.turnaround_avg, row.turnaround_var, row.turnaround_q
    if n > 1 and avg > 0:
        sample = min(sample, avg * AVG_LIMIT)
    delta = sample - avg
    if n < AVG_THRESHOLD:
        avg += delta / n
        q += delta * (sample - avg)
        var = q / n
    else:
        avg += AVG_WEIGHT * delta
        var = var * (1 - AVG_WEIGHT) + AVG_WEIGHT * delta * (sample - avg)
    values: dict[str, Any] = {"_host": row.host_id, "_version": row.app_version_id, "n": n, "avg": avg, "var": var, "q": q}
    tx.execute(_TURNAROUND, values)
