"""A stack without containers: its project completes jobs at once, its clients do as they are told and note it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from harness.clock import Clock
from harness.faults import Fault
from harness.history import History
from harness.jobs import Job, Result
from harness.project.base import Account
from harness.scenario import runner
from harness.scenario.checks import Finding
from harness.scenario.loader import LoadedScenario, loads
from harness.stack import Stack
from harness.virtual_time import StackClock


def result_record(number: int, workunit: int, **columns: object) -> dict[str, object]:
    names = ("hostid", "outcome", "validate_state", "exit_status", "granted_credit", "report_deadline", "elapsed_time", "cpu_time")
    base: dict[str, object] = {"id": number, "name": f"wu{workunit}_0", "workunitid": workunit, "server_state": 5, "stderr_out": "done\n"}
    return {**base, **dict.fromkeys(names, 0), "outcome": 1, **columns}


@dataclass
class FakeProject:
    """`fate`: the kinds of events that follow a submission."""

    history: History
    fate: Sequence[str] = ("result.sent", "result.reported", "job.validated", "job.assimilated")
    name: str = "p"
    master_url: str = "http://boinc.test/p/"
    options: list[Mapping[str, object]] = field(default_factory=list)
    jobs: list[Mapping[str, object]] = field(default_factory=list)
    columns: dict[str, object] = field(default_factory=dict)

    def address(self, person: str) -> str:
        return f"{person}@p.test"

    def account(self) -> Account:
        return Account(1, self.address("volunteer"), "secret", "key")

    def submit(self, app: str, **options: object) -> Job:
        self.jobs.append({"app": app, **options})
        number = len(self.jobs)
        for kind in ("job.created", *self.fate):
            self.history.add(kind, "server", project="p", workunit=number, name=f"wu{number}", result=number)
        return Job(cast(Any, self), number, f"wu{number}", app)

    def configure(self, **options: object) -> None:
        self.options.append(options)

    def results(self, *, workunit: int | None = None, host: int | None = None) -> list[Result]:
        return [Result.from_record(result_record(workunit or 1, workunit or 1, **self.columns))]

    def workunit(self, workunit_id: int) -> Mapping[str, object]:
        return {"id": workunit_id, "canonical_resultid": workunit_id, "error_mask": 0}

    def output(self, result_id: int, name: str) -> bytes:
        return f"output {name} of {result_id}\n".encode()

    def log(self) -> str:
        return "project log\n"


class FakeClient:
    """Notes what it was told in the history as client.message."""

    is_running = True

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self._history = history

    def __getattr__(self, verb: str) -> Callable[..., None]:
        def act(*_: object, **__: object) -> None:
            self._history.add("client.message", self.name, client=self.name, text=verb)

        return act


class FakeFaults:
    def __init__(self, stack: FakeStack) -> None:
        self._stack = stack

    def http(self, endpoint: str, **_: object) -> Fault:
        return Fault(cast(Stack, self._stack), "http", endpoint, lambda: None, {})

    def partition(self, client: FakeClient, **_: object) -> Fault:
        return Fault(cast(Stack, self._stack), "partition", client.name, lambda: None, {})


class FakeServer:
    def log(self, lines: int) -> str:
        return "server log\n"

    def restart(self) -> None: ...


class FakeRig:
    def __init__(self) -> None:
        self.project_server = FakeServer()
        self.wrapper_program = None

    def networks(self) -> None: ...


class FakeStack:
    def __init__(self, **project: Any) -> None:
        self.clock = StackClock(Clock.fast(60))
        self.history = History(self.clock)
        self.clock.note = self.history.add
        self.project = FakeProject(self.history, **project)
        self.faults = FakeFaults(self)
        self.rig = FakeRig()
        self.server = self.rig.project_server

    def new_project(self, _name: str | None, **config: object) -> FakeProject:
        self.project.options.append(config)
        return self.project

    def client(self, name: str, **_: object) -> FakeClient:
        self.history.add("client.started", name, client=name)
        return FakeClient(name, self.history)

    def use_proxy(self) -> None: ...

    def later(self, seconds: float, kind: str, **fields: Any) -> None:
        """Let an event happen in so many real seconds."""
        threading.Timer(seconds, lambda: self.history.add(kind, "server", **fields)).start()


def load(text: str) -> LoadedScenario:
    return loads(text, Path("x.scenario.yaml"))


def run(text: str, stack: FakeStack) -> list[Finding]:
    return runner.run(load(text), cast(Stack, stack))
