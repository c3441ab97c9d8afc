"""When two failures are the same."""

from harness.errors import HarnessError
from harness.invariants import InvariantViolated, Violation
from harness.scenario.replay import Failure

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
