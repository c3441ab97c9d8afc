"""What a scenario refers to has to be there: clients, jobs, applications, steps, faults, accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.scenario.expectations import Expectation
from harness.scenario.faults import FaultModel
from harness.scenario.model import SAMPLE_APPS, Scenario
from harness.scenario.problems import nearest, one_of
from harness.scenario.steps import EventPattern, Step

Keys = tuple[str | int, ...]
Wrong = tuple[Keys, str]
#: a field's name -> what it refers to
_CLIENT_FIELDS = (
    *("client", "attach", "detach", "update", "retry_transfers"),
    *("partition", "lose", "slow_network", "skew", "fill_disk", "make_read_only", "damage", "lose_slot"),
    *("vbox", "vbox_hangs", "vbox_slow", "vbox_version"),
)
_PART_FIELDS = ("start", "stop", "kill", "restart", "freeze")
_JOB_FIELDS = ("job", "submit", "cancel", "suspend", "resume", "abort", "fast_forward", "signal_task")
_FAULT_FIELDS = ("inject", "heal")
SERVER = "server"
#: what `races` calls the scenario's own steps and expectations
SCENARIO = "scenario"


def check(scenario: Scenario) -> list[Wrong]:
    """Every reference to something that is not there, every name given twice, with the path of the field."""
    return [
        *_names(scenario),
        *_apps(scenario),
        *_accounts(scenario),
        *_steps(scenario),
        *_faults(scenario),
        *_expectations(scenario),
        *_races(scenario),
    ]


def _twice(names: Iterable[str], path: str, field: str, what: str) -> Iterator[Wrong]:
    count: Counter[str] = Counter()
    for index, name in enumerate(names):
        count[name] += 1
        if count[name] == 2:
            yield (path, index, field), f"two {what} named {name!r}"


def _names(scenario: Scenario) -> Iterator[Wrong]:
    yield from _twice([client.name for client in scenario.clients], "clients", "name", "clients")
    for index, client in enumerate(scenario.clients):
        if client.name in (SERVER, "mail", "control"):
            yield ("clients", index, "name"), f"{client.name!r} is the name of another part of the stack"
        if client.podman and client.version not in (None, "8.2"):
            yield ("clients", index, "podman"), f"the client {client.version} runs no containers; 8.2 does"
    yield from _twice([job.name for job in scenario.jobs], "jobs", "name", "jobs")
    yield from _twice([fault.name or f"[{index}]" for index, fault in enumerate(scenario.faults)], "faults", "name", "faults")


def _apps(scenario: Scenario) -> Iterator[Wrong]:
    apps = {app.name for app in scenario.project.apps} | set(SAMPLE_APPS)
    machines = {app.name for app in scenario.project.apps if app.vm is not None}
    for index, job in enumerate(scenario.jobs):
        if job.app not in apps:
            yield ("jobs", index, "app"), _missing("application", job.app, apps)
        elif job.app in machines:
            if not job.command or len(job.input) > 1 or job.input_template or job.output_template:
                yield ("jobs", index), "a job in a virtual machine has a command, at most one input, and no templates"
        elif job.command:
            yield ("jobs", index, "command"), f"the application {job.app!r} has no `vm` that a command could run in"


def _accounts(scenario: Scenario) -> Iterator[Wrong]:
    emails = [account.email for account in scenario.project.accounts]
    for index, client in enumerate(scenario.clients):
        if client.email is not None and client.email not in emails:
            yield ("clients", index, "email"), _missing("account in project.accounts", client.email, emails)
    for index, step in enumerate(scenario.steps):
        email = getattr(step, "email", None)
        if email is not None and email not in emails:
            yield ("steps", index, "email"), _missing("account in project.accounts", email, emails)


def _steps(scenario: Scenario) -> Iterator[Wrong]:
    earlier: list[str] = []
    submitted: Counter[str] = Counter()
    for index, step in enumerate(scenario.steps):
        path: Keys = ("steps", index)
        yield from _refers(scenario, step, path)
        for field in ("on", "wait_for"):
            pattern = getattr(step, field, None)
            if isinstance(pattern, EventPattern):
                yield from _refers(scenario, pattern, (*path, field))
        if step.after is not None and step.after not in earlier:
            yield (*path, "after"), _missing("step before this one", step.after, earlier)
        if step.name is not None:
            if step.name in earlier:
                yield (*path, "name"), f"two steps named {step.name!r}"
            earlier.append(step.name)
        if scenario.real_time and step.steers:
            yield (*path, step.verb), "time that passes at once needs a virtual clock; leave `time: real` out"
        if step.verb == "submit":
            submitted[getattr(step, "submit")] += 1  # noqa: B009 - of the kind of step that has it
            if submitted[getattr(step, "submit")] == 2:  # noqa: B009
                yield (*path, "submit"), "this job is submitted by another step already"


def _faults(scenario: Scenario) -> Iterator[Wrong]:
    steps = [step.name for step in scenario.steps if step.name is not None]
    with_vbox = [client.name for client in scenario.clients if client.vbox]
    small_disks = [client.name for client in scenario.clients if client.disk_mb]
    for index, fault in enumerate(scenario.faults):
        path: Keys = ("faults", index)
        yield from _refers(scenario, fault, path)
        if isinstance(fault.on, EventPattern):
            yield from _refers(scenario, fault.on, (*path, "on"))
        if fault.after is not None and fault.after not in steps:
            yield (*path, "after"), _missing("step", fault.after, steps)
        full = getattr(fault, "fill_disk", None)
        if full is not None and full not in small_disks:
            yield (*path, "fill_disk"), f"{full!r} has no disk of its own; give it `disk_mb: 64`"
        if scenario.real_time and fault.verb == "skew":
            yield (*path, fault.verb), "a clock that is wrong needs a virtual one; leave `time: real` out"
        if fault.verb.startswith("vbox") and getattr(fault, fault.verb) not in with_vbox:
            yield (*path, fault.verb), f"{getattr(fault, fault.verb)!r} has no VirtualBox; give it `vbox: true`"


def _expectations(scenario: Scenario) -> Iterator[Wrong]:
    for index, expectation in enumerate(scenario.expect):
        yield from _refers(scenario, expectation, ("expect", index))


def _races(scenario: Scenario) -> Iterator[Wrong]:
    known = [*(job.name for job in scenario.jobs), SCENARIO]
    for name in scenario.races:
        if name not in known:
            yield ("races", name), _missing("job", name, known)


def _refers(scenario: Scenario, thing: Step | Expectation | EventPattern | FaultModel, path: Keys) -> Iterator[Wrong]:
    clients = [client.name for client in scenario.clients]
    jobs = [job.name for job in scenario.jobs]
    faults = [fault.name for fault in scenario.faults if fault.name is not None]
    steps = [step.name for step in scenario.steps if step.name is not None]
    kinds: list[tuple[Sequence[str], str, list[str]]] = [
        (_CLIENT_FIELDS, "client", clients),
        (_PART_FIELDS, "part of the stack", [*clients, SERVER]),
        (_JOB_FIELDS, "job", jobs),
        (_FAULT_FIELDS, "named fault", faults),
        (("since",), "step", steps),
    ]
    for fields, what, known in kinds:
        for field in fields:
            value = getattr(thing, field, None)
            if isinstance(value, str) and value not in known:
                yield (*path, field), _missing(what, value, known)


def _missing(what: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"no such {what}: {name!r}{nearest(name, known) or '; there is: ' + one_of(known)}"
