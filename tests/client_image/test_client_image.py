"""The image of a volunteer host, on an engine: rights, configuration, GUI RPC, life and death."""

from __future__ import annotations

import time

import pytest

from harness.guirpc import ConnectFailed, ConnectionLost, GuiRpcError, RunMode, Unauthorized
from harness.waiting import wait_until
from tests.client_image.conftest import Hosts, run

pytestmark = pytest.mark.engine

VERSIONS = {"bookworm": (7, 20), "trixie": (8, 0), "sid": (8, 2)}


def test_a_client_answers_with_the_password_and_only_with_it(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    rpc = hosts.rpc(container)
    version = rpc.exchange_versions()
    assert (version.major, version.minor) == VERSIONS[suite]
    assert rpc.get_cc_status().task_suspend_reason == 0
    with pytest.raises(Unauthorized):
        hosts.rpc(container, password="guess")
    stranger = hosts.rpc(container, password=None)
    with pytest.raises(Unauthorized):
        stranger.get_state()
    with pytest.raises(GuiRpcError):  # the second time the client hangs up
        stranger.get_state()


def test_it_has_no_rights(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    hosts.rpc(container)
    assert run(container, "id", "-un").strip() == "boinc"
    for line in run(container, "sh", "-c", "cat /proc/$(pidof boinc)/status").splitlines():
        name, _, value = line.partition(":")
        if name.startswith("Cap"):
            assert int(value, 16) == 0, line
        if name == "NoNewPrivs":
            assert value.strip() == "1"
        if name == "Uid":
            assert value.split() == ["1000"] * 4
    assert run(container, "sh", "-c", 'echo "$USER $HOME"; getent passwd boinc').split("\n")[:2] == [
        "boinc /var/lib/boinc",
        "boinc:x:1000:1000:BOINC client:/var/lib/boinc:/bin/bash",
    ]


def test_it_becomes_healthy_at_once(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)

    def health() -> str:
        container.reload()
        return str(container.attrs["State"]["Health"]["Status"])

    wait_until(lambda: health() == "healthy", "health", within=5, last_state=health)


def test_it_is_small(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    hosts.rpc(container).get_state()
    resident = int(run(container, "sh", "-c", "awk '/^VmRSS/ {print $2}' /proc/$(pidof boinc)/status"))
    assert resident <= 40 * 1024, f"{resident} kB"
    assert container.image is not None
    assert int(container.image.attrs["Size"]) <= 200e6


def test_options_preferences_and_log_flags(hosts: Hosts) -> None:
    container = hosts.start(
        "sid",
        BOINC_CC_OPTIONS="ncpus=1 report_results_immediately=0",
        BOINC_LOG_FLAGS="task_debug",
        BOINC_PREFS="max_ncpus_pct=50",
        BOINC_CMD_LINE_OPTIONS="--sched_retry_delay_min 1",
    )
    rpc = hosts.rpc(container)
    config = rpc.get_cc_config()
    for option in ("ncpus>1<", "report_results_immediately>0<", "task_debug>1<", "skip_cpu_benchmarks>1<"):
        assert config.count(f"<{option}") == 1, config
    assert float(rpc.get_global_prefs_working().get("max_ncpus_pct")) == 50
    assert rpc.get_global_prefs_override().count("max_ncpus_pct>50<") == 1
    assert "--sched_retry_delay_min" in run(container, "sh", "-c", "tr '\\0' ' ' < /proc/$(pidof boinc)/cmdline")
    unknown = [m.body for m in rpc.get_messages() if "nrecognized" in m.body or "error" in m.body.lower()]
    assert unknown == []


def test_whole_files(hosts: Hosts) -> None:
    config = "<cc_config><options><allow_remote_gui_rpc>1</allow_remote_gui_rpc><ncpus>1</ncpus></options></cc_config>"
    rpc = hosts.rpc(hosts.start("sid", BOINC_CC_CONFIG=config, BOINC_PREFS="<global_preferences></global_preferences>"))
    assert rpc.get_cc_config() == config
    assert rpc.get_global_prefs_override() == "<global_preferences></global_preferences>"


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"BOINC_CC_OPTIONS": "ncpus"}, "expected name=value, got 'ncpus'"),
        ({"BOINC_PREFS": "a<b=1"}, "expected name=value, got 'a<b=1'"),
        ({"HARNESS_CLOCK": "yesterday"}, "ORIGIN_REAL ORIGIN_VIRTUAL RATE"),
        ({"HARNESS_CLOCK": "1 2 0"}, "ORIGIN_REAL ORIGIN_VIRTUAL RATE"),
        ({"BOINC_PROJECT_URL": "http://boinc.test/p/"}, "needs BOINC_PROJECT_KEY"),
    ],
)
def test_wrong_settings_end_it_with_a_reason(hosts: Hosts, environment: dict[str, str], complaint: str) -> None:
    container = hosts.start("sid", options=None, **environment)
    assert container.wait(timeout=10)["StatusCode"] == 64
    assert complaint in container.logs().decode()


def test_only_named_hosts_may_connect(hosts: Hosts) -> None:
    container = hosts.start("sid", BOINC_REMOTE_HOST="192.0.2.1, 192.0.2.2")
    wait_until(lambda: "Initialization completed" in container.logs().decode(), "the client's start", within=10)
    with pytest.raises((ConnectionLost, ConnectFailed)):
        hosts.rpc(container, within=1)
    assert run(container, "cat", "remote_hosts.cfg").split() == ["192.0.2.1", "192.0.2.2"]
    assert "network connections allowed" not in run(container, "boinccmd", "--get_cc_status")


def test_a_project_that_is_there_from_the_start(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite, BOINC_PROJECT_URL="http://boinc.test/p_1/", BOINC_PROJECT_KEY="0123456789abcdef")
    (project,) = hosts.rpc(container).get_project_status()
    assert project.master_url == "http://boinc.test/p_1/"
    assert "account_boinc.test_p_1.xml" in run(container, "ls").split()


def test_two_clients_are_two_hosts(hosts: Hosts, suite: str) -> None:
    first, second = (hosts.rpc(hosts.start(suite)).get_host_info() for _ in range(2))
    assert first.host_cpid != second.host_cpid


def test_a_restart_keeps_what_the_client_knew(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    rpc = hosts.rpc(container)
    cpid = rpc.get_host_info().host_cpid
    config = rpc.get_cc_config().replace("</options>", "<ncpus>1</ncpus></options>")
    rpc.set_cc_config(config)
    rpc.set_run_mode(RunMode.NEVER)
    begun = time.monotonic()
    container.restart(timeout=20)
    assert time.monotonic() - begun < 10
    rpc = hosts.rpc(container)
    assert rpc.get_host_info().host_cpid == cpid
    assert rpc.get_cc_config() == config
    assert rpc.get_cc_status().task_mode == RunMode.NEVER


def test_sigterm_is_a_clean_end(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    hosts.rpc(container)
    begun = time.monotonic()
    container.stop(timeout=20)
    assert time.monotonic() - begun < 5
    assert container.wait(timeout=5)["StatusCode"] == 0
    assert "Exiting" in container.logs().decode()


def test_quit_ends_the_container(hosts: Hosts) -> None:
    container = hosts.start("sid")
    hosts.rpc(container).quit()
    assert container.wait(timeout=10)["StatusCode"] == 0
