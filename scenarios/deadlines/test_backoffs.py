"""The longest waits that a client imposes on itself, each reached and skipped."""

import pytest

from harness.stack import Stack
from harness.versions import ClientVersion

HOUR = 3600.0

# next_rpc_delay: a project that asks to be called every few seconds would clear what is to grow here
pytestmark = [pytest.mark.virtual_time(reason="it skips hours"), pytest.mark.project(next_rpc_delay=0)]


def climb(stack: Stack, what: str, enough: float) -> list[float]:
    """Skip every wait of a kind until one is at least `enough` seconds long; their lengths."""
    waits: list[float] = []
    while not waits or waits[-1] < enough:
        assert len(waits) < 20, f"20 waits, and none of {enough:g} s: {waits}"
        due = stack.clock.next_due(what, within=20)
        waits.append(due.at - stack.clock.now())
        if waits[-1] < enough:
            stack.clock.skip_to(due.at + 1)
    return waits


def test_scheduler_backoff_grows_to_four_hours(stack: Stack, client_version: ClientVersion) -> None:
    client = stack.client(attach=True)
    fault = stack.faults.http("scheduler", status=500)
    client.update(stack.project)

    waits = climb(stack, "scheduler rpc", 2 * HOUR)

    assert max(waits) <= 4 * HOUR
    fault.heal()
    job = stack.project.submit("uppercase", input=b"at last")
    stack.fast_forward(job)


def test_upload_backoff_grows_to_six_hours(stack: Stack, client_version: ClientVersion) -> None:
    fault = stack.faults.http("upload", status=503)
    client = stack.client(attach=True)
    job = stack.project.submit("uppercase", input=b"later", delay_bound=30 * 86400)
    client.update(stack.project)
    stack.history.wait("http.fault", within=30)

    waits = climb(stack, "upload", 3 * HOUR)

    assert max(waits) <= 6 * HOUR
    fault.heal()
    stack.fast_forward(job)
    assert job.output() == b"LATER"


def test_work_fetch_backoff_grows_to_a_day(stack: Stack, client_version: ClientVersion) -> None:
    stack.client(attach=True)

    waits = climb(stack, "work fetch", 12 * HOUR)

    assert max(waits) <= 36 * HOUR, "a day, and up to half of one more at random"
    job = stack.project.submit("uppercase", input=b"at last", delay_bound=30 * 86400)
    stack.fast_forward(job)
