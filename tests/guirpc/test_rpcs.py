"""Every RPC: what is sent, and what becomes of the reply."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.guirpc import (
    ActiveTaskState,
    BadReply,
    ErrorNumber,
    ExitStatus,
    GuiRpc,
    NetworkStatus,
    Priority,
    ProxySettings,
    RequestTooLarge,
    ResultState,
    RpcFailed,
    RpcReason,
    RunMode,
    SchedulerState,
    SuspendReason,
    Version,
    password_hash,
)
from harness.guirpc.build import build
from harness.guirpc.models import Result
from harness.guirpc.nearxml import parse
from harness.waiting import WaitTimeout
from tests.guirpc.fake import FakeClient, fake_client, frame, op_of, scripted

URL = "http://boinc.test/p1/"


@contextmanager
def client(replies: dict[str, str]) -> Iterator[tuple[GuiRpc, FakeClient]]:
    with fake_client(scripted(replies)) as fake, GuiRpc.connect("127.0.0.1", fake.port) as rpc:
        yield rpc, fake


def sent(fake: FakeClient) -> str:
    """The last request's operation, as one line."""
    text = fake.requests[-1]
    return "".join(text.replace("<boinc_gui_rpc_request>", "").replace("</boinc_gui_rpc_request>", "").split("\n"))


SIMPLE: list[tuple[Callable[[GuiRpc], object], str]] = [
    (lambda r: r.project_reset(URL), f"<project_reset><project_url>{URL}</project_url></project_reset>"),
    (lambda r: r.project_detach(URL), f"<project_detach><project_url>{URL}</project_url></project_detach>"),
    (lambda r: r.project_update(URL), f"<project_update><project_url>{URL}</project_url></project_update>"),
    (lambda r: r.project_suspend(URL), f"<project_suspend><project_url>{URL}</project_url></project_suspend>"),
    (lambda r: r.project_resume(URL), f"<project_resume><project_url>{URL}</project_url></project_resume>"),
    (lambda r: r.project_nomorework(URL), f"<project_nomorework><project_url>{URL}</project_url></project_nomorework>"),
    (lambda r: r.project_allowmorework(URL), f"<project_allowmorework><project_url>{URL}</project_url></project_allowmorework>"),
    (lambda r: r.project_detach_when_done(URL), f"<project_detach_when_done><project_url>{URL}</project_url></project_detach_when_done>"),
    (
        lambda r: r.project_dont_detach_when_done(URL),
        f"<project_dont_detach_when_done><project_url>{URL}</project_url></project_dont_detach_when_done>",
    ),
    (lambda r: r.suspend_result(URL, "r_0"), f"<suspend_result><project_url>{URL}</project_url><name>r_0</name></suspend_result>"),
    (lambda r: r.resume_result(URL, "r_0"), f"<resume_result><project_url>{URL}</project_url><name>r_0</name></resume_result>"),
    (lambda r: r.abort_result(URL, "r_0"), f"<abort_result><project_url>{URL}</project_url><name>r_0</name></abort_result>"),
    (
        lambda r: r.retry_file_transfer(URL, "f"),
        f"<retry_file_transfer><project_url>{URL}</project_url><filename>f</filename></retry_file_transfer>",
    ),
    (
        lambda r: r.abort_file_transfer(URL, "f"),
        f"<abort_file_transfer><project_url>{URL}</project_url><filename>f</filename></abort_file_transfer>",
    ),
    (lambda r: r.set_run_mode(RunMode.NEVER), "<set_run_mode><never/><duration>0.000000</duration></set_run_mode>"),
    (lambda r: r.set_gpu_mode(RunMode.AUTO, 5), "<set_gpu_mode><auto/><duration>5.000000</duration></set_gpu_mode>"),
    (lambda r: r.set_network_mode(RunMode.RESTORE), "<set_network_mode><restore/><duration>0.000000</duration></set_network_mode>"),
    (lambda r: r.run_benchmarks(), "<run_benchmarks/>"),
    (lambda r: r.reset_host_info(), "<reset_host_info/>"),
    (
        lambda r: r.set_host_info(product_name="Pear <3>"),
        "<set_host_info><host_info><product_name>Pear &lt;3&gt;</product_name></host_info></set_host_info>",
    ),
    (lambda r: r.network_available(), "<network_available/>"),
    (lambda r: r.set_language("de"), "<set_language><language>de</language></set_language>"),
    (lambda r: r.quit(), "<quit/>"),
    (lambda r: r.read_cc_config(), "<read_cc_config/>"),
    (lambda r: r.read_global_prefs_override(), "<read_global_prefs_override/>"),
    (lambda r: r.set_cc_config("<cc_config/>"), "<set_cc_config><cc_config/></set_cc_config>"),
    (lambda r: r.set_cc_config(""), "<set_cc_config> </set_cc_config>"),
    (lambda r: r.set_global_prefs_override("<g/>"), "<set_global_prefs_override><g/></set_global_prefs_override>"),
    (lambda r: r.set_app_config(URL, "<app_config/>"), f"<set_app_config><url>{URL}</url><app_config/></set_app_config>"),
    (
        lambda r: r.set_proxy_settings(ProxySettings(use_http_proxy=True, http_server_name="proxy", http_server_port=3128)),
        (
            "<set_proxy_settings><proxy_info><use_http_proxy/><socks_server_name></socks_server_name><socks_server_port>80</socks_server_port>"
            "<http_server_name>proxy</http_server_name><http_server_port>3128</http_server_port><socks5_user_name></socks5_user_name>"
            "<socks5_user_passwd></socks5_user_passwd><http_user_name></http_user_name><http_user_passwd></http_user_passwd>"
            "<no_proxy></no_proxy></proxy_info></set_proxy_settings>"
        ),
    ),
    (lambda r: r.project_attach_from_file(), "<project_attach><use_config_file>1</use_config_file></project_attach>"),
    (lambda r: r.get_project_config(URL), f"<get_project_config><url>{URL}</url></get_project_config>"),
    (
        lambda r: r.acct_mgr_rpc("", "", ""),
        "<acct_mgr_rpc><url></url><name></name><password></password></acct_mgr_rpc>",
    ),
    (lambda r: r.acct_mgr_rpc_sync(), "<acct_mgr_rpc><use_config_file/></acct_mgr_rpc>"),
]


