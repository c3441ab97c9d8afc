"""A scenario file as strict models: what it may say, with the words of BOINC."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.clock import MAX_RATE
from harness.invariants import INVARIANTS
from harness.scenario.expectations import AnyExpectation
from harness.scenario.faults import AnyFault
from harness.scenario.problems import nearest
from harness.scenario.steps import AnyStep
from harness.scenario.values import Content, Duration, FilePath, HostName, LocalPart, Model, Name, OptionName, Scalar, Version

#: applications that every project has at hand (images/apps)
SAMPLE_APPS = ("1sec", "concat", "crash", "hang", "sleeper", "uppercase")


class TimeModel(Model):
    """The stack's clock."""

    rate: float = Field(ge=1, le=MAX_RATE)
    """Virtual seconds a real second."""


class CcConfig(Model):
    """A client's cc_config.xml."""

    log_flags: list[OptionName] = Field(default_factory=list)
    """Flags to switch on, beside file_xfer, sched_ops and task."""
    options: dict[OptionName, Scalar] = Field(default_factory=dict)


class CpuModel(Model):
    """What a host's /proc/cpuinfo shows; what is not given is as on the machine that runs this."""

    vmx: bool | None = None
    svm: bool | None = None
    hypervisor: bool | None = None
    cores: int | None = Field(default=None, ge=1, le=256)


class ClientModel(Model):
    """A volunteer's host."""

    name: HostName
    version: Version | None = None
    """The client's generation; by default the one the run is about (--boinc-client-version)."""
    attach: bool = True
    """Attach it to the project at the start."""
    email: LocalPart | None = None
    """With this account of `project.accounts` instead of the first one."""
    start: bool = True
    """False: a step starts it."""
    preferences: dict[OptionName, Scalar] = Field(default_factory=dict)
    """Computing preferences, by their names in global_prefs_override.xml."""
    cc_config: CcConfig | None = None
    disk_mb: int = Field(default=0, ge=0, le=4096)
    """A disk of its own of that size for the data directory, in memory: one that can be filled."""
    vbox: bool = False
    """A host with VirtualBox."""
    podman: bool = False
    """A host that can run containers (client 8.2)."""
    cpu: CpuModel | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the client's container (LANG, TZ, ...)."""

    @model_validator(mode="after")
    def _environment_is_the_clients(self) -> ClientModel:
        for name in self.environment:
            if not name.replace("_", "a").isalnum() or name.startswith(("BOINC_GUI_RPC", "HARNESS_", "LD_", "FAKETIME")):
                raise ValueError(f"environment: {name!r} belongs to the harness; expected a variable of the client's own")
        return self


class AccountModel(Model):
    """An account made by an administrator."""

    email: LocalPart
    """The part before the @; the harness adds a domain of the project's own, so that no mail can reach anybody."""
    password: str = "correct horse"
    name: str = "Volunteer"


class AppVersionModel(Model):
    """An app version from files beside the scenario."""

    version: str = Field(pattern=r"^\d{1,4}(\.\d{1,2})?$")
    platform: str = Field(default="x86_64-pc-linux-gnu", pattern=r"^[A-Za-z0-9._-]+$")
    plan_class: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")], Content] = Field(min_length=1)
    """The version's files by their names there, each a text or {file: NAME}."""
    executable: list[str] = Field(default_factory=list)
    """Which of them can be executed (all but version.xml by default)."""


class VmModel(Model):
    """An application in a virtual machine: our guest and wrapper, unless files beside the scenario take their place."""

    options: dict[OptionName, Scalar] = Field(default_factory=dict)
    """Elements of vbox_job.xml."""
    needs_acceleration: bool = False
    iso: FilePath | None = None
    job_file: FilePath | None = None


class AppModel(Model):
    """An application; one of the samples needs no entry."""

    name: Name
    user_friendly_name: str = ""
    columns: dict[OptionName, Scalar] = Field(default_factory=dict)
    """Further columns of the table `app` (beta, target_nresults, homogeneous_redundancy, ...)."""
    versions: list[AppVersionModel] = Field(default_factory=list)
    input_template: FilePath | None = None
    output_template: FilePath | None = None
    vm: VmModel | None = None
    """It runs in a virtual machine; its jobs have a `command`."""

    @model_validator(mode="after")
    def _one_kind(self) -> AppModel:
        if self.vm is not None and (self.versions or self.input_template or self.output_template):
            raise ValueError("vm brings its own version and templates; leave out versions, input_template and output_template")
        return self


