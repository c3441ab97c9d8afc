"""The runner on a stack without containers: triggers, order, expectations that hold and that do not."""

import time

import pytest

from harness.errors import HarnessError, UsageError
from harness.faults import chaos
from harness.scenario.runner import ScenarioFailed
from harness.scenario.timeline import StepFailed
from tests.scenario.fake_stack import FakeStack, load, run

HEAD = """\
scenario: a test of the runner
clients: [{name: host1}, {name: host2, start: false}]
jobs: [{name: a, app: uppercase, input: x}, {name: b, app: uppercase, input: y}]
"""
FINE = "expect: [{job: a, reaches: assimilated}]\n"


def told(stack: FakeStack) -> list[str]:
    """What the clients were told, in order, and the faults."""
    words = []
    for event in stack.history:
        if event.kind == "client.message":
            words.append(f"{event.source} {event.get('text')}")
        elif event.kind.startswith("fault."):
            words.append(f"{event.kind} {event.get('fault')}")
    return words


def test_what_is_declared_is_started_and_submitted() -> None:
    stack = FakeStack()
    findings = run(HEAD + FINE, stack)
    assert [finding.held for finding in findings] == [True]
    assert [job["input"] for job in stack.project.jobs] == [[b"x"], [b"y"]]
    assert told(stack) == ["host1 attach"]
    assert [event.kind for event in stack.history][-1] == "expect.met"


def test_steps_come_in_the_order_of_their_triggers() -> None:
    stack = FakeStack()
    stack.later(0.2, "host.created", host=1)
    steps = """\
steps:
  - {at: 60s, update: host1, name: late}
  - {detach: host1}
  - {on: host.created, restart: server}
  - {after: late, retry_transfers: host1}
"""
    run(HEAD + steps + FINE, stack)
    done = [event.get("step") for event in stack.history if event.kind == "step.done"]
    assert done == ["restart", "update", "detach", "retry_transfers"], "60 s of the clock are one real second"


def test_a_step_can_wait_for_the_nth_event_of_a_job() -> None:
    stack = FakeStack()
    for delay in (0.1, 0.2, 0.3):
        stack.later(delay, "upload.failed", result="wu1_0", name="wu1_0_r_0")
        stack.later(delay, "upload.failed", result="wu2_0", name="wu2_0_r_0")
    began = time.monotonic()
    run(HEAD + "steps: [{on: {event: upload.failed, job: a, count: 3}, update: host1}]\n" + FINE, stack)
    assert 0.25 < time.monotonic() - began < 5


def test_only_events_since_a_step_count() -> None:
    stack = FakeStack()
    steps = "steps: [{name: first, update: host1}, {wait_for: {event: job.validated, since: first}, within: 300ms}]\n"
    with pytest.raises(StepFailed, match="wait_for"):
        run(HEAD + steps + FINE, stack)


def test_an_event_that_never_comes_names_the_step_and_its_line() -> None:
    with pytest.raises(StepFailed) as caught:
        run(HEAD + "steps: [{on: trickle.up, within: 200ms, update: host1}]\n" + FINE, FakeStack())
    assert caught.value.line == 4
    assert "trickle.up" in str(caught.value)


def test_a_step_that_a_step_starts() -> None:
    stack = FakeStack()
    run(HEAD + "steps: [{start: host2}, {submit: b}, {configure: {sched_stopped: true}}]\n" + FINE, stack)
    assert "host2 attach" in told(stack)
    assert [job["input"] for job in stack.project.jobs] == [[b"x"], [b"y"]]
    assert {"sched_stopped": True} in stack.project.options


def test_faults_begin_and_end_when_they_shall() -> None:
    stack = FakeStack()
    faults = """\
faults:
  - {name: early, http: upload, status: 503}
  - {name: by_step, start: false, http: download, reset: true}
  - {on: job.created, partition: host1, for: 6s}
steps: [{inject: by_step}, {heal: early}, {wait: 12s}]
"""
    run(HEAD + faults + FINE, stack)
    assert told(stack)[0] == "fault.injected http", "before the client is started"
    assert sorted(told(stack)[2:]) == ["fault.healed http", "fault.healed partition", "fault.injected http", "fault.injected partition"]


def test_time_that_nobody_will_wait_for_is_refused() -> None:
    with pytest.raises(UsageError, match="skip: 7d"):
        run(HEAD + "steps: [{at: 365d, update: host1}]\n" + FINE, FakeStack())


