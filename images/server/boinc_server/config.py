"""A project's options, by the names they have in config.xml (sched/sched_config.h).

Only what this server acts upon is here; an unknown name is refused, so that a typing mistake does
not silently test something else.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seconds = Annotated[float, Field(ge=0, le=2**31)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ScriptCommands(BaseModel):
    """The scripts of script_validator, each "NAME KEYWORD...", in the project's bin/."""

    model_config = ConfigDict(extra="forbid")

    init_script: str = ""
    compare_script: str = ""


class WorkGenerator(BaseModel):
    """Who makes jobs of an app when few are left."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(pattern="^(script|python):.+")]
    """``script:NAME ARGUMENT...`` or ``python:FILE.py:NAME``, in the project's bin/."""
    cushion: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Unsent results below which it is called."""


class ProjectConfig(BaseModel):
    """Options of config.xml; times in (virtual) seconds unless the name says otherwise."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # What a project is and whether it is up. stop_* are trigger files upstream.
    master_url: str = ""
    stop_sched: bool = False
    stop_upload: bool = False
    stop_download: bool = False
    stop_daemons: bool = False
    stop_web: bool = False
    maintenance_delay: Seconds = 3600
    ended: bool = False
    """The project is over: clients say so, and stop asking for work."""

    # Accounts
    disable_account_creation: bool = False
    disable_account_creation_rpc: bool = False
    no_web_account_creation: bool = False
    account_creation_rpc_require_consent: bool = False
    account_manager: bool = False
    """The project says that it is an account manager."""
    min_passwd_length: Count = 6
    invite_codes: str = ""
    verify_email: bool = True
    """Send a verification mail to each account that a volunteer makes."""

    # Who may talk to us
    min_core_client_version: Count = 0
    min_core_client_version_announced: Count = 0
    min_core_client_upgrade_deadline: Count = 0
    ban_os: list[str] = Field(default_factory=list)
    ban_cpu: list[str] = Field(default_factory=list)
    min_sendwork_interval: Seconds = 0
    next_rpc_delay: Seconds = 2
    """Small, so that no test has to nudge a client; upstream's default is not to send it."""
    request_delay: Seconds = 0
    """Added to every reply; an extra of this server."""
    dont_send_code_sign_key: bool = False

    # How many results
    max_wus_to_send: Annotated[int, Field(ge=1)] = 10
    max_wus_in_progress: Count = 0
    max_wus_in_progress_gpu: Count = 0
    max_jobs_in_progress: str = ""
    """The `<max_jobs_in_progress>` element of config_aux.xml, as text."""
    daily_result_quota: Count = 0
    gpu_multiplier: Count = 0
    max_ncpus: Count = 0
    max_results_accepted: Count = 0
    report_max: Count = 0

    # Which results
    one_result_per_user_per_wu: bool = False
    one_result_per_host_per_wu: bool = False
    homogeneous_redundancy: Annotated[int, Field(ge=0, le=2)] = 0
    default_disk_min_free_gb: Annotated[float, Field(ge=0)] = 1.0
    default_disk_max_used_gb: Annotated[float, Field(ge=0)] = 0.0
    default_disk_max_used_pct: Annotated[float, Field(ge=0, le=100)] = 100.0
    ignore_delay_bound: bool = False
    non_cpu_intensive: bool = False
    version_select_random_factor: Annotated[float, Field(ge=0)] = 0.0
    prefer_primary_platform: bool = False
    user_filter: bool = False
    distinct_beta_apps: bool = False
    allow_beta_by_default: bool = False
    keyword_sched: bool = False
    sched_locality: bool = False
    strict_memory_bound: bool = False
    verify_files_on_app_start: bool = False
    workload_sim: bool = False
    """Ask clients for all the work they have (``<send_full_workload/>``); the simulation itself is not there."""
    request_time_stats_log: bool = False

    # Reliability and adaptive replication
    reliable_max_avg_turnaround: Seconds = 0
    reliable_on_priority: Count = 0
    reliable_priority_on_over: Count = 0
    reliable_priority_on_over_except_error: Count = 0
    reliable_reduced_delay_bound: Fraction = 0

    # Lost, late and cancelled results
    resend_lost_results: bool = True
    send_result_abort: bool = True
    report_grace_period: Seconds = 0
    grace_period_hours: Annotated[float, Field(ge=0)] = 0

    # Files
    uldl_dir_fanout: Annotated[int, Field(ge=0, le=65536)] = 1024
    ignore_upload_certificates: bool = False
    dont_generate_upload_certificates: bool = False
    delete_delay_hours: Annotated[float, Field(ge=0)] = 0
    dont_delete_files: bool = False
    """Keep inputs and outputs after assimilation, for looking at; an extra of this server."""
    keep_outputs: bool = True
    """Move the outputs of finished jobs aside instead of deleting them, so that they can be asked for; an extra."""
    do_file_delete_regex: str = ""
    max_upload_size: Annotated[float, Field(ge=0)] = 0

    # Credit
    max_granted_credit: Annotated[float, Field(ge=0)] = 0
    credit: Annotated[str, Field(pattern="^(flops|from_wu|from_runtime|none)$")] = "flops"
    """How a validator grants: by the workunit's FLOPs, --credit_from_wu, --credit_from_runtime, --no_credit."""
    validator: str = "bitwise"
    """The validator of apps that name none: bitwise, trivial ("any result"), or a registered one."""
    validators: dict[str, str] = Field(default_factory=dict)
    """App name -> validator; also ``python:FILE.py:NAME``, a class in the project's bin/."""
    script_validators: dict[str, ScriptCommands] = Field(default_factory=dict)
    """App name -> scripts of script_validator."""
    assimilators: dict[str, str] = Field(default_factory=dict)
    """App name -> ``script:NAME KEYWORD...`` (script_assimilator), ``python:FILE.py:NAME`` or a registered one."""
    work_generators: dict[str, WorkGenerator] = Field(default_factory=dict)
    """App name -> its work generator."""
    adaptive_always_replicate: bool = False

    # Messages, targeted jobs, batches
    msg_to_host: bool = False
    enable_assignment: bool = False
    enable_assignment_multi: bool = False
    trickle_varieties: list[str] = Field(default_factory=list)
    trickle_up_urls: list[str] = Field(default_factory=list)
    """Where else clients shall send trickles; an extra of this server, for what clients do then."""
    send_job_log: Count = 0
    """Ask clients for so many lines of their job log; an extra of this server."""
    symstore: str = ""
    admin_email: str = ""
    mail_job_failures: bool = True

    # Purge
    purge_min_age_days: Annotated[float, Field(ge=0)] = 0
    db_purge: bool = False

    @field_validator("ban_os", "ban_cpu", "invite_codes", "do_file_delete_regex")
    @classmethod
    def _regular_expressions(cls, value: list[str] | str) -> list[str] | str:
        for pattern in [value] if isinstance(value, str) else value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    def grace_period(self) -> float:
        """Seconds that the database gives a result beyond the deadline its client knows."""
        return self.report_grace_period or self.grace_period_hours * 3600
