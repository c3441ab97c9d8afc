"""What a client tells about itself: status, host, messages, notices, statistics; replies of the account RPCs.

Sources: client/{gui_rpc_server_ops,cs_statefile,time_stats,net_stats,client_msgs,project}.cpp, lib/{hostinfo,notice,proxy_info}.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.guirpc.models import App, AppVersion, Project, Result, Workunit
from harness.guirpc.numbers import ErrorNumber, NetworkStatus, Priority, RunMode, SuspendReason


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A client's version, ordered."""

    major: int = 0
    minor: int = 0
    release: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.release}"


@dataclass(frozen=True, slots=True)
class CcStatus:
    """Modes and suspensions. `*_mode` is what holds now, `*_mode_perm` what holds once `*_mode_delay` seconds are over."""

    network_status: NetworkStatus = NetworkStatus.ONLINE
    ams_password_error: bool = False
    task_suspend_reason: SuspendReason = SuspendReason.NONE
    task_mode: RunMode = RunMode.AUTO
    task_mode_perm: RunMode = RunMode.AUTO
    task_mode_delay: float = 0.0
    gpu_suspend_reason: SuspendReason = SuspendReason.NONE
    gpu_mode: RunMode = RunMode.AUTO
    gpu_mode_perm: RunMode = RunMode.AUTO
    gpu_mode_delay: float = 0.0
    network_suspend_reason: SuspendReason = SuspendReason.NONE
    network_mode: RunMode = RunMode.AUTO
    network_mode_perm: RunMode = RunMode.AUTO
    network_mode_delay: float = 0.0
    disallow_attach: bool = False
    simple_gui_only: bool = False
    max_event_log_lines: int = 0


@dataclass(frozen=True, slots=True)
class HostInfo:
    timezone: int = 0
    domain_name: str = ""
    ip_addr: str = ""
    host_cpid: str = ""
    p_ncpus: int = 0
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
    product_name: str = ""
    mac_address: str = ""
    virtualbox_version: str = ""
    docker_version: str = ""
    docker_type: int = 0
    docker_compose_version: str = ""
    docker_compose_type: int = 0


