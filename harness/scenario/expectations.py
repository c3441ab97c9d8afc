"""What shall come of a scenario."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, model_validator

from harness.scenario.steps import EventPattern
from harness.scenario.values import (
    Content,
    Duration,
    EventKind,
    HostName,
    LocalPart,
    Model,
    Name,
    OptionName,
    Scalar,
    State,
    choose,
    tagged,
)

#: real seconds that an expectation waits, unless it says otherwise
EXPECT_DEADLINE = 20.0
JOB_DEADLINE = 60.0
OutcomeName = Literal["success", "couldnt_send", "client_error", "no_reply", "didnt_need", "validate_error", "client_detached"]
ErrorName = Literal["couldnt_send", "too_many_errors", "too_many_successes", "too_many_total", "cancelled", "no_canonical_result"]


class Between(Model):
    """A number between two bounds, both included."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _possible(self) -> Between:
        if self.at_least is None and self.at_most is None:
            raise ValueError("no bound; expected at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"impossible: at_least {self.at_least:g} is more than at_most {self.at_most:g}")
        return self

    def holds(self, number: float) -> bool:
        return (self.at_least is None or number >= self.at_least) and (self.at_most is None or number <= self.at_most)


class Expectation(Model):
    """What all expectations have in common."""

    verb: ClassVar[str]
    within: Duration = EXPECT_DEADLINE
    """Real seconds that it may take to come true."""


class JobExpectation(Expectation):
    """How far a job comes, and what its canonical (else newest) result says."""

    verb = "job"
    job: Name
    within: Duration = JOB_DEADLINE
    """Real seconds that it may take to come true."""
    reaches: State | None = None
    """It gets into this state, `times` times."""
    times: int = Field(default=1, ge=1, le=10_000)
    never: State | None = None
    """It never got into this state."""
    output: Content | None = None
    """The exact bytes of the output file `output_name`; a last line break more or less does not count for a text."""
    output_name: str = "out"
    output_contains: str | None = None
    exit_code: int | None = None
    """exit_status of the result."""
    outcome: OutcomeName | None = None
    stderr_contains: str | None = None
    credit: float | Between | None = None
    """Credit granted to the result."""
    results: int | Between | None = None
    """How many results (tries) the job has."""
    error_mask: list[ErrorName] | None = None
    """These bits of the workunit's error_mask, and no others."""

    @model_validator(mode="after")
    def _says_something(self) -> JobExpectation:
        said = self.model_fields_set - {"job", "within", "times", "output_name"}
        if not said:
            raise ValueError("nothing is expected of the job; add reaches, output, exit_code, outcome, stderr_contains, ...")
        return self


class ClientExpectation(Expectation):
    """What a client says and has."""

    verb = "client"
    client: HostName
    says: str | None = None
    """A message of its event log contains this."""
    never_says: str | None = None
    """No message of its event log contains this."""
    notice: str | None = None
    """A notice to the volunteer contains this."""
    log_contains: str | None = None
    """Its standard output contains this."""
    tasks: int | None = Field(default=None, ge=0)
    """So many tasks are left on it."""
    attached: bool | None = None
    """It is attached to the project, or not."""

    @model_validator(mode="after")
    def _says_something(self) -> ClientExpectation:
        if not self.model_fields_set - {"client", "within"}:
            raise ValueError("nothing is expected of the client; add says, never_says, notice, log_contains, tasks or attached")
        return self


class EventExpectation(Expectation, EventPattern):
    """Events happen: at least `count` of them."""

    verb = "event"


class NoEventExpectation(Expectation):
    """No such event happened, up to the end of the scenario."""

    verb = "no_event"
    no_event: EventKind
    job: Name | None = None
    client: HostName | None = None
    text: str | None = None
    fields: dict[OptionName, Scalar] = Field(default_factory=dict)


class OrderExpectation(Expectation):
    """Events of these kinds happen in this order; others may lie between."""

    verb = "in_order"
    in_order: list[EventKind] = Field(min_length=2, max_length=100)
    job: Name | None = None
    """Only events of this job and its results."""
    client: HostName | None = None


class MailExpectation(Expectation):
    """A mail arrives."""

    verb = "mail"
    mail: LocalPart
    """The receiver's address, without its domain ("volunteer": the project's first account)."""
    subject: str = ""
    """The subject contains this."""
    text: str = ""
    """The body contains this."""


class NoMailExpectation(Expectation):
    """Nobody of that address got a mail."""

    verb = "no_mail"
    no_mail: LocalPart


class LogExpectation(Expectation):
    """The server's or the project's log contains a text."""

    verb = "log"
    log: Literal["server", "project"]
    contains: str


EXPECTATIONS: tuple[type[Expectation], ...] = (
    NoEventExpectation,
    OrderExpectation,
    NoMailExpectation,
    MailExpectation,
    LogExpectation,
    EventExpectation,
    JobExpectation,
    ClientExpectation,
)
SUBJECTS = tuple(expectation.verb for expectation in EXPECTATIONS)


def _union() -> Any:
    union: Any = Annotated[EXPECTATIONS[0], tagged(EXPECTATIONS[0].verb)]
    for expectation in EXPECTATIONS[1:]:
        union = union | Annotated[expectation, tagged(expectation.verb)]
    return Annotated[
        union,
        Discriminator(
            choose(*SUBJECTS),
            custom_error_type="expectation",
            custom_error_message="nothing to look at; expected one of: " + ", ".join(sorted(SUBJECTS)),
        ),
    ]


AnyExpectation = _union()
