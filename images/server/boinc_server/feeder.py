"""The feeder: unsent results with their workunits in memory, in the order in which they are to go.

Stands for sched/feeder.cpp and its shared memory. Per app, so that one app's jobs, which nobody can
take, do not hide another's; new results are added as they are made, the database is read again only
when an app's slots run low.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from boinc_server import models
from boinc_server.database import AnyRow, Transaction
from boinc_server.job import Record

if TYPE_CHECKING:
    from boinc_server.project import Project

SLOTS: Final = 1000
"""Slots per app; the stock feeder has 100 for all."""
LOW: Final = 200

_R, _W = models.result.c, models.workunit.c
_COLUMNS: Final = (
    _R.id,
    _R.name,
    _R.workunitid,
    _R.appid,
    _R.priority,
    _R.xml_doc_in,
    _R.size_class,
    _W.name.label("wu_name"),
    _W.xml_doc.label("wu_xml_doc"),
    _W.batch,
    _W.rsc_fpops_est,
    _W.rsc_fpops_bound,
    _W.rsc_memory_bound,
    _W.rsc_disk_bound,
    _W.rsc_bandwidth_bound,
    _W.delay_bound,
    _W.hr_class,
    _W.app_version_id,
    _W.app_version_num,
    _W.min_quorum,
    _W.target_nresults,
    _W.keywords,
    _W.error_mask,
)
_BASE: Final = select(*_COLUMNS).join_from(models.result, models.workunit, _R.workunitid == _W.id)
_OF_APP: Final = _BASE.where(models.UNSENT, _R.appid == bindparam("appid")).order_by(_R.priority.desc(), _R.id).limit(bindparam("count"))
_BY_ID: Final = _BASE.where(models.UNSENT, _R.id.in_(bindparam("ids", expanding=True)))
ONE: Final = _BASE.where(_R.id == bindparam("id"))


@dataclass(slots=True)
class Work:
    """What the slots of one workunit have in common and dispatch may change."""

    id: int
    hr_class: int
    app_version_id: int
    min_quorum: int
    target_nresults: int
    error_mask: int

    @classmethod
    def of(cls, row: AnyRow) -> Work:
        return cls(row.workunitid, row.hr_class, row.app_version_id, row.min_quorum, row.target_nresults, row.error_mask)


@dataclass(slots=True)
class Slot:
    """An unsent result that can be sent."""

    order: tuple[int, int]
    id: int
    row: AnyRow
    wu: Work

    def __lt__(self, other: Slot) -> bool:
        return self.order < other.order


class Feeder:
    """The slots of one project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._slots: dict[int, list[Slot]] = {}
        self._more: set[int] = set()
        """Apps with unsent results that are not in the slots."""
        self._works: dict[int, Work] = {}
        self._offers: dict[int, list[int]] = {}
        self._loaded = False

    def reset(self) -> None:
        """Forget everything; read again at the next use."""
        self._loaded = False

    refill = reset

    def offer(self, appid: int, ids: list[int]) -> None:
        """New unsent results exist."""
        if self._loaded:
            self._offers.setdefault(appid, []).extend(ids)

    def drop_result(self, result_id: int) -> None:
        """A result is not unsent any more."""
        for appid, slots in self._slots.items():
            kept = [slot for slot in slots if slot.id != result_id]
            if len(kept) != len(slots):
                self._slots[appid] = kept

    def workunit_changed(self, wu: Record) -> None:
        """The daemons changed a workunit that may have slots."""
        work = self._works.get(wu.id)
        if work is not None:
            work.hr_class = wu.hr_class
            work.app_version_id = wu.app_version_id
            work.min_quorum = wu.min_quorum
            work.target_nresults = wu.target_nresults
            work.error_mask = wu.error_mask

    def _slot(self, row: AnyRow) -> Slot:
        work = self._works.get(row.workunitid)
        if work is None:
            work = self._works[row.workunitid] = Work.of(row)
        return Slot((-row.priority, row.id), row.id, row, work)

    def _load_app(self, tx: Transaction, appid: int) -> None:
        rows = tx.all(_OF_APP, appid=appid, count=SLOTS)
        self._slots[appid] = [self._slot(row) for row in rows]
        (self._more.add if len(rows) == SLOTS else self._more.discard)(appid)

    def _update(self, tx: Transaction) -> None:
        if not self._loaded:
            self._slots, self._works, self._offers = {}, {}, {}
            for app in self._project.catalog.apps():
                self._load_app(tx, app.id)
            self._loaded = True
        for appid, ids in self._offers.items():
            slots = self._slots.setdefault(appid, [])
            if appid in self._more or len(slots) + len(ids) > SLOTS:
                # Some have to wait in the database; which ones is for the order to say.
                self._load_app(tx, appid)
                continue
            for row in tx.all(_BY_ID, ids=ids):
                insort(slots, self._slot(row))
        self._offers = {}
        for appid in list(self._more):
            if len(self._slots[appid]) < LOW:
                self._load_app(tx, appid)
        if len(self._works) > 4 * SLOTS * max(1, len(self._slots)):
            live = {slot.wu.id for slots in self._slots.values() for slot in slots}
            self._works = {key: work for key, work in self._works.items() if key in live}

    def slots(self, tx: Transaction) -> Iterator[Slot]:
        """All slots, best first. Remove those that were sent with `taken` after the iteration."""
        self._update(tx)
        lists = [slots for slots in self._slots.values() if slots]
        return iter(lists[0]) if len(lists) == 1 else heapq.merge(*lists)

    def taken(self, sent: list[Slot]) -> None:
        """These were sent, or turned out not to be unsent."""
        gone = {slot.id for slot in sent}
        for appid in {slot.row.appid for slot in sent}:
            slots = self._slots.get(appid, [])
            if len(gone) == 1 and slots and slots[0].id in gone:
                del slots[0]
            else:
                self._slots[appid] = [slot for slot in slots if slot.id not in gone]

    def is_empty(self, tx: Transaction) -> bool:
        self._update(tx)
        return not any(self._slots.values())
