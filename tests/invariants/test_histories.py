"""Invariants on fabricated histories: what is legal passes, every single mistake is found."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history import Event
from harness.invariants import ALL, INVARIANTS, InvariantViolated, Violation, World, check
from harness.invariants.histories import (
    AssimilatedOnce,
    CreditGrantedOnce,
    DeadlinesHold,
    FaultsHealed,
    JobStates,
    LogOrder,
    MailsOnce,
    ResultStates,
    TaskStates,
)

BEGIN = 1_800_000_000.0
#: ways a result can go: the kinds of its events, first to last
LIVES = [
    ["created"],
    ["created", "not_needed"],
    ["created", "sent"],
    ["created", "sent", "reported"],
    ["created", "sent", "resent", "reported", "valid"],
    ["created", "sent", "reported", "inconclusive", "valid"],
    ["created", "sent", "reported", "inconclusive", "no_check"],
    ["created", "sent", "timed_out"],
    ["created", "sent", "timed_out", "reported", "valid"],
    ["created", "sent", "detached"],
    ["created", "sent", "detached", "reported", "too_late"],
    ["created", "sent", "reported", "invalid"],
]
lives = st.lists(st.sampled_from(LIVES), min_size=1, max_size=4)


def event(kind: str, time: float = 0.0, source: str = "server", **fields: object) -> Event:
    return Event(kind, BEGIN + time, BEGIN + time, source, {"project": "p", **fields})


def result_events(number: int, life: list[str]) -> list[Event]:
    return [event(f"result.{kind}", result=number, name=f"wu_{number}", workunit=1) for kind in life]


def interleaved(draw: st.DrawFn, sequences: list[list[Event]]) -> list[Event]:
    """The events of several things, each thing's in its order."""
    rest = [list(sequence) for sequence in sequences]
    merged: list[Event] = []
    while left := [sequence for sequence in rest if sequence]:
        merged.append(draw(st.sampled_from(left)).pop(0))
    return merged


@st.composite
def legal_results(draw: st.DrawFn) -> list[Event]:
    chosen = draw(lives)
    return interleaved(draw, [result_events(number, life) for number, life in enumerate(chosen)])


def violations(invariant: object, events: list[Event], **world: float) -> list[Violation]:
    assert hasattr(invariant, "violations")
    return list(invariant.violations(World(events, **world)))  # type: ignore[arg-type]


@given(legal_results())
def test_every_legal_life_of_results_passes(events: list[Event]) -> None:
    assert violations(ResultStates(), events) == []


@given(legal_results(), st.data())
def test_an_event_that_is_lost_or_doubled_or_moved_forward_is_found(events: list[Event], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(events) - 1))
    doubled = [*events[: index + 1], events[index], *events[index + 1 :]]
    if events[index].kind != "result.resent":
        assert violations(ResultStates(), doubled), f"{events[index].kind} twice"
    later = [later for later in events[index + 1 :] if later.get("result") == events[index].get("result")]
    if events[index].kind in ("result.created", "result.sent") and later:
        lost = events[:index] + events[index + 1 :]
        assert violations(ResultStates(), lost), f"{events[index].kind} lost"


@pytest.mark.parametrize(
    "life",
    [
        ["sent"],
        ["created", "reported"],
        ["created", "sent", "sent"],
        ["created", "sent", "not_needed"],
        ["created", "resent"],
        ["created", "sent", "reported", "sent"],
        ["created", "sent", "reported", "timed_out"],
        ["created", "sent", "valid"],
        ["created", "sent", "reported", "valid", "invalid"],
        ["created", "sent", "reported", "valid", "inconclusive"],
        ["created", "created"],
        ["created", "sent", "teleported"],
    ],
    ids="-".join,
)
def test_backward_and_skipping_lives_are_found(life: list[str]) -> None:
    assert violations(ResultStates(), result_events(1, life))


def job(*kinds: str) -> list[Event]:
    return [event(kind, workunit=1, result=1, name="wu") for kind in kinds]


GOOD_JOB = ("job.created", "result.reported", "job.validated", "job.assimilated", "job.files_deleted")


@pytest.mark.parametrize("length", range(len(GOOD_JOB) + 1))
def test_a_job_may_stop_anywhere_on_its_way(length: int) -> None:
    assert violations(JobStates(), job(*GOOD_JOB[:length])) == []


def test_a_cancelled_job_may_lose_its_files_at_once() -> None:
    assert violations(JobStates(), job("job.created", "job.cancelled", "job.files_deleted")) == []


@pytest.mark.parametrize(
    "kinds",
    [
        ("job.validated",),
        ("job.created", "job.validated"),
        ("job.created", "job.created"),
        ("job.created", "job.assimilated"),
        ("job.created", "result.reported", "job.files_deleted"),
        ("job.created", "result.reported", "job.validated", "job.error"),
        ("job.created", "result.reported", "job.error", "job.validated"),
    ],
)
def test_a_job_out_of_order_is_found(kinds: tuple[str, ...]) -> None:
    assert violations(JobStates(), job(*kinds))


def test_two_projects_do_not_mix() -> None:
    one = event("job.created", workunit=1, name="a")
    other = Event("job.created", BEGIN, BEGIN, "server", {"project": "q", "workunit": 1, "name": "a"})
    assert violations(JobStates(), [one, other]) == []


@given(st.lists(st.sampled_from(["job.validated", "job.assimilated", "job.error"]), max_size=6))
def test_assimilated_once_counts(kinds: list[str]) -> None:
    assert len(violations(AssimilatedOnce(), job(*kinds))) == len(kinds) - len(set(kinds))


