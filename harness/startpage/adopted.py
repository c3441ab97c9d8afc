"""A stack that somebody else brought up - `docker compose`, or `harness up --detach` - as far as the start page has to do with it.

It is looked at from now on: a client's messages from their first one, the server's events as it gives them. Nothing of it goes when
the page does; its clock is the wall's, and a host's network is cut off by its client's own network mode.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from docker.models.containers import Container

from harness import engine, manager, running
from harness.clock import Clock
from harness.errors import HarnessError, UsageError
from harness.guirpc import GuiRpc, RunMode
from harness.history import History
from harness.mail import Maildev
from harness.manager import ManagerPage
from harness.monitor import Monitor
from harness.project.base import Account, Project
from harness.project.embedded import PASSWORD, Control, EmbeddedProject
from harness.rig import PUBLIC_PORT
from harness.waiting import wait_until

#: the account of compose.test.yml, whose password no interface tells
_COMPOSE_ACCOUNT = ("volunteer@example.com", "volunteer")
#: real seconds for a client that was started again
SOON = 30.0


class AdoptedClient:
    """A client of such a stack."""

    has_virtualbox = False

    def __init__(self, found: running.RunningClient, history: History) -> None:
        self.name = found.name
        self.password = running.environment(found.container).get("BOINC_GUI_RPC_PASSWORD", "")
        self.boinc_version = ""
        self.manager: ManagerPage | None = None
        self._found = found
        self._history = history
        self.monitor = Monitor(self.name, found.connect, history)
        with self._rpc() as rpc:
            self.boinc_version = str(rpc.exchange_versions())
        history.add("client.started", self.name, client=self.name, version=self.boinc_version)
        self.monitor.start()

    def _rpc(self) -> GuiRpc:
        return self._found.connect()

    @property
    def is_running(self) -> bool:
        with engine.guard(f"looking for {self.name}"):
            self._found.container.reload()
        return str(self._found.container.status) == "running"

    def gui_rpc_address(self) -> engine.Address:
        return engine.address(self._found.container, running.GUI_RPC_PORT)

    def update(self, project: Project) -> None:
        with self._rpc() as rpc:
            rpc.project_update(project.master_url)

    def set_network(self, mode: RunMode) -> None:
        with self._rpc() as rpc:
            rpc.set_network_mode(mode)

    def kill(self) -> None:
        with engine.guard(f"killing {self.name}"):
            self._found.container.kill()
        self._history.add("client.stopped", self.name, client=self.name, how="SIGKILL")

    def start_again(self) -> None:
        with engine.guard(f"starting {self.name}"):
            self._found.container.start()
            self._found.container.reload()

        def answers() -> bool:
            try:
                self._rpc().close()
            except HarnessError:
                return False
            return True

        wait_until(answers, f"{self.name} answering", within=SOON, every=0.2)
        self._history.add("client.started", self.name, client=self.name, version=self.boinc_version)

    def open_manager(self) -> ManagerPage:
        if self.manager is None or not self.manager.is_drawn():
            self.close_manager()
            self.manager = manager.open_beside(self._found.container, gui_rpc_password=self.password)
        return self.manager

    def close_manager(self) -> None:
        if self.manager is not None:
            self.manager.close()
            self.manager = None


@dataclass
class _Server:
    container: Container
    token: str

    def public_url(self) -> str:
        host, port = engine.address(self.container, PUBLIC_PORT)
        return f"http://{host}" if port == PUBLIC_PORT else f"http://{host}:{port}"


@dataclass
class _Mail:
    url: str


class _Faults:
    """The little of `stack.faults` that has a button here."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._cut: dict[int, AdoptedClient] = {}
        self._number = 0

    def partition(self, client: AdoptedClient) -> None:
        client.set_network(RunMode.NEVER)
        self._number += 1
        self._cut[self._number] = client
        self._history.add("fault.injected", "faults", number=self._number, fault="network mode never", target=client.name)

    def heal(self) -> None:
        for number, client in list(self._cut.items()):
            client.set_network(RunMode.AUTO)
            del self._cut[number]
            self._history.add("fault.healed", "faults", number=number, fault="network mode never", target=client.name)


class AdoptedStack:
    """What `harness.startpage.Site` needs of a stack. Raises `UsageError` for one without a server or a project. Use `close`."""

    def __init__(self, found: running.RunningStack) -> None:
        control = found.control()
        if control is None or found.server is None:
            raise UsageError("a stack without a project server", thing=found.run, expected="a server that runs")
        with ExitStack() as cleanup:
            cleanup.callback(control.close)
            self.clock = Clock.real()
            self.history = History(self.clock)
            self.faults = _Faults(self.history)
            self.server = _Server(found.server, running.environment(found.server).get("BOINC_CONTROL_TOKEN", ""))
            self.mail = _Mail(_mail_url(found.mail))
            self.project = _project(control, found.run, self.history)
            cleanup.callback(self.project.stop_following)
            self.clients: list[AdoptedClient] = []
            for one in found.clients:
                client = AdoptedClient(one, self.history)
                cleanup.callback(client.close_manager)
                cleanup.callback(client.monitor.stop)
                self.clients.append(client)
            self._cleanup = cleanup.pop_all()

    def close(self) -> None:
        """Stop looking; the stack goes on."""
        self._cleanup.close()

    def page(self, project: Project) -> str:
        return f"{self.server.public_url()}/{project.name}/"

    def account(self) -> Account:
        """An account of the project; the password is a guess, since only its owner knows it."""
        users = self.project.users()
        if not users:
            return self.project.account()
        first = users[0]
        email = str(first.get("email_addr", ""))
        password = _COMPOSE_ACCOUNT[1] if email == _COMPOSE_ACCOUNT[0] else PASSWORD
        return Account(id=int(str(first["id"])), email=email, password=password, authenticator=str(first.get("authenticator", "")))


def choose(name: str | None) -> running.RunningStack:
    """The stack of that run, or the only one with a server. Raises `UsageError`."""
    known = {stack.run: stack for stack in running.stacks() if stack.server is not None}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    listed = ", ".join(known)
    what = "no such stack is running" if name else "several stacks are running" if known else "no stack is running"
    remedy = "name one of them" if known else "bring one up: harness up --detach, or docker compose -f compose.test.yml up --detach"
    raise UsageError(what, thing=name or "", expected=f"one of: {listed}" if listed else "a running stack", remedy=remedy)


def _mail_url(container: Container | None) -> str:
    if container is None:
        return ""
    host, port = engine.address(container, Maildev.web_port)
    return f"http://{host}:{port}"


def _project(control: Control, run: str, history: History) -> EmbeddedProject:
    names = [str(one["name"]) for one in control.call("GET", "/projects")]
    if not names:
        raise UsageError("a stack without a project", thing=run, expected="a project on its server")
    return EmbeddedProject.existing(control, names[0], history)
