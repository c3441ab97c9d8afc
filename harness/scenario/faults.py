"""Faults in a scenario file: data that `harness.faults` carries out; each model bears the names of its method's parameters.

A fault without a trigger is in force from the start; it ends when it is healed: after `for`, by a step `heal`, or at the end.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, model_validator

from harness.scenario.steps import Trigger
from harness.scenario.values import Duration, HostName, Name, Size, choose, tagged

Endpoint = Literal["scheduler", "upload", "download", "config", "account", "master", "web", "any"]


class FaultModel(Trigger):
    """What all faults have in common."""

    verb: ClassVar[str]
    name: Name | None = None
    """A name for steps that begin (`inject`) or end (`heal`) it."""
    start: bool = True
    """False: a step begins it."""
    lasts: Duration | None = Field(default=None, alias="for")
    """Heal it after so long, on the stack's clock."""

    @model_validator(mode="after")
    def _inject_has_a_name(self) -> FaultModel:
        if not self.start and self.name is None:
            raise ValueError("start: false needs a name, for the step that begins it")
        return self


class HttpFault(FaultModel):
    """Exchanges with an endpoint of the project server go wrong: in exactly one way."""

    verb = "http"
    http: Endpoint
    status: int | None = Field(default=None, ge=100, le=599)
    """The server is not asked; the client gets this HTTP status."""
    redirect: str | None = None
    """Likewise, a redirection to this location; "loop": to itself."""
    reset: bool = False
    """The connection is reset before the server sees the request."""
    lose_reply: bool = False
    """The connection is reset when the server has answered."""
    cut: Size | None = None
    """The body ends after so many bytes, with a reset."""
    truncate: Size | None = None
    """The body is so many bytes long, and its Content-Length says so, too."""
    alter: int | None = None
    """The byte of the body at this offset (negative: from the end) is changed."""
    replace: str | None = None
    """Another body."""
    wrong_length: int | None = None
    """Content-Length is wrong by so many bytes."""
    rate: float | None = Field(default=None, gt=0)
    """The reply comes with so many bytes a second."""
    delay: Duration | None = None
    """It comes so much (real time) later."""
    direction: Literal["request", "reply"] | None = None
    times: int | None = Field(default=None, ge=1)
    """How often; by default until it is healed."""
    let_through: int = Field(default=0, ge=0)
    """So many exchanges go well first."""
    client: HostName | None = None
    """Only this client's."""
    path: str = Field(default="", max_length=200)
    """Only exchanges whose path matches this regular expression."""

    ACTIONS: ClassVar = (
        "status",
        "redirect",
        "reset",
        "lose_reply",
        "cut",
        "truncate",
        "alter",
        "replace",
        "wrong_length",
        "rate",
        "delay",
    )

    @model_validator(mode="after")
    def _one_way(self) -> HttpFault:
        given = list(self.action())
        if len(given) != 1:
            raise ValueError(f"an HTTP fault is one of {', '.join(self.ACTIONS)}; got {' and '.join(given) or 'none of them'}")
        return self

    def action(self) -> dict[str, object]:
        """What happens to an exchange, by the name of `harness.faults.http`."""
        values = {name: getattr(self, name) for name in self.ACTIONS}
        return {name: value for name, value in values.items() if value is not None and value is not False}


class KillFault(FaultModel):
    """A client (with its tasks) or the server ends; healed: it is started again."""

    verb = "kill"
    kill: HostName
    signal: Literal["SIGKILL", "SIGTERM"] = "SIGKILL"


class FreezeFault(FaultModel):
    """A client or the server stops as with SIGSTOP: nothing answers, connections stay open."""

    verb = "freeze"
    freeze: HostName
    tasks: bool = True
    """False: a client's applications go on."""


class SignalTaskFault(FaultModel):
    """A running task of a job gets a signal."""

    verb = "signal_task"
    signal_task: Name
    client: HostName
    signal: Literal["SIGKILL", "SIGTERM", "SIGSTOP", "SIGSEGV", "SIGABRT"] = "SIGKILL"


