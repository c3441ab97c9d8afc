"""A volunteer that only talks: builds the requests of a client and reads replies as strictly as one.

For protocol tests and for load: no sockets in here, whoever uses it carries the bytes. The request's
elements and their order are those of client/cs_scheduler.cpp, the reply's rules those of lib/parse.cpp.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from boinc_server.wire.reply import escape

PLATFORM: Final = "x86_64-pc-linux-gnu"
_MESSAGE: Final = re.compile(r'<message priority="(low|notice)">([^<]*)</message>')
_LEAF: Final = re.compile(r"<([a-z_0-9]+)>([^<>]*)</\1>")
_TAG: Final = re.compile(r"<(/?)([a-z_0-9]+)((?: [^<>]*)?)(/?)>")
_RAW: Final = ("global_preferences", "project_preferences", "gui_urls", "code_sign_key", "code_sign_key_signature")
_BLOCK: Final = "<{0}>(.*?)</{0}>"


class BadReplyError(Exception):
    """A reply that a client would refuse or misread."""


@dataclass(slots=True)
class File:
    """A file_info of a reply."""

    name: str
    urls: list[str]
    nbytes: float
    max_nbytes: float
    md5: str
    xml_signature: str
    file_signature: str
    sticky: bool


@dataclass(slots=True)
class Task:
    """A result of a reply, with its workunit's name and files."""

    name: str
    wu_name: str
    app_name: str
    deadline: float
    version_num: int
    plan_class: str
    inputs: list[File]
    outputs: list[File]


@dataclass(slots=True)
class Reply:
    """What a client gets out of a scheduler reply."""

    text: str
    values: dict[str, str]
    """Top-level leaf elements; of repeated ones the last."""
    messages: list[tuple[str, str]]
    """(priority, text)"""
    acks: list[str]
    aborts: list[str]
    aborts_if_not_started: list[str]
    files: dict[str, File]
    tasks: list[Task]

    @property
    def down(self) -> bool:
        return "<project_is_down/>" in self.text

    def says(self, part: str) -> bool:
        """Whether some message contains `part`."""
        return any(part in text for _, text in self.messages)


def _raw(text: str, tag: str) -> str:
    match = re.search(_BLOCK.format(tag), text, re.DOTALL)
    return match.group(1).strip() if match else ""


def _value(text: str, tag: str, default: str = "") -> str:
    match = re.search(f"<{tag}>([^<]*)</{tag}>", text)
    return match.group(1).strip() if match else default


def check_form(text: str) -> None:
    """Raise BadReplyError for what lib/parse.cpp would trip over."""
    if "</scheduler_reply>" not in text:
        raise BadReplyError("No close tag in scheduler reply")
    for raw in _RAW:
        text = re.sub(_BLOCK.format(raw), "", text, flags=re.DOTALL)
    stack: list[str] = []
    for end, name, attributes, empty in _TAG.findall(text):
        if attributes.strip() and name != "message":
            raise BadReplyError(f"attributes on <{name}>")
        if empty:
            continue
        if not end:
            stack.append(name)
        elif not stack or stack.pop() != name:
            raise BadReplyError(f"unbalanced </{name}>")
    if stack:
        raise BadReplyError(f"unclosed <{stack[-1]}>")
    for tag, value in _LEAF.findall(text):
        if re.fullmatch(r"-?0\d+", value):
            raise BadReplyError(f"<{tag}>{value}: read as octal")
        if value.lower() in {"nan", "inf", "-inf", "true", "false", "none"}:
            raise BadReplyError(f"<{tag}>{value}: no value a client can read")


def _file(xml: str) -> File:
    urls = re.findall(r"<(?:url|download_url|upload_url)>([^<]*)</", xml)
    return File(
        _value(xml, "name"),
        [url.strip() for url in urls],
        float(_value(xml, "nbytes", "0") or 0),
        float(_value(xml, "max_nbytes", "0") or 0),
        _value(xml, "md5_cksum"),
        _raw(xml, "xml_signature"),
        _raw(xml, "file_signature"),
        "<sticky/>" in xml,
    )


