"""HTTP that breaks between a client and the server, and what the client makes of it."""

import pytest

from harness import JobState
from harness.jobs import Outcome
from harness.stack import Stack
from harness.versions import ClientVersion
from harness.waiting import wait_until

pytestmark = [pytest.mark.virtual_time(reason="it skips backoffs"), pytest.mark.project(next_rpc_delay=0)]

HTML = "<html><head><title>Welcome</title></head><body>Please accept the terms of this hotel's network.</body></html>"


def test_an_upload_survives_two_server_errors(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("upload", status=503, times=2)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"hello")
    client.update(stack.project)

    stack.fast_forward(job)

    assert job.output() == b"HELLO"
    assert len(stack.history.find("http.exchange", endpoint="upload", status=503)) == 2
    assert client.transfers() == ()


def test_a_download_survives_two_server_errors(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("download", status=503, times=2, name="/in_")
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"hello")
    client.update(stack.project)

    stack.fast_forward(job)

    assert job.output() == b"HELLO"
    assert len(stack.history.find("http.exchange", endpoint="download", status=503)) == 2


@pytest.mark.time_rate(10)  # what is left of a backoff of a minute has to be seen before it is over, on a busy machine, too
def test_three_failed_downloads_hold_up_the_projects_others(stack: Stack, client_version: ClientVersion) -> None:
    fault = stack.faults.http("download", status=503, name="/in_")
    client = stack.client(attach=True)
    jobs = stack.project.submit_many("concat", [(f"{number}".encode(), b"!") for number in range(3)])
    client.update(stack.project)

    client.wait_message("Backing off")
    stack.clock.next_due("download")
    assert max(transfer.project_backoff for transfer in client.transfers()) > 0
    fault.heal()
    for job in jobs:
        stack.fast_forward(job)

    assert [job.output() for job in jobs] == [b"0!", b"1!", b"2!"]


def test_a_missing_input_file_ends_the_task(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("download", status=404, name="/in_")
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"gone", max_error_results=1, max_total_results=1)
    client.update(stack.project)
    job.wait_for(JobState.SENT)

    client.wait_message("Giving up on download")
    stack.fast_forward(job, JobState.ERROR)

    assert job.results()[0].outcome is Outcome.CLIENT_ERROR
    assert "file_xfer_error" in job.results()[0].stderr


@pytest.mark.parametrize("fault", [{"alter": 0}, {"truncate": 2}, {"replace": "HELLO"}, {"replace": ""}], ids=str)
def test_an_altered_input_file_is_not_computed(stack: Stack, fault: dict[str, object]) -> None:
    stack.faults.http("download", name="/in_", **fault)  # type: ignore[arg-type]  # one of its keywords each
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"hello", max_error_results=1, max_total_results=1)
    client.update(stack.project)
    job.wait_for(JobState.SENT)

    stack.fast_forward(job, JobState.ERROR)

    assert "file_xfer_error" in job.results()[0].stderr
    assert not job.history.find("upload.done")


@pytest.mark.parametrize("fault", [{"cut": 2}, {"wrong_length": 7}, {"reset": True}, {"status": 500}], ids=str)
def test_a_download_that_breaks_once_is_tried_again(stack: Stack, fault: dict[str, object]) -> None:
    stack.faults.http("download", times=1, name="/in_", **fault)  # type: ignore[arg-type]  # one of its keywords each
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"hello")
    client.update(stack.project)

    stack.history.wait("http.fault", within=30)
    stack.fast_forward(job)

    assert job.output() == b"HELLO"


def test_a_download_goes_on_where_it_was_cut_off(stack: Stack, client_version: ClientVersion) -> None:
    content = bytes(range(65, 91)) * 20_000
    stack.faults.http("download", cut=200_000, times=1, name="/in_")
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=content)
    client.update(stack.project)

    stack.fast_forward(job)

    assert job.output() == content
    last = stack.project.history.find("download.done")[-1]
    assert last.data["range"] == [195_000, len(content)], "it drops the last 5000 bytes, which may be an error page"