class ProjectModel(Model):
    """The project and its server."""

    config: dict[OptionName, Scalar] = Field(default_factory=dict)
    """Options of config.xml, as an administrator writes them."""
    apps: list[AppModel] = Field(default_factory=list)
    accounts: list[AccountModel] = Field(default_factory=list)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


class JobModel(Model):
    """A job (workunit). It is submitted at the start unless a step submits it."""

    name: Name
    app: Name
    input: Annotated[list[Content], BeforeValidator(_as_list, json_schema_input_type=Content | list[Content])] = Field(
        default_factory=list, max_length=100
    )
    """The contents of its input files, in the order of the input template; one needs no list."""
    command_line: str = ""
    command: str = ""
    """For an application with `vm`: a shell command in the guest, in whose shared folder the input is `in` and the output `out`."""
    input_template: Content | None = None
    output_template: Content | None = None
    min_quorum: int | None = Field(default=None, ge=1)
    target_nresults: int | None = Field(default=None, ge=1)
    max_error_results: int | None = Field(default=None, ge=1)
    max_total_results: int | None = Field(default=None, ge=1)
    max_success_results: int | None = Field(default=None, ge=1)
    delay_bound: Duration | None = None
    """How long a volunteer may take."""
    rsc_fpops_est: float | None = Field(default=None, gt=0)
    rsc_fpops_bound: float | None = Field(default=None, gt=0)
    rsc_memory_bound: float | None = Field(default=None, gt=0)
    rsc_disk_bound: float | None = Field(default=None, gt=0)
    priority: int | None = None
    batch: int | None = None
    size_class: int | None = None
    hr_class: int | None = None

    @model_validator(mode="after")
    def _limits_fit(self) -> JobModel:
        """create_work's own checks (tools/backend_lib.cpp)."""
        for low, high in (
            ("min_quorum", "target_nresults"),
            ("target_nresults", "max_success_results"),
            ("max_success_results", "max_total_results"),
            ("max_error_results", "max_total_results"),
        ):
            small, large = getattr(self, low), getattr(self, high)
            if small is not None and large is not None and small > large:
                raise ValueError(f"impossible: {low} {small} is more than {high} {large}")
        return self

    def options(self) -> dict[str, object]:
        """What was given of create_work's options."""
        names = set(type(self).model_fields) - {"name", "app", "input", "command", "command_line", "input_template", "output_template"}
        return {name: getattr(self, name) for name in sorted(names) if getattr(self, name) is not None}


class KnownFailure(Model):
    """The scenario shows a known bug: it is expected to fail, and one that passes is reported."""

    reason: str = Field(min_length=3)
    clients: list[Version] = Field(default_factory=list)
    """Only with these client generations; empty: with all."""


class Scenario(Model):
    """One scenario."""

    scenario: str = Field(min_length=3, max_length=200)
    """What is shown, in one line."""
    about: str = ""
    """More about it, for people."""
    issue: str = ""
    """The address of the bug report it belongs to."""
    versions: list[Version] = Field(default_factory=list)
    """Run it once with each of these client generations; by default with one, the newest that the run is about."""
    time: Literal["real"] | TimeModel | None = None
    """The clock: `real`, or {rate: 20}; by default fast, as the run says (--time-rate)."""
    project: ProjectModel = Field(default_factory=ProjectModel)
    clients: list[ClientModel] = Field(default_factory=list, max_length=25)
    jobs: list[JobModel] = Field(default_factory=list, max_length=1000)
    faults: list[AnyFault] = Field(default_factory=list, max_length=100)
    steps: list[AnyStep] = Field(default_factory=list, max_length=500)
    expect: list[AnyExpectation] = Field(min_length=1, max_length=500)
    invariants_off: dict[str, str] = Field(default_factory=dict)
    """Invariants that are not checked, each with the reason."""
    races: dict[str, str] = Field(default_factory=dict)
    """Orders of events that are left open, each with the reason: a job's (by its name), or that of `scenario` itself (its steps and
    expectations). `harness repeat` tells them and does not count them."""
    known_failure: KnownFailure | None = None

    @model_validator(mode="after")
    def _invariants_exist(self) -> Scenario:
        for name, reason in self.invariants_off.items():
            if name not in INVARIANTS:
                raise ValueError(f"invariants_off: no such invariant: {name!r}{nearest(name, INVARIANTS)}")
            if not reason.strip():
                raise ValueError(f"invariants_off: {name} is switched off without a reason")
        for name, reason in self.races.items():
            if not reason.strip():
                raise ValueError(f"races: {name} is left open without a reason")
        return self

    @property
    def real_time(self) -> bool:
        return self.time == "real"

    @property
    def rate(self) -> float | None:
        return self.time.rate if isinstance(self.time, TimeModel) else None
