"""What a client tells about its work: projects, applications, workunits, results, transfers.

Field names are BOINC's element names. Times are unix seconds of the client's clock (0 = never), durations seconds, sizes bytes.
Sources: client/{project,result,app,client_types,pers_file_xfer,cs_statefile}.cpp, the functions named write_gui, write_state, write.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.guirpc.numbers import ActiveTaskState, ExitStatus, ResultState, RpcReason, SchedulerState


@dataclass(frozen=True, slots=True)
class ActiveTask:
    """The process of a result that has been started. `fraction_done` is a guess once 60 s pass without a report."""

    active_task_state: ActiveTaskState = ActiveTaskState.UNINITIALIZED
    app_version_num: int = 0
    slot: int = -1
    pid: int = 0
    scheduler_state: SchedulerState = SchedulerState.UNINITIALIZED
    checkpoint_cpu_time: float = 0.0
    fraction_done: float = 0.0
    current_cpu_time: float = 0.0
    elapsed_time: float = 0.0
    swap_size: float = 0.0
    virtual_size: float = 0.0
    working_set_size: float = 0.0
    working_set_size_smoothed: float = 0.0
    too_large: bool = False
    swap_too_large: bool = False
    needs_shmem: bool = False
    want_network: bool = False
    progress_rate: float = 0.0
    graphics_exec_path: str = ""
    slot_path: str = ""
    web_graphics_url: str = ""
    remote_desktop_addr: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A job as the client has it. Vanishes within 10 s (of the client's clock) of being reported and acknowledged."""

    name: str = ""
    wu_name: str = ""
    platform: str = ""
    version_num: int = 0
    plan_class: str = ""
    project_url: str = ""
    final_cpu_time: float = 0.0
    final_elapsed_time: float = 0.0
    exit_status: int = 0
    state: ResultState = ResultState.NEW
    report_deadline: float = 0.0
    received_time: float = 0.0
    estimated_cpu_time_remaining: float = 0.0
    completed_time: float = 0.0
    got_server_ack: bool = False
    ready_to_report: bool = False
    suspended_via_gui: bool = False
    project_suspended_via_gui: bool = False
    report_immediately: bool = False
    edf_scheduled: bool = False
    coproc_missing: bool = False
    network_wait: bool = False
    scheduler_wait: bool = False
    scheduler_wait_reason: str = ""
    resources: str = ""
    active_task: ActiveTask | None = None

    @property
    def active_state(self) -> ActiveTaskState:
        """The state of its process; UNINITIALIZED if it has none."""
        return ActiveTaskState.UNINITIALIZED if self.active_task is None else self.active_task.active_task_state

    @property
    def is_running(self) -> bool:
        return self.active_state == ActiveTaskState.EXECUTING

    @property
    def exit_name(self) -> str:
        """`exit_status` by the client's name for it, if it is one of the client's own."""
        return ExitStatus(self.exit_status).name


@dataclass(frozen=True, slots=True)
class OldResult:
    """A result that was reported within the last hour."""

    project_url: str = ""
    result_name: str = ""
    app_name: str = ""
    exit_status: int = 0
    elapsed_time: float = 0.0
    cpu_time: float = 0.0
    completed_time: float = 0.0
    create_time: float = 0.0


