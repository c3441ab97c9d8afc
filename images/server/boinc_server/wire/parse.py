"""Reading a scheduler request (upstream: SCHEDULER_REQUEST::parse in sched/sched_types.cpp)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from boinc_server.wire import limits
from boinc_server.wire.reader import (
    Fields,
    Reader,
    Token,
    WireError,
    boolean,
    decode,
    double,
    fill,
    integer,
    long_string,
    not_negative,
    store,
    string,
    unescape,
)
from boinc_server.wire.request import (
    AppVersion,
    Coproc,
    DiskUsage,
    FileInfo,
    GlobalPrefs,
    InProgressResult,
    MsgFromHost,
    NetStats,
    OtherResult,
    ReportedResult,
    SchedulerRequest,
    TimeStats,
)


def _blob(text: str) -> str:
    return text.strip()[: limits.MAX_BLOB]


def _seconds(text: str) -> float:
    return min(not_negative(text), limits.MAX_SECONDS)


def _key(text: str) -> str:
    return string(text, 4096)


def _fields(*specs: str) -> Fields:
    """``"name:kind"`` or ``"tag=attribute:kind"`` -> field table; kinds are one letter.

    s text, l long text, i int, d number, p number >= 0, t seconds, b flag, r raw blob, k key text.
    """
    kinds = {
        "s": string, "l": long_string, "i": integer, "d": double, "p": not_negative,
        "b": boolean, "r": _blob, "k": _key, "t": _seconds,
    }  # fmt: skip
    table = {}
    for spec in specs:
        names, kind = spec.split(":")
        tag, _, attribute = names.partition("=")
        table[tag] = (attribute or tag, kinds[kind])
    return table


_ROOT: Final = _fields(
    "authenticator:s", "hostid:i", "rpc_seqno:i", "core_client_major_version:i",
    "core_client_minor_version:i", "core_client_release:i", "resource_share_fraction:p",
    "rrs_fraction:p", "prrs_fraction:p", "duration_correction_factor:p",
    "allow_multiple_clients:b", "sandbox:b", "dont_send_work:b", "dont_use_docker:b",
    "work_req_seconds:p", "cpu_req_secs:p", "cpu_req_instances:p", "estimated_delay:p",
    "client_cap_plan_class:b", "platform_name:s", "code_sign_key:k", "global_preferences:r",
    "global_prefs_source_email_hash:s", "cross_project_id:s", "time_stats_log:r", "job_log:r",
    "client_brand:s", "user_keywords:l",
)  # fmt: skip
_RESULT: Final = _fields(
    "name:s", "final_cpu_time:t", "final_elapsed_time:t", "exit_status:i", "state:i", "platform:s",
    "version_num:i", "plan_class:s", "app_version_num:i", "final_peak_working_set_size:p",
    "final_peak_swap_size:p", "final_peak_disk_usage:p", "fpops_per_cpu_sec:p",
    "fpops_cumulative:p", "intops_per_cpu_sec:p", "intops_cumulative:p", "stderr_out:r",
)  # fmt: skip
_FILE_INFO: Final = _fields("name:s", "nbytes:p", "max_nbytes:p", "md5_cksum:s", "status:i")
_TIME_STATS: Final = _fields(*(f"{name}:d" for name in TimeStats.__slots__))
_NET_STATS: Final = _fields(*(f"{name}:p" for name in NetStats.__slots__))
_HOST_INFO: Final = _fields(
    "timezone:i", "domain_name:s", "ip_addr:s", "host_cpid:s", "p_ncpus:i", "p_vendor:s",
    "p_model:s", "p_features:r", "p_fpops:p", "p_iops:p", "p_membw:p", "p_calculated:p",
    "p_vm_extensions_disabled:b", "m_nbytes:p", "m_cache:p", "m_swap:p", "d_total:p", "d_free:p",
    "os_name:s", "os_version:s", "n_usable_coprocs:i", "docker_version:s", "docker_type:i",
    "docker_compose_version:s", "docker_compose_type:i", "product_name:s", "mac_address:s",
    "virtualbox_version:s", "wsl_available:b", "wsl:r",
)  # fmt: skip
_DISK_USAGE: Final = _fields(*(f"{name}:p" for name in DiskUsage.__slots__))
_COPROC: Final = _fields(
    "type:s", "count:i", "name:s", "req_secs:p", "req_instances:p", "estimated_delay:p",
    "peak_flops:p", "available_ram:p",
)  # fmt: skip
_APP_VERSION: Final = _fields(
    "app_name:s", "version_num:i", "platform:s", "plan_class:s", "api_version:s", "cmdline:s",
    "file_prefix:s", "avg_ncpus:p", "flops:p",
)  # fmt: skip
_OTHER_RESULT: Final = _fields("name:s", "app_version:i", "plan_class:s")
_IP_RESULT: Final = _fields("name:s", "report_deadline:p", "time_remaining:p", "avg_ncpus:p")
_PREFS: Final = _fields(
    "source_project:s", "mod_time:p", "work_buf_min_days:p", "work_buf_additional_days:p",
    "max_ncpus_pct:p", "disk_max_used_gb:p", "disk_max_used_pct:p", "disk_min_free_gb:p",
    "ram_max_used_busy_pct:p", "ram_max_used_idle_pct:p", "max_bytes_sec_down:p",
    "max_bytes_sec_up:p", "cpu_usage_limit:p", "run_if_user_active:b", "run_on_batteries:b",
)  # fmt: skip
_T = TypeVar("_T")
_COPROC_TYPES: Final = {
    "coproc_cuda": "NVIDIA",
    "coproc_ati": "ATI",
    "coproc_intel_gpu": "intel_gpu",
    "coproc_apple_gpu": "apple_gpu",
}
_ROOT_TAG: Final = "scheduler_request"
_CDATA: Final = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*\Z", re.DOTALL)
_VARIETY: Final = re.compile(r"<variety>([^<]{0,254})</variety>")


class _Parser:
    """Reads one request; a method per container element of the root."""

    def __init__(self, text: str) -> None:
        self.reader = Reader(text)
        self.request = SchedulerRequest()

    def parse(self) -> SchedulerRequest:
        reader = self.reader
        start = reader.text.find(f"<{_ROOT_TAG}>")
        if start < 0:
            raise WireError("no start tag")
        reader.pos = start + len(_ROOT_TAG) + 2
        containers = _CONTAINERS
        request = self.request
        while (token := reader.next()) is not None:
            if token.is_end:
                if token.name == _ROOT_TAG:
                    return request
                continue
            handler = containers.get(token.name)
            if handler is not None:
                handler(self, token)
            else:
                store(reader, token, request, _ROOT)
        raise WireError("no end tag")

    def _leaf_only(self, token: Token) -> bool:
        """True when the container is empty: there is nothing to descend into."""
        return token.text is not None

    def alt_platform(self, token: Token) -> None:
        inner = Reader(self.reader.contents(token))
        while (leaf := inner.next()) is not None:
            if leaf.name == "name" and leaf.text:
                _check(len(self.request.alt_platforms), limits.MAX_ALT_PLATFORMS, "alt_platforms")
                self.request.alt_platforms.append(string(leaf.text[: limits.MAX_STRING]))

    def working_global_preferences(self, token: Token) -> None:
        self.request.working_global_preferences = parse_global_prefs(self.reader.contents(token))

    def time_stats(self, token: Token) -> None:
        if not self._leaf_only(token):
            self.reader.fill(self.request.time_stats, token.name, _TIME_STATS)

    def net_stats(self, token: Token) -> None:
        if not self._leaf_only(token):
            self.reader.fill(self.request.net_stats, token.name, _NET_STATS)

    def host_info(self, token: Token) -> None:
        if not self._leaf_only(token):
            self.reader.fill(self.request.host_info, token.name, _HOST_INFO)

    def disk_usage(self, token: Token) -> None:
        self.request.disk_usage = usage = DiskUsage()
        if not self._leaf_only(token):
            self.reader.fill(usage, token.name, _DISK_USAGE)

    def coprocs(self, token: Token) -> None:
        inner = Reader(self.reader.contents(token))
        while (start := inner.next()) is not None:
            if start.is_end or start.text is not None or not start.name.startswith("coproc"):
                continue
            _check(len(self.request.coprocs), limits.MAX_COPROCS, "coprocs")
            self.request.coprocs.append(_parse_coproc(start.name, inner.raw(start.name)))

    def result(self, token: Token) -> None:
        _check(len(self.request.results), limits.MAX_RESULTS, "results")
        result = ReportedResult()
        self.request.results.append(result)
        if self._leaf_only(token):
            return
        reader = self.reader
        while (leaf := reader.next()) is not None:
            if leaf.is_end:
                if leaf.name == "result":
                    return
            elif leaf.name == "file_info":
                _check(len(result.file_infos), limits.MAX_FILE_INFOS, "file_infos")
                result.file_infos.append(_parse_file_info(reader.contents(leaf)))
            elif leaf.name == "stderr_out":
                # Raw text of the application: found by the literal end tag, nothing in it counts.
                result.stderr_out = _blob(reader.contents(leaf))
            else:
                store(reader, leaf, result, _RESULT)
        raise WireError("no </result>")

    def msg_from_host(self, token: Token) -> None:
        _check(len(self.request.msgs_from_host), limits.MAX_MSGS_FROM_HOST, "msgs_from_host")
        self.request.msgs_from_host.append(_parse_msg(self.reader.contents(token)))

    def file_info(self, token: Token) -> None:
        _check(len(self.request.file_infos), limits.MAX_FILE_INFOS, "file_infos")
        self.request.file_infos.append(_parse_file_info(self.reader.contents(token)))

    def app_versions(self, token: Token) -> None:
        for contents in _children(self.reader.contents(token), "app_version"):
            _check(len(self.request.app_versions), limits.MAX_APP_VERSIONS, "app_versions")
            self.request.app_versions.append(_filled(AppVersion(), contents, _APP_VERSION))

    def other_results(self, token: Token) -> None:
        self.request.have_other_results_list = True
        for contents in _children(self.reader.contents(token), "other_result"):
            _check(len(self.request.other_results), limits.MAX_OTHER_RESULTS, "other_results")
            self.request.other_results.append(_filled(OtherResult(), contents, _OTHER_RESULT))

    def in_progress_results(self, token: Token) -> None:
        self.request.have_ip_results_list = True
        for contents in _children(self.reader.contents(token), "ip_result"):
            held = self.request.in_progress_results
            _check(len(held), limits.MAX_OTHER_RESULTS, "ip_results")
            held.append(_filled(InProgressResult(), contents, _IP_RESULT))

    def client_opaque(self, token: Token) -> None:
        contents = self.reader.contents(token)
        match = _CDATA.match(contents)
        self.request.client_opaque = (match.group(1) if match else contents)[: limits.MAX_BLOB]


def _check(count: int, maximum: int, what: str) -> None:
    if count >= maximum:
        raise WireError(f"more than {maximum} {what}")


def _filled(target: _T, contents: str, fields: Fields) -> _T:
    """`target` with the leaf elements of `contents` stored in it."""
    fill(target, contents, fields)
    return target


def _children(contents: str, name: str) -> list[str]:
    """The raw contents of each element `name` directly inside `contents`."""
    inner = Reader(contents)
    found = []
    while (token := inner.next()) is not None:
        if token.is_end:
            continue
        child = inner.contents(token)
        if token.name == name:
            found.append(child)
    return found


def _parse_file_info(contents: str) -> FileInfo:
    info = _filled(FileInfo(), contents, _FILE_INFO)
    info.xml = f"<file_info>{contents[: limits.MAX_BLOB]}</file_info>\n"
    return info


def _parse_coproc(tag: str, contents: str) -> Coproc:
    coproc = Coproc(tag, _COPROC_TYPES.get(tag, ""))
    inner = Reader(contents)
    while (token := inner.next()) is not None:
        if token.is_end:
            continue
        if token.text is None:
            inner.raw(token.name)
            continue
        coproc.values[token.name] = unescape(token.text.strip())[: limits.MAX_LONG_STRING]
        store(inner, token, coproc, _COPROC)
    return coproc


def _parse_msg(contents: str) -> MsgFromHost:
    message = MsgFromHost()
    inner = Reader(contents)
    while (token := inner.next()) is not None:
        if token.name == "result_name" and token.text is not None:
            message.result_name = string(token.text[: limits.MAX_STRING])
        elif token.name == "time" and token.text is not None:
            store(inner, token, message, {"time": ("time", not_negative)})
            break
        elif not token.is_end:
            break
    variety = _VARIETY.search(contents)
    if variety:
        message.variety = unescape(variety.group(1).strip())
        contents = contents[: variety.start()] + contents[variety.end() :].removeprefix("\n")
    message.xml = contents.lstrip("\n")[: limits.MAX_TRICKLE]
    return message


_MOD_TIME: Final = re.compile(r"<mod_time>\s*(\d{1,15}(?:\.\d*)?)\s*</mod_time>")


def parse_global_prefs(contents: str, venue: str = "") -> GlobalPrefs:
    """The preferences in `contents`, with or without the surrounding tag.

    Values inside ``<venue name="X">`` count only when X is `venue`, and then instead of the others. What stands behind
    an element without end is lost: stored preferences must never keep their owner's computers out.
    """
    prefs = GlobalPrefs(raw=contents.strip()[: limits.MAX_BLOB])
    start = contents.find(f'<venue name="{venue}">') if venue else -1
    end = contents.find("</venue>", start) if start >= 0 else -1
    own = contents[contents.index(">", start) + 1 : end] if end >= 0 else contents
    start, end = own.find("<global_preferences>"), own.rfind("</global_preferences>")
    with contextlib.suppress(WireError):
        fill(prefs, own[start + len("<global_preferences>") : end] if 0 <= start < end else own, _PREFS)
    if own is not contents and not prefs.mod_time and (made := _MOD_TIME.search(contents)) is not None:
        # When they were made stands outside of the venues (GLOBAL_PREFS::parse_mod_time).
        prefs.mod_time = float(made[1])
    return prefs


_CONTAINERS: Final[Mapping[str, Callable[[_Parser, Token], None]]] = {
    name: getattr(_Parser, name)
    for name in (
        "alt_platform", "working_global_preferences", "time_stats", "net_stats", "host_info",
        "disk_usage", "coprocs", "result", "msg_from_host", "file_info", "app_versions",
        "other_results", "in_progress_results", "client_opaque",
    )
}  # fmt: skip


def parse_request(body: bytes) -> SchedulerRequest:
    """Read the body of a scheduler RPC.

    Raises:
        WireError: no ``<scheduler_request>``, a container without end, or a limit exceeded
            (status 413 for the size, else 400).
    """
    if len(body) > limits.MAX_SCHEDULER_REQUEST:
        raise WireError(f"request of more than {limits.MAX_SCHEDULER_REQUEST} bytes", 413)
    return _Parser(decode(body)).parse()
