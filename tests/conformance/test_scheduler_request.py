"""Every element of the scheduler request has the effect it has upstream (client/cs_scheduler.cpp, lib/hostinfo.cpp)."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from boinc_server import models, simulate

from .conftest import EMAIL, World


def replaced(world: World, tag: str, value: str) -> bytes:
    """The host's request with one element's text changed (added at the end when it is not there)."""
    body = world.host.request().decode()
    changed, count = re.subn(f"<{tag}>[^<]*</{tag}>", lambda _: f"<{tag}>{value}</{tag}>", body, count=1)
    if not count:
        changed = body.replace("</scheduler_request>", f"<{tag}>{value}</{tag}>\n</scheduler_request>")
    return changed.encode()


HOST_COLUMNS: list[tuple[str, str, str, Any]] = [
    ("timezone", "7200", "timezone", 7200),
    ("domain_name", "box-7", "domain_name", "box-7"),
    ("ip_addr", "192.168.7.7", "last_ip_addr", "192.168.7.7"),
    ("p_ncpus", "32", "p_ncpus", 32),
    ("p_vendor", "AuthenticAMD", "p_vendor", "AuthenticAMD"),
    ("p_model", "AMD &lt;Ryzen&gt; &amp; co", "p_model", "AMD <Ryzen> & co"),
    ("p_fpops", "5500000000.5", "p_fpops", 5500000000.5),
    ("p_iops", "1e10", "p_iops", 1e10),
    ("p_membw", "2e9", "p_membw", 2e9),
    ("m_nbytes", "33e9", "m_nbytes", 33e9),
    ("m_cache", "2097152", "m_cache", 2097152.0),
    ("m_swap", "1e9", "m_swap", 1e9),
    ("d_total", "2e12", "d_total", 2e12),
    ("d_free", "1e12", "d_free", 1e12),
    ("os_name", "Linux Ubuntu", "os_name", "Linux Ubuntu"),
    ("os_version", "24.04 [6.8|libc 2.39]", "os_version", "24.04 [6.8|libc 2.39]"),
    ("on_frac", "0.5", "on_frac", 0.5),
    ("connected_frac", "0.25", "connected_frac", 0.25),
    ("active_frac", "0.75", "active_frac", 0.75),
    ("gpu_active_frac", "0.125", "gpu_active_frac", 0.125),
    ("duration_correction_factor", "1.25", "duration_correction_factor", 1.25),
    ("bwup", "123456", "n_bwup", 123456.0),
    ("bwdown", "654321", "n_bwdown", 654321.0),
    ("d_boinc_used_total", "77", "d_boinc_used_total", 77.0),
    ("d_boinc_used_project", "66", "d_boinc_used_project", 66.0),
]


@pytest.mark.parametrize(("tag", "text", "column", "value"), HOST_COLUMNS)
def test_element_is_stored_with_the_host(world: World, tag: str, text: str, column: str, value: Any) -> None:
    world.rpc()
    world.post(replaced(world, tag, text).replace(b"<hostid>0<", b"<hostid>1<"))
    assert getattr(world.row(models.host), column) == value


@pytest.mark.parametrize(
    ("element", "part"),
    [
        ("<product_name>Some Box</product_name>", "Some Box"),
        ("<virtualbox_version>7.2.22</virtualbox_version>", "[vbox|7.2.22|1]"),
        ("<docker_version>4.3.1</docker_version><docker_type>2</docker_type>", "[docker|4.3.1|2]"),
    ],
)
def test_optional_host_elements(world: World, element: str, part: str) -> None:
    world.host.host_extra = element
    world.rpc()
    host = world.row(models.host)
    assert part in host.serialnum or part == host.product_name


def test_virtualbox_and_docker_are_in_misc(world: World) -> None:
    world.host.host_extra = "<virtualbox_version>7.0</virtualbox_version><docker_version>27</docker_version><docker_type>1</docker_type>"
    world.rpc()
    misc = json.loads(world.row(models.host).misc)
    assert (misc["virtualbox_version"], misc["docker_version"], misc["docker_type"]) == ("7.0", "27", 1)


MISC: list[tuple[str, str, Any]] = [
    ("<p_features>fpu sse4_2</p_features>", "p_features", "fpu sse4_2"),
    ("<p_vm_extensions_disabled>1</p_vm_extensions_disabled>", "p_vm_extensions_disabled", True),
    ("<docker_version>27</docker_version>", "docker_version", "27"),
    ("<docker_type>2</docker_type>", "docker_type", 2),
    ("<docker_compose_version>2.1</docker_compose_version><docker_compose_type>1</docker_compose_type>", "docker_version", None),
    ("<mac_address>00:11:22:33:44:55</mac_address>", "mac_address", None),
    ("<wsl_available>1</wsl_available><wsl><distro><name>d</name></distro></wsl>", "wsl", None),
    ("<opencl_cpu_prop><platform_vendor>x</platform_vendor></opencl_cpu_prop>", "opencl_cpu_prop", None),
]


@pytest.mark.parametrize(("elements", "key", "value"), MISC)
def test_what_has_no_column_of_its_own(world: World, elements: str, key: str, value: Any) -> None:
    """The last of a repeated element counts, as upstream."""
    world.host.host_extra = elements
    world.rpc()
    assert json.loads(world.row(models.host).misc).get(key) == value


def test_a_client_that_hides_its_network(world: World) -> None:
    """suppress_net_info: neither a name nor an address."""
    body = re.sub(rb"<(domain_name|ip_addr)>[^<]*</[a-z_]+>\n", b"", world.host.request())
    assert simulate.read_reply(world.post(body).content).values["hostid"] == "1"
    assert (world.row(models.host).domain_name, world.row(models.host).last_ip_addr) == ("", "")


def test_the_brand_is_part_of_what_is_known_of_the_client(world: World) -> None:
    world.host.extra = "<client_brand>Brand</client_brand>\n"
    world.rpc()
    assert world.row(models.host).serialnum.startswith("[BOINC|8.2.15|Brand]")


def test_the_host_cpid_is_stored_hashed_with_the_address(world: World) -> None:
    world.rpc()
    expected = hashlib.md5((world.host.cpid + EMAIL).encode(), usedforsecurity=False).hexdigest()
    assert world.row(models.host).host_cpid == expected


def test_coprocessors_are_counted(world: World) -> None:
    world.host.extra = (
        "<coprocs><coproc_cuda><count>2</count><name>G</name><peak_flops>1e12</peak_flops></coproc_cuda>"
        "<coproc_ati><count>1</count><name>R</name><peak_flops>2e12</peak_flops></coproc_ati></coprocs>"
    )
    world.rpc()
    host = world.row(models.host)
    assert (host.p_ngpus, host.p_gpu_fpops) == (3, 4e12)


@pytest.mark.parametrize("version", [(7, 20, 5), (8, 0, 4), (8, 2, 15)])
def test_client_versions(world: World, version: tuple[int, int, int]) -> None:
    world.host.version = version
    world.add_job()
    assert world.rpc(1.0).tasks
    assert world.events("rpc.scheduler")[-1]["client_version"] == ".".join(map(str, version))


def test_rpc_seqno_is_stored(world: World) -> None:
    world.rpc()
    world.host.seqno = 41
    world.rpc()
    assert world.row(models.host).rpc_seqno == 41


WORK: list[tuple[str, bool]] = [
    ("<work_req_seconds>10</work_req_seconds><cpu_req_secs>10</cpu_req_secs>", True),
    ("<cpu_req_secs>10</cpu_req_secs>", True),
    ("<cpu_req_instances>1</cpu_req_instances>", True),
    ("<cpu_req_secs>0</cpu_req_secs>", False),
    ("<cpu_req_secs>10</cpu_req_secs><dont_send_work>1</dont_send_work>", False),
    ("<cpu_req_secs>10</cpu_req_secs><platform_name>sparc-sun-solaris</platform_name>", False),
    ("<cpu_req_secs>nan</cpu_req_secs>", False),
    ("<cpu_req_secs>-10</cpu_req_secs>", False),
]


@pytest.mark.parametrize(("elements", "gets_work"), WORK)
def test_the_work_request(world: World, elements: str, gets_work: bool) -> None:
    world.add_job()
    body = world.host.request().decode()
    for tag, text in re.findall(r"<(\w+)>([^<]*)</", elements):
        body = re.sub(f"<{tag}>[^<]*</{tag}>", f"<{tag}>{text}</{tag}>", body, count=1)
    assert bool(simulate.read_reply(world.post(body.encode()).content).tasks) == gets_work


def test_platforms_and_alternatives(world: World) -> None:
    world.add_job()
    world.host.platforms = ("unheard-of", "also-unheard-of", simulate.PLATFORM)
    assert world.rpc(1.0).tasks


def test_an_anonymous_platform_needs_its_own_versions(world: World) -> None:
    world.add_job()
    world.host.platforms = ("anonymous", simulate.PLATFORM)
    assert not world.rpc(1.0).tasks


def test_an_anonymous_platform_with_its_own_version(world: World) -> None:
    world.add_job()
    world.host.platforms = ("anonymous", simulate.PLATFORM)
    body = world.host.request(1.0).decode()
    mine = (
        f"<app_version>\n<app_name>uppercase</app_name>\n<version_num>100</version_num>\n<platform>{simulate.PLATFORM}</platform>\n"
        "<avg_ncpus>1</avg_ncpus>\n<flops>1e9</flops>\n</app_version>\n"
    )
    reply = simulate.read_reply(world.post(body.replace("<app_versions>\n", f"<app_versions>\n{mine}").encode()).content)
    assert reply.tasks
    assert "<app_version>" not in reply.text


RESULT: list[tuple[str, Any, str, Any]] = [
    ("cpu_time", 1.25, "cpu_time", 1.25),
    ("exit_status", 0, "exit_status", 0),
    ("stderr", "words & <tags>", "stderr_out", None),
    ("version_num", 100, "app_version_num", 100),
]


def sent_long_ago(world: World) -> None:
    """No task of this host can have run longer than since it was sent."""
    world.set(models.result, sent_time=world.row(models.result).sent_time - 100)


@pytest.mark.parametrize(("attribute", "value", "column", "expected"), RESULT)
def test_a_reported_result_is_stored(world: World, attribute: str, value: Any, column: str, expected: Any) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    sent_long_ago(world)
    finished = world.compute(task)
    setattr(finished, attribute, value)
    world.rpc(finished=[finished])
    stored = getattr(world.row(models.result), column)
    assert stored == expected if expected is not None else value in stored


REPORTED: list[tuple[str, str, str, Any]] = [
    ("final_cpu_time", "1.75", "cpu_time", 1.75),
    ("final_cpu_time", "nan", "cpu_time", 0.0),
    ("final_cpu_time", "-5", "cpu_time", 0.0),
    ("final_peak_working_set_size", "12345678", "peak_working_set_size", 12345678.0),
    ("final_peak_swap_size", "23456789", "peak_swap_size", 23456789.0),
    ("final_peak_disk_usage", "34567890", "peak_disk_usage", 34567890.0),
    ("final_peak_disk_usage", "-1", "peak_disk_usage", 0.0),
    ("version_num", "217", "app_version_num", 217),
    # of no use to the server, and in nobody's way
    ("fpops_per_cpu_sec", "1e9", "outcome", 1),
    ("fpops_cumulative", "1e12", "outcome", 1),
    ("intops_per_cpu_sec", "1e9", "outcome", 1),
    ("intops_cumulative", "1e12", "outcome", 1),
    ("platform", "vax", "outcome", 1),
    ("plan_class", "mt", "outcome", 1),
    ("unheard_of", "1", "outcome", 1),
]


@pytest.mark.parametrize(("tag", "text", "column", "value"), REPORTED)
def test_element_is_stored_with_the_result(world: World, tag: str, text: str, column: str, value: Any) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    sent_long_ago(world)
    body = world.host.request(0.0, [world.compute(task)]).decode()
    start, end = body.index("<result>"), body.index("<stderr_out>")
    result, count = re.subn(f"<{tag}>[^<]*</{tag}>", f"<{tag}>{text}</{tag}>", body[start:end])
    result += "" if count else f"<{tag}>{text}</{tag}>\n"
    world.post((body[:start] + result + body[end:]).encode())
    assert getattr(world.row(models.result), column) == value


ELAPSED: list[tuple[str, float, float, float]] = [
    # id, CPU time, run time reported, run time stored; the result was sent 100 s ago
    ("plausible", 10.0, 20.0, 20.0),
    ("less than the CPU time of one CPU", 10.0, 5.0, 10.0),
    ("none", 10.0, 0.0, 10.0),
    ("longer than since it was sent", 10.0, 5000.0, 100.0),
    ("negative", 10.0, -3.0, 10.0),
]


@pytest.mark.parametrize(("name", "cpu", "reported", "stored"), ELAPSED, ids=[row[0] for row in ELAPSED])
def test_a_run_time_must_be_possible(world: World, name: str, cpu: float, reported: float, stored: float) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    finished = world.compute(task)
    finished.cpu_time, finished.elapsed_time = cpu, reported
    sent_long_ago(world)
    world.rpc(finished=[finished])
    assert world.row(models.result).elapsed_time == pytest.approx(stored, abs=30), name


def test_cpu_time_is_no_more_than_all_cpus_can_have_had(world: World) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    finished = world.compute(task)
    finished.cpu_time = finished.elapsed_time = 1e6
    sent_long_ago(world)
    world.rpc(finished=[finished])
    stored = world.row(models.result)
    assert stored.elapsed_time == pytest.approx(100, abs=30)
    assert stored.cpu_time == stored.elapsed_time * world.host.ncpus


def test_one_report_counts_however_often_a_request_has_it(world: World) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    finished = world.compute(task)
    assert world.rpc(finished=[finished, finished, finished]).acks == [task.name] * 3
    assert len(world.events("result.reported")) == 1
    assert world.row(models.user).total_credit == world.row(models.result).granted_credit


OUTCOMES: list[tuple[int, int, int]] = [
    # client state, exit status, outcome
    (5, 0, 1),
    (5, 1, 3),
    (5, -1, 3),
    (3, 0, 3),
    (3, 193, 3),
    (6, 203, 3),
    (7, -187, 3),
    (1, -186, 3),
    (0, -186, 3),
    (3, -185, 3),
    (99, 0, 3),
]


@pytest.mark.parametrize(("state", "exit_status", "outcome"), OUTCOMES)
def test_only_uploaded_and_exit_status_0_is_success(world: World, state: int, exit_status: int, outcome: int) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    finished = world.compute(task)
    finished.state, finished.exit_status = state, exit_status
    assert world.rpc(finished=[finished]).acks == [task.name]
    result = world.row(models.result)
    assert (result.outcome, result.client_state, result.exit_status, result.server_state) == (outcome, state, exit_status, 5)
    assert (result.validate_state == 2) == (outcome == 3)


def test_the_description_of_the_outputs_is_stored(world: World) -> None:
    world.add_job()
    (task,) = world.rpc(1.0).tasks
    world.rpc(finished=[world.compute(task)])
    xml = world.row(models.result).xml_doc_out
    assert f"<name>{task.outputs[0].name}</name>" in xml
    assert "<md5_cksum>eb61eead90e3b899c6bcbe27ac581660</md5_cksum>" in xml


def test_trickles_up(world: World) -> None:
    world.host.extra = (
        "<msg_from_host>\n<result_name>r_0</result_name>\n<time>7</time>\n<variety>v</variety>\n<a>1 < 2</a>\n</msg_from_host>\n"
    )
    assert "<message_ack/>" in world.rpc().text
    assert "<a>1 < 2</a>" in world.row(models.msg_from_host).xml


IGNORED = [
    "<unknown/>",
    "<unknown>text</unknown>",
    "<unknown><a><b>1</b></a><hostid>77</hostid></unknown>",
    "<client_opaque>\n<![CDATA[\n</other>\n]]>\n</client_opaque>",
    "<client_brand>Brand &amp; Co</client_brand>",
    "<user_keywords>1 2 3</user_keywords>",
    "<time_stats_log>\n1 on\n</time_stats_log>",
    "<job_log>\n1700000000 ue 1 ct 1\n</job_log>",
    "<in_progress_results><ip_result><name>x</name></ip_result></in_progress_results>",
    "<dont_use_docker/>",
    "<sandbox>1</sandbox>",
    "<file_info><name>sticky_1</name><nbytes>5</nbytes><status>1</status></file_info>",
    "<!-- a comment -->",
    "<global_preferences>\n<mod_time>0</mod_time>\n</global_preferences>",
    "<daily_xfer_history><dx><when>1</when><up>1</up><down>1</down></dx></daily_xfer_history>",
    "<host_venue>home</host_venue>",
]


@pytest.mark.parametrize("element", IGNORED)
def test_elements_that_change_nothing_here(world: World, element: str) -> None:
    world.host.extra = element + "\n"
    reply = world.rpc()
    assert reply.values["hostid"] == "1"
    assert reply.messages == []


def test_an_xml_declaration_and_white_space_before_the_start(world: World) -> None:
    body = b'<?xml version="1.0" encoding="ISO-8859-1" ?>\n\n  ' + world.host.request()
    assert simulate.read_reply(world.post(body).content).values["hostid"] == "1"


def test_windows_line_ends(world: World) -> None:
    body = world.host.request().replace(b"\n", b"\r\n")
    assert simulate.read_reply(world.post(body).content).values["hostid"] == "1"