@dataclass(frozen=True, slots=True)
class ResourceBackoff:
    """Per processing resource (CPU, NVIDIA, ...): until when, or for how long, no work is asked for."""

    name: str = ""
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class GuiUrl:
    name: str = ""
    description: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class GuiUrls:
    gui_url: tuple[GuiUrl, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """An attached project. `project_name` is empty until the first good scheduler reply."""

    master_url: str = ""
    project_name: str = ""
    symstore: str = ""
    user_name: str = ""
    team_name: str = ""
    host_venue: str = ""
    email_hash: str = ""
    cross_project_id: str = ""
    external_cpid: str = ""
    cpid_time: float = 0.0
    user_total_credit: float = 0.0
    user_expavg_credit: float = 0.0
    user_create_time: float = 0.0
    rpc_seqno: int = 0
    userid: int = 0
    teamid: int = 0
    hostid: int = 0
    host_total_credit: float = 0.0
    host_expavg_credit: float = 0.0
    host_create_time: float = 0.0
    nrpc_failures: int = 0
    master_fetch_failures: int = 0
    min_rpc_time: float = 0.0
    next_rpc_time: float = 0.0
    rec: float = 0.0
    rec_time: float = 0.0
    resource_share: float = 0.0
    disk_usage: float = 0.0
    disk_share: float = 0.0
    desired_disk_usage: float = 0.0
    duration_correction_factor: float = 1.0
    sched_rpc_pending: RpcReason = RpcReason.NONE
    send_time_stats_log: int = 0
    send_job_log: int = 0
    njobs_success: int = 0
    njobs_error: int = 0
    elapsed_time: float = 0.0
    last_rpc_time: float = 0.0
    anonymous_platform: bool = False
    master_url_fetch_pending: bool = False
    trickle_up_pending: bool = False
    send_full_workload: bool = False
    dont_use_dcf: bool = False
    non_cpu_intensive: bool = False
    strict_memory_bound: bool = False
    suspended_via_gui: bool = False
    dont_request_more_work: bool = False
    detach_when_done: bool = False
    ended: bool = False
    attached_via_acct_mgr: bool = False
    scheduler_rpc_in_progress: bool = False
    use_symlinks: bool = False
    rsc_backoff_time: tuple[ResourceBackoff, ...] = ()
    rsc_backoff_interval: tuple[ResourceBackoff, ...] = ()
    no_rsc_ams: tuple[str, ...] = ()
    no_rsc_apps: tuple[str, ...] = ()
    no_rsc_pref: tuple[str, ...] = ()
    no_rsc_config: tuple[str, ...] = ()
    gui_urls: GuiUrls | None = None
    sched_priority: float = 0.0
    project_files_downloaded_time: float = 0.0
    download_backoff: float = 0.0
    upload_backoff: float = 0.0
    venue: str = ""
    project_dir: str = ""


@dataclass(frozen=True, slots=True)
class App:
    name: str = ""
    user_friendly_name: str = ""
    non_cpu_intensive: bool = False


@dataclass(frozen=True, slots=True)
class FileRef:
    file_name: str = ""
    open_name: str = ""
    main_program: bool = False
    copy_file: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class AppVersion:
    app_name: str = ""
    version_num: int = 0
    platform: str = ""
    plan_class: str = ""
    api_version: str = ""
    cmdline: str = ""
    file_prefix: str = ""
    avg_ncpus: float = 0.0
    flops: float = 0.0
    dont_throttle: bool = False
    is_wrapper: bool = False
    needs_network: bool = False
    file_ref: tuple[FileRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Workunit:
    name: str = ""
    app_name: str = ""
    version_num: int = 0
    rsc_fpops_est: float = 0.0
    rsc_fpops_bound: float = 0.0
    rsc_memory_bound: float = 0.0
    rsc_disk_bound: float = 0.0
    command_line: str = ""
    sub_appname: str = ""
    file_ref: tuple[FileRef, ...] = ()


@dataclass(frozen=True, slots=True)
class PersistentFileXfer:
    """A transfer's history. `next_request_time` in the future: it waits for its next attempt."""

    num_retries: int = 0
    first_request_time: float = 0.0
    next_request_time: float = 0.0
    time_so_far: float = 0.0
    last_bytes_xferred: float = 0.0
    is_upload: bool = False


@dataclass(frozen=True, slots=True)
class FileXfer:
    """A transfer that is going on."""

    estimated_xfer_time_remaining: float = 0.0
    bytes_xferred: float = 0.0
    file_offset: float = 0.0
    xfer_speed: float = 0.0
    url: str = ""


@dataclass(frozen=True, slots=True)
class FileTransfer:
    """A file that is being, or waits to be, uploaded or downloaded."""

    project_url: str = ""
    project_name: str = ""
    name: str = ""
    nbytes: float = 0.0
    max_nbytes: float = 0.0
    status: int = 0
    persistent_file_xfer: PersistentFileXfer = field(default_factory=PersistentFileXfer)
    file_xfer: FileXfer | None = None
    project_backoff: float = 0.0

    @property
    def is_upload(self) -> bool:
        return self.persistent_file_xfer.is_upload

    @property
    def is_active(self) -> bool:
        return self.file_xfer is not None
