"""Whether a host can and may have a job, and what to tell it if not (sched/sched_check.cpp)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, select

from boinc_server import hr, models
from boinc_server.plan_class import CPU
from boinc_server.states import AssimilateState
from boinc_server.wire.reply import DELAY_UNACCEPTABLE, translatable

if TYPE_CHECKING:
    from boinc_server.feeder import Slot
    from boinc_server.limits import Needs
    from boinc_server.rpc import Rpc
    from boinc_server.versions import BestVersion, VersionChooser

MEGA: Final = 1048576.0
GIGA: Final = 1073741824.0
MIN_FRACTION: Final = 0.1
LOCALITY_LITE: Final = 1
"""app.locality_scheduling (LOCALITY_SCHED_LITE of db/boinc_db_types.h): prefer jobs whose files the host has."""
_FILE_NAME: Final = re.compile(r"<file_name>\s*([^<\s]+)\s*</file_name>")
_R, _W = models.result.c, models.workunit.c
_OF_USER: Final = select(func.count()).where(_R.workunitid == bindparam("wu"), _R.userid == bindparam("user"))
_OF_HOST: Final = select(func.count()).where(_R.workunitid == bindparam("wu"), _R.hostid == bindparam("host"))
_STATE: Final = select(_W.error_mask, _W.assimilate_state, _W.canonical_resultid).where(_W.id == bindparam("id"))


class Checks:
    """The checks of one RPC; collects the reasons for the volunteer."""

    def __init__(self, rpc: Rpc, needs: Needs, chooser: VersionChooser) -> None:
        self.rpc = rpc
        self.needs = needs
        self.chooser = chooser
        self.messages: dict[str, None] = {}
        self.too_slow = False
        self.hr_rejected = False
        self.hr_unknown = False
        #: apps with jobs that this host has a version for
        self.offered_apps: set[int] = set()
        self._in_reply: set[int] = set()
        self._disk = self._available_disk()
        self._files_on_host = {info.name for info in rpc.request.file_infos}

    def ordered(self, slots: Iterator[Slot]) -> Iterator[Slot]:
        """The slots in the order in which they are to be tried: by score, where a score makes a difference."""
        if not self._scored():
            return slots
        scored = [(-(score + slot.row.priority), slot) for slot in slots if (score := self._score(slot)) is not None]
        return (slot for _, slot in sorted(scored, key=itemgetter(0)))

    def _scored(self) -> bool:
        config = self.rpc.project.config
        return bool(
            self.needs.selected_apps
            or config.keyword_sched
            or any(app.beta or app.locality_scheduling == LOCALITY_LITE for app in self.rpc.project.catalog.apps())
        )

    def _score(self, slot: Slot) -> float | None:
        """How well a job suits this host, None if it may not have it (sched_score.cpp: JOB::get_score)."""
        app = self.rpc.project.catalog.app(slot.row.appid)
        if app is None:
            return None
        score = 0.0
        if app.beta:
            if not self.needs.allow_beta:
                return None
            score += 1
        if self.needs.selected_apps and app.id not in self.needs.selected_apps:
            if not self.needs.allow_non_preferred:
                return None
            score -= 1
        if app.locality_scheduling == LOCALITY_LITE and self._files_on_host:
            score += 10 if self._files_on_host & set(_FILE_NAME.findall(slot.row.wu_xml_doc)) else 0
        if self.rpc.project.config.keyword_sched:
            keywords = keyword_score(slot.row.keywords, self.rpc.request.user_keywords)
            if keywords is None:
                return None
            score += keywords
        return score

    def _available_disk(self) -> float:
        """Bytes that the preferences leave for us (sched_send.cpp: max_allowable_disk).

        Only what this request says counts: a host that tells of no free space gets no work, whatever it told earlier.
        """
        rpc, prefs, config = self.rpc, self.rpc.prefs, self.rpc.project.config
        info, usage = rpc.request.host_info, rpc.request.disk_usage
        total, free = info.d_total, info.d_free
        used = usage.d_boinc_used_total if usage else 0.0
        available = free - max(prefs.disk_min_free_gb, config.default_disk_min_free_gb) * GIGA
        if used:
            if prefs.disk_max_used_pct > 0:
                available = min(available, total * prefs.disk_max_used_pct / 100 - used)
            if prefs.disk_max_used_gb > 0:
                available = min(available, prefs.disk_max_used_gb * GIGA - used)
        return float(max(0.0, available))

    def feasible(self, slot: Slot, best: BestVersion) -> bool:
        """All checks, the quick ones first."""
        return self._quick(slot, best) and self._slow(slot)

    def _app_name(self, slot: Slot) -> str:
        app = self.rpc.project.catalog.app(slot.row.appid)
        return (app.user_friendly_name or app.name) if app else "deprecated application"

    def _quick(self, slot: Slot, best: BestVersion) -> bool:
        rpc, row, config = self.rpc, slot.row, self.rpc.project.config
        app = rpc.project.catalog.app(row.appid)
        assert app is not None
        if app.deprecated or (app.beta and not self.needs.allow_beta):
            return False
        urgent = config.reliable_on_priority and row.priority >= config.reliable_on_priority
        if urgent and not app.beta and not best.reliable:
            return False
        if self.needs.selected_apps and row.appid not in self.needs.selected_apps and not self.needs.allow_non_preferred:
            return False
        if config.user_filter and row.batch and row.batch != rpc.user.id:
            return False
        kind = app.homogeneous_redundancy or config.homogeneous_redundancy
        if kind and not self._same_class(slot, kind):
            return False
        if app.homogeneous_app_version and slot.wu.app_version_id and best.app_version_id != slot.wu.app_version_id:
            return False
        one_per = config.one_result_per_user_per_wu or config.one_result_per_host_per_wu
        if one_per and row.workunitid in self._in_reply:
            return False
        if not (self._memory(slot, best) and self._space(slot) and self._bandwidth(slot)):
            return False
        return bool(app.non_cpu_intensive) or self._deadline(slot, best)

    def _same_class(self, slot: Slot, kind: int) -> bool:
        mine = hr.hr_class(self.rpc.request.host_info, kind)
        if mine is None:
            self.hr_unknown = True
            return False
        if slot.wu.hr_class and slot.wu.hr_class != mine:
            self.hr_rejected = True
            return False
        return True

    def _memory(self, slot: Slot, best: BestVersion) -> bool:
        needed, usable = best.usage.mem_usage or slot.row.rsc_memory_bound, self.needs.usable_ram
        if needed <= usable:
            return True
        self.messages[f"{self._app_name(slot)} needs {needed / MEGA:.2f} MB RAM but only {usable / MEGA:.2f} MB is available for use."] = (
            None
        )
        return False

    def _space(self, slot: Slot) -> bool:
        needed = slot.row.rsc_disk_bound
        if needed <= self._disk:
            return True
        self.messages[
            f"{self._app_name(slot)} needs {(needed - self._disk) / MEGA:.2f}MB more disk space.  "
            f"You currently have {self._disk / MEGA:.2f} MB available and it needs {needed / MEGA:.2f} MB."
        ] = None
        return False

    def _bandwidth(self, slot: Slot) -> bool:
        needed, have = slot.row.rsc_bandwidth_bound, self.rpc.request.net_stats.bwdown
        if not needed or not have or needed <= have:
            return True
        self.messages[
            f"{self._app_name(slot)} requires {needed / 1024:.2f} KB/sec download bandwidth.  "
            f"Your computer has been measured at {have / 1024:.2f} KB/sec."
        ] = None
        return False

    def _deadline(self, slot: Slot, best: BestVersion) -> bool:
        """Whether the job can be done in time behind what the host has to do already."""
        if self.rpc.project.config.ignore_delay_bound:
            return True
        request = self.needs.requests.get(best.usage.proc_type)
        delay = request.estimated_delay if request else 0.0
        if delay == 0:
            # Everybody gets one job, however slow.
            return True
        if delay + self.duration(slot, best) > self.delay_bound(slot):
            self.too_slow = True
            return False
        return True

    def delay_bound(self, slot: Slot) -> int:
        """Seconds the host gets for the job; less for a reliable host with an urgent one."""
        config = self.rpc.project.config
        bound = int(slot.row.delay_bound)
        if config.reliable_on_priority and slot.row.priority >= config.reliable_on_priority and config.reliable_reduced_delay_bound > 0.01:
            bound = int(bound * config.reliable_reduced_delay_bound)
        return bound

    def duration(self, slot: Slot, best: BestVersion) -> float:
        """Seconds of wall-clock time the job will take on this host."""
        stats = self.rpc.request.time_stats
        active = stats.active_frac if best.usage.proc_type == CPU else stats.gpu_active_frac
        available = min(1.0, max(MIN_FRACTION, stats.on_frac * active))
        return float((slot.row.rsc_fpops_est or 1e12) / best.usage.projected_flops / available)

    def _slow(self, slot: Slot) -> bool:
        """What needs the database."""
        config, tx, row = self.rpc.project.config, self.rpc.tx, slot.row
        if config.one_result_per_user_per_wu:
            count = tx.one(_OF_USER, wu=row.workunitid, user=self.rpc.user.id)
        elif config.one_result_per_host_per_wu:
            count = tx.one(_OF_HOST, wu=row.workunitid, host=self.rpc.host.id)
        else:
            count = None
        if count is not None and count[0]:
            return False
        if slot.wu.error_mask:
            return False
        self._in_reply.add(row.workunitid)
        return True

    def over(self, slot: Slot) -> bool:
        """True when nobody needs a lost result any more."""
        row = self.rpc.tx.one(_STATE, id=slot.row.workunitid)
        return row is None or bool(row.error_mask or row.canonical_resultid or row.assimilate_state == AssimilateState.DONE)

    def workunit_changes(self, slot: Slot, best: BestVersion) -> dict[str, Any]:
        """Columns of the workunit that sending this result commits."""
        app = self.rpc.project.catalog.app(slot.row.appid)
        assert app is not None
        changes: dict[str, Any] = {}
        kind = app.homogeneous_redundancy or self.rpc.project.config.homogeneous_redundancy
        if kind and not slot.wu.hr_class:
            mine = hr.hr_class(self.rpc.request.host_info, kind)
            if mine is not None:
                changes["hr_class"] = slot.wu.hr_class = mine
        if app.homogeneous_app_version and not slot.wu.app_version_id:
            changes["app_version_id"] = slot.wu.app_version_id = best.app_version_id
        if app.target_nresults > 1 and slot.wu.target_nresults == 1 and not best.trusted:
            # Adaptive replication: this host has to be checked by others.
            changes["target_nresults"] = slot.wu.target_nresults = app.target_nresults
            changes["min_quorum"] = slot.wu.min_quorum = app.target_nresults
            changes["transition_time"] = self.rpc.now
        return changes


def keyword_score(job: str, user: str) -> float | None:
    """How a user likes the keywords of a job: +1 for each wanted, None if any is unwanted (keyword.cpp).

    Args:
        job: keyword ids, separated by blanks or commas.
        user: ``<user_keywords>`` of the request: <yes>ID</yes> and <no>ID</no>.
    """
    wanted, unwanted = set(re.findall(r"<yes>\s*(\d+)", user)), set(re.findall(r"<no>\s*(\d+)", user))
    mine = set(re.findall(r"\d+", job))
    return None if mine & unwanted else float(len(mine & wanted))


def explain(rpc: Rpc, needs: Needs, chooser: VersionChooser, checks: Checks) -> None:
    """Tell why no work was sent (sched_send.cpp: send_user_messages)."""
    reply = rpc.reply
    reply.insert_message("No tasks sent")
    for app_id in sorted(needs.selected_apps - checks.offered_apps):
        app = rpc.project.catalog.app(app_id)
        if app is not None and not app.deprecated:
            reply.insert_message(f"No tasks are available for {app.user_friendly_name or app.name}")
    for text in [*checks.messages, *chooser.messages]:
        reply.insert_message(text, "notice")
    if checks.too_slow:
        stats = rpc.request.time_stats
        reply.insert_message(
            f"Tasks won't finish in time: BOINC runs {100 * stats.on_frac:.1f}% of the time; "
            f"computation is enabled {100 * stats.active_frac:.1f}% of that"
        )
    if checks.hr_rejected:
        reply.insert_message("Tasks are committed to other platforms")
    if checks.hr_unknown:
        reply.insert_message(translatable("Your computer type is not supported by this project"), "notice")
    if chooser.outdated_client:
        reply.insert_message(translatable("Newer BOINC version required; please install current version"), "notice")
        reply.set_delay(DELAY_UNACCEPTABLE)
    if chooser.quota_exceeded is not None:
        reply.insert_message(f"Daily job limit ({chooser.quota_limit}) has been reached", "notice")
        reply.insert_message(f"This computer has finished a daily quota of {chooser.quota_exceeded.max_jobs_per_day} tasks")
    if needs.in_progress_reached:
        reply.insert_message("This computer has reached a limit on tasks in progress")
