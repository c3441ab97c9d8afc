"""What is changed of a freshly made upstream project, and the files of its applications.

The project is as makeproject makes it, except for `OPTIONS` and the pace of the daemons: the published defaults are for projects that
run for years (a poll every 5 to 10 s), and the embedded server's for tests. Each is stated here, since a comparison of the two servers
is one of what is left.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from harness import engine, images, labels
from harness.errors import HarnessError

#: options of config.xml that are set so that they are the embedded server's
OPTIONS: Final[Mapping[str, object]] = {
    "next_rpc_delay": 2,
    "min_sendwork_interval": 0,
    "max_wus_to_send": 10,
    "daily_result_quota": 1_000_000,  # no limit; 0 is one task a day for each version of an application, once a task was valid
    "one_result_per_user_per_wu": 0,
    "resend_lost_results": 1,
    "send_result_abort": 1,
    "dont_generate_upload_certificates": 0,
    "ignore_upload_certificates": 0,
}
#: seconds that a daemon sleeps when it found nothing to do; it takes whole ones
PACE: Final = 1
#: the folder where the scheduler keeps requests and replies (debug_req_reply_dir), for the evidence
RPCS: Final = "harness_rpcs"
#: options that are files of that name in the project's folder
TRIGGERS: Final = {"stop_sched": "stop_sched", "stop_upload": "stop_upload", "stop_daemons": "stop_daemons", "stop_web": "stop_web"}
#: options that are the content of a file in the project's folder
FILES: Final = {"do_file_delete_regex": "file_delete_regex", "max_jobs_in_progress": "config_aux.xml"}
#: options that are the command lines of daemons
DAEMONS: Final = frozenset({"keep_outputs", "dont_delete_files", "validators", "script_validators", "assimilators"})
#: options of config.xml (sched/sched_config.cpp, html/inc) that can be set on an upstream project; others are the embedded server's own
KNOWN: Final = frozenset(
    {
        *OPTIONS,
        *("disable_account_creation", "no_web_account_creation", "min_passwd_length", "maintenance_delay", "ended", "master_url"),
        *("account_creation_rpc_require_consent", "account_manager", "ban_os", "ban_cpu"),
        *("min_core_client_version", "min_core_client_version_announced", "min_core_client_upgrade_deadline"),
        *("max_wus_in_progress", "max_wus_in_progress_gpu", "gpu_multiplier", "max_ncpus", "max_results_accepted", "report_max"),
        *("one_result_per_host_per_wu", "homogeneous_redundancy", "default_disk_min_free_gb", "ignore_delay_bound", "non_cpu_intensive"),
        *("version_select_random_factor", "prefer_primary_platform", "user_filter", "distinct_beta_apps", "strict_memory_bound"),
        *("verify_files_on_app_start", "keyword_sched", "request_time_stats_log"),
        *("reliable_max_avg_turnaround", "reliable_on_priority", "reliable_priority_on_over", "reliable_reduced_delay_bound"),
        *("reliable_priority_on_over_except_error", "report_grace_period", "grace_period_hours", "uldl_dir_fanout", "delete_delay_hours"),
        *("msg_to_host", "enable_assignment", "enable_assignment_multi", "symstore"),
    }
)


def can_set(name: str, value: object) -> bool:
    """Can an upstream project be given this option? Plug-ins in Python are the embedded server's own."""
    if name in ("validators", "assimilators"):
        return isinstance(value, Mapping) and all(plugin in VALIDATORS or str(plugin).startswith("script:") for plugin in value.values())
    return name in KNOWN or name in TRIGGERS or name in FILES or name in DAEMONS


def file_content(name: str, value: object) -> str:
    """The content of one of `FILES`."""
    return f"<config_aux>\n{value}\n</config_aux>\n" if name == "max_jobs_in_progress" else f"{value}\n"


def with_options(config: str, options: Mapping[str, object]) -> str:
    """A config.xml with these options of its <config> element; those that it has are replaced."""
    for name, value in options.items():
        text = str(int(value)) if isinstance(value, bool) else escape(str(value))
        element = f"<{name}>{text}</{name}>"
        config, count = re.subn(rf"<{name}>.*?</{name}>|<{name}\s*/>", lambda _match, element=element: element, config, flags=re.DOTALL)  # type: ignore[misc]
        if not count:
            if "</config>" not in config:
                raise HarnessError("this is no config.xml", thing=config[:200], expected="a <config> element")
            config = config.replace("</config>", f"    {element}\n    </config>", 1)
    return config


@dataclass(frozen=True, slots=True)
class Daemon:
    """One <daemon> of config.xml: its command, and the name of its log and pid file."""

    command: str
    name: str

    def element(self) -> str:
        lines = (f"<cmd>{escape(self.command)}</cmd>", f"<output>{self.name}.log</output>", f"<pid_file>{self.name}.pid</pid_file>")
        return "<daemon>" + "".join(lines) + "</daemon>"


