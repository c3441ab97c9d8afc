"""One BOINC world: what a scenario has in its hands.

`stack.project`, `stack.client()`, `stack.mail`, `stack.server`, `stack.clock`, `stack.faults`, `stack.history`. A stack borrows the
warm server of its `Rig`; the projects and clients are its own and go with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from harness import evidence, hosts, virtual_time
from harness.capabilities import Capability, Unsupported
from harness.client import Client
from harness.clock import Clock
from harness.errors import UsageError
from harness.faults import Faults
from harness.history import Event, History
from harness.jobs import Job, JobState
from harness.labels import HOST_NAME
from harness.mail import Mailbox
from harness.project.base import Project
from harness.proxy import ProxyHandle
from harness.rig import Rig, ServerHandle
from harness.versions import NEWEST, ClientVersion
from harness.virtual_time import StackClock
from harness.waiting import Deadline, WaitTimeout

if TYPE_CHECKING:
    from harness.faults.vbox import FakeCpu

#: real seconds without news after which `fast_forward` looks for what was put off, and after which it skips where it sees nothing
_MOMENT, _PATIENCE = 0.3, 2.0


def slug(name: str) -> str:
    """The beginning of a project's name from a test's. It has to begin with a letter, while files may be named after an issue's number."""
    words = re.sub(r"[^a-z0-9]+", "_", name.rpartition("::")[2].lower()).strip("_")
    return (words if words[:1].isalpha() else f"s{words}")[:24]


