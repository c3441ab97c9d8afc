"""Which version of an app a host gets (sched/sched_version.cpp: get_app_version)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from boinc_server import buda, hav, plan_class
from boinc_server.buda import Variant
from boinc_server.catalog import AppVersion
from boinc_server.database import AnyRow
from boinc_server.plan_class import CPU, HostUsage, is_64bit
from boinc_server.states import AnonymousPlatform

if TYPE_CHECKING:
    from boinc_server.feeder import Slot
    from boinc_server.limits import Needs
    from boinc_server.rpc import Rpc

ANONYMOUS_IDS: Final = {
    CPU: AnonymousPlatform.CPU,
    "NVIDIA": AnonymousPlatform.NVIDIA,
    "ATI": AnonymousPlatform.ATI,
    "intel_gpu": AnonymousPlatform.INTEL,
    "apple_gpu": AnonymousPlatform.APPLE,
}
MIN_HOST_SAMPLES: Final = 10
ET_RATIO_LIMIT: Final = 10.0
RELIABLE_VALID: Final = 10
"""Valid results in a row that make an app version on a host reliable and trusted."""


@dataclass(slots=True)
class BestVersion:
    """The app version chosen for a job on this host; `version` is None on an anonymous platform."""

    version: AppVersion | None
    usage: HostUsage
    key: int
    """Key in host_app_version."""
    app_version_id: int
    """For result.app_version_id: negative on an anonymous platform."""
    reliable: bool = False
    trusted: bool = False
    variant: Variant | None = None
    """The BUDA variant, for jobs of such."""


def max_32bit_address_space(platform: str) -> float:
    """Bytes a 32-bit application can use; a job that needs more needs a 64-bit version."""
    for part, gib in (("windows", 2.0), ("linux", 3.0), ("darwin", 4.0), ("solaris", 4.0)):
        if part in platform:
            return gib * 2**30
    return 2.0 * 2**30


class VersionChooser:
    """Chooses app versions for one RPC; remembers its choices."""

    def __init__(self, rpc: Rpc, needs: Needs) -> None:
        self.rpc = rpc
        self.needs = needs
        self.havs = hav.of_host(rpc.tx, rpc.host.id)
        self.messages: dict[str, None] = {}
        """Why plan classes refused, for the volunteer."""
        self.outdated_client = False
        self.quota_exceeded: AnyRow | None = None
        self.quota_limit = 0
        self._known: dict[tuple[int, int, bool, int, int], BestVersion | None] = {}

    def choose(self, slot: Slot, *, check_needs: bool = True) -> BestVersion | None:
        """The best version for a job, None if this host can have none now."""
        row = slot.row
        app = self.rpc.project.catalog.app(row.appid)
        if app is None:
            return None
        if "<buda_app_name>" in row.wu_xml_doc:
            return self._buda(app, slot)
        wide = row.rsc_memory_bound > max_32bit_address_space(self.rpc.request.platform_name)
        pinned = 0
        if app.homogeneous_app_version:
            if self.rpc.request.anonymous_platform:
                return None
            pinned = slot.wu.app_version_id
        specs = self.rpc.project.plan_classes()
        one = row.workunitid if specs is not None and specs.depends_on_workunit else 0
        key = (row.appid, row.app_version_num, wide, pinned, one)
        if key in self._known:
            best = self._known[key]
            if best is None or not check_needs:
                return best
            if self.needs.wants(app, best.usage) and not self.over_quota(best.key, best.usage):
                return best
        best = self._find(app, slot, wide, pinned, check_needs)
        if check_needs:
            self._known[key] = best
        return best

    def _find(self, app: AnyRow, slot: Slot, wide: bool, pinned: int, check_needs: bool) -> BestVersion | None:
        if self.rpc.request.anonymous_platform:
            return self._anonymous(app, check_needs)
        rpc = self.rpc
        best: BestVersion | None = None
        best_flops = -1.0
        for platform in rpc.platforms:
            if wide and not is_64bit(platform):
                continue
            for version in self._candidates(app, platform, slot.row.app_version_num, pinned):
                usage = self._usage(app, version, slot, check_needs)
                if usage is None:
                    continue
                factor = rpc.project.config.version_select_random_factor
                flops = usage.projected_flops * (1 + factor * random.gauss(0, 1) if factor else 1)
                if flops > best_flops:
                    best_flops = flops
                    best = BestVersion(version, usage, version.id, version.id, *self.trust(version.id))
            if best is not None and rpc.project.config.prefer_primary_platform:
                break
        return best

    def _candidates(self, app: AnyRow, platform: str, version_num: int, pinned: int) -> list[AppVersion]:
        """The latest version for each plan class, or the one that is asked for."""
        latest: dict[str, AppVersion] = {}
        for version in self.rpc.project.catalog.versions_of(app.id):
            if version.platform != platform:
                continue
            if pinned:
                if version.id == pinned:
                    return [version]
                continue
            if version_num and version.version_num != version_num:
                continue
            if not version_num and version.version_num < app.min_version:
                continue
            if version.beta and not self.needs.allow_beta:
                continue
            known = latest.get(version.plan_class)
            if known is None or known.version_num < version.version_num:
                latest[version.plan_class] = version
        return [] if pinned else list(latest.values())

    def _usage(self, app: AnyRow, version: AppVersion, slot: Slot, check_needs: bool) -> HostUsage | None:
        """What the version would use, None if it may not be sent now."""
        rpc = self.rpc
        client = rpc.request.core_client_version
        if version.plan_class:
            try:
                usage = plan_class.evaluate(rpc, self.needs, version.plan_class, slot.row)
            except plan_class.Infeasible as error:
                if str(error):
                    self.messages[str(error)] = None
                return None
            if not rpc.request.client_cap_plan_class and not usage.is_sequential:
                return None
        else:
            usage = plan_class.sequential(rpc)
        if usage.proc_type in self.needs.refused_types or self.over_quota(version.id, usage):
            return None
        if check_needs and not self.needs.wants(app, usage):
            return None
        if client < version.min_core_version or (version.max_core_version and client > version.max_core_version):
            return None
        self._measured_flops(version.id, usage)
        return usage

    def _measured_flops(self, key: int, usage: HostUsage) -> None:
        """Use the host's measured speed with this version once there are enough samples."""
        row = self.havs.get(key)
        if row is not None and row.et_n > MIN_HOST_SAMPLES and row.et_avg > 0:
            usage.projected_flops = min(1.0 / row.et_avg, ET_RATIO_LIMIT * usage.projected_flops)

    def _buda(self, app: AnyRow, slot: Slot) -> BestVersion | None:
        """The CPU version of the wrapper, with the usage of the best variant."""
        wrapper = self._find(app, slot, wide=False, pinned=0, check_needs=False)
        chosen = buda.choose(self.rpc, self.needs, slot, self.messages)
        if wrapper is None or chosen is None:
            return None
        wrapper.variant, wrapper.usage = chosen
        return wrapper

    def _anonymous(self, app: AnyRow, check_needs: bool) -> BestVersion | None:
        best: BestVersion | None = None
        for held in self.rpc.request.app_versions:
            if held.app_name != app.name or held.version_num < app.min_version:
                continue
            usage = plan_class.sequential(self.rpc)
            usage.avg_ncpus = held.avg_ncpus or 1.0
            usage.projected_flops = held.flops or usage.projected_flops * usage.avg_ncpus
            app_version_id = int(ANONYMOUS_IDS[usage.proc_type])
            key = hav.version_key(app_version_id, app.id)
            if self.over_quota(key, usage) or (check_needs and not self.needs.wants(app, usage)):
                continue
            if best is None or usage.projected_flops > best.usage.projected_flops:
                best = BestVersion(None, usage, key, app_version_id, *self.trust(key))
        return best

    def over_quota(self, key: int, usage: HostUsage) -> bool:
        """True when the host has had its results of today (sched_version.cpp: daily_quota_exceeded)."""
        quota = self.rpc.project.config.daily_result_quota
        row = self.havs.get(key)
        if not quota or row is None:
            return False
        allowed = self.needs.scaled_quota(row.max_jobs_per_day or quota, usage)
        if row.n_jobs_today + self.needs.sent_of(key) < allowed:
            return False
        self.quota_exceeded, self.quota_limit = row, allowed
        return True

    def trust(self, key: int) -> tuple[bool, bool]:
        """(reliable, trusted) of a version on this host (sched_send.cpp: get_reliability_version, set_trust)."""
        row = self.havs.get(key)
        config = self.rpc.project.config
        if row is None:
            return False, False
        reliable = row.turnaround_n > MIN_HOST_SAMPLES and row.consecutive_valid >= RELIABLE_VALID
        if config.reliable_max_avg_turnaround and row.turnaround_avg > config.reliable_max_avg_turnaround:
            reliable = False
        if config.daily_result_quota and row.max_jobs_per_day < config.daily_result_quota:
            reliable = False
        trusted = False
        if row.consecutive_valid >= RELIABLE_VALID and not config.adaptive_always_replicate:
            # The more valid results in a row, the seldomer somebody looks.
            trusted = random.random() > 1.0 / row.consecutive_valid
        return reliable, trusted