@pytest.mark.parametrize(("do", "expected"), SIMPLE, ids=[op_of("<boinc_gui_rpc_request>" + text) for _, text in SIMPLE])
def test_simple_rpcs(do: Callable[[GuiRpc], object], expected: str) -> None:
    op = op_of("<boinc_gui_rpc_request>" + expected)
    with client({op: "<success/>"}) as (rpc, fake):
        do(rpc)
        assert sent(fake) == expected
    with client({op: "<status>-108</status>"}) as (rpc, _), pytest.raises(RpcFailed) as caught:
        do(rpc)
    assert caught.value.error_num is ErrorNumber.FOPEN
    with client({op: "<something_else/>"}) as (rpc, _), pytest.raises(BadReply, match="lacks an element"):
        do(rpc)


#: every GUI RPC of the clients from 7.20 to 8.2, but for those of other platforms and authorization
ALL_RPCS = """
    exchange_versions get_state get_results get_cc_status get_file_transfers get_messages get_message_count get_notices get_notices_public
    get_project_status get_simple_gui_info get_disk_usage get_host_info get_statistics get_old_results get_newer_version
    get_all_projects_list get_daily_xfer_history get_screensaver_tasks project_attach project_attach_poll get_project_config
    get_project_config_poll lookup_account lookup_account_poll create_account create_account_poll project_reset project_detach
    project_update project_suspend project_resume project_nomorework project_allowmorework project_detach_when_done
    project_dont_detach_when_done suspend_result resume_result abort_result retry_file_transfer abort_file_transfer set_run_mode
    set_gpu_mode set_network_mode get_cc_config set_cc_config read_cc_config get_global_prefs_file get_global_prefs_working
    get_global_prefs_override set_global_prefs_override read_global_prefs_override get_app_config set_app_config run_benchmarks
    reset_host_info network_available set_language quit get_proxy_settings set_proxy_settings get_project_init_status set_host_info
    acct_mgr_info acct_mgr_rpc acct_mgr_rpc_poll
"""


def test_there_is_a_method_for_every_rpc() -> None:
    methods = {name for name, _ in inspect.getmembers(GuiRpc, inspect.isfunction)}
    assert [op for op in ALL_RPCS.split() if op not in methods] == []


