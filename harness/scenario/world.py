"""The names of a scenario file and the things of a stack that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from harness.client import Client
from harness.errors import HarnessError, UsageError
from harness.faults import Fault
from harness.faults.vbox import FakeCpu
from harness.history import Event
from harness.jobs import Job
from harness.project.base import Account
from harness.rig import ServerHandle
from harness.scenario.loader import LoadedScenario
from harness.scenario.model import AppModel, ClientModel, JobModel, VmModel
from harness.scenario.references import SERVER
from harness.scenario.steps import EventPattern
from harness.scenario.values import read_content
from harness.stack import Stack
from harness.vbox_app import DEFAULTS, VmApp, Wrapper, job_xml


class ScenarioWorld:
    """A stack with what a scenario declares: its jobs, clients, faults and accounts by their names there."""

    def __init__(self, loaded: LoadedScenario, stack: Stack) -> None:
        self.loaded = loaded
        self.scenario = loaded.scenario
        self.stack = stack
        self.project = stack.new_project(None, **loaded.scenario.project.config)
        self.jobs: dict[str, Job] = {}
        self.clients: dict[str, Client] = {}
        self.faults: dict[str, Fault] = {}
        self.accounts: dict[str, Account] = {}
        self.vm_apps: dict[str, VmApp] = {}
        #: step -> how many events there were when it began
        self.step_began: dict[str, int] = {}

    # --- making what is declared

    def prepare_project(self) -> None:
        """Accounts, applications and their versions."""
        for account in self.scenario.project.accounts:
            made = self.project.create_account(self.address(account.email), account.password, account.name)
            self.accounts[account.email] = made
        for app in self.scenario.project.apps:
            self._install(app)

    def _install_vm(self, name: str, machine: VmModel) -> None:
        folder = self.loaded.folder
        own = (folder / machine.job_file).read_text(encoding="utf-8") if machine.job_file else None
        self.vm_apps[name] = VmApp.install(
            self.project,
            name=name,
            wrapper=Wrapper.chosen(self.stack.rig.wrapper_program),
            iso=(folder / machine.iso).read_bytes() if machine.iso else None,
            job_file=own or job_xml({**DEFAULTS, **machine.options}),
            needs_acceleration=machine.needs_acceleration,
        )

    def _install(self, app: AppModel) -> None:
        if app.vm is not None:
            self._install_vm(app.name, app.vm)
            return
        columns: dict[str, object] = dict(app.columns)
        if app.user_friendly_name or app.versions:
            columns["user_friendly_name"] = app.user_friendly_name or app.name
        self.project.install_app(app.name, **columns)
        for name, path in (("in", app.input_template), ("out", app.output_template)):
            if path is not None:
                self.project.put_file(f"templates/{app.name}_{name}", (self.loaded.folder / path).read_bytes())
        for version in app.versions:
            folder = f"apps/{app.name}/{version.version}/{version.platform}" + (f"__{version.plan_class}" if version.plan_class else "")
            for file, content in version.files.items():
                executable = file in version.executable if version.executable else file != "version.xml"
                self.project.put_file(f"{folder}/{file}", read_content(content, self.loaded.folder), executable=executable)
        if app.versions:
            self.project.update_versions()

    def submit(self, job: JobModel) -> Job:
        folder = self.loaded.folder
        templates = {
            name: read_content(content, folder).decode("utf-8", "replace")
            for name, content in (("input_template", job.input_template), ("result_template", job.output_template))
            if content is not None
        }
        inputs = [read_content(content, folder) for content in job.input]
        if job.app in self.vm_apps:
            made = self.vm_apps[job.app].submit(
                job.command,
                input=inputs[0] if inputs else b"",
                command_line=job.command_line,
                **job.options(),  # type: ignore[arg-type]
            )
            return self._named(job, made)
        options: dict[str, object] = {**job.options(), **templates}
        made = self.project.submit(job.app, input=inputs or None, command_line=job.command_line, **options)  # type: ignore[arg-type]
        return self._named(job, made)

    def _named(self, job: JobModel, made: Job) -> Job:
        """Keep a job under its name in the file, and say so in the history, where the server has another for it."""
        self.jobs[job.name] = made
        self.stack.history.add("scenario.job", "scenario", project=self.project.name, workunit=made.id, name=made.name, job=job.name)
        return made

    def start_client(self, client: ClientModel) -> None:
        cc = client.cc_config
        started = self.stack.client(
            client.name,
            version=client.version,
            cc_options=dict(cc.options) if cc else None,
            log_flags=cc.log_flags if cc else (),
            preferences=dict(client.preferences) or None,
            disk_mb=client.disk_mb,
            environment=dict(client.environment),
            vbox=client.vbox,
            podman=client.podman,
            cpu=FakeCpu(**client.cpu.model_dump()) if client.cpu else None,
        )
        self.clients[client.name] = started
        if client.attach:
            # What comes of it is the scenario's business: the project may be down on purpose.
            started.attach(self.project, self.account(client.email), wait=False)

    def start_clients(self) -> None:
        """All clients that are not a step's business, at the same time."""
        wanted = [client for client in self.scenario.clients if client.start]
        if wanted:
            self.stack.rig.networks()
            self.project.account()
            with ThreadPoolExecutor(max_workers=4) as pool:
                list(pool.map(self.start_client, wanted))

    # --- finding it

    def address(self, name: str) -> str:
        """The e-mail address of a name, with a domain that is the project's own."""
        return self.project.address(name)

    def account(self, name: str | None) -> Account:
        return self.project.account() if name is None else self.accounts[name]

    def job(self, name: str) -> Job:
        job = self.jobs.get(name)
        if job is None:
            raise HarnessError("a job that was not submitted yet", thing=name, expected="the step that submits it to come first")
        return job

    def client(self, name: str) -> Client:
        client = self.clients.get(name)
        if client is None:
            raise HarnessError("a client that was not started yet", thing=name, expected="the step that starts it to come first")
        return client

    def part(self, name: str) -> Client | ServerHandle:
        return self.stack.server if name == SERVER else self.client(name)

    def tasks_of(self, name: str) -> list[tuple[Client, str]]:
        """The clients' tasks of a job, with their result names."""
        prefix = f"{self.job(name).name}_"
        running = [client for client in self.clients.values() if client.is_running]
        found = [(client, task.name) for client in running for task in client.tasks() if task.name.startswith(prefix)]
        if not found:
            raise HarnessError("a job without a task", thing=name, expected="a client that has a task of it")
        return found

    def needs_virtual_time(self, what: str) -> None:
        if self.stack.clock.is_real:
            raise UsageError("a step that needs virtual time", thing=what, expected="a scenario without `time: real`")

    # --- its events

    def concerns(self, job: str) -> Callable[[Event], bool]:
        """Is this event about that job? Those of its files and tasks know only its name."""
        if job not in self.jobs:
            return lambda _event: False
        handle = self.jobs[job]
        prefix = f"{handle.name}_"

        def about(event: Event) -> bool:
            if event.get("workunit") is not None:
                return event.get("workunit") == handle.id and event.get("project") == handle.project.name
            return any(str(event.get(field) or "").startswith(prefix) for field in ("result", "name"))

        return about

    def select(self, pattern: EventPattern) -> Callable[[Event], bool]:
        """The events that a pattern means (how many, and since when, is the caller's business)."""
        return self.selector(pattern.event, job=pattern.job, client=pattern.client, text=pattern.text, fields=dict(pattern.fields))

    def selector(
        self,
        kind: str,
        *,
        job: str | None = None,
        client: str | None = None,
        text: str | None = None,
        fields: dict[str, object] | None = None,
    ) -> Callable[[Event], bool]:
        about = self.concerns(job) if job is not None else None

        def chosen(event: Event) -> bool:
            return (
                event.matches(kind, fields or {})
                and (about is None or about(event))
                and (client is None or event.get("client") == client or event.source == client)
                and (text is None or any(text in str(value) for value in event.data.values()))
            )

        return chosen

    def events(self, since: str | None = None) -> list[Event]:
        """The events so far, or those after a step began."""
        events = list(self.stack.history)
        return events if since is None else events[self.step_began.get(since, len(events)) :]