@pytest.mark.parametrize(
    "expectation",
    [
        "{job: a, output: output out of 1}",
        "{job: a, output_contains: of 1, output_name: out}",
        "{job: a, exit_code: 0, outcome: success, results: 1, credit: 0, error_mask: []}",
        "{job: a, stderr_contains: done, results: {at_least: 1, at_most: 2}}",
        "{job: a, never: error}",
        "{client: host1, says: attach, never_says: panic}",
        "{event: job.validated, count: 2}",
        "{event: job.validated, job: b, fields: {workunit: 2}}",
        "{event: job., job: a, count: 3}",
        "{no_event: job.error}",
        "{in_order: [job.created, result.sent, job.validated], job: b}",
        "{log: project, contains: project log}",
        "{log: server, contains: server log}",
    ],
)
def test_expectations_that_hold(expectation: str) -> None:
    assert all(finding.held for finding in run(f"{HEAD}expect: [{expectation}]\n", FakeStack()))


@pytest.mark.parametrize(
    ("expectation", "seen"),
    [
        ("{job: a, reaches: error, within: 100ms}", "OVER/SUCCESS"),
        ("{job: a, reaches: sent, times: 2, within: 100ms}", "1 times"),
        ("{job: a, output: something else, within: 100ms}", "output out of 1"),
        ("{job: a, output_contains: x, within: 100ms}", "output out"),
        ("{job: a, exit_code: 3, within: 100ms}", "seen: 0"),
        ("{job: a, outcome: client_error, within: 100ms}", "success"),
        ("{job: a, results: 2, within: 100ms}", "seen: 1"),
        ("{job: a, credit: {at_least: 1}, within: 100ms}", "seen: 0"),
        ("{job: a, error_mask: [cancelled], within: 100ms}", "seen: empty"),
        ("{job: a, stderr_contains: x, within: 100ms}", "done"),
        ("{job: a, never: validated}", "1 times"),
        ("{client: host1, says: hello, within: 100ms}", "attach"),
        ("{client: host1, never_says: attach}", "attach"),
        ("{event: job.error, within: 100ms}", "0 of them"),
        ("{event: job.validated, count: 3, within: 100ms}", "2 of them"),
        ("{event: job.validated, fields: {workunit: 3}, within: 100ms}", "0 of them"),
        ("{no_event: job.validated}", "2 of them"),
        ("{no_event: job.validated, job: a}", "1 of them"),
        ("{in_order: [job.validated, job.created], job: a, within: 100ms}", "then no job.created"),
        ("{log: project, contains: x, within: 100ms}", "project log"),
    ],
)
def test_expectations_that_do_not_hold(expectation: str, seen: str) -> None:
    stack = FakeStack()
    with pytest.raises(ScenarioFailed) as caught:
        run(f"{HEAD}expect: [{expectation}]\n", stack)
    assert seen in str(caught.value)
    assert caught.value.findings[0].line == 4
    assert [event.kind for event in stack.history][-1] == "expect.failed"


def test_a_job_that_failed_is_not_waited_for() -> None:
    stack = FakeStack(fate=("result.sent", "result.reported", "job.error", "job.assimilated"))
    began = time.monotonic()
    with pytest.raises(ScenarioFailed, match="the job failed"):
        run(HEAD + "expect: [{job: a, reaches: validated, within: 60s}]\n", stack)
    assert time.monotonic() - began < 5


def test_after_one_wait_in_vain_the_rest_is_only_looked_at() -> None:
    began = time.monotonic()
    expect = "expect: [{event: job.error, within: 200ms}, {event: trickle.up, within: 60s}, {job: a, reaches: validated}]\n"
    with pytest.raises(ScenarioFailed) as caught:
        run(HEAD + expect, FakeStack())
    assert time.monotonic() - began < 5
    assert len(caught.value.findings) == 2


def test_what_must_never_happen_is_looked_at_last() -> None:
    stack = FakeStack(fate=("result.sent",))
    stack.later(0.2, "job.validated", project="p", workunit=1, name="wu1")
    with pytest.raises(ScenarioFailed, match="never happens"):
        run(HEAD + "expect: [{no_event: job.validated}, {job: a, reaches: validated, within: 5s}]\n", stack)


def test_a_server_that_is_gone_ends_the_timeline() -> None:
    stack = FakeStack()
    stack.history.break_off(HarnessError("the server is gone"))
    with pytest.raises(HarnessError, match="the server is gone"):
        run(HEAD + "steps: [{on: trickle.up, update: host1}]\n" + FINE, stack)


def test_a_time_that_a_skip_brings_near_is_not_waited_for() -> None:
    stack = FakeStack()
    with pytest.raises(StepFailed, match="skip"):  # the fake's clock is nobody's; what counts is that the run began
        run(HEAD + "steps: [{skip: 300d, name: s, within: 100ms, on: trickle.up}, {at: 300d, update: host1}]\n" + FINE, stack)


def test_a_body_of_no_bytes_is_a_fault() -> None:
    stack = FakeStack()
    run(HEAD + "faults: [{http: download, cut: 0}]\n" + FINE, stack)
    assert told(stack)[0] == "fault.injected http"


@pytest.mark.parametrize("seed", range(20))
def test_random_schedules_are_scenarios(seed: int) -> None:
    assert load(chaos.scenario(seed)).scenario.faults