STATE = """
<client_state>
<host_info>
    <timezone>3600</timezone>
    <domain_name>host-1</domain_name>
    <host_cpid>abc</host_cpid>
    <p_ncpus>2</p_ncpus>
    <p_fpops>1000000000.000000</p_fpops>
    <p_vm_extensions_disabled>0</p_vm_extensions_disabled>
    <coprocs></coprocs>
</host_info>
<net_stats><bwup>1.5</bwup></net_stats>
<time_stats><now>1795345000.5</now></time_stats>
<project>
    <master_url>http://boinc.test/p1/</master_url>
    <project_name>One & Only</project_name>
    <hostid>7</hostid>
    <sched_rpc_pending>6</sched_rpc_pending>
    <rsc_backoff_time><name>CPU</name><value>600.0</value></rsc_backoff_time>
    <suspended_via_gui/>
    <gui_urls><gui_url><name>Home</name><description>x</description><url>http://boinc.test/?a=1&b=2</url></gui_url></gui_urls>
</project>
<app><name>uppercase</name><user_friendly_name>Upper case</user_friendly_name><non_cpu_intensive>0</non_cpu_intensive></app>
<app_version>
    <app_name>uppercase</app_name><version_num>100</version_num><platform>x86_64-pc-linux-gnu</platform>
    <file_ref><file_name>uppercase_1.0</file_name><main_program/></file_ref>
    <avg_ncpus>1.000000</avg_ncpus>
</app_version>
<workunit>
    <name>wu_1</name><app_name>uppercase</app_name><version_num>100</version_num>
    <command_line>
a b
    </command_line>
    <file_ref><file_name>in_1</file_name><open_name>in</open_name></file_ref>
</workunit>
<result>
    <name>wu_1_0</name><wu_name>wu_1</wu_name><project_url>http://boinc.test/p1/</project_url>
    <state>2</state><exit_status>0</exit_status>
    <active_task>
        <active_task_state>1</active_task_state><scheduler_state>2</scheduler_state><slot>0</slot><pid>123</pid>
        <fraction_done>0.500000</fraction_done>
    </active_task>
</result>
<project><master_url>http://boinc.test/p2/</master_url></project>
<result><name>other_0</name><state>5</state><ready_to_report/><exit_status>203</exit_status></result>
<platform_name>x86_64-pc-linux-gnu</platform_name>
<core_client_major_version>8</core_client_major_version>
<core_client_minor_version>2</core_client_minor_version>
<core_client_release>15</core_client_release>
<executing_as_daemon>0</executing_as_daemon>
<platform>x86_64-pc-linux-gnu</platform>
<platform>i686-pc-linux-gnu</platform>
<global_preferences><run_on_batteries/></global_preferences>
</client_state>
"""


def test_get_state() -> None:
    with client({"get_state": STATE}) as (rpc, _):
        state = rpc.get_state()
    assert str(state.version) == "8.2.15"
    assert state.version > Version(8, 0, 4)
    assert (state.host_info.p_ncpus, state.host_info.p_fpops) == (2, 1e9)
    assert not state.host_info.p_vm_extensions_disabled
    assert (state.net_stats.bwup, state.time_stats.now) == (1.5, 1795345000.5)
    assert state.platform == ("x86_64-pc-linux-gnu", "i686-pc-linux-gnu")
    first, second = state.projects
    assert (first.project.project_name, first.project.hostid) == ("One & Only", 7)
    assert first.project.suspended_via_gui
    assert not first.project.detach_when_done
    assert first.project.sched_rpc_pending is RpcReason.INIT
    assert [(b.name, b.value) for b in first.project.rsc_backoff_time] == [("CPU", 600.0)]
    assert first.project.gui_urls is not None
    assert first.project.gui_urls.gui_url[0].url == "http://boinc.test/?a=1&b=2"
    assert first.apps[0].user_friendly_name == "Upper case"
    assert first.app_versions[0].file_ref[0].main_program
    assert (first.workunits[0].command_line, first.workunits[0].file_ref[0].open_name) == ("a b", "in")
    (result,) = first.results
    assert result.state is ResultState.FILES_DOWNLOADED
    assert result.is_running
    assert result.active_task is not None
    assert result.active_task.scheduler_state is SchedulerState.SCHEDULED
    assert (result.active_task.pid, result.active_task.fraction_done) == (123, 0.5)
    assert second.project.master_url.endswith("/p2/")
    assert second.results[0].ready_to_report
    assert second.results[0].active_state is ActiveTaskState.UNINITIALIZED
    assert second.results[0].exit_name == "ABORTED_VIA_GUI"
    assert [r.name for r in state.results] == ["wu_1_0", "other_0"]