def read_reply(body: bytes) -> Reply:
    """Read a scheduler reply. Raises BadReplyError."""
    text = body.decode("utf-8")
    check_form(text)
    files = {}
    for xml in re.findall(r"<file_info>(.*?)</file_info>", text, re.DOTALL):
        file = _file(xml)
        if ".." in file.name or "%" in file.name or not file.name:
            raise BadReplyError(f"bad file name {file.name!r}")
        files[file.name] = file
    workunits = {_value(xml, "name"): xml for xml in re.findall(r"<workunit>(.*?)</workunit>", text, re.DOTALL)}
    tasks = []
    for xml in re.findall(r"<result>(.*?)</result>", text, re.DOTALL):
        wu_name = _value(xml, "wu_name")
        if wu_name not in workunits:
            raise BadReplyError(f"result {_value(xml, 'name')} without its workunit {wu_name!r}")
        workunit = workunits[wu_name]
        try:
            inputs = [files[name.strip()] for name in re.findall("<file_name>([^<]*)</", workunit)]
            outputs = [files[name.strip()] for name in re.findall("<file_name>([^<]*)</", xml)]
        except KeyError as missing:
            raise BadReplyError(f"no file_info for {missing}") from None
        tasks.append(
            Task(
                _value(xml, "name"),
                wu_name,
                _value(workunit, "app_name"),
                float(_value(xml, "report_deadline", "0")),
                int(_value(xml, "version_num", "0")),
                _value(xml, "plan_class"),
                inputs,
                outputs,
            )
        )
    top = text
    for block in ("file_info", "workunit", "result", "app", "app_version", *_RAW, "result_ack", "result_abort"):
        top = re.sub(_BLOCK.format(block), "", top, flags=re.DOTALL)

    def names(tag: str) -> list[str]:
        return re.findall(f"<{tag}>\\s*<name>([^<]*)</name>\\s*</{tag}>", text)

    return Reply(
        text,
        {tag: value.strip() for tag, value in _LEAF.findall(top)},
        _MESSAGE.findall(text),
        names("result_ack"),
        names("result_abort"),
        names("result_abort_if_not_started"),
        files,
        tasks,
    )


@dataclass(slots=True)
class Finished:
    """A result to report."""

    name: str
    state: int = 5
    exit_status: int = 0
    stderr: str = "done"
    outputs: list[tuple[File, bytes]] = field(default_factory=list)
    cpu_time: float = 1.0
    elapsed_time: float = 2.0
    version_num: int = 100
    plan_class: str = ""

    def xml(self, client_version: str = "8.2.15") -> str:
        """The ``<result>`` element."""
        files = ""
        for file, content in self.outputs:
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            files += (
                f"<file_info>\n    <name>{file.name}</name>\n    <nbytes>{len(content):f}</nbytes>\n"
                f"    <max_nbytes>{file.max_nbytes:f}</max_nbytes>\n    <md5_cksum>{md5}</md5_cksum>\n"
                + "".join(f"    <upload_url>{url}</upload_url>\n" for url in file.urls)
                + "</file_info>\n"
            )
        return (
            f"<result>\n    <name>{self.name}</name>\n    <final_cpu_time>{self.cpu_time:f}</final_cpu_time>\n"
            f"    <final_elapsed_time>{self.elapsed_time:f}</final_elapsed_time>\n    <exit_status>{self.exit_status}</exit_status>\n"
            f"    <state>{self.state}</state>\n    <platform>{PLATFORM}</platform>\n    <version_num>{self.version_num}</version_num>\n"
            f"    <plan_class>{self.plan_class}</plan_class>\n    <app_version_num>{self.version_num}</app_version_num>\n"
            f"<stderr_out>\n<core_client_version>{client_version}</core_client_version>\n<![CDATA[\n<stderr_txt>\n{self.stderr}\n"
            f"</stderr_txt>\n]]>\n</stderr_out>\n{files}</result>\n"
        )


