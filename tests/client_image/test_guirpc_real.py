"""Every GUI RPC against the real clients: that ours are the requests they understand, and theirs the replies that we read."""

from __future__ import annotations

import contextlib

import pytest

from harness import engine
from harness.guirpc import (
    ConnectionLost,
    ErrorNumber,
    GuiRpc,
    NetworkStatus,
    ProxySettings,
    RequestTooLarge,
    RpcFailed,
    RpcRefused,
    RunMode,
    SuspendReason,
)
from harness.guirpc.transport import MAX_REQUEST, Connection
from harness.waiting import WaitTimeout, wait_until
from tests.client_image.conftest import PASSWORD, Hosts

pytestmark = pytest.mark.engine

NOBODY = "http://nobody.invalid/project/"


@pytest.fixture
def rpc(hosts: Hosts, suite: str) -> GuiRpc:
    return hosts.rpc(hosts.start(suite))


def test_reading(rpc: GuiRpc) -> None:
    version = rpc.exchange_versions()
    state = rpc.get_state()
    assert state.version == version
    assert state.platform_name == "x86_64-pc-linux-gnu"
    assert state.time_stats.now > 1.7e9
    host = rpc.get_host_info()
    assert host == state.host_info
    assert host.p_ncpus >= 1
    assert host.m_nbytes > 1e8
    assert host.d_free > 0
    assert "Linux" in host.os_name
    status = rpc.get_cc_status()
    assert (status.task_mode, status.gpu_mode, status.network_mode) == (RunMode.AUTO, RunMode.AUTO, RunMode.AUTO)
    assert status.network_status in list(NetworkStatus)
    assert status.max_event_log_lines == 10000
    messages = rpc.get_messages()
    assert [message.seqno for message in messages] == list(range(1, rpc.get_message_count() + 1))
    assert messages[0].body.startswith(f"Starting BOINC client version {version}")
    assert rpc.get_messages(messages[-2].seqno, translatable=True)[-1].seqno == messages[-1].seqno
    usage = rpc.get_disk_usage()
    assert usage.d_total > usage.d_free > 0
    assert rpc.get_simple_gui_info().project == ()
    assert rpc.get_screensaver_tasks().suspend_reason is SuspendReason.NONE
    assert rpc.acct_mgr_info().acct_mgr_url == ""
    assert rpc.get_project_init_status().url == ""
    assert isinstance(rpc.get_notices(), tuple)
    assert isinstance(rpc.get_notices_public(), tuple)
    for nothing in (
        rpc.get_results(),
        rpc.get_results(active_only=True),
        rpc.get_old_results(),
        rpc.get_file_transfers(),
        rpc.get_project_status(),
        rpc.get_statistics(),
        rpc.get_daily_xfer_history(),
        rpc.get_all_projects_list(),
    ):
        assert nothing == ()


def test_modes_and_the_host(rpc: GuiRpc) -> None:
    rpc.set_run_mode(RunMode.NEVER, 1000)
    rpc.set_gpu_mode(RunMode.NEVER)
    rpc.set_network_mode(RunMode.NEVER)
    status = rpc.get_cc_status()
    assert (status.task_mode, status.task_mode_perm) == (RunMode.NEVER, RunMode.AUTO)
    assert 900 < status.task_mode_delay <= 1000
    assert (status.gpu_mode, status.network_mode) == (RunMode.NEVER, RunMode.NEVER)
    wait_until(lambda: rpc.get_cc_status().task_suspend_reason == SuspendReason.USER_REQ, "suspension", within=10)
    rpc.set_run_mode(RunMode.RESTORE)
    assert rpc.get_cc_status().task_mode == RunMode.AUTO
    rpc.set_host_info(product_name="Pear 3")
    assert rpc.get_host_info().product_name == "Pear 3"
    rpc.reset_host_info()
    rpc.network_available()
    rpc.set_language("de")
    rpc.set_network_mode(RunMode.AUTO)
    rpc.run_benchmarks()
    wait_until(lambda: rpc.get_cc_status().task_suspend_reason == SuspendReason.BENCHMARKS, "the benchmarks", within=10)