def test_reading_rpcs() -> None:
    replies = {
        "exchange_versions": "<server_version><major>8</major><minor>0</minor><release>4</release></server_version>",
        "get_results": "<results><result><name>a</name><state>3</state></result><result><name>b</name></result></results>",
        "get_old_results": "<old_results><old_result><result_name>a</result_name><exit_status>1</exit_status></old_result></old_results>",
        "get_cc_status": "<cc_status><network_status>1</network_status><task_mode>3</task_mode><task_suspend_reason>4</task_suspend_reason>"
        "<task_mode_delay>12.5</task_mode_delay><disallow_attach>1</disallow_attach></cc_status>",
        "get_file_transfers": "<file_transfers><file_transfer><name>f</name><nbytes>10.0</nbytes><persistent_file_xfer>"
        "<num_retries>2</num_retries><is_upload>1</is_upload></persistent_file_xfer></file_transfer></file_transfers>",
        "get_messages": "<msgs><msg><project></project><pri>2</pri><seqno>5</seqno><body><![CDATA[\nHi <b> &amp;\n]]></body>"
        "<time>1795345000</time></msg></msgs>",
        "get_notices": "<notices><notice><title>T</title><description><![CDATA[\n<i>d</i>\n]]></description>"
        "<seqno>-1</seqno></notice></notices>",
        "get_notices_public": "<notices></notices>",
        "get_project_status": "<projects><project><master_url>u</master_url></project></projects>",
        "get_simple_gui_info": "<simple_gui_info><project/><result><name>a</name></result></simple_gui_info>",
        "get_screensaver_tasks": "<get_screensaver_tasks><suspend_reason>16</suspend_reason></get_screensaver_tasks>",
        "get_disk_usage": "<disk_usage_summary><project><master_url>u</master_url><disk_usage>3.0</disk_usage></project>"
        "<d_total>9</d_total></disk_usage_summary>",
        "get_host_info": "<host_info><docker_version>28.1</docker_version><docker_type>2</docker_type></host_info>",
        "get_statistics": "<statistics><project_statistics><master_url>u</master_url><daily_statistics><day>86400.0</day>"
        "<host_total_credit>1.5</host_total_credit></daily_statistics></project_statistics></statistics>",
        "get_daily_xfer_history": "<daily_xfers><dx><when>20000</when><up>1.0</up><down>2.0</down></dx></daily_xfers>",
        "get_newer_version": "<newer_version>9.0</newer_version>\n<download_url>http://x/</download_url>",
        "get_all_projects_list": "<projects><project><name>P</name><url>http://p/</url></project></projects>",
        "get_global_prefs_working": "<global_preferences><max_ncpus_pct>50.0</max_ncpus_pct></global_preferences>",
        "get_global_prefs_file": "<global_preferences><a>1</a></global_preferences>",
        "get_proxy_settings": "<proxy_info><use_http_proxy/><http_server_name>h</http_server_name></proxy_info>",
        "get_project_init_status": "<get_project_init_status><url>u</url><name></name><has_account_key/></get_project_init_status>",
        "acct_mgr_info": "<acct_mgr_info><acct_mgr_url>u</acct_mgr_url><have_credentials/></acct_mgr_info>",
        "acct_mgr_rpc_poll": "<acct_mgr_rpc_reply><error_num>-204</error_num></acct_mgr_rpc_reply>",
    }
    with client(replies) as (rpc, fake):
        assert str(rpc.exchange_versions("me")) == "8.0.4"
        assert "<name>me</name>" in sent(fake)
        assert [r.state for r in rpc.get_results(active_only=True)] == [ResultState.COMPUTE_ERROR, ResultState.NEW]
        assert "<active_only>1</active_only>" in sent(fake)
        assert rpc.get_old_results()[0].result_name == "a"
        status = rpc.get_cc_status()
        assert (status.network_status, status.task_mode) == (NetworkStatus.WANT_CONNECTION, RunMode.NEVER)
        assert (status.task_suspend_reason, status.task_mode_delay, status.disallow_attach) == (SuspendReason.USER_REQ, 12.5, True)
        (transfer,) = rpc.get_file_transfers()
        assert transfer.is_upload
        assert not transfer.is_active
        (message,) = rpc.get_messages(4)
        assert (message.body, message.pri, message.seqno) == ("Hi <b> &amp;", Priority.USER_ALERT, 5)
        assert "<seqno>4</seqno>" in sent(fake)
        assert rpc.get_notices(3)[0].description == "<i>d</i>"
        assert rpc.get_notices_public() == ()
        assert rpc.get_project_status()[0].master_url == "u"
        assert rpc.get_simple_gui_info().result[0].name == "a"
        assert rpc.get_screensaver_tasks().suspend_reason is SuspendReason.BENCHMARKS
        assert rpc.get_disk_usage().project[0].disk_usage == 3.0
        assert rpc.get_host_info().docker_type == 2
        assert rpc.get_statistics()[0].daily_statistics[0].host_total_credit == 1.5
        assert rpc.get_daily_xfer_history()[0].down == 2.0
        assert rpc.get_newer_version().download_url == "http://x/"
        assert rpc.get_all_projects_list()[0].name == "P"
        assert rpc.get_global_prefs_working().get("max_ncpus_pct") == "50.0"
        assert rpc.get_global_prefs_file().get("a") == "1"
        assert rpc.get_proxy_settings().use_http_proxy
        assert rpc.get_project_init_status().has_account_key
        assert rpc.acct_mgr_info().have_credentials
        assert rpc.acct_mgr_rpc_poll().error_num is ErrorNumber.IN_PROGRESS