def with_daemons(config: str, daemons: Iterable[Daemon]) -> str:
    """A config.xml with these daemons; one of the same name is replaced."""
    for daemon in daemons:
        if "</daemons>" not in config:
            raise HarnessError("this is no config.xml", thing=config[:200], expected="a <daemons> element")
        element = daemon.element()
        pattern = rf"<daemon>(?:(?!</daemon>).)*<pid_file>{re.escape(daemon.name)}\.pid</pid_file></daemon>"
        config, count = re.subn(pattern, lambda _match, element=element: element, config, flags=re.DOTALL)  # type: ignore[misc]
        if not count:
            config = config.replace("</daemons>", f"    {element}\n    </daemons>", 1)
    return config


def paced(config: str) -> str:
    """A config.xml whose daemons look every `PACE` seconds, and without tasks: bin/start runs those beside the daemons.

    They write statistics and web pages that no scenario asks for, and take a while.
    """

    def faster(match: re.Match[str]) -> str:
        command = match[1].strip()
        return match[0] if "--sleep_interval" in command else f"<cmd>{command} --sleep_interval {PACE}</cmd>"

    config = re.sub(r"<tasks>.*?</tasks>", "<tasks></tasks>", config, flags=re.DOTALL)
    head, daemons, tail = config.partition("<daemons>")
    inside, end, rest = tail.partition("</daemons>")
    return head + daemons + re.sub(r"<cmd>(.*?)</cmd>", faster, inside, flags=re.DOTALL) + end + rest


def with_deletion(config: str, *, outputs: bool, inputs: bool) -> str:
    """A config.xml whose file_deleter removes what it finds to be removed of these kinds, and leaves the others."""
    flags = ("" if outputs else " --preserve_result_files") + ("" if inputs else " --preserve_wu_files")

    def chosen(match: re.Match[str]) -> str:
        return f"<cmd>{re.sub(r' --preserve_(?:result|wu)_files', '', match[1])}{flags}</cmd>"

    return re.sub(r"<cmd>(\s*file_deleter\b.*?)</cmd>", chosen, config, flags=re.DOTALL)


#: validators by the embedded server's names for them
VALIDATORS: Final = {"bitwise": "sample_bitwise_validator", "trivial": "sample_trivial_validator"}
_ASSIMILATORS: Final = ("sample_dummy_assimilator", "sample_assimilator", "single_job_assimilator")


def daemons_of(app: str, binaries: Sequence[str], options: Mapping[str, object] | None = None) -> list[Daemon]:
    """The validator and the assimilator of an application, of those that the project's bin/ holds (their names have changed).

    `options`: those of `DAEMONS` that are in force.
    """
    chosen = {"validator": _validator(app, options or {}), "assimilator": _assimilator(app, options or {})}
    found = []
    for what, (programs, more) in chosen.items():
        program = next((name for name in programs if name in binaries), None)
        if program is None:
            raise HarnessError(f"the project has no {what}", thing=app, expected=f"one of {', '.join(programs)} in its bin/")
        found.append(Daemon(f"{program} -d 3 --app {app} --sleep_interval {PACE}{more}", f"{app}_{what}"))
    return found


def _of(options: Mapping[str, object], name: str, app: str) -> object:
    value = options.get(name)
    return value.get(app) if isinstance(value, Mapping) else None


def _validator(app: str, options: Mapping[str, object]) -> tuple[Sequence[str], str]:
    scripts = _of(options, "script_validators", app)
    if isinstance(scripts, Mapping):
        return ("script_validator",), "".join(f" --{name} {shlex.quote(str(script))}" for name, script in scripts.items())
    return (VALIDATORS[str(_of(options, "validators", app) or "bitwise")],), ""


def _assimilator(app: str, options: Mapping[str, object]) -> tuple[Sequence[str], str]:
    script = str(_of(options, "assimilators", app) or "")
    if script:
        return ("script_assimilator",), f" --script {shlex.quote(script.removeprefix('script:'))}"
    return _ASSIMILATORS, ""


def with_app(project_xml: str, name: str, friendly: str = "") -> str:
    """A project.xml (what bin/xadd reads) with one more application."""
    if f"<name>{escape(name)}</name>" in re.sub(r"<platform>.*?</platform>", "", project_xml, flags=re.DOTALL):
        return project_xml
    element = f"    <app><name>{escape(name)}</name><user_friendly_name>{escape(friendly or name)}</user_friendly_name></app>\n"
    return project_xml.replace("</boinc>", f"{element}</boinc>", 1)


def sample_apps() -> Mapping[str, Mapping[str, bytes]]:
    """The sample applications of images/apps: name -> path below the project's folder -> content."""
    client = engine.connect()
    with engine.guard("taking the sample applications out of their image"):
        container = client.containers.create(images.ensure("apps"), ["none"], labels=labels.owner_labels(role="apps"))
        try:
            stream, _ = container.get_archive("/apps")
            data = b"".join(stream)
        finally:
            container.remove(force=True)
    return by_app(data)


def by_app(archive: bytes) -> Mapping[str, Mapping[str, bytes]]:
    """Paths of an archive of /apps: apps/NAME/templates/FILE goes to templates/FILE, the rest to apps/NAME/..."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            parts = member.name.split("/")
            if not member.isfile() or len(parts) < 4:
                continue
            source = files.extractfile(member)
            assert source is not None
            path = f"templates/{parts[3]}" if parts[2] == "templates" else "/".join(parts)
            found.setdefault(parts[1], {})[path] = source.read()
    return found
