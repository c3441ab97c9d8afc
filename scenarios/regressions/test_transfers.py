"""Known bugs of BOINC about transfers, where a scenario file does not say enough."""

import pytest

from harness import JobState, containers
from harness.client import Client
from harness.guirpc import RpcFailed, RpcRefused
from harness.history import WaitFailed
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

pytestmark = [pytest.mark.virtual_time(reason="it skips backoffs"), pytest.mark.project(next_rpc_delay=0)]

OUTPUT = """<output_template>
<file_info>
<name><OUTFILE_0/></name>
<generated_locally/>
<upload_when_present/>
<max_nbytes>1000000</max_nbytes>
<url>{url}</url>
</file_info>
<result>
<file_ref>
<file_name><OUTFILE_0/></file_name>
<open_name>out</open_name>
</file_ref>
</result>
</output_template>
"""


def handler(stack: Stack, server: str) -> str:
    """The output template of a job whose outputs go to an upload server of that name (the same one by another address)."""
    return OUTPUT.format(url=f"{stack.project.master_url.rstrip('/')}_cgi/file_upload_handler?server={server}")


@pytest.mark.issue(1025)
@pytest.mark.known_failure(reason="the backoff of uploads is the project's, whichever of its servers fails")
def test_a_dead_upload_server_does_not_block_another(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("upload", status=503, name="server=dead")
    stack.faults.http("upload", status=503, name="server=alive", times=1)
    client = stack.client(attach=True)
    for number in range(3):
        stack.project.submit("uppercase", input=f"{number}".encode(), result_template=handler(stack, "dead"), delay_bound=30 * 86400)
    client.update(stack.project)
    client.wait_message("Backing off")
    while max((transfer.project_backoff for transfer in client.transfers()), default=0.0) < 3600:
        stack.clock.skip_to_next("upload")

    job = stack.project.submit("uppercase", input=b"alive", result_template=handler(stack, "alive"))
    client.update(stack.project)
    stack.history.wait_for(lambda event: event.kind == "http.fault" and "alive" in str(event.get("path")), "its only failure", within=30)
    stack.clock.skip(900)

    job.wait_for(JobState.VALIDATED, within=5)


@pytest.mark.issue(3287)
def test_an_output_that_vanished_is_an_error_and_no_endless_upload(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("upload", status=503)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"vanished", max_error_results=1, max_total_results=1)
    client.update(stack.project)
    client.wait_message("Temporarily failed upload")

    client.exec(["sh", "-c", "rm -f projects/*/*_r*_0"])
    client.restart()
    client.update(stack.project)
    job.wait_for(JobState.ERROR)

    assert job.results()[0].outcome is Outcome.CLIENT_ERROR
    assert "output file missing or invalid" in str(job.results()[0].record["stderr_out"])


@pytest.mark.issue(1700)
@pytest.mark.known_failure(reason="an output is deleted once it is uploaded, and client_state.xml says so only later", raises=WaitFailed)
def test_a_power_cut_right_after_an_upload_loses_no_task(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("upload", status=503, times=1)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"power cut", max_error_results=1, max_total_results=1)
    client.update(stack.project)
    client.wait_message("Backing off")
    stack.project.configure(stop_sched=True)  # nobody hears of the task before the power cut
    written = wait_until(lambda: state_with_a_backoff(client), "a client_state.xml that knows of the upload's backoff", within=10)

    client.retry_transfers(stack.project)
    client.wait_message("Finished upload")
    with stack.faults.kill(client):
        containers.write_file(client.container, client.STATE_FILE, written, owner=client.USER_ID)  # the last one that reached the disk
        stack.project.configure(stop_sched=False)
    client.update(stack.project)

    job.wait_for(JobState.VALIDATED)


def state_with_a_backoff(client: Client) -> bytes | None:
    """The client's state file, once an upload that failed is in it."""
    state = client.saved_state()
    return state if b"<num_retries>1</num_retries>" in state else None


def in_hours(stack: Stack, hours: float) -> float:
    """What hour of the day it will be."""
    return (stack.clock.now() / 3600 + hours) % 24


@pytest.mark.issue(823)
def test_the_network_is_used_in_the_allowed_hours_only(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    client.set_preferences(net_start_hour=in_hours(stack, 3), net_end_hour=in_hours(stack, 5))
    client.wait_message("Suspending file transfers - time of day")
    stack.clock.skip(400)  # having just been attached, the client keeps talking for five minutes
    quiet = stack.clock.now() + 20
    wait_until(lambda: stack.clock.now() > quiet, "the end of its last conversation", within=10)
    job = stack.project.submit("uppercase", input=b"by night")

    stack.clock.skip(6000)
    assert client.status().network_suspend_reason
    assert not job.history.find("result.sent")
    stack.clock.skip(6000)
    stack.fast_forward(job)


@pytest.mark.issue(5592)
def test_computing_is_done_in_the_allowed_hours_only(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    client.set_preferences(start_hour=in_hours(stack, 3), end_hour=in_hours(stack, 5))
    job = stack.project.submit("sleeper", command_line="5")
    client.wait_message("Suspending computation - time of day")
    client.update(stack.project)
    job.wait_for(JobState.SENT)

    stack.clock.skip(7200)
    assert not stack.history.find("task.state", active_state="EXECUTING")
    stack.clock.skip(4000)
    stack.fast_forward(job)


@pytest.mark.issue(5395)
def test_a_malformed_account_reply_attaches_nothing(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("account", replace="<project_config>\n<name>no account at all</name>\n</project_config>\n")
    client = stack.client()
    account = stack.project.account()

    with pytest.raises((RpcFailed, RpcRefused)):
        client.attach_with_password(stack.project, account.email, account.password)

    assert client.projects() == ()
