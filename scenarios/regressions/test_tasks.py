"""Known bugs of BOINC about tasks and work fetch, where a scenario file does not say enough."""

import pytest

from harness import JobState, containers
from harness.client import Client
from harness.guirpc import ResultState, RunMode
from harness.jobs import Outcome, ValidateState
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import WaitTimeout, wait_until

pytestmark = pytest.mark.virtual_time(reason="it skips backoffs")

ONE_AT_A_TIME = "<app_config><project_max_concurrent>1</project_max_concurrent></app_config>"
#: the first result is no good, whatever is in it; later ones are
PICKY = """
from boinc_server.validator import InvalidResultError


class Picky:
    def init_result(self, result, files):
        if result.name.endswith("_0"):
            raise InvalidResultError("I do not like it")

    def compare(self, first, second):
        return True
"""


def one_at_a_time(client: Client, stack: Stack) -> None:
    client.rpc().set_app_config(stack.project.master_url, ONE_AT_A_TIME)
    client.rpc().read_cc_config()


@pytest.mark.issue(1005)
def test_an_invalid_result_of_a_quorum_of_one_is_computed_again(stack: Stack) -> None:
    stack.project.put_file("bin/picky.py", PICKY.encode())
    stack.project.configure(validators={"uppercase": "python:picky.py:Picky"})
    stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"again", max_error_results=2, max_success_results=3, max_total_results=3)

    job.wait_for(JobState.VALIDATED)

    first, second = job.results()
    assert first.validate_state is ValidateState.INVALID
    assert second.validate_state is ValidateState.VALID


@pytest.mark.issue(599)
def test_a_failed_task_is_still_a_failed_one_after_a_restart(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("crash", command_line="exit 3")
    client.update(stack.project)
    job.wait_for(JobState.SENT)
    stack.project.configure(stop_sched=True)  # nobody hears of it
    name = str(client.wait_task(state="COMPUTE_ERROR").get("result"))

    client.restart()

    assert client.task(name).state is ResultState.COMPUTE_ERROR


@pytest.mark.issue(1460)
def test_a_flag_that_vt_x_is_off_does_not_survive_a_restart(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client()
    with stack.faults.kill(client):
        state = client.saved_state()
        flag = b"<p_vm_extensions_disabled>%d</p_vm_extensions_disabled>"
        assert flag % 0 in state
        containers.write_file(client.container, client.STATE_FILE, state.replace(flag % 0, flag % 1), owner=client.USER_ID)

    assert not client.rpc().get_host_info().p_vm_extensions_disabled


@pytest.mark.issue(4322)
@pytest.mark.project(next_rpc_delay=0)
def test_work_for_one_task_at_a_time_is_fetched_once(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True, preferences={"work_buf_min_days": 0.01, "work_buf_additional_days": 0.01})
    one_at_a_time(client, stack)
    for _ in range(60):
        stack.project.submit("sleeper", command_line="3000", rsc_fpops_est=3e12)
    client.update(stack.project)
    client.wait_task(active_state="EXECUTING")

    for _ in range(4):
        client.update(stack.project)
        stack.clock.skip(120)
        wait_until(lambda: not client.projects()[0].scheduler_rpc_in_progress, "the end of its conversation", within=10)

    sent = len(stack.project.history.find("result.sent"))
    assert 1 <= sent <= 20, "the buffer of 30 minutes is full after the first request"


@pytest.mark.issue(6976)
@pytest.mark.project(next_rpc_delay=0)
def test_a_project_with_app_config_gives_work_after_a_reset(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    one_at_a_time(client, stack)
    first = stack.project.submit("sleeper", command_line="5")
    stack.fast_forward(first)

    client.rpc().project_reset(stack.project.master_url)
    job = stack.project.submit("sleeper", command_line="5")
    stack.fast_forward(job)


@pytest.mark.issue(4989)
@pytest.mark.time_rate(40)
@pytest.mark.project(max_wus_to_send=200)
def test_a_client_with_many_unreported_tasks_survives_a_restart(stack: Stack, client_version: ClientVersion) -> None:
    jobs = [stack.project.submit("sleeper", command_line="0", rsc_fpops_est=1e9) for _ in range(100)]
    client = stack.client(attach=True, preferences={"work_buf_min_days": 1})
    stack.history.wait_for(
        lambda event: event.kind == "result.sent" and len(stack.history.find("result.sent")) >= 100, "all sent", within=30
    )
    stack.project.configure(stop_sched=True)
    done = ResultState.FILES_UPLOADED
    wait_until(lambda: sum(task.state is done for task in client.tasks()) >= 60, "60 of them waiting to be reported", within=90, every=0.5)

    # an upload that ends as the client is killed is another story: test_a_power_cut_right_after_an_upload_loses_no_task
    client.set_network_mode(RunMode.NEVER)
    wait_until(lambda: all_uploads_are_saved(client), "a client_state.xml with all uploads", within=30)
    client.kill()
    # before the client is back: its own first call may come at once, and an update during a call is forgotten
    stack.project.configure(stop_sched=False)
    client.start_again()
    client.set_network_mode(RunMode.AUTO)
    client.update(stack.project)

    for job in jobs:
        job.wait_for(JobState.VALIDATED, within=90)
    assert len(stack.project.results()) == 100


def all_uploads_are_saved(client: Client) -> bool:
    """Whether no upload is under way and the state file knows of all that ended."""
    uploaded = sum(task.state is ResultState.FILES_UPLOADED for task in client.tasks())
    state = client.saved_state()
    return not any(transfer.is_active for transfer in client.transfers()) and state.count(b"<state>5</state>") == uploaded


@pytest.mark.issue(3061)
@pytest.mark.project(daily_result_quota=8, max_wus_to_send=2)
def test_a_host_that_fails_everything_gets_little(stack: Stack) -> None:
    jobs = [stack.project.submit("crash", command_line="exit 1", max_error_results=1, max_total_results=1) for _ in range(30)]
    client = stack.client(attach=True, preferences={"work_buf_min_days": 1})

    def exhausted() -> bool:
        client.update(stack.project)  # by itself it waits after errors
        return any("has finished a daily quota" in message.body for message in client.messages())

    wait_until(exhausted, "its quota being used up", within=60, every=0.5)

    failed = [job for job in jobs if job.results()[0].outcome is Outcome.CLIENT_ERROR]
    assert 1 <= len(failed) <= 16, "its quota of 8 for each of two processors went down with each error"


@pytest.mark.issue(566)
@pytest.mark.known_failure(
    sometimes=True,  # 2 of 5 tries, then 1 of 8
    raises=WaitTimeout,
    reason="the client notices that time went back, but what polls its tasks may not, and waits until the month is over",
)
def test_a_clock_that_was_a_month_ahead_for_a_while(stack: Stack) -> None:
    client = stack.client(attach=True)
    job = stack.project.submit("sleeper", command_line="30", delay_bound=90 * 86400)
    client.wait_task(active_state="EXECUTING")
    month = 30 * 86400

    stack.clock.skip(month)
    client.set_run_mode(RunMode.ALWAYS)
    stack.clock.skip(-month)

    job.wait_for(JobState.VALIDATED, within=20)