class PartitionFault(FaultModel):
    """A host is cut off from the project server."""

    verb = "partition"
    partition: HostName
    how: Literal["drop", "reject"] = "drop"


class LossFault(FaultModel):
    """Packets between a host and the project server are lost at random."""

    verb = "lose"
    lose: HostName
    share: float = Field(gt=0, le=1)


class SlowNetworkFault(FaultModel):
    """A host's network is slow."""

    verb = "slow_network"
    slow_network: HostName
    kilobytes_per_second: float = Field(gt=0)


class SkewFault(FaultModel):
    """A host's clock differs from the others'."""

    verb = "skew"
    skew: HostName
    seconds: float = 0.0
    """So much ahead; negative: behind."""
    drift: float = Field(default=1.0, gt=0, le=100)
    """So many times as fast."""


class FillDiskFault(FaultModel):
    """The disk of a client's data directory is full; the client needs `disk_mb`."""

    verb = "fill_disk"
    fill_disk: HostName
    leave_kb: int = Field(default=0, ge=0)


class ReadOnlyFault(FaultModel):
    """A client can not write in its data directory."""

    verb = "make_read_only"
    make_read_only: HostName


class DamageFault(FaultModel):
    """A file of a client's data directory is damaged."""

    verb = "damage"
    damage: HostName
    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")
    how: Literal["empty", "truncate", "garbage", "flip", "remove"] = "truncate"
    offset: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _inside(self) -> DamageFault:
        if ".." in self.path.split("/"):
            raise ValueError(f"a path out of the data directory: {self.path!r}")
        return self


class LoseSlotFault(FaultModel):
    """A slot directory of a client is emptied."""

    verb = "lose_slot"
    lose_slot: HostName
    slot: int = Field(default=0, ge=0, le=100)


VBoxErrorName = Literal[
    "object_not_found", "invalid_object_state", "server_exec_failure", "host_error", "out_of_memory", "vmx_disabled", "driver_missing"
]


class VBoxFault(FaultModel):
    """VBoxManage fails on a client with `vbox` when it is called with certain words."""

    verb = "vbox"
    vbox: HostName
    words: str = Field(min_length=1, max_length=100)
    """The first words of the call ("startvm", "controlvm * pause")."""
    error: VBoxErrorName
    times: int | None = Field(default=None, ge=1)


class VBoxHangsFault(FaultModel):
    """VBoxManage never returns from such a call."""

    verb = "vbox_hangs"
    vbox_hangs: HostName
    words: str = Field(min_length=1, max_length=100)
    times: int | None = Field(default=None, ge=1)


class VBoxSlowFault(FaultModel):
    """VBoxManage takes its time for such a call."""

    verb = "vbox_slow"
    vbox_slow: HostName
    words: str = Field(min_length=1, max_length=100)
    seconds: float = Field(gt=0, le=3600)
    """Real seconds."""
    times: int | None = Field(default=None, ge=1)


class VBoxVersionFault(FaultModel):
    """VirtualBox says that it is another version."""

    verb = "vbox_version"
    vbox_version: HostName
    version: str = Field(min_length=1, max_length=60)


FAULTS: tuple[type[FaultModel], ...] = (
    HttpFault,
    KillFault,
    FreezeFault,
    SignalTaskFault,
    PartitionFault,
    LossFault,
    SlowNetworkFault,
    SkewFault,
    FillDiskFault,
    ReadOnlyFault,
    DamageFault,
    LoseSlotFault,
    VBoxFault,
    VBoxHangsFault,
    VBoxSlowFault,
    VBoxVersionFault,
)
FAULT_VERBS = tuple(fault.verb for fault in FAULTS)


def _union() -> Any:
    union: Any = Annotated[FAULTS[0], tagged(FAULTS[0].verb)]
    for fault in FAULTS[1:]:
        union = union | Annotated[fault, tagged(fault.verb)]
    return Annotated[
        union,
        Discriminator(
            choose(*FAULT_VERBS), custom_error_type="fault", custom_error_message="no fault; expected one of: " + ", ".join(FAULT_VERBS)
        ),
    ]


AnyFault = _union()