def test_files_come_as_they_are() -> None:
    config = "<cc_config>\n  <options>\n    <ncpus>2</ncpus>\n  </options>\n</cc_config>"
    with client({"get_cc_config": config, "get_global_prefs_override": config, "get_app_config": config}) as (rpc, _):
        assert rpc.get_cc_config() == config
        assert rpc.get_global_prefs_override() == config
        assert rpc.get_app_config(URL) == config
    missing = {
        "get_cc_config": "",
        "get_global_prefs_override": "<error>no prefs override file</error>",
        "get_app_config": "<error>app_config.xml not found</error>",
    }
    with client(missing) as (rpc, _):
        assert (rpc.get_cc_config(), rpc.get_global_prefs_override(), rpc.get_app_config(URL)) == ("", "", "")


def test_a_file_that_would_be_cut_is_not_sent() -> None:
    with client({"set_cc_config": "<success/>"}) as (rpc, fake), pytest.raises(RequestTooLarge, match="65535"):
        rpc.set_cc_config("x" * 65536)
    assert fake.requests == []


def test_modes_that_do_not_exist() -> None:
    with client({}) as (rpc, _), pytest.raises(ValueError, match="not a mode"):
        rpc.set_run_mode(RunMode(9))


def polled(op: str, replies: list[str], *, first: str = "<success/>") -> Callable[[str], bytes]:
    queue = list(replies)

    def answer(request: str) -> bytes:
        if op_of(request) == op:
            return frame(first)
        return frame(queue.pop(0) if len(queue) > 1 else queue[0])

    return answer


@contextmanager
def polling(op: str, replies: list[str]) -> Iterator[tuple[GuiRpc, FakeClient]]:
    with fake_client(polled(op, replies)) as fake, GuiRpc.connect("127.0.0.1", fake.port) as rpc:
        yield rpc, fake


BUSY = "<account_out>\n<error_num>-204</error_num>\n</account_out>"


def test_lookup_account() -> None:
    found = "<?xml version='1.0'?>\n<account_out>\n<success/>\n<authenticator>key</authenticator>\n</account_out>"
    with polling("lookup_account", [BUSY, BUSY, found]) as (rpc, fake):
        assert rpc.lookup_account_and_wait(URL, "A@b.c", "pw") == "key"
    assert len(fake.requests) == 4
    assert f"<passwd_hash>{password_hash('a@B.C', 'pw')}</passwd_hash>" in fake.requests[0]


@pytest.mark.parametrize(
    "reply",
    [
        "<error>\n<error_num>-206</error_num>\n<error_msg>bad password</error_msg>\n</error>",
        "<account_out>\n<error>\n<error_num>-206</error_num>\n<error_msg>bad password</error_msg>\n</error>\n</account_out>",
        "<account_out>\n<error_num>-206</error_num>\n<error_msg>bad password</error_msg>\n</account_out>",
    ],
)
def test_a_projects_error(reply: str) -> None:
    with polling("lookup_account", [BUSY, reply]) as (rpc, _), pytest.raises(RpcFailed) as caught:
        rpc.lookup_account_and_wait(URL, "a@b.c", "pw")
    assert caught.value.error_num is ErrorNumber.BAD_PASSWD
    assert caught.value.messages == ("bad password",)


