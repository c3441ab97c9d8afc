"""Every element of a scheduler request, and everything that is none."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from boinc_server.wire import limits
from boinc_server.wire.parse import parse_request
from boinc_server.wire.reader import WireError
from boinc_server.wire.request import SchedulerRequest
from hypothesis import given, settings
from hypothesis import strategies as st


def parse(inner: str) -> SchedulerRequest:
    return parse_request(f"<scheduler_request>\n{inner}\n</scheduler_request>\n".encode())


ROOT: list[tuple[str, str, Any]] = [
    ("authenticator", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    ("hostid", "17", 17),
    ("rpc_seqno", "4", 4),
    ("core_client_major_version", "8", 8),
    ("core_client_minor_version", "2", 2),
    ("core_client_release", "15", 15),
    ("resource_share_fraction", "0.5", 0.5),
    ("rrs_fraction", "0.25", 0.25),
    ("prrs_fraction", "0.125", 0.125),
    ("duration_correction_factor", "1.5", 1.5),
    ("allow_multiple_clients", "1", True),
    ("allow_multiple_clients", "0", False),
    ("sandbox", "1", True),
    ("dont_send_work", "1", True),
    ("work_req_seconds", "86400.5", 86400.5),
    ("cpu_req_secs", "1.000000", 1.0),
    ("cpu_req_instances", "2.0", 2.0),
    ("estimated_delay", "12.5", 12.5),
    ("client_cap_plan_class", "1", True),
    ("platform_name", "x86_64-pc-linux-gnu", "x86_64-pc-linux-gnu"),
    ("code_sign_key", "\n1024\nabcd\n.\n", "1024\nabcd\n."),
    ("global_preferences", "\n<mod_time>5</mod_time>\n", "<mod_time>5</mod_time>"),
    ("global_prefs_source_email_hash", "abc", "abc"),
    ("cross_project_id", "0f" * 16, "0f" * 16),
    ("time_stats_log", "\n1 2 3\n", "1 2 3"),
    ("job_log", "\nx\n", "x"),
    ("client_brand", "A &amp; B", "A & B"),
]


@pytest.mark.parametrize(("tag", "text", "value"), ROOT)
def test_root_element(tag: str, text: str, value: object) -> None:
    assert getattr(parse(f"<{tag}>{text}</{tag}>"), tag) == value


def test_flag_without_contents() -> None:
    assert parse("<dont_use_docker/>").dont_use_docker
    assert not parse("").dont_use_docker


def test_client_version() -> None:
    request = parse(
        "<core_client_major_version>8</core_client_major_version><core_client_minor_version>2</core_client_minor_version>"
        "<core_client_release>15</core_client_release>"
    )
    assert request.core_client_version == 80215
    assert request.client_version == "8.2.15"


def test_platforms_in_order_primary_first() -> None:
    request = parse(
        "<platform_name>x86_64-pc-linux-gnu</platform_name>\n<alt_platform>\n<name>i686-pc-linux-gnu</name>\n</alt_platform>"
        "<alt_platform><name>x86_64-pc-linux-gnu</name></alt_platform>"
    )
    assert request.platforms == ["x86_64-pc-linux-gnu", "i686-pc-linux-gnu"]


def test_anonymous_platform_is_not_a_platform() -> None:
    request = parse("<platform_name>anonymous</platform_name><alt_platform><name>x</name></alt_platform>")
    assert request.anonymous_platform
    assert request.platforms == ["x"]


def test_working_preferences() -> None:
    prefs = parse(
        "<working_global_preferences>\n<global_preferences>\n<source_project>http://a.test/</source_project><mod_time>12.0</mod_time>"
        "<disk_max_used_gb>3</disk_max_used_gb><ram_max_used_busy_pct>40</ram_max_used_busy_pct><run_on_batteries/>"
        "<day_prefs><day_of_week>1</day_of_week><disk_max_used_gb>9</disk_max_used_gb></day_prefs>"
        "<max_ncpus_pct>nan</max_ncpus_pct></global_preferences>\n</working_global_preferences>"
    ).working_global_preferences
    assert prefs is not None
    assert (prefs.mod_time, prefs.disk_max_used_gb, prefs.ram_max_used_busy_pct) == (12.0, 3.0, 40.0)
    assert prefs.run_on_batteries
    assert prefs.max_ncpus_pct == 100.0
    assert prefs.source_project == "http://a.test/"


CONTAINERS: list[tuple[str, str, str, Any]] = [
    ("time_stats", "on_frac", "0.75", 0.75),
    ("time_stats", "connected_frac", "-1.0", -1.0),
    ("time_stats", "cpu_and_network_available_frac", "0.5", 0.5),
    ("time_stats", "active_frac", "0.5", 0.5),
    ("time_stats", "gpu_active_frac", "0.5", 0.5),
    ("time_stats", "client_start_time", "1e9", 1e9),
    ("time_stats", "previous_uptime", "7", 7.0),
    ("time_stats", "now", "1700000000.25", 1700000000.25),
    ("net_stats", "bwup", "1e6", 1e6),
    ("net_stats", "avg_up", "1", 1.0),
    ("net_stats", "avg_time_up", "1", 1.0),
    ("net_stats", "bwdown", "2e6", 2e6),
    ("net_stats", "avg_down", "1", 1.0),
    ("net_stats", "avg_time_down", "1", 1.0),
    ("host_info", "timezone", "3600", 3600),
    ("host_info", "domain_name", "host-1", "host-1"),
    ("host_info", "ip_addr", "172.18.0.2", "172.18.0.2"),
    ("host_info", "host_cpid", "ab" * 16, "ab" * 16),
    ("host_info", "p_ncpus", "64", 64),
    ("host_info", "p_vendor", "GenuineIntel", "GenuineIntel"),
    ("host_info", "p_model", "Intel(R) Xeon(R) &lt;x&gt;", "Intel(R) Xeon(R) <x>"),
    ("host_info", "p_features", "fpu vme", "fpu vme"),
    ("host_info", "p_fpops", "5e9", 5e9),
    ("host_info", "p_iops", "1e10", 1e10),
    ("host_info", "p_membw", "1e9", 1e9),
    ("host_info", "p_calculated", "1.7e9", 1.7e9),
    ("host_info", "p_vm_extensions_disabled", "1", True),
    ("host_info", "m_nbytes", "8e9", 8e9),
    ("host_info", "m_cache", "1048576", 1048576.0),
    ("host_info", "m_swap", "0", 0.0),
    ("host_info", "d_total", "1e12", 1e12),
    ("host_info", "d_free", "5e11", 5e11),
    ("host_info", "os_name", "Linux Debian", "Linux Debian"),
    ("host_info", "os_version", "Debian 12 [6.1.0|libc 2.36]", "Debian 12 [6.1.0|libc 2.36]"),
    ("host_info", "n_usable_coprocs", "1", 1),
    ("host_info", "docker_version", "4.3.1", "4.3.1"),
    ("host_info", "docker_type", "2", 2),
    ("host_info", "docker_compose_version", "2", "2"),
    ("host_info", "docker_compose_type", "1", 1),
    ("host_info", "product_name", "Box", "Box"),
    ("host_info", "mac_address", "02:42:ac:11:00:02", "02:42:ac:11:00:02"),
    ("host_info", "virtualbox_version", "7.2.22", "7.2.22"),
    ("host_info", "wsl_available", "1", True),
    ("disk_usage", "d_boinc_used_total", "5", 5.0),
    ("disk_usage", "d_boinc_used_project", "4", 4.0),
    ("disk_usage", "d_project_share", "3", 3.0),
]


@pytest.mark.parametrize(("container", "tag", "text", "value"), CONTAINERS)
def test_container_element(container: str, tag: str, text: str, value: object) -> None:
    request = parse(f"<{container}>\n  <{tag}>{text}</{tag}>\n</{container}>")
    assert getattr(getattr(request, container), tag) == value


RESULT: list[tuple[str, str, Any]] = [
    ("name", "wu_1_0", "wu_1_0"),
    ("final_cpu_time", "1.5", 1.5),
    ("final_elapsed_time", "2.5", 2.5),
    ("exit_status", "-197", -197),
    ("state", "5", 5),
    ("platform", "p", "p"),
    ("version_num", "107", 107),
    ("plan_class", "vbox64", "vbox64"),
    ("app_version_num", "107", 107),
    ("final_peak_working_set_size", "1e6", 1e6),
    ("final_peak_swap_size", "1e6", 1e6),
    ("final_peak_disk_usage", "1e6", 1e6),
]


@pytest.mark.parametrize(("tag", "text", "value"), RESULT)
def test_result_element(tag: str, text: str, value: object) -> None:
    (result,) = parse(f"<result>\n<{tag}>{text}</{tag}>\n</result>").results
    assert getattr(result, tag) == value


def test_stderr_is_raw_up_to_its_end_tag() -> None:
    text = "<core_client_version>8.2.15</core_client_version>\n<![CDATA[\n</result> <b> & ]]> &#195; </scheduler_request>\n]]>"
    request = parse(f"<result><name>r</name><stderr_out>\n{text}\n</stderr_out><state>5</state></result><hostid>3</hostid>")
    (result,) = request.results
    assert result.stderr_out == text
    assert (result.name, result.state, request.hostid) == ("r", 5, 3)


def test_stderr_is_cut_to_the_blob() -> None:
    (result,) = parse(f"<result><stderr_out>{'x' * 100_000}</stderr_out></result>").results
    assert len(result.stderr_out) == limits.MAX_BLOB


def test_output_files_of_a_result() -> None:
    (result,) = parse(
        "<result><name>r</name><file_info>\n<name>r_0</name><nbytes>12.000000</nbytes><max_nbytes>100</max_nbytes>"
        "<md5_cksum>d41d8cd98f00b204e9800998ecf8427e</md5_cksum><upload_url>http://a.test/u</upload_url></file_info></result>"
    ).results
    (info,) = result.file_infos
    assert (info.name, info.nbytes, info.max_nbytes) == ("r_0", 12.0, 100.0)
    assert info.md5_cksum == "d41d8cd98f00b204e9800998ecf8427e"
    assert info.xml.startswith("<file_info>")
    assert "<upload_url>http://a.test/u</upload_url>" in info.xml


def test_sticky_files() -> None:
    request = parse("<file_info><name>big</name><nbytes>7</nbytes><status>1</status></file_info>")
    assert [(info.name, info.nbytes, info.status) for info in request.file_infos] == [("big", 7.0, 1)]


def test_trickle_up() -> None:
    (message,) = parse(
        "<msg_from_host>\n  <result_name>r_0</result_name>\n  <time>1700000000</time>\n"
        "<variety>progress</variety>\n<a>not <b>xml</a>\n</msg_from_host>"
    ).msgs_from_host
    assert (message.result_name, message.time, message.variety) == ("r_0", 1700000000.0, "progress")
    assert "<a>not <b>xml</a>" in message.xml
    assert "variety" not in message.xml


def test_app_versions_and_other_results() -> None:
    request = parse(
        "<app_versions>\n<app_version><app_name>u</app_name><version_num>100</version_num><platform>p</platform>"
        "<plan_class>mt</plan_class><avg_ncpus>2</avg_ncpus><flops>3e9</flops><api_version>8.2</api_version>"
        "<coproc><type>CUDA</type><count>1</count></coproc></app_version>\n<app_version><app_name>v</app_name></app_version>\n</app_versions>"
        "<other_results><other_result><name>r_1</name><app_version>1</app_version></other_result>"
        "<other_result><name>r_2</name><plan_class>x</plan_class></other_result></other_results>"
    )
    first, second = request.app_versions
    assert (first.app_name, first.version_num, first.platform, first.plan_class) == ("u", 100, "p", "mt")
    assert (first.avg_ncpus, first.flops, first.api_version) == (2.0, 3e9, "8.2")
    assert second.app_name == "v"
    assert request.have_other_results_list
    assert [(held.name, held.app_version, held.plan_class) for held in request.other_results] == [("r_1", 1, ""), ("r_2", -1, "x")]


def test_an_empty_list_of_other_results_is_a_list() -> None:
    assert parse("<other_results>\n</other_results>").have_other_results_list
    assert parse("<other_results></other_results>").have_other_results_list
    assert not parse("").have_other_results_list


def test_in_progress_results() -> None:
    request = parse(
        "<in_progress_results><ip_result><name>r</name><report_deadline>5</report_deadline><time_remaining>2</time_remaining>"
        "<avg_ncpus>1</avg_ncpus></ip_result></in_progress_results>"
    )
    assert request.have_ip_results_list
    assert [(held.name, held.report_deadline, held.time_remaining) for held in request.in_progress_results] == [("r", 5.0, 2.0)]


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("coproc_cuda", "NVIDIA"), ("coproc_ati", "ATI"), ("coproc_intel_gpu", "intel_gpu"), ("coproc_apple_gpu", "apple_gpu")],
)
def test_coprocs(tag: str, kind: str) -> None:
    request = parse(
        f"<coprocs><{tag}><count>2</count><name>Card</name><req_secs>60</req_secs><req_instances>1</req_instances>"
        f"<estimated_delay>0</estimated_delay><peak_flops>1e12</peak_flops><coproc_opencl><name>no</name></coproc_opencl>"
        f"<cudaVersion>12000</cudaVersion></{tag}></coprocs>"
    )
    (coproc,) = request.coprocs
    assert (coproc.type, coproc.count, coproc.name, coproc.req_secs, coproc.peak_flops) == (kind, 2, "Card", 60.0, 1e12)
    assert coproc.values["cudaVersion"] == "12000"
    assert request.wants_work


def test_client_opaque_is_taken_out_of_its_cdata() -> None:
    assert parse("<client_opaque>\n<![CDATA[\n<a>]]></client_opaque>").client_opaque == "\n<a>"


@pytest.mark.parametrize(
    ("inner", "wants"),
    [
        ("", False),
        ("<work_req_seconds>1</work_req_seconds>", True),
        ("<cpu_req_secs>1</cpu_req_secs>", True),
        ("<cpu_req_instances>1</cpu_req_instances>", True),
        ("<work_req_seconds>1</work_req_seconds><dont_send_work>1</dont_send_work>", False),
        ("<work_req_seconds>-5</work_req_seconds>", False),
    ],
)
def test_wants_work(inner: str, wants: bool) -> None:
    assert parse(inner).wants_work is wants


BAD_NUMBERS = ["nan", "inf", "-inf", "Infinity", "1e999", "0x10", "1_000", "one", "1 2", "--1", "1e", "٣"]


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_bad_numbers_keep_the_default(text: str) -> None:
    request = parse(f"<work_req_seconds>{text}</work_req_seconds><host_info><d_free>{text}</d_free></host_info>")
    assert request.work_req_seconds == 0.0
    assert request.host_info.d_free == 0.0


@pytest.mark.parametrize("text", [*BAD_NUMBERS, "1.5", "99999999999999999999", "2147483648", "-2147483649"])
def test_bad_integers_keep_the_default(text: str) -> None:
    assert parse(f"<hostid>{text}</hostid>").hostid == 0


def test_times_beyond_reason_are_cut() -> None:
    (result,) = parse("<result><final_cpu_time>1e308</final_cpu_time><final_elapsed_time>1e300</final_elapsed_time></result>").results
    assert result.final_cpu_time == result.final_elapsed_time == limits.MAX_SECONDS


def test_negative_amounts_are_zero() -> None:
    request = parse("<work_req_seconds>-1</work_req_seconds><host_info><m_nbytes>-1e9</m_nbytes></host_info>")
    assert request.work_req_seconds == 0.0
    assert request.host_info.m_nbytes == 0.0


def test_an_overlong_text_is_dropped() -> None:
    assert parse(f"<platform_name>{'x' * 255}</platform_name>").platform_name == ""


@pytest.mark.parametrize("odd", ["", "<new/>", "<new>1</new>", "<new><p_ncpus>9</p_ncpus></new>", "<!-- <p_ncpus>9</p_ncpus> -->", "<"])
def test_a_container_is_read_the_same_with_odd_things_in_it(odd: str) -> None:
    info = parse(f"<host_info><p_ncpus>4</p_ncpus>{odd}<os_name>L &amp; x</os_name>\n<m_nbytes>nan</m_nbytes></host_info>").host_info
    assert (info.p_ncpus, info.os_name, info.m_nbytes) == (4, "L & x", 0.0)


def test_unknown_elements_are_skipped_with_their_contents() -> None:
    assert parse("<new_thing><hostid>5</hostid></new_thing><rpc_seqno>2</rpc_seqno>").hostid == 0


@pytest.mark.parametrize("comment", ["<!-- x -->", "<!-- <hostid>5</hostid> -->", "<!--->-->", "<!-- </scheduler_request> -->"])
def test_comments_are_skipped(comment: str) -> None:
    request = parse(f"{comment}<rpc_seqno>2</rpc_seqno>{comment}<host_info>{comment}<p_ncpus>3</p_ncpus></host_info>")
    assert (request.hostid, request.rpc_seqno, request.host_info.p_ncpus) == (0, 2, 3)


def test_an_open_comment_hides_the_end() -> None:
    with pytest.raises(WireError, match="no end tag"):
        parse("<!-- ")


def test_nul_bytes_are_replaced() -> None:
    assert parse("<platform_name>a\0b&#0;c</platform_name>").platform_name == "a\ufffdbc"


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    request = parse_request(b"<scheduler_request><platform_name>\xff\xfe</platform_name></scheduler_request>")
    assert request.platform_name == "��"


def test_entities_are_the_five_and_small_numbers() -> None:
    body = '<!DOCTYPE a [<!ENTITY lol "lol">]><scheduler_request><platform_name>&lol;&#65;&#300;&#x42;</platform_name></scheduler_request>'
    assert parse_request(body.encode()).platform_name == "&lol;A&#300;B"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "no start tag"),
        (b"hello", "no start tag"),
        (b"<scheduler_reques>", "no start tag"),
        ("<scheduler_request></scheduler_request>".encode("utf-16"), "no start tag"),
        (b"<scheduler_request>", "no end tag"),
        (b"<scheduler_request><hostid>1</hostid>", "no end tag"),
        (b"<scheduler_request><result><name>x</name>", "no </result>"),
        (b"<scheduler_request><result><stderr_out>x</scheduler_request>", "no </stderr_out> after <stderr_out>"),
        (b"<scheduler_request><host_info><p_ncpus>1</p_ncpus>", "no </host_info> after <host_info>"),
    ],
)
def test_incomplete_requests_are_refused(body: bytes, what: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_request(body)
    assert caught.value.what == what


@pytest.mark.parametrize(
    "inner",
    [
        "<a>" * 200_000,
        "<result>" * (limits.MAX_RESULTS + 1),
        "<result></result>" * (limits.MAX_RESULTS + 1),
        "<alt_platform><name>x</name></alt_platform>" * (limits.MAX_ALT_PLATFORMS + 1),
        "<hostid>1</hostid>" * (limits.MAX_ELEMENTS + 1),
        "<coprocs>" + "<coproc><count>1</count></coproc>" * (limits.MAX_COPROCS + 1) + "</coprocs>",
        "<msg_from_host></msg_from_host>" * (limits.MAX_MSGS_FROM_HOST + 1),
    ],
)
def test_floods_are_refused(inner: str) -> None:
    with pytest.raises(WireError):
        parse(inner)


def test_too_many_bytes_are_413() -> None:
    with pytest.raises(WireError) as caught:
        parse_request(b" " * (limits.MAX_SCHEDULER_REQUEST + 1))
    assert caught.value.status == 413


@given(st.binary(max_size=4000))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_request(body)


TAGS = [tag for tag, _, _ in ROOT] + ["result", "stderr_out", "file_info", "name", "coprocs", "coproc_cuda", "host_info", "other_results"]
PIECES = st.one_of(
    st.sampled_from(TAGS).map(lambda tag: f"<{tag}>"),
    st.sampled_from(TAGS).map(lambda tag: f"</{tag}>"),
    st.sampled_from(TAGS).map(lambda tag: f"<{tag}/>"),
    st.sampled_from(["<![CDATA[", "]]>", "<", ">", "&", "&#300;", "-1", "1e400", "nan", "\x00", "<!--", "-->", "<a b='c'>"]),
    st.text(max_size=20),
)


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=60))
def test_any_soup_of_tags_is_read_or_refused(pieces: list[str]) -> None:
    body = "<scheduler_request>" + "".join(pieces) + "</scheduler_request>"
    try:
        request = parse_request(body.encode("utf-8", "replace"))
    except WireError:
        return
    assert isinstance(request.hostid, int)
    assert request.work_req_seconds >= 0