def test_configuration(rpc: GuiRpc) -> None:
    config = rpc.get_cc_config()
    changed = config.replace("</options>", "<ncpus>1</ncpus></options>")
    rpc.set_cc_config(changed)
    assert rpc.get_cc_config() == changed
    rpc.read_cc_config()
    wait_until(lambda: any("use at most 1 CPUs" in m.body or "1 CPU" in m.body for m in rpc.get_messages()), "one CPU", within=10)
    rpc.set_global_prefs_override("<global_preferences>\n<work_buf_min_days>0.5</work_buf_min_days>\n</global_preferences>")
    rpc.read_global_prefs_override()
    assert float(rpc.get_global_prefs_working().get("work_buf_min_days")) == 0.5
    assert "work_buf_min_days" in rpc.get_global_prefs_override()
    rpc.set_global_prefs_override("")
    assert rpc.get_global_prefs_override() == ""
    with pytest.raises(RpcRefused):
        rpc.get_global_prefs_file()
    settings = ProxySettings(
        use_http_proxy=True, http_server_name="proxy.invalid", http_server_port=3128, http_user_name="<a&b>", use_http_auth=True
    )
    rpc.set_proxy_settings(settings)
    found = rpc.get_proxy_settings()
    assert (found.http_server_name, found.http_server_port, found.http_user_name) == ("proxy.invalid", 3128, "<a&b>")


def test_a_project_that_is_not_there(rpc: GuiRpc) -> None:
    rpc.project_attach_and_wait(NOBODY, "0123456789abcdef", project_name="No & body")
    (project,) = rpc.get_project_status()
    assert project.master_url == NOBODY
    with pytest.raises(RpcRefused, match="Already attached"):
        rpc.project_attach(NOBODY, "0123456789abcdef")
    rpc.project_suspend(NOBODY)
    assert rpc.get_project_status()[0].suspended_via_gui
    rpc.project_resume(NOBODY)
    rpc.project_nomorework(NOBODY)
    assert rpc.get_project_status()[0].dont_request_more_work
    rpc.project_allowmorework(NOBODY)
    rpc.project_detach_when_done(NOBODY)
    assert rpc.get_project_status()[0].detach_when_done
    rpc.project_dont_detach_when_done(NOBODY)
    rpc.project_update(NOBODY)
    assert rpc.get_app_config(NOBODY) == ""
    rpc.set_app_config(NOBODY, "<app_config><project_max_concurrent>1</project_max_concurrent></app_config>")
    assert "project_max_concurrent" in rpc.get_app_config(NOBODY)
    for on_result in (rpc.suspend_result, rpc.resume_result, rpc.abort_result):
        with pytest.raises(RpcRefused, match="no such result"):
            on_result(NOBODY, "nothing_0")
    for on_file in (rpc.retry_file_transfer, rpc.abort_file_transfer):
        with pytest.raises(RpcRefused, match="No such file"):
            on_file(NOBODY, "nothing")
    assert rpc.get_state().projects[0].project.master_url == NOBODY
    rpc.project_reset(NOBODY)
    rpc.project_detach(NOBODY)
    assert rpc.get_project_status() == ()
    with pytest.raises(RpcRefused, match="No such project"):
        rpc.project_update(NOBODY)


def test_accounts_of_a_project_that_is_not_there(rpc: GuiRpc) -> None:
    for ask in (
        lambda: rpc.get_project_config_and_wait(NOBODY, within=60),
        lambda: rpc.lookup_account_and_wait(NOBODY, "a@b.invalid", "password", within=60),
        lambda: rpc.create_account_and_wait(NOBODY, "a@b.invalid", "password", "A & B", within=60),
    ):
        with pytest.raises(RpcFailed) as caught:
            ask()
        assert caught.value.error_num is ErrorNumber.GETHOSTBYNAME
    with pytest.raises(RpcRefused, match="missing"):
        rpc.lookup_account(NOBODY, "", "")
    with pytest.raises(RpcRefused, match="bad arg"):
        rpc.acct_mgr_rpc_sync()
    with pytest.raises(WaitTimeout, match="IN_PROGRESS"):
        rpc.acct_mgr_rpc_and_wait("http://manager.invalid/", "name", "password", within=2)
    assert any("AM RPC HTTP failure" in message.body for message in rpc.get_messages())


def test_a_request_of_the_largest_size_and_one_more(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    rpc = hosts.rpc(container)
    padding = MAX_REQUEST - 2 - len("<boinc_gui_rpc_request>\n<get_messages>\n\n</get_messages>\n</boinc_gui_rpc_request>\n")
    rpc.call("get_messages", " " * padding).element("msgs")
    with pytest.raises(RequestTooLarge):
        rpc.call("get_messages", " " * (padding + 1))
    host, port = engine.address(container, 31416)
    with Connection.open(host, port) as raw:
        raw.authorize(PASSWORD)
        assert raw._socket is not None
        with contextlib.suppress(ConnectionError):  # it may hang up before it has all of it
            raw._socket.sendall(b"x" * (2 * MAX_REQUEST))
        with pytest.raises(ConnectionLost):
            raw.call("get_cc_status")
    assert rpc.get_cc_status()


def test_an_operation_that_does_not_exist(rpc: GuiRpc) -> None:
    with pytest.raises(RpcRefused, match="unrecognized op"):
        rpc.call("make_coffee")
