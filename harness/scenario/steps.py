"""The timeline of a scenario: what is done to the stack, and when.

A step without a trigger follows the step before it. `at` counts on the stack's clock (virtual seconds) from the moment
everything was started; `on` and `after` name what it follows.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, model_validator

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

#: real seconds that a step waits for its event, unless it says otherwise
STEP_DEADLINE = 60.0
Mode = Literal["always", "auto", "never"]


class EventPattern(Model):
    """Events of a kind with these values in their fields."""

    event: EventKind
    """The kind: "result.sent", or "result." for all that begin so."""
    job: Name | None = None
    """Only events of this job and its results."""
    client: HostName | None = None
    """Only events that this client told."""
    text: str | None = None
    """Only events one of whose texts contains this."""
    fields: dict[OptionName, Scalar] = Field(default_factory=dict)
    """Only events whose fields have exactly these values."""
    since: Name | None = None
    """Only events after the step of this name."""
    count: int = Field(default=1, ge=1, le=10_000)
    """How many of them."""


EventOrKind = Annotated[
    Annotated[EventKind, tagged("kind")] | Annotated[EventPattern, tagged("event")],
    Discriminator(
        choose("event", text="kind"),
        custom_error_type="content",
        custom_error_message="expected a kind of event, or {event: KIND, job: NAME, ...}",
    ),
]


class Trigger(Model):
    """When a step happens; at most one of `at`, `on`, `after`."""

    at: Duration | None = None
    """So long after the start, on the stack's clock."""
    on: EventOrKind | None = None
    """As soon as this has happened."""
    after: Name | None = None
    """After the step of that name."""
    within: Duration = STEP_DEADLINE
    """Real seconds that the trigger may take to come."""

    @model_validator(mode="after")
    def _one_trigger(self) -> Trigger:
        given = [name for name in ("at", "on", "after") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"several triggers ({' and '.join(given)}); expected one")
        return self


class Step(Trigger):
    """What all steps have in common."""

    verb: ClassVar[str]
    #: does it steer the stack's clock?
    steers: ClassVar[bool] = False
    name: Name | None = None
    """A name for other steps to follow (`after`)."""


class SubmitStep(Step):
    """Submit a job of `jobs` now instead of at the start."""

    verb = "submit"
    submit: Name


class CancelStep(Step):
    """Cancel a job on the server."""

    verb = "cancel"
    cancel: Name


class StartStep(Step):
    """Start a part again, or a client that was declared with `start: false`; parts: server, or a client's name."""

    verb = "start"
    start: HostName


class StopStep(Step):
    """Stop a part in good order (SIGTERM)."""

    verb = "stop"
    stop: HostName


class KillStep(Step):
    """End a part without warning (SIGKILL)."""

    verb = "kill"
    kill: HostName


class RestartStep(Step):
    """Stop a part and start it again."""

    verb = "restart"
    restart: HostName


class AttachStep(Step):
    """Attach a client to the project."""

    verb = "attach"
    attach: HostName
    email: LocalPart | None = None
    """With this account of `project.accounts` instead of the first one."""


class DetachStep(Step):
    """Detach a client from the project."""

    verb = "detach"
    detach: HostName


class UpdateStep(Step):
    """Let a client contact the scheduler now, as the Update button does."""

    verb = "update"
    update: HostName


class RetryTransfersStep(Step):
    """Let a client try its waiting transfers now, as the Retry button does."""

    verb = "retry_transfers"
    retry_transfers: HostName


class SuspendStep(Step):
    """Suspend the tasks of a job on every client that has one."""

    verb = "suspend"
    suspend: Name


class ResumeStep(Step):
    """Resume the tasks of a job."""

    verb = "resume"
    resume: Name


class AbortStep(Step):
    """Abort the tasks of a job, as a volunteer does."""

    verb = "abort"
    abort: Name


class RunModeStep(Step):
    """Set when a client computes."""

    verb = "run_mode"
    run_mode: Mode
    client: HostName


class NetworkModeStep(Step):
    """Set when a client may use the network."""

    verb = "network_mode"
    network_mode: Mode
    client: HostName


class PreferencesStep(Step):
    """Change a client's computing preferences, by their names in global_prefs_override.xml."""

    verb = "preferences"
    preferences: dict[OptionName, int | float]
    client: HostName


class ConfigureStep(Step):
    """Change options of the project's config.xml; sched_stopped and upload_stopped put it down for maintenance."""

    verb = "configure"
    configure: dict[OptionName, Scalar]


class PutFileStep(Step):
    """Write a file into the project's tree, below apps/ or templates/, and make app versions of what is new."""

    verb = "put_file"
    put_file: str = Field(pattern=r"^(apps|templates)/[A-Za-z0-9_./-]+$")
    content: Content
    executable: bool = False


class CreateAccountStep(Step):
    """Make an account through a client, as a person does in its window."""

    verb = "create_account"
    create_account: LocalPart
    """The e-mail address, without its domain."""
    client: HostName
    password: str = "correct horse"
    user_name: str = "Volunteer"


class InjectStep(Step):
    """Begin a fault of `faults` that has a name and `start: false`."""

    verb = "inject"
    inject: Name


class HealStep(Step):
    """End a fault of `faults` by its name."""

    verb = "heal"
    heal: Name


class WaitStep(Step):
    """Do nothing for so long, on the stack's clock."""

    verb = "wait"
    wait: Duration


class WaitForStep(Step):
    """Go on when this has happened."""

    verb = "wait_for"
    wait_for: EventOrKind


class SkipStep(Step):
    """Set the stack's clock forward."""

    verb = "skip"
    steers = True
    skip: Duration


class SkipToNextStep(Step):
    """Set the stack's clock forward to the next thing that would happen by itself."""

    verb = "skip_to_next"
    steers = True
    skip_to_next: Literal["", "deadline", "scheduler rpc", "work fetch", "upload retry", "download retry"]
    """Of this kind only; "": whatever it is."""


class FastForwardStep(Step):
    """Set the stack's clock forward to whatever clients have put off, again and again, until a job has come to a state."""

    verb = "fast_forward"
    steers = True
    fast_forward: Name
    """The job. Other steps and faults wait until it is there, `within` real seconds."""
    reaches: State = "validated"


STEPS: tuple[type[Step], ...] = (
    SubmitStep,
    CancelStep,
    StartStep,
    StopStep,
    KillStep,
    RestartStep,
    AttachStep,
    DetachStep,
    UpdateStep,
    RetryTransfersStep,
    SuspendStep,
    ResumeStep,
    AbortStep,
    RunModeStep,
    NetworkModeStep,
    PreferencesStep,
    ConfigureStep,
    PutFileStep,
    CreateAccountStep,
    InjectStep,
    HealStep,
    WaitStep,
    WaitForStep,
    SkipStep,
    SkipToNextStep,
    FastForwardStep,
)
VERBS = tuple(step.verb for step in STEPS)


def _union() -> Any:
    union: Any = Annotated[STEPS[0], tagged(STEPS[0].verb)]
    for step in STEPS[1:]:
        union = union | Annotated[step, tagged(step.verb)]
    return Annotated[
        union,
        Discriminator(choose(*VERBS), custom_error_type="step", custom_error_message="no action; expected one of: " + ", ".join(VERBS)),
    ]


AnyStep = _union()