@given(st.lists(st.sampled_from(["valid", "granted"]), max_size=6))
def test_credit_is_granted_once_and_only_when_valid(kinds: list[str]) -> None:
    names = {"valid": "result.valid", "granted": "credit.granted"}
    found = violations(CreditGrantedOnce(), [event(names[kind], result=1, name="r") for kind in kinds])
    grants = [index for index, kind in enumerate(kinds) if kind == "granted"]
    fine = not grants or (len(grants) == 1 and "valid" in kinds[: grants[0]])
    assert (not found) == fine


STATES = ["NEW", "FILES_DOWNLOADING", "FILES_DOWNLOADED", "FILES_UPLOADING", "FILES_UPLOADED"]


def task(state: str) -> Event:
    return Event("task.state", BEGIN, BEGIN, "host1", {"client": "host1", "result": "r", "state": state})


@given(st.lists(st.sampled_from(STATES), max_size=8))
def test_tasks_only_go_forward(states: list[str]) -> None:
    ranks = [STATES.index(state) for state in states]
    assert bool(violations(TaskStates(), [task(state) for state in states])) == (ranks != sorted(ranks))


@pytest.mark.parametrize("kind", ["client.stopped", "client.started", "fault.injected"])
def test_a_client_that_lost_its_memory_may_begin_again(kind: str) -> None:
    between = Event(kind, BEGIN, BEGIN, "host1", {"client": "host1"})
    assert violations(TaskStates(), [task("FILES_UPLOADING"), between, task("NEW")]) == []


def test_an_aborted_task_that_was_reported_while_it_ran_may_be_aborted_again() -> None:
    reported = event("result.reported", result=1, name="r")
    assert violations(TaskStates(), [task("ABORTED"), reported, task("COMPUTE_ERROR")]) == []
    assert violations(TaskStates(), [task("ABORTED"), task("COMPUTE_ERROR")])
    assert violations(TaskStates(), [reported, task("FILES_UPLOADED"), task("COMPUTE_ERROR")])


def test_a_task_that_was_sent_again_may_begin_again() -> None:
    again = event("result.resent", result=1, name="r")
    assert violations(TaskStates(), [task("FILES_UPLOADING"), again, task("NEW")]) == []


@given(asked=st.integers(0, 3), sent=st.integers(0, 3))
def test_no_more_mails_than_were_asked_for(asked: int, sent: int) -> None:
    events = [event("account.created", user=1, email="a@p.test")]
    events += [event("account.mail", user=1)] * asked + [event("mail.sent", to="a@p.test", subject="s")] * sent
    assert bool(violations(MailsOnce(), events)) == (sent > asked)


def test_a_mail_that_arrives_twice_is_found() -> None:
    sent = event("mail.sent", to="b@p.test", subject="s")
    came = Event("mail.received", BEGIN, BEGIN, "mail", {"to": ["b@p.test"], "subject": "s"})
    assert violations(MailsOnce(), [sent, came]) == []
    assert violations(MailsOnce(), [sent, came, came])


@given(st.lists(st.integers(0, 100), max_size=10))
def test_log_order_is_that_of_the_times(times: list[int]) -> None:
    found = violations(LogOrder(), [event("rpc.scheduler", time) for time in times])
    backwards = any(later < earlier - LogOrder.slack for earlier, later in itertools.pairwise(times))
    assert bool(found) == backwards


def test_parts_may_tell_things_at_their_own_pace() -> None:
    late = Event("client.message", BEGIN - 50, BEGIN, "host1", {})
    assert violations(LogOrder(), [event("rpc.scheduler", 10), late]) == []


@given(late=st.floats(-1e5, 1e5), rate=st.floats(1, 60))
def test_a_missed_deadline_is_found_after_a_grace(late: float, rate: float) -> None:
    sent = event("result.sent", result=1, name="r", deadline=BEGIN)
    found = violations(DeadlinesHold(), [sent], now=BEGIN + late, rate=rate)
    assert bool(found) == (BEGIN + late - BEGIN > 60 * rate)
    ended = [sent, event("result.timed_out", result=1, name="r")]
    assert violations(DeadlinesHold(), ended, now=BEGIN + late, rate=rate) == []


@given(st.permutations([1, 2, 3]), st.integers(0, 3))
def test_every_fault_is_healed(order: list[int], healed: int) -> None:
    events = [Event("fault.injected", BEGIN, BEGIN, "faults", {"fault": "http", "number": number}) for number in (1, 2, 3)]
    events += [Event("fault.healed", BEGIN, BEGIN, "faults", {"fault": "http", "number": number}) for number in order[:healed]]
    assert len(violations(FaultsHealed(), events)) == 3 - healed


def test_all_are_registered_by_name_and_say_what_they_are() -> None:
    assert len(INVARIANTS) == len(ALL)
    assert all(invariant.about.endswith(".") for invariant in ALL)


def test_an_invariant_that_is_off_is_reported_with_its_reason() -> None:
    world = World(job("job.validated"))
    assert check(world, ALL).violations
    report = check(world, ALL, off={"job_states": "on purpose"})
    assert report.violations == []
    assert report.skipped["job_states"] == "on purpose"


def test_the_error_names_what_was_broken_and_how_to_switch_it_off() -> None:
    error = InvariantViolated(check(World(job("job.validated")), ALL).violations)
    assert "job_states" in str(error)
    assert "invariant_off" in str(error)

    assert "before it was created" in str(error)
