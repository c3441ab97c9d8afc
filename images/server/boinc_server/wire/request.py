"""The scheduler request as typed data (sent by client/cs_scheduler.cpp, read upstream by
sched/sched_types.cpp: SCHEDULER_REQUEST::parse). `wire.parse` reads it.

Attribute names are the element names; absent or unreadable elements keep their defaults. Times
are unix seconds of the project's clock, sizes bytes, rates per second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(slots=True)
class FileInfo:
    """A ``<file_info>`` in a request: an uploaded output, or a sticky file the host holds."""

    name: str = ""
    nbytes: float = 0.0
    max_nbytes: float = 0.0
    md5_cksum: str = ""
    status: int = 0
    xml: str = ""
    """The whole element as sent, for result.xml_doc_out."""


@dataclass(slots=True)
class ReportedResult:
    """One finished result (client/result.cpp: RESULT::write with to_server)."""

    name: str = ""
    final_cpu_time: float = 0.0
    final_elapsed_time: float = 0.0
    exit_status: int = 0
    state: int = 0
    """client_state: 5 uploaded is success when exit_status is 0."""
    platform: str = ""
    version_num: int = 0
    plan_class: str = ""
    app_version_num: int = 0
    final_peak_working_set_size: float = 0.0
    final_peak_swap_size: float = 0.0
    final_peak_disk_usage: float = 0.0
    fpops_per_cpu_sec: float = 0.0
    fpops_cumulative: float = 0.0
    intops_per_cpu_sec: float = 0.0
    intops_cumulative: float = 0.0
    stderr_out: str = ""
    file_infos: list[FileInfo] = field(default_factory=list)


@dataclass(slots=True)
class TimeStats:
    on_frac: float = 1.0
    connected_frac: float = 1.0
    cpu_and_network_available_frac: float = 1.0
    active_frac: float = 1.0
    gpu_active_frac: float = 1.0
    client_start_time: float = 0.0
    total_start_time: float = 0.0
    total_duration: float = 0.0
    total_active_duration: float = 0.0
    total_gpu_active_duration: float = 0.0
    now: float = 0.0
    previous_uptime: float = 0.0
    session_active_duration: float = 0.0
    session_gpu_active_duration: float = 0.0


@dataclass(slots=True)
class NetStats:
    bwup: float = 0.0
    avg_up: float = 0.0
    avg_time_up: float = 0.0
    bwdown: float = 0.0
    avg_down: float = 0.0
    avg_time_down: float = 0.0


@dataclass(slots=True)
class HostInfo:
    """``<host_info>`` (lib/hostinfo.cpp)."""

    timezone: int = 0
    domain_name: str = ""
    ip_addr: str = ""
    host_cpid: str = ""
    p_ncpus: int = 1
    p_vendor: str = ""
    p_model: str = ""
    p_features: str = ""
    p_fpops: float = 0.0
    p_iops: float = 0.0
    p_membw: float = 0.0
    p_calculated: float = 0.0
    p_vm_extensions_disabled: bool = False
    m_nbytes: float = 0.0
    m_cache: float = 0.0
    m_swap: float = 0.0
    d_total: float = 0.0
    d_free: float = 0.0
    os_name: str = ""
    os_version: str = ""
    n_usable_coprocs: int = 0
    docker_version: str = ""
    docker_type: int = 0
    """0 none, 1 docker, 2 podman (lib/common_defs.h)."""
    docker_compose_version: str = ""
    docker_compose_type: int = 0
    product_name: str = ""
    mac_address: str = ""
    virtualbox_version: str = ""
    wsl_available: bool = False
    wsl: str = ""
    """Raw contents of the list of WSL distributions (Windows)."""


@dataclass(slots=True)
class DiskUsage:
    d_boinc_used_total: float = 0.0
    d_boinc_used_project: float = 0.0
    d_project_share: float = 0.0


@dataclass(slots=True)
class Coproc:
    """A GPU or other coprocessor; `tag` is the element name, `values` all its leaf elements."""

    tag: str
    type: str = ""
    """NVIDIA, ATI, intel_gpu, apple_gpu or what a generic ``<coproc>`` calls itself."""
    count: int = 1
    name: str = ""
    req_secs: float = 0.0
    req_instances: float = 0.0
    estimated_delay: float = 0.0
    peak_flops: float = 0.0
    available_ram: float = 0.0
    values: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class AppVersion:
    """One ``<app_version>`` the client holds; the index in the list is what others refer to."""

    app_name: str = ""
    version_num: int = 0
    platform: str = ""
    plan_class: str = ""
    api_version: str = ""
    cmdline: str = ""
    file_prefix: str = ""
    avg_ncpus: float = 1.0
    flops: float = 0.0


@dataclass(slots=True)
class OtherResult:
    """A result the client holds and has not reported."""

    name: str = ""
    app_version: int = -1
    plan_class: str = ""


@dataclass(slots=True)
class InProgressResult:
    name: str = ""
    report_deadline: float = 0.0
    time_remaining: float = 0.0
    avg_ncpus: float = 1.0


@dataclass(slots=True)
class MsgFromHost:
    """A trickle-up (MSG_FROM_HOST_DESC): `xml` is everything sent except the variety line."""

    result_name: str = ""
    time: float = 0.0
    variety: str = ""
    xml: str = ""


@dataclass(slots=True)
class GlobalPrefs:
    """The preferences in force on the host (lib/prefs.cpp), as far as a server decides by them."""

    source_project: str = ""
    mod_time: float = 0.0
    work_buf_min_days: float = 0.1
    work_buf_additional_days: float = 0.5
    max_ncpus_pct: float = 100.0
    disk_max_used_gb: float = 0.0
    disk_max_used_pct: float = 100.0
    disk_min_free_gb: float = 0.0
    ram_max_used_busy_pct: float = 50.0
    ram_max_used_idle_pct: float = 90.0
    max_bytes_sec_down: float = 0.0
    max_bytes_sec_up: float = 0.0
    cpu_usage_limit: float = 100.0
    run_if_user_active: bool = True
    run_on_batteries: bool = True
    raw: str = ""


@dataclass
class SchedulerRequest:
    """Everything of a ``<scheduler_request>``."""

    authenticator: str = ""
    hostid: int = 0
    rpc_seqno: int = 0
    core_client_major_version: int = 0
    core_client_minor_version: int = 0
    core_client_release: int = 0
    resource_share_fraction: float = 1.0
    rrs_fraction: float = 1.0
    prrs_fraction: float = 1.0
    duration_correction_factor: float = 1.0
    allow_multiple_clients: bool = False
    sandbox: bool = False
    dont_send_work: bool = False
    dont_use_docker: bool = False
    work_req_seconds: float = 0.0
    cpu_req_secs: float = 0.0
    cpu_req_instances: float = 0.0
    estimated_delay: float = 0.0
    client_cap_plan_class: bool = False
    platform_name: str = ""
    alt_platforms: list[str] = field(default_factory=list)
    code_sign_key: str = ""
    working_global_preferences: GlobalPrefs | None = None
    global_preferences: str = ""
    """Raw ``<global_preferences>`` contents, "" when not sent."""
    global_prefs_source_email_hash: str = ""
    cross_project_id: str = ""
    time_stats: TimeStats = field(default_factory=TimeStats)
    net_stats: NetStats = field(default_factory=NetStats)
    host_info: HostInfo = field(default_factory=HostInfo)
    disk_usage: DiskUsage | None = None
    coprocs: list[Coproc] = field(default_factory=list)
    results: list[ReportedResult] = field(default_factory=list)
    msgs_from_host: list[MsgFromHost] = field(default_factory=list)
    file_infos: list[FileInfo] = field(default_factory=list)
    app_versions: list[AppVersion] = field(default_factory=list)
    other_results: list[OtherResult] = field(default_factory=list)
    have_other_results_list: bool = False
    in_progress_results: list[InProgressResult] = field(default_factory=list)
    have_ip_results_list: bool = False
    time_stats_log: str = ""
    job_log: str = ""
    client_opaque: str = ""
    client_brand: str = ""
    user_keywords: str = ""

    @property
    def core_client_version(self) -> int:
        """10000 * major + 100 * minor + release: 8.2.15 is 80215."""
        return 10000 * self.core_client_major_version + 100 * self.core_client_minor_version + self.core_client_release

    @property
    def client_version(self) -> str:
        """The version as people write it."""
        return f"{self.core_client_major_version}.{self.core_client_minor_version}.{self.core_client_release}"

    @property
    def anonymous_platform(self) -> bool:
        return self.platform_name == "anonymous"

    @cached_property
    def platforms(self) -> list[str]:
        """The platforms jobs may be for, the primary one first ("anonymous" is none)."""
        first = [] if self.anonymous_platform or not self.platform_name else [self.platform_name]
        return first + [name for name in self.alt_platforms if name not in first]

    @property
    def wants_work(self) -> bool:
        """True when some processor type asks for work and work is allowed."""
        if self.dont_send_work:
            return False
        return bool(
            self.work_req_seconds > 0
            or self.cpu_req_secs > 0
            or self.cpu_req_instances > 0
            or any(coproc.req_secs > 0 or coproc.req_instances > 0 for coproc in self.coprocs)
        )

    @property
    def global_prefs_mod_time(self) -> float:
        """When the preferences in force were last changed, 0 if unknown."""
        return self.working_global_preferences.mod_time if self.working_global_preferences else 0.0