class Stack:
    """A world of its own for one scenario. Use as a context manager, or call `close`."""

    def __init__(
        self,
        rig: Rig,
        name: str,
        *,
        clock: Clock | None = None,
        version: ClientVersion = NEWEST,
        evidence_folder: Path | None = None,
        project_options: Mapping[str, object] | None = None,
    ) -> None:
        self.rig = rig
        self.number = rig.next_number()
        self.name = name
        self.version = version
        self.clock = StackClock(clock or Clock.fast())
        self.history = History(self.clock, evidence=evidence_folder)
        self.clock.note = self.history.add
        if Capability.VIRTUAL_TIME not in rig.project_server.capabilities:
            self.clock.fixed = Unsupported(Capability.VIRTUAL_TIME, rig.project_server.name)
        self.faults = Faults(self)
        self.projects: list[Project] = []
        self.clients: list[Client] = []
        self._project_options = dict(project_options or {})
        self._slug = slug(name)
        self._domains: list[str] = []
        self.proxy: ProxyHandle | None = None
        self._mailbox: Mailbox | None = None

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stack {self.name}>"

    @property
    def server(self) -> ServerHandle:
        """The project server's container. It is shared with other scenarios of this process, one after the other."""
        self.rig.project_server.need(Capability.SERVER_CONTROL)
        return self.rig.server

    @property
    def project(self) -> Project:
        """The stack's project, made on first use."""
        return self.projects[0] if self.projects else self.new_project()

    def new_project(self, name: str | None = None, **config: object) -> Project:
        """Make a project; `config` are options of its config.xml."""
        name = name or f"{self._slug}_{self.number}" + (f"_{len(self.projects)}" if self.projects else "")
        project = self.rig.project_server.new_project(self, name, {**self._project_options, **config})
        self.projects.append(project)
        self.clock.foresee(lambda: virtual_time.due_on_server(project))
        if self.proxy is not None:
            self.proxy.watch(project.name, self.history)
        self._domains.append(project.domain)
        return project

    def page(self, project: Project) -> str:
        """The project's web page, by an address that this host can open (the volunteers' own is `project.master_url`)."""
        return f"{self.rig.project_server.public_url(project)}/{project.name}/"

    def client(
        self,
        name: str | None = None,
        *,
        version: ClientVersion | str | None = None,
        attach: bool | Project = False,
        cc_options: Mapping[str, object] | None = None,
        preferences: Mapping[str, object] | None = None,
        log_flags: Sequence[str] = (),
        ssh: bool = False,
        disk_mb: int = 0,
        environment: Mapping[str, str] | None = None,
        vbox: bool = False,
        cpu: FakeCpu | None = None,
        podman: bool = False,
        docker: bool = False,
        gui: bool = False,
    ) -> Client:
        """Start a volunteer host with a BOINC client of a generation ("7.20", "8.0", "8.2"; the scenario's own by default).

        `attach=True` attaches it to the stack's project (or the one given) with that project's first account. `cc_options` are
        options of cc_config.xml, `preferences` of global_prefs_override.xml, `log_flags` the client's; `ssh` starts an sshd;
        `disk_mb` gives the data directory a disk of its own of that size, in memory (see `faults.fill_disk`). `vbox` is a host
        with VirtualBox, `cpu` what its /proc/cpuinfo shows, `podman` one that can run containers (8.2), `docker` one
        that runs them on the engine whose socket the user has named (`--docker-socket`; `NoDockerSocket` otherwise), `gui` one
        with BOINC Manager on a screen of its own (`client.manager_url`).
        """
        chosen = self.version if version is None else version if isinstance(version, ClientVersion) else ClientVersion.of(version)
        number = len(self.clients) + 1
        name = name or f"host{number}"
        if not re.fullmatch(HOST_NAME, name):
            expected = "a host name of small letters, digits and hyphens (a generation of the client is said with version=)"
            raise UsageError("a client's name that cannot name its host", thing=repr(name), expected=expected)
        if any(client.name == name for client in self.clients):
            raise UsageError("two clients of one name", thing=name, expected="a name of its own for each client of a stack")
        client = Client(
            self,
            name,
            chosen,
            hosts.kind_of(name, gui=gui, vbox=vbox, podman=podman, docker=docker),
            cc_options=cc_options,
            preferences=preferences,
            log_flags=log_flags,
            ssh=ssh,
            disk_mb=disk_mb,
            environment=environment,
            cpu=cpu,
        )
        self.clients.append(client)
        client.start()
        self.clock.steer(client)
        self.clock.foresee(lambda: virtual_time.due_on_client(client))
        if attach:
            client.attach(self.project if attach is True else attach)
        return client

    @property
    def network(self) -> str:
        """The network that the stack's clients are on."""
        return self.rig.volunteers_network if self.proxy is None else self.rig.proxied_network

    def use_proxy(self) -> ProxyHandle:
        """Put the recording proxy between the clients and the server: HTTP can be broken and is on record from now on.

        Clients that run already get behind it when they have ended what they are saying just now.
        """
        if self.proxy is None:
            self.rig.project_server.need(Capability.HTTP_FAULTS)
            proxy = self.rig.proxy
            for project in self.projects:
                proxy.watch(project.name, self.history)
            self.proxy = proxy
            for client in self.clients:
                if client.is_running:
                    client.redirect(proxy.address)
        return self.proxy

    def fast_forward(self, job: Job, state: JobState = JobState.VALIDATED, *, within: Deadline | float = 60.0) -> Event:
        """Skip time until a job has come to `state`, however long clients and server would wait by themselves.

        Whenever nobody has done anything for a moment (of real time), it is at once the moment for which a client put off its next
        contact or transfer. Where there is nothing of the kind, or a task is executed, time passes by strides that grow.
        Raises what `Job.wait_for` does.
        """
        deadline, stride, next_stride = Deadline.of(within), 600.0, Deadline(_PATIENCE)
        while True:
            try:
                return job.wait_for(state, within=deadline.at_most(_MOMENT))
            except WaitTimeout:
                if deadline.expired:
                    raise
            known = len(self.history)
            due = virtual_time.put_off(self.clients)
            if len(self.history) > known:
                continue  # something happens just now, and what was put off may be so no more
            if due is not None and due.at - self.clock.now() > _MOMENT * self.clock.rate:
                self.clock.skip_to(due.at + virtual_time.MARGIN)
                next_stride = Deadline(_PATIENCE)
            elif next_stride.expired:
                self.clock.skip(stride)
                stride, next_stride = min(2 * stride, 6 * 3600.0), Deadline(_PATIENCE)

    def start_clients(self, count: int, *, attach: bool | Project = False, version: ClientVersion | str | None = None) -> list[Client]:
        """Start several clients at the same time."""
        first = len(self.clients) + 1
        if attach is True:
            attach = self.project
        self.rig.networks()
        if attach:
            attach.account()
        with ThreadPoolExecutor(max_workers=4) as pool:
            names = [f"host{number}" for number in range(first, first + count)]
            return list(pool.map(lambda name: self.client(name, version=version, attach=attach), names))

    @property
    def mail(self) -> Mailbox:
        """The mails to people of this stack's projects."""
        if self._mailbox is None:
            self.rig.project_server.need(Capability.MAIL)
            self._mailbox = Mailbox(self.rig.mail_sink(), self.history, self._domains)
        return self._mailbox

    def collect_evidence(self, folder: Path, *, why: str = "") -> Path:
        """Write what is known about this stack into `folder`: history, logs, state files, versions."""
        return evidence.collect(self, folder, why=why)

    def close(self) -> None:
        """Remove the clients and projects of this stack (in the background where that can be)."""
        self.faults.close()
        for client in self.clients:
            client.remove()
        for project in self.projects:
            project.delete()

    def properties(self) -> list[tuple[str, str]]:
        """Versions and images, for a test report."""
        found = [(f"client-{client.name}", f"{client.boinc_version or client.version} ({client.image})") for client in self.clients]
        return [("server", self.rig.project_server.image), *found] if self.projects else found
