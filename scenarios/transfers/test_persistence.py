"""Transfers that go on where they were, whoever was interrupted, and files that lie in several places."""

import hashlib

import pytest

from harness import JobState, script_app
from harness.client import Client
from harness.stack import Stack
from harness.waiting import wait_until

pytestmark = pytest.mark.virtual_time(reason="it skips backoffs")

CONTENT = bytes(range(65, 91)) * 160_000
MONTH = 30 * 86400  # the deadline: longer than all that fast_forward may skip
SLOW = 200_000.0  # bytes a second of the client's clock


def size_here(client: Client, prefix: str) -> int:
    """How much there is of a file that is being downloaded."""
    found = client.exec(["sh", "-c", f"cat {client.DATA_DIRECTORY}/projects/*/{prefix}* 2>/dev/null | wc -c"], check=False)
    return int(found.strip() or 0)


def test_a_killed_client_goes_on_with_its_download(stack: Stack) -> None:
    client = stack.client(attach=True, preferences={"max_bytes_sec_down": SLOW / stack.clock.rate})
    job = stack.project.submit("uppercase", input=CONTENT, delay_bound=MONTH)
    wait_until(lambda: size_here(client, "in_") > 400_000, "a part of the input", within=30)
    client.wait_saved(job)

    before = size_here(client, "in_")
    with stack.faults.kill(client):
        pass
    client.set_preferences(max_bytes_sec_down=0)
    stack.fast_forward(job)

    done = stack.project.history.find("download.done", name="in_" + hashlib.md5(CONTENT).hexdigest())[-1]
    went_on = done.get("range")
    assert isinstance(went_on, list), "it fetched a part only"
    assert went_on[0] > before - 100_000 > 0, f"it had {before} bytes and went on at {went_on[0]}"


def test_a_killed_client_goes_on_with_its_upload(stack: Stack) -> None:
    client = stack.client(attach=True, preferences={"max_bytes_sec_up": SLOW / stack.clock.rate})
    job = stack.project.submit("uppercase", input=CONTENT, delay_bound=MONTH)
    client.wait_upload_bytes(500_000)
    client.wait_saved(job)

    with stack.faults.kill(client):
        pass
    client.set_preferences(max_bytes_sec_up=0)
    stack.fast_forward(job)

    assert job.output() == CONTENT
    [done] = stack.project.history.find("upload.done")
    assert int(str(done.get("offset"))) > 200_000, f"it went on from what had arrived: {done}"


def test_a_file_with_several_urls_comes_from_one_that_works(stack: Stack) -> None:
    stack.project.configure(uldl_dir_fanout=0)
    content, base = b"somewhere", stack.project.master_url
    urls = "".join(f"<url>{base}{place}/</url>\n" for place in ("gone", "lost", "download", "moved"))
    digest = hashlib.md5(content).hexdigest()
    info = f"{urls}<md5_cksum>{digest}</md5_cksum>\n<nbytes>{len(content)}</nbytes>"
    script_app.install(stack.project, "reader", "cat in > out", inputs=["in"], input_info=info)
    stack.client(attach=True)
    job = stack.project.submit("reader", input=content, delay_bound=MONTH)

    stack.fast_forward(job)

    assert job.output() == content


def test_an_output_goes_to_the_upload_server_that_works(stack: Stack) -> None:
    # clients know an upload server's address by this last part of it; others would be places to download the output from
    urls = *(f"http://boinc.test:{port}/nobody/file_upload_handler" for port in (81, 82)), "<UPLOAD_URL/>"
    script_app.install(stack.project, "writer", "echo here > out", output_urls=urls)
    stack.client(attach=True)
    job = stack.project.submit("writer", delay_bound=MONTH)

    stack.fast_forward(job)

    assert job.output() == b"here\n"


def test_an_output_larger_than_its_limit_is_not_uploaded(stack: Stack) -> None:
    script_app.install(stack.project, "writer", "seq 10000 > out", max_nbytes=1000)
    client = stack.client(attach=True)
    job = stack.project.submit("writer", max_error_results=1, max_total_results=1)

    job.wait_for(JobState.ERROR)

    client.wait_message("exceeds size limit")
    assert "<error_code>-131" in job.results()[0].stderr
    assert not job.history.find("upload.done")