@dataclass(slots=True)
class SimulatedHost:
    """A client's memory of one project, and its machine."""

    authenticator: str
    name: str = "host-1"
    hostid: int = 0
    seqno: int = 0
    cpid: str = ""
    version: tuple[int, int, int] = (8, 2, 15)
    platforms: tuple[str, ...] = (PLATFORM,)
    ncpus: int = 4
    fpops: float = 4e9
    memory: float = 16e9
    disk_total: float = 1e12
    disk_free: float = 5e11
    os_name: str = "Linux Debian"
    os_version: str = "Debian 12 [6.1.0-x|libc 2.36]"
    vendor: str = "GenuineIntel"
    model: str = "Intel(R) Xeon(R) [Family 6]"
    ip_addr: str = "10.1.0.1"
    code_sign_key: str = ""
    multiple_clients: bool = False
    delay: float = 0.0
    """Seconds of work that it has already."""
    extra: str = ""
    """Further elements, put at the end of each request."""
    held: list[str] = field(default_factory=list)
    """Names of results not yet reported."""
    host_extra: str = ""

    def __post_init__(self) -> None:
        self.cpid = self.cpid or hashlib.md5(self.name.encode(), usedforsecurity=False).hexdigest()

    def request(self, seconds: float = 0.0, finished: list[Finished] | None = None, *, other_results: bool = True) -> bytes:
        """The body of the next scheduler RPC, asking for `seconds` of CPU work."""
        major, minor, release = self.version
        instances = 1.0 if seconds else 0.0
        alternatives = "".join(f"<alt_platform>\n    <name>{name}</name>\n</alt_platform>\n" for name in self.platforms[1:])
        key = f"<code_sign_key>\n{self.code_sign_key}\n</code_sign_key>\n" if self.code_sign_key else ""
        done = finished or []
        reported = {result.name for result in done}
        others = "".join(
            f"    <other_result>\n        <name>{escape(name)}</name>\n        <app_version>0</app_version>\n    </other_result>\n"
            for name in self.held
            if name not in reported
        )
        text = (
            f"<scheduler_request>\n    <authenticator>{escape(self.authenticator)}</authenticator>\n    <hostid>{self.hostid}</hostid>\n"
            f"    <rpc_seqno>{self.seqno}</rpc_seqno>\n    <core_client_major_version>{major}</core_client_major_version>\n"
            f"    <core_client_minor_version>{minor}</core_client_minor_version>\n"
            f"    <core_client_release>{release}</core_client_release>\n"
            f"    <resource_share_fraction>1.000000</resource_share_fraction>\n    <rrs_fraction>1.000000</rrs_fraction>\n"
            f"    <prrs_fraction>1.000000</prrs_fraction>\n    <duration_correction_factor>1.000000</duration_correction_factor>\n"
            f"    <allow_multiple_clients>{int(self.multiple_clients)}</allow_multiple_clients>\n    <sandbox>0</sandbox>\n"
            f"    <dont_send_work>0</dont_send_work>\n    <work_req_seconds>{seconds:f}</work_req_seconds>\n"
            f"    <cpu_req_secs>{seconds:f}</cpu_req_secs>\n    <cpu_req_instances>{instances:f}</cpu_req_instances>\n"
            f"    <estimated_delay>{self.delay:f}</estimated_delay>\n    <client_cap_plan_class>1</client_cap_plan_class>\n"
            f"    <platform_name>{self.platforms[0]}</platform_name>\n{alternatives}{key}"
            "    <working_global_preferences>\n<global_preferences>\n   <source_project></source_project>\n"
            "   <mod_time>0.000000</mod_time>\n"
            "   <disk_max_used_gb>100.0</disk_max_used_gb>\n   <disk_max_used_pct>90.0</disk_max_used_pct>\n"
            "   <disk_min_free_gb>1.0</disk_min_free_gb>\n   <ram_max_used_busy_pct>50.0</ram_max_used_busy_pct>\n"
            "   <ram_max_used_idle_pct>90.0</ram_max_used_idle_pct>\n</global_preferences>\n    </working_global_preferences>\n"
            "    <time_stats>\n    <on_frac>0.99</on_frac>\n    <connected_frac>-1.0</connected_frac>\n"
            "    <active_frac>0.99</active_frac>\n"
            "    <gpu_active_frac>0.99</gpu_active_frac>\n    <cpu_and_network_available_frac>0.99</cpu_and_network_available_frac>\n"
            "    </time_stats>\n    <net_stats>\n    <bwup>1000000.0</bwup>\n    <bwdown>1000000.0</bwdown>\n    </net_stats>\n"
            f"    <host_info>\n    <timezone>0</timezone>\n    <domain_name>{escape(self.name)}</domain_name>\n"
            f"    <ip_addr>{self.ip_addr}</ip_addr>\n    <host_cpid>{self.cpid}</host_cpid>\n    <p_ncpus>{self.ncpus}</p_ncpus>\n"
            f"    <p_vendor>{escape(self.vendor)}</p_vendor>\n    <p_model>{escape(self.model)}</p_model>\n"
            f"    <p_features>fpu vme sse2 avx2</p_features>\n    <p_fpops>{self.fpops:f}</p_fpops>\n    <p_iops>{self.fpops:f}</p_iops>\n"
            f"    <p_membw>1000000000.0</p_membw>\n    <p_calculated>1700000000.0</p_calculated>\n"
            f"    <p_vm_extensions_disabled>0</p_vm_extensions_disabled>\n    <m_nbytes>{self.memory:f}</m_nbytes>\n"
            f"    <m_cache>1048576.0</m_cache>\n    <m_swap>0.000000</m_swap>\n    <d_total>{self.disk_total:f}</d_total>\n"
            f"    <d_free>{self.disk_free:f}</d_free>\n    <os_name>{escape(self.os_name)}</os_name>\n"
            f"    <os_version>{escape(self.os_version)}</os_version>\n    <n_usable_coprocs>0</n_usable_coprocs>\n{self.host_extra}"
            "    </host_info>\n    <disk_usage>\n    <d_boinc_used_total>1000000.0</d_boinc_used_total>\n"
            "    <d_boinc_used_project>1000000.0</d_boinc_used_project>\n    <d_project_share>90000000000.0</d_project_share>\n"
            "    </disk_usage>\n    <coprocs>\n    </coprocs>\n"
        )
        text += "".join(result.xml(f"{major}.{minor}.{release}") for result in done)
        text += self.extra
        text += "<app_versions>\n</app_versions>\n"
        if other_results:
            text += f"<other_results>\n{others}</other_results>\n"
        return f"{text}</scheduler_request>\n".encode()

    def accept(self, body: bytes, finished: list[Finished] | None = None) -> Reply:
        """Read the reply to the last request and remember what a client would."""
        reply = read_reply(body)
        self.seqno += 1
        if "hostid" in reply.values:
            self.hostid = int(reply.values["hostid"])
            self.seqno = 0
        if key := _raw(reply.text, "code_sign_key"):
            self.code_sign_key = key
        for result in finished or []:
            if result.name in reply.acks and result.name in self.held:
                self.held.remove(result.name)
        self.held += [task.name for task in reply.tasks if task.name not in self.held]
        self.held = [name for name in self.held if name not in reply.aborts]
        return reply


def upload_request(file: File, content: bytes, offset: int = 0) -> bytes:
    """The body that uploads an output file from an offset on."""
    signature = f"<xml_signature>\n{file.xml_signature}\n</xml_signature>\n" if file.xml_signature else ""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    head = (
        "<data_server_request>\n    <core_client_major_version>8</core_client_major_version>\n"
        "    <core_client_minor_version>2</core_client_minor_version>\n    <core_client_release>15</core_client_release>\n"
        f"<file_upload>\n<file_info>\n<name>{file.name}</name>\n{signature}<max_nbytes>{file.max_nbytes:.0f}</max_nbytes>\n</file_info>\n"
        f"<nbytes>{len(content)}</nbytes>\n<md5_cksum>{md5}</md5_cksum>\n<offset>{offset}</offset>\n<data>\n"
    )
    return head.encode() + content[offset:]
