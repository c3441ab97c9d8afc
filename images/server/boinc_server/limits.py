"""How much a host may get: what it asks for, and what the project allows (sched_send.cpp, sched_limit.cpp)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from boinc_server import models
from boinc_server.database import AnyRow
from boinc_server.plan_class import CPU, HostUsage
from boinc_server.wire.reader import Reader

if TYPE_CHECKING:
    from boinc_server.rpc import Rpc

MAX_REQUEST_SECONDS: Final = 28 * 86400.0
DEFAULT_RAM: Final = 64e6
MAX_CPUS: Final = 1024
MAX_GPUS: Final = 64
_R = models.result.c
_HELD: Final = select(_R.name, _R.appid, _R.app_version_id).where(
    _R.hostid == bindparam("host"), _R.name.in_(bindparam("names", expanding=True))
)


@dataclass(slots=True)
class Limit:
    """A number of jobs, for the host or per processor of a kind."""

    jobs: int
    per_proc: bool = False

    def reached(self, held: int, processors: int) -> bool:
        return held >= self.jobs * (processors if self.per_proc else 1)


@dataclass(slots=True)
class LimitSet:
    """One ``<project>`` or ``<app>`` of ``<max_jobs_in_progress>`` (config_aux.xml)."""

    total: Limit | None = None
    cpu: Limit | None = None
    gpu: Limit | None = None


def parse_limits(text: str) -> tuple[LimitSet, dict[str, LimitSet]]:
    """(limits of the project, limits by app name) of a ``<max_jobs_in_progress>`` element."""
    project, apps = LimitSet(), {}
    for kind, body in re.findall(r"<(project|app)>(.*?)</\1>", text, re.DOTALL):
        limits = LimitSet()
        name = re.search(r"<app_name>\s*([^<]*?)\s*</app_name>", body)
        for which, inner in re.findall(r"<(total|cpu|gpu)_limit>(.*?)</\1_limit>", body, re.DOTALL):
            jobs = re.search(r"<jobs>\s*(\d+)\s*</jobs>", inner)
            if jobs is not None:
                setattr(limits, which, Limit(int(jobs.group(1)), "<per_proc" in inner))
        if kind == "project":
            project = limits
        elif name is not None:
            apps[name.group(1)] = limits
    return project, apps


@dataclass(slots=True)
class Request:
    """What a client asks for of one processor type."""

    seconds: float = 0.0
    instances: float = 0.0
    estimated_delay: float = 0.0
    processors: int = 0

    @property
    def open(self) -> bool:
        return self.seconds > 0 or self.instances > 0


@dataclass
class Needs:
    """The work request of one RPC, used up as jobs are sent, and all limits that apply to it."""

    rpc: Rpc
    requests: dict[str, Request] = field(default_factory=dict)
    max_jobs: int = 0
    sent: int = 0
    allow_beta: bool = False
    refused_types: set[str] = field(default_factory=set)
    selected_apps: set[int] = field(default_factory=set)
    """Ids of the apps the user chose, empty for all."""
    allow_non_preferred: bool = True
    in_progress_reached: bool = False
    _by_key: dict[int, int] = field(default_factory=dict)
    _held: dict[tuple[int, bool], int] = field(default_factory=dict)
    """(appid, on GPU) -> results the host holds"""

    def __post_init__(self) -> None:
        rpc, request = self.rpc, self.rpc.request
        config = rpc.project.config
        ncpus = self._effective_ncpus()
        seconds, instances = request.cpu_req_secs, request.cpu_req_instances
        if not seconds and not instances and not request.coprocs:
            seconds = request.work_req_seconds
        delay = request.estimated_delay
        self.requests[CPU] = Request(min(seconds, MAX_REQUEST_SECONDS), instances, delay, ncpus)
        for coproc in request.coprocs:
            count = min(coproc.count, MAX_GPUS)
            self.requests[coproc.type] = Request(
                min(coproc.req_secs, MAX_REQUEST_SECONDS), coproc.req_instances, coproc.estimated_delay, count
            )
        gpus = sum(r.processors for kind, r in self.requests.items() if kind != CPU)
        multiplier = 1 if config.non_cpu_intensive else ncpus + config.gpu_multiplier * gpus
        self.max_jobs = config.max_wus_to_send * multiplier
        self.usable_ram = self._usable_ram()
        self._project_limits, self._app_limits = self._limits()
        self._read_project_prefs()
        self._count_held()

    def _usable_ram(self) -> float:
        """Bytes of memory that the preferences leave to jobs (get_mem_sizes)."""
        rpc = self.rpc
        ram = rpc.request.host_info.m_nbytes or rpc.host.m_nbytes or DEFAULT_RAM
        busy, idle = rpc.prefs.ram_max_used_busy_pct / 100, rpc.prefs.ram_max_used_idle_pct / 100
        if busy > 0 and idle > 0:
            ram *= min(1.0, max(busy, idle))
        return float(ram)

    def _effective_ncpus(self) -> int:
        """CPUs that may be used (get_job_limits)."""
        rpc = self.rpc
        ncpus = rpc.request.host_info.p_ncpus or rpc.host.p_ncpus
        if 0 < rpc.prefs.max_ncpus_pct < 100:
            ncpus = int(ncpus * rpc.prefs.max_ncpus_pct / 100)
        if rpc.project.config.max_ncpus:
            ncpus = min(ncpus, rpc.project.config.max_ncpus)
        return max(1, min(ncpus, MAX_CPUS))

    def _limits(self) -> tuple[LimitSet, dict[str, LimitSet]]:
        config = self.rpc.project.config
        project, apps = parse_limits(config.max_jobs_in_progress) if config.max_jobs_in_progress else (LimitSet(), {})
        if project.cpu is None and config.max_wus_in_progress:
            project.cpu = Limit(config.max_wus_in_progress, per_proc=True)
        if project.gpu is None and config.max_wus_in_progress_gpu:
            project.gpu = Limit(config.max_wus_in_progress_gpu, per_proc=True)
        return project, apps

    def _read_project_prefs(self) -> None:
        """What the user allows, from project preferences (sched_array/sched_send: get_prefs_info)."""
        config = self.rpc.project.config
        self.allow_beta = config.allow_beta_by_default
        text = self.rpc.user.project_prefs
        if not text:
            return
        reader = Reader(text)
        max_jobs = 0
        while (token := reader.next()) is not None:
            value = (token.text or "").strip()
            if token.is_end or token.text is None:
                continue
            match token.name:
                case "app_id":
                    if value.isdecimal():
                        self.selected_apps.add(int(value))
                case "allow_beta_work":
                    self.allow_beta = value != "0"
                case "allow_non_preferred_apps":
                    self.allow_non_preferred = value != "0"
                case "no_cpu":
                    self._refuse(value, CPU)
                case "no_cuda":
                    self._refuse(value, "NVIDIA")
                case "no_ati":
                    self._refuse(value, "ATI")
                case "no_intel_gpu":
                    self._refuse(value, "intel_gpu")
                case "max_jobs":
                    max_jobs = int(value) if value.isdecimal() else 0
        if self.selected_apps and "allow_non_preferred_apps" not in text:
            self.allow_non_preferred = False
        if max_jobs:
            total = self._project_limits.total
            self._project_limits.total = Limit(max_jobs) if total is None or total.per_proc else Limit(min(max_jobs, total.jobs))

    def _refuse(self, value: str, proc_type: str) -> None:
        if value != "0":
            self.refused_types.add(proc_type)

    def _count_held(self) -> None:
        """Count what the client says it holds, by app and processor type."""
        if not (self._has_limits() and self.rpc.request.other_results):
            return
        names = [held.name for held in self.rpc.request.other_results]
        catalog = self.rpc.project.catalog
        for start in range(0, len(names), 500):
            for row in self.rpc.tx.execute(_HELD, {"host": self.rpc.host.id, "names": names[start : start + 500]}):
                version = catalog.version(row.app_version_id)
                on_gpu = proc_type_of(version.plan_class if version else "") != CPU
                self._add_held(row.appid, on_gpu)

    def _has_limits(self) -> bool:
        project = self._project_limits
        return bool(project.total or project.cpu or project.gpu or self._app_limits)

    def _add_held(self, appid: int, on_gpu: bool) -> None:
        self._held[appid, on_gpu] = self._held.get((appid, on_gpu), 0) + 1

    def in_progress_limited(self, app: AnyRow, usage: HostUsage) -> bool:
        """True when the host holds as many jobs as it may."""
        if not self._has_limits():
            return False
        on_gpu = usage.proc_type != CPU
        processors = self.requests[usage.proc_type].processors if usage.proc_type in self.requests else 1
        everything = sum(r.processors for r in self.requests.values())
        for limits, appid in ((self._project_limits, None), (self._app_limits.get(app.name), app.id)):
            if limits is None:
                continue
            held = {gpu: sum(n for (a, g), n in self._held.items() if g == gpu and appid in (None, a)) for gpu in (False, True)}
            kind = limits.gpu if on_gpu else limits.cpu
            if (kind and kind.reached(held[on_gpu], processors)) or (
                limits.total and limits.total.reached(held[False] + held[True], everything)
            ):
                self.in_progress_reached = True
                return True
        return False

    def wants(self, app: AnyRow, usage: HostUsage) -> bool:
        """True when the client asks for this processor type and no limit is reached for it."""
        request = self.requests.get(usage.proc_type)
        return request is not None and request.open and not self.in_progress_limited(app, usage)

    @property
    def open(self) -> bool:
        """True while more jobs can be sent."""
        return self.sent < self.max_jobs and any(request.open for request in self.requests.values())

    def scaled_quota(self, quota: int, usage: HostUsage) -> int:
        """The daily quota of this host: per processor, except that a quota of 1 stays 1."""
        if quota == 1:
            return 1
        request = self.requests.get(usage.proc_type)
        processors = max(1, request.processors if request else 1)
        if usage.proc_type != CPU:
            processors *= max(1, self.rpc.project.config.gpu_multiplier)
        return quota * processors

    def sent_of(self, key: int) -> int:
        """Results of a version sent in this RPC so far."""
        return self._by_key.get(key, 0)

    def sent_by_version(self) -> dict[int, int]:
        return self._by_key

    def used(self, appid: int, key: int, usage: HostUsage, wallclock: float, *, fills: bool = True) -> None:
        """A job was sent that will take `wallclock` seconds.

        Args:
            fills: it is (part of) what the client asked for, not one that needs no processor.
        """
        self.sent += 1
        self._by_key[key] = self._by_key.get(key, 0) + 1
        self._add_held(appid, usage.proc_type != CPU)
        if not fills:
            return
        request = self.requests.get(usage.proc_type) or Request()
        amount = usage.avg_ncpus if usage.proc_type == CPU else usage.gpu_usage
        request.seconds -= wallclock * amount
        request.instances -= amount
        if request.estimated_delay or amount:
            request.estimated_delay += wallclock * amount / max(1, request.processors)


def proc_type_of(plan_class: str) -> str:
    """The processor type that a plan class name implies (sched_version: plan_class_to_proc_type)."""
    for parts, kind in (
        (("cuda", "nvidia"), "NVIDIA"),
        (("ati", "amd"), "ATI"),
        (("intel_gpu",), "intel_gpu"),
        (("apple_gpu",), "apple_gpu"),
    ):
        if any(part in plan_class for part in parts):
            return kind
    return CPU
