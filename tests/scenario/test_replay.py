"""When two failures are the same."""

from harness.errors import HarnessError
from harness.history import Event, WaitFailed
from harness.invariants import InvariantViolated, Violation
from harness.scenario.replay import Failure
from harness.scenario.timeline import StepFailed
from harness.waiting import WaitTimeout

FAR = frozenset({"result.sent", "task.state"})


def failure(progress: frozenset[str], *texts: str) -> Failure:
    return Failure("expectation", dict.fromkeys(texts, progress))


def test_one_wrong_thing_in_common_is_the_same_trouble() -> None:
    assert failure(FAR, "a", "b").is_like(failure(FAR, "b"))
    assert not failure(FAR, "a").is_like(failure(FAR, "b"))
    assert not failure(FAR, "a").is_like(None)


def test_a_job_that_did_not_get_as_far_fails_in_another_way() -> None:
    assert not failure(FAR, "a").is_like(failure(frozenset(), "a"))
    assert failure(FAR, "a").is_like(failure(FAR | {"upload.done"}, "a"))


def test_another_kind_of_error_is_another_trouble() -> None:
    violated = Failure.of(InvariantViolated([Violation("credit_sums", "wrong")]))
    assert violated.is_like(Failure.of(InvariantViolated([Violation("credit_sums", "wrong in another way"), Violation("log_order", "x")])))
    assert not violated.is_like(Failure("expectation", {"credit_sums": frozenset()}))
    assert Failure.of(HarnessError("broken", thing="a")).is_like(Failure.of(HarnessError("broken", thing="b")))


def step_failed(step: str, why: HarnessError, line: int = 7) -> Failure:
    return Failure.of(StepFailed("x.scenario.yaml", line, step, why))


def test_a_step_fails_in_the_same_way_if_the_same_thing_ended_it() -> None:
    """Lines, names and times are other ones in a smaller scenario; a trigger that never came is another trouble."""
    given_up = WaitFailed("<Job a_1> validated", Event("job.error", 1.0, 1.0, "server"), elapsed=0.1)
    elsewhere = WaitFailed("<Job b_2> validated", Event("job.error", 2.0, 2.0, "server"), elapsed=3.0)
    cancelled = WaitFailed("<Job a_1> validated", Event("job.cancelled", 1.0, 1.0, "server"), elapsed=0.1)
    slow = WaitTimeout("<Job a_1> validated", last_state="sent", elapsed=60.0)

    assert step_failed("fast_forward", given_up).is_like(step_failed("fast_forward", elsewhere, line=3))
    for other in (
        step_failed("fast_forward", cancelled),
        step_failed("fast_forward", slow),
        step_failed("wait", HarnessError("its event did not come within 120 s")),
        Failure.of(given_up),
    ):
        assert not step_failed("fast_forward", given_up).is_like(other)
    assert Failure.of(slow).is_like(Failure.of(WaitTimeout("<Job b_2> validated", last_state="unsent", elapsed=60.3)))