def test_an_upload_never_goes_back(stack: Stack, client_version: ClientVersion) -> None:
    content = bytes(range(65, 91)) * 40_000
    stack.faults.http("upload", cut=300_000, direction="request", times=1)
    stack.faults.http("upload", cut=200_000, direction="request", times=1)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=content)
    client.update(stack.project)

    client.wait_message("Temporarily failed upload")
    stack.clock.skip(600)
    stack.history.wait_for(lambda event: event.kind == "http.fault" and event.get("value") == 200_000, "the second cut", within=20)
    wait_until(lambda: not any(transfer.is_active for transfer in client.transfers()), "the end of it", within=20)
    stack.fast_forward(job)

    assert job.output() == content
    done = stack.project.history.find("upload.done")[-1]
    assert int(str(done.get("offset"))) > 400_000, f"it went on from what had arrived: {done}"


def test_a_lost_scheduler_reply_is_made_up_for(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    fault = stack.faults.http("scheduler", lose_reply=True, times=1)
    job = stack.project.submit("uppercase", input=b"lost")
    client.update(stack.project)
    job.wait_for(JobState.SENT)
    assert client.tasks() == (), "the reply with the task got lost"

    fault.heal()
    stack.fast_forward(job)

    assert len(job.results()) == 1, "the same result was sent again"


def test_a_lost_acknowledgement_does_not_count_twice(stack: Stack, client_version: ClientVersion) -> None:
    stack.use_proxy()
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"twice")
    client.update(stack.project)
    stack.history.wait("upload.done", within=30)
    stack.faults.http("scheduler", lose_reply=True, times=1)

    job.wait_for(JobState.VALIDATED)
    stack.history.wait("http.fault", within=10)
    stack.clock.skip(600)
    wait_until(lambda: client.tasks() == (), "the client hearing of the receipt", within=30)

    assert len(job.history.find("job.validated")) == 1
    assert stack.project.users()[0]["total_credit"] == pytest.approx(job.result.granted_credit)


def test_a_lost_upload_acknowledgement_is_made_up_for(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("upload", lose_reply=True, times=1)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"arrived")
    client.update(stack.project)

    stack.fast_forward(job)

    assert job.output() == b"ARRIVED"


@pytest.mark.parametrize("fault", [{"replace": HTML}, {"replace": ""}, {"truncate": 120}, {"wrong_length": 50}, {"cut": 100}], ids=str)
def test_a_spoilt_scheduler_reply_is_asked_for_again(stack: Stack, fault: dict[str, object]) -> None:
    client = stack.client(attach=True)
    stack.faults.http("scheduler", times=1, **fault)  # type: ignore[arg-type]  # one of its keywords each
    job = stack.project.submit("uppercase", input=b"hello")
    client.update(stack.project)

    stack.history.wait("http.fault", within=30)
    stack.fast_forward(job)

    assert job.output() == b"HELLO"


def test_a_redirect_loop_of_the_scheduler_ends(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    fault = stack.faults.http("scheduler", redirect="loop")
    job = stack.project.submit("uppercase", input=b"round and round")
    client.update(stack.project)

    client.wait_message("redirect")
    looped = len(stack.history.find("http.fault"))
    assert 1 < looped < 100, "it followed, and gave up"
    fault.heal()
    stack.fast_forward(job)


def test_a_dead_master_page_delays_the_attachment(stack: Stack, client_version: ClientVersion) -> None:
    stack.faults.http("master", status=500, times=1)
    client = stack.client()
    client.attach(stack.project, wait=False)

    stack.history.wait("http.fault", within=30)
    stack.clock.skip(600)
    client.wait_attached(stack.project)


def test_an_update_during_a_request_is_made_after_it(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    stack.faults.http("scheduler", delay=1.0)

    client.update(stack.project)
    wait_until(lambda: client.projects()[0].scheduler_rpc_in_progress, "the first request to be under way", within=20)
    client.update(stack.project)

    wait_until(lambda: client.log().count("Requested by user") == 2, "two requests by the user", within=20, last_state=client.log)