@dataclass(frozen=True, slots=True)
class TimeStats:
    """`now` is the client's clock when its main loop last went round: up to a second of that clock old."""

    on_frac: float = 0.0
    connected_frac: float = 0.0
    cpu_and_network_available_frac: float = 0.0
    active_frac: float = 0.0
    gpu_active_frac: float = 0.0
    client_start_time: float = 0.0
    previous_uptime: float = 0.0
    session_active_duration: float = 0.0
    session_gpu_active_duration: float = 0.0
    total_start_time: float = 0.0
    total_duration: float = 0.0
    total_active_duration: float = 0.0
    total_gpu_active_duration: float = 0.0
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class NetStats:
    bwup: float = 0.0
    avg_up: float = 0.0
    avg_time_up: float = 0.0
    bwdown: float = 0.0
    avg_down: float = 0.0
    avg_time_down: float = 0.0


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project with all that belongs to it."""

    project: Project
    apps: tuple[App, ...] = ()
    app_versions: tuple[AppVersion, ...] = ()
    workunits: tuple[Workunit, ...] = ()
    results: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientState:
    """The reply to get_state, its flat list of elements sorted under their projects."""

    host_info: HostInfo = field(default_factory=HostInfo)
    time_stats: TimeStats = field(default_factory=TimeStats)
    net_stats: NetStats = field(default_factory=NetStats)
    platform_name: str = ""
    platform: tuple[str, ...] = ()
    core_client_major_version: int = 0
    core_client_minor_version: int = 0
    core_client_release: int = 0
    executing_as_daemon: bool = False
    host_venue: str = ""
    projects: tuple[ProjectState, ...] = field(default=(), metadata={"derived": True})

    @property
    def version(self) -> Version:
        return Version(self.core_client_major_version, self.core_client_minor_version, self.core_client_release)

    @property
    def results(self) -> tuple[Result, ...]:
        """The results of all projects."""
        return tuple(result for project in self.projects for result in project.results)


@dataclass(frozen=True, slots=True)
class SimpleGuiInfo:
    """Projects, and the results that have a process."""

    project: tuple[Project, ...] = ()
    result: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class ScreensaverTasks:
    suspend_reason: SuspendReason = SuspendReason.NONE
    result: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A line of the event log. `project` is the project's name, empty for the client itself."""

    project: str = ""
    pri: Priority = Priority.INFO
    seqno: int = 0
    body: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something for the volunteer to read. `seqno` -1 with no title: forget all notices seen and take those that follow."""

    title: str = ""
    description: str = ""
    create_time: float = 0.0
    arrival_time: float = 0.0
    is_private: bool = False
    project_name: str = ""
    category: str = ""
    link: str = ""
    seqno: int = 0


@dataclass(frozen=True, slots=True)
class ProjectDiskUsage:
    master_url: str = ""
    disk_usage: float = 0.0


@dataclass(frozen=True, slots=True)
class DiskUsage:
    project: tuple[ProjectDiskUsage, ...] = ()
    d_total: float = 0.0
    d_free: float = 0.0
    d_boinc: float = 0.0
    d_allowed: float = 0.0


@dataclass(frozen=True, slots=True)
class DailyStatistics:
    day: float = 0.0
    user_total_credit: float = 0.0
    user_expavg_credit: float = 0.0
    host_total_credit: float = 0.0
    host_expavg_credit: float = 0.0


@dataclass(frozen=True, slots=True)
class ProjectStatistics:
    master_url: str = ""
    daily_statistics: tuple[DailyStatistics, ...] = ()


@dataclass(frozen=True, slots=True)
class DailyXfer:
    """Bytes sent and received on day number `when` (since 1970)."""

    when: int = 0
    up: float = 0.0
    down: float = 0.0


@dataclass(frozen=True, slots=True)
class NewerVersion:
    newer_version: str = ""
    download_url: str = ""


@dataclass(frozen=True, slots=True)
class ListedProject:
    """An entry of the list of projects that the client downloaded (none without contact to the reference site)."""

    name: str = ""
    url: str = ""
    web_url: str = ""
    general_area: str = ""
    specific_area: str = ""
    description: str = ""
    home: str = ""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    use_http_proxy: bool = False
    use_socks_proxy: bool = False
    use_http_auth: bool = False
    socks_server_name: str = ""
    socks_server_port: int = 80
    http_server_name: str = ""
    http_server_port: int = 80
    socks5_user_name: str = ""
    socks5_user_passwd: str = ""
    socks5_remote_dns: bool = False
    http_user_name: str = ""
    http_user_passwd: str = ""
    no_proxy: str = ""
    no_autodetect: bool = False


@dataclass(frozen=True, slots=True)
class ProjectInitStatus:
    url: str = ""
    name: str = ""
    has_account_key: bool = False
    embedded: bool = False


@dataclass(frozen=True, slots=True)
class AcctMgrInfo:
    acct_mgr_url: str = ""
    acct_mgr_name: str = ""
    have_credentials: bool = False
    cookie_required: bool = False
    cookie_failure_url: str = ""


@dataclass(frozen=True, slots=True)
class PollReply:
    """How far an attachment is: IN_PROGRESS, SUCCESS or an error; `message` is what the project or account manager said."""

    error_num: ErrorNumber = ErrorNumber.SUCCESS
    message: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountOut:
    """A project's answer to lookup_account and create_account."""

    error_num: ErrorNumber = ErrorNumber.SUCCESS
    error_msg: str = ""
    authenticator: str = ""


@dataclass(frozen=True, slots=True)
class PlatformName:
    platform_name: str = ""
    user_friendly_name: str = ""


@dataclass(frozen=True, slots=True)
class Platforms:
    platform: tuple[PlatformName, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """What a project says of itself in get_project_config.php."""

    error_num: ErrorNumber = ErrorNumber.SUCCESS
    error_msg: str = ""
    name: str = ""
    master_url: str = ""
    web_rpc_url_base: str = ""
    local_revision: str = ""
    min_passwd_length: int = 6
    account_manager: bool = False
    uses_username: bool = False
    account_creation_disabled: bool = False
    client_account_creation_disabled: bool = False
    sched_stopped: bool = False
    web_stopped: bool = False
    min_client_version: int = 0
    rpc_prefix: str = ""
    terms_of_use: str = ""
    ldap_auth: bool = False
    platforms: Platforms = field(default_factory=Platforms)
