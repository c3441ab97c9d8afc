"""The scheduler reply (written upstream by SCHEDULER_REPLY::write in sched/sched_types.cpp).

The client's parser (lib/parse.cpp) sets the rules: no attributes but ``priority``, no leading
zeros in integers, flags as ``<x/>``, raw blocks starting right behind their start tag, nothing
wrapped in containers of our own, finite numbers, elements on lines of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

Priority = Literal["low", "notice"]

SCHEDULER_VERSION: Final = 803
"""major * 100 + minor of the server we stand in for; >= 507 lets global preferences through."""
DELAY_MAX: Final = 2 * 86400.0
DELAY_MISSING_KEY: Final = 3600.0
DELAY_UNACCEPTABLE: Final = 86400.0
"""After a refused operating system, CPU, platform or client version, and for a banned host."""
DELAY_LOCKED: Final = 60.0
DELAY_NO_WORK_SKIP: Final = 0.0
_MAX_MESSAGE: Final = 1000
"""Bytes; the client's buffer has 1024."""

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape(text: str) -> str:
    """Escape a text the way lib/str_util.cpp's xml_escape does; control characters vanish.

    Characters above 127 are sent as UTF-8 and not as ``&#N;``, which the client limits to 255.
    """
    if text.isalnum() and text.isascii():
        return text
    return "".join(c for c in text if c >= " " or c in "\n\t").translate(_ESCAPES)


def number(value: float) -> str:
    """A number in a form that strtod consumes whole; what is not finite, which no client could read, is 0."""
    return f"{value:.6f}" if value - value == 0.0 else "0.000000"


@dataclass(slots=True)
class Message:
    text: str
    priority: Priority = "low"


@dataclass(slots=True)
class UserData:
    """What the reply says about the user."""

    id: int
    name: str
    total_credit: float
    expavg_credit: float
    create_time: int
    email_hash: str = ""
    cross_project_id: str = ""
    external_cpid: str = ""
    cpid_time: int = 0
    teamid: int = 0
    team_name: str = ""


@dataclass(slots=True)
class HostData:
    """What the reply says about the host; `id` is sent only when the record is new or changed."""

    id: int
    total_credit: float = 0.0
    expavg_credit: float = 0.0
    create_time: int = 0
    venue: str = ""
    send_id: bool = False