def test_create_account() -> None:
    with polling("create_account", [BUSY, "<account_out><authenticator>k</authenticator></account_out>"]) as (rpc, fake):
        assert rpc.create_account_and_wait(URL, "a@b.c", "pw", "A & B") == "k"
    assert "<user_name>A &amp; B</user_name>" in fake.requests[0]
    taken = "<account_out><error_num>-207</error_num></account_out>"
    with polling("create_account", [taken]) as (rpc, _), pytest.raises(RpcFailed, match="NONUNIQUE_EMAIL"):
        rpc.create_account_and_wait(URL, "a@b.c", "pw", "x")


def test_project_config() -> None:
    config = (
        "<project_config><name>P</name><master_url>http://p/</master_url><min_passwd_length>8</min_passwd_length><client_account_creation_disabled/>"
        "<platforms><platform><platform_name>x86_64-pc-linux-gnu</platform_name></platform></platforms></project_config>"
    )
    busy = "<project_config><error_num>-204</error_num></project_config>"
    with polling("get_project_config", [busy, config]) as (rpc, _):
        found = rpc.get_project_config_and_wait(URL)
    assert (found.name, found.min_passwd_length, found.client_account_creation_disabled) == ("P", 8, True)
    assert found.platforms.platform[0].platform_name == "x86_64-pc-linux-gnu"


def test_attach() -> None:
    ok = "<project_attach_reply><error_num>0</error_num></project_attach_reply>"
    with polling("project_attach", [ok]) as (rpc, fake):
        rpc.project_attach_and_wait(URL, "key")
    assert "<authenticator>key</authenticator>" in fake.requests[0]
    bad = "<project_attach_reply><message>Invalid key</message><message>no</message><error_num>-212</error_num></project_attach_reply>"
    with polling("project_attach", [bad]) as (rpc, _), pytest.raises(RpcFailed, match="Invalid key; no") as caught:
        rpc.project_attach_and_wait(URL, "key")
    assert caught.value.error_num is ErrorNumber.ATTACH_FAIL_BAD_KEY


def test_account_manager() -> None:
    busy = "<acct_mgr_rpc_reply><error_num>-204</error_num></acct_mgr_rpc_reply>"
    with polling("acct_mgr_rpc", [busy, "<acct_mgr_rpc_reply><error_num>0</error_num></acct_mgr_rpc_reply>"]) as (rpc, _):
        rpc.acct_mgr_rpc_and_wait("http://am/", "n", "p")
    failed = "<acct_mgr_rpc_reply><message>no</message><error_num>-206</error_num></acct_mgr_rpc_reply>"
    with polling("acct_mgr_rpc", [failed]) as (rpc, _), pytest.raises(RpcFailed, match="BAD_PASSWD"):
        rpc.acct_mgr_rpc_and_wait("http://am/", "n", "p")


def test_a_poll_that_never_ends() -> None:
    with polling("lookup_account", [BUSY]) as (rpc, _), pytest.raises(WaitTimeout, match="IN_PROGRESS") as caught:
        rpc.lookup_account_and_wait(URL, "a@b.c", "pw", within=0.1)
    assert "lookup_account_poll" in caught.value.condition


def test_numbers_of_newer_clients_are_kept() -> None:
    state = ResultState(42)
    assert (int(state), state.name) == (42, "UNKNOWN_42")
    assert ResultState(42) == state
    assert ExitStatus(1).name == "UNKNOWN_1"
    assert not ResultState.FILES_DOWNLOADED.is_over
    assert ResultState.UPLOAD_FAILED.is_over


@pytest.mark.parametrize(("text", "expected"), [("<a/>", True), ("<a>1</a>", True), ("<a>0</a>", False), ("<a></a>", True), ("", False)])
def test_flags(text: str, expected: bool) -> None:
    node: Any = parse(f"<r>{text.replace('<a', '<edf_scheduled').replace('</a', '</edf_scheduled')}</r>").children[0]
    assert build(Result, node).edf_scheduled is expected