@dataclass(slots=True)
class SchedulerReply:
    """Everything a reply can say; lists keep their order.

    `apps`, `app_versions`, `workunits` and `results` hold finished XML: `app_versions` with the
    file_infos it needs in front, likewise the others. Blocks already present are not sent twice.
    """

    project_name: str = ""
    master_url: str = ""
    request_delay: float = 0.0
    next_rpc_delay: float = 0.0
    messages: list[Message] = field(default_factory=list)
    project_is_down: bool = False
    nucleus_only: bool = False
    """Only messages and delays: the requester is not authenticated."""
    ended: bool = False
    user: UserData | None = None
    host: HostData | None = None
    global_preferences: str = ""
    """Contents of ``<global_preferences>`` without the tag, "" for none."""
    project_preferences: str = ""
    """Contents of ``<project_preferences>`` without the tag."""
    gui_urls: str = ""
    rss_feeds: str = ""
    code_sign_key: str = ""
    code_sign_key_signature: str = ""
    result_acks: list[str] = field(default_factory=list)
    result_aborts: list[str] = field(default_factory=list)
    result_aborts_if_not_started: list[str] = field(default_factory=list)
    apps: list[str] = field(default_factory=list)
    app_versions: list[str] = field(default_factory=list)
    workunits: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    delete_file_infos: list[str] = field(default_factory=list)
    message_ack: bool = False
    trickles_down: list[str] = field(default_factory=list)
    """Whole ``<trickle_down>`` elements."""
    no_rsc_apps: list[str] = field(default_factory=list)
    trickle_up_urls: list[str] = field(default_factory=list)
    symstore: str = ""
    send_full_workload: bool = False
    send_time_stats_log: bool = False
    send_job_log: int = 0
    non_cpu_intensive: bool = False
    strict_memory_bound: bool = False
    verify_files_on_app_start: bool = False
    translates: bool = True
    """Does the client show the part of a message that is marked for it in the volunteer's language? Those before 6.12 do not."""
    project_files: str = ""
    """A whole ``<project_files>`` element with its file_infos in front."""

    def set_delay(self, seconds: float) -> None:
        """Raise request_delay to `seconds`, never beyond two days."""
        self.request_delay = min(max(self.request_delay, seconds), DELAY_MAX)

    def insert_message(self, text: str, priority: Priority = "low") -> None:
        self.messages.append(Message(text, priority))

    def write(self, min_sendwork_interval: float = 0.0) -> bytes:
        """The body. `min_sendwork_interval` N forces a delay of at least max(1.01 N, N + 1)."""
        if min_sendwork_interval > 0:
            needed = max(1.01 * min_sendwork_interval, min_sendwork_interval + 1)
            self.request_delay = max(self.request_delay, needed)
        out = [f"<scheduler_reply>\n<scheduler_version>{SCHEDULER_VERSION}</scheduler_version>\n", "<dont_use_dcf/>\n"]
        if self.master_url:
            out.append(f"<master_url>{escape(self.master_url)}</master_url>\n")
        if self.ended:
            out.append("<ended>1</ended>\n")
        if self.request_delay > 0:
            out.append(f"<request_delay>{number(self.request_delay)}</request_delay>\n")
        for message in self.messages:
            text = message.text if self.translates else _TRANSLATABLE.sub(r"\1", message.text)
            out.append(f'<message priority="{message.priority}">{_message_text(text)}</message>\n')
        out.append(f"<project_name>{escape(self.project_name)}</project_name>\n")
        if self.send_time_stats_log:
            out.append("<send_time_stats_log>1</send_time_stats_log>\n")
        if self.send_job_log:
            out.append(f"<send_job_log>{self.send_job_log}</send_job_log>\n")
        if self.project_is_down:
            out.append("<project_is_down/>\n")
        else:
            if self.send_full_workload:
                out.append("<send_full_workload/>\n")
            if not self.nucleus_only:
                self._write_rest(out)
        out.append("</scheduler_reply>\n")
        return "".join(out).encode("utf-8", "replace")

    def _write_rest(self, out: list[str]) -> None:
        if self.symstore:
            out.append(f"<symstore>{escape(self.symstore)}</symstore>\n")
        if self.next_rpc_delay > 0:
            out.append(f"<next_rpc_delay>{number(self.next_rpc_delay)}</next_rpc_delay>\n")
        if self.user is not None:
            self._write_user(out, self.user)
        if self.host is not None:
            self._write_host(out, self.host)
        _names(out, "result_ack", self.result_acks)
        _names(out, "result_abort", self.result_aborts)
        _names(out, "result_abort_if_not_started", self.result_aborts_if_not_started)
        for blocks in (self.apps, self.app_versions, self.workunits, self.results):
            out.extend(block if block.endswith("\n") else block + "\n" for block in dict.fromkeys(blocks))
        if self.code_sign_key:
            # Raw blocks: the client stores what stands between the tags, stripped.
            out.append(f"<code_sign_key>\n{self.code_sign_key.strip()}\n</code_sign_key>\n")
        if self.code_sign_key_signature:
            signature = self.code_sign_key_signature.strip()
            out.append(f"<code_sign_key_signature>\n{signature}\n</code_sign_key_signature>\n")
        if self.message_ack:
            out.append("<message_ack/>\n")
        out.extend(f"{trickle.strip()}\n" for trickle in self.trickles_down)
        flags = ("non_cpu_intensive", "strict_memory_bound", "verify_files_on_app_start")
        out.extend(f"<{flag}/>\n" for flag in flags if getattr(self, flag))
        out.extend(f"<delete_file_info>{escape(name)}</delete_file_info>\n" for name in self.delete_file_infos)
        out.extend(f"<no_rsc_apps>{name}</no_rsc_apps>\n" for name in self.no_rsc_apps)
        if self.trickle_up_urls:
            urls = "".join(f"<url>{escape(url)}</url>\n" for url in self.trickle_up_urls)
            out.append(f"<trickle_up_urls>\n{urls}</trickle_up_urls>\n")
        tail = (self.gui_urls, self.rss_feeds, self.project_files)
        out.extend(f"{block.strip()}\n" for block in tail if block)

    def _write_user(self, out: list[str], user: UserData) -> None:
        out.append(
            f"<userid>{user.id}</userid>\n"
            f"<user_name>{escape(user.name)}</user_name>\n"
            f"<user_total_credit>{number(user.total_credit)}</user_total_credit>\n"
            f"<user_expavg_credit>{number(user.expavg_credit)}</user_expavg_credit>\n"
            f"<user_create_time>{user.create_time}</user_create_time>\n"
        )
        if user.email_hash:
            out.append(f"<email_hash>{user.email_hash}</email_hash>\n")
        if user.cross_project_id:
            out.append(
                f"<cross_project_id>{escape(user.cross_project_id)}</cross_project_id>\n"
                f"<external_cpid>{user.external_cpid}</external_cpid>\n"
            )
        if user.cpid_time:
            out.append(f"<cpid_time>{user.cpid_time}</cpid_time>\n")
        if self.global_preferences:
            # Raw: nothing may stand between the start tag and the contents but the contents.
            out.append(f"<global_preferences>\n{self.global_preferences.strip()}\n</global_preferences>\n")
        out.append(f"<project_preferences>\n{self.project_preferences.strip()}\n</project_preferences>\n")
        if user.teamid:
            out.append(f"<teamid>{user.teamid}</teamid>\n")
        out.append(f"<team_name>{escape(user.team_name)}</team_name>\n")

    @staticmethod
    def _write_host(out: list[str], host: HostData) -> None:
        if host.send_id:
            out.append(f"<hostid>{host.id}</hostid>\n")
        out.append(
            f"<host_total_credit>{number(host.total_credit)}</host_total_credit>\n"
            f"<host_expavg_credit>{number(host.expavg_credit)}</host_expavg_credit>\n"
            f"<host_venue>{escape(host.venue)}</host_venue>\n"
            f"<host_create_time>{host.create_time}</host_create_time>\n"
        )


def _names(out: list[str], tag: str, names: Iterable[str]) -> None:
    out.extend(f"<{tag}>\n    <name>{escape(name)}</name>\n</{tag}>\n" for name in names)


_TRANSLATABLE: Final = re.compile(r'_\("(.*?)"\)')


def translatable(text: str, *rest: str) -> str:
    """A message whose first part clients show in the volunteer's language: they look for _("...") (lib/sched_msgs.h)."""
    return " ".join((f'_("{text}")', *rest))


def _message_text(text: str) -> str:
    """An escaped message that fits the client's buffer; what is cut off is whole characters."""
    text = text[:_MAX_MESSAGE]
    while len((escaped := escape(text)).encode("utf-8", "replace")) > _MAX_MESSAGE:
        text = text[: len(text) * 7 // 8]
    return escaped
