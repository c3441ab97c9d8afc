"""A stack without containers, for the start page: it remembers what it was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from harness.clock import Clock
from harness.engine import Address
from harness.errors import HarnessError
from harness.history import Event, History
from harness.project.base import Account
from harness.startpage import Site


@dataclass
class FakeManager:
    url: str = "http://172.30.0.2:6080/vnc.html#autoconnect=true&password=a<b"


PNG = b"\x89PNG pretended"


@dataclass
class FakeVm:
    name: str = "boinc_0123"
    state: str = "running"
    picture: bytes = PNG
    pictures: int = 0

    def screenshot(self) -> bytes:
        self.pictures += 1
        return self.picture


@dataclass
class FakeVirtualBox:
    vms: list[FakeVm] = field(default_factory=list)

    def machines(self) -> list[FakeVm]:
        return self.vms

    def vm(self, name: str) -> FakeVm:
        return next(vm for vm in self.vms if vm.name == name)


@dataclass
class FakeClient:
    name: str
    did: list[str]
    boinc_version: str = "8.2.15"
    password: str = "secret"
    is_running: bool = True
    manager: FakeManager | None = None
    #: the client has ended, and nobody noticed yet
    vanished: bool = False
    has_virtualbox: bool = False
    virtualbox: FakeVirtualBox = field(default_factory=FakeVirtualBox)

    def gui_rpc_address(self) -> Address:
        if self.vanished:
            raise HarnessError("port 31416 of a container cannot be reached", thing=self.name)
        return Address("172.30.0.9", 31416)

    def update(self, project: object) -> None:
        self.did.append(f"update {self.name}")

    def kill(self) -> None:
        self.is_running = False
        self.did.append(f"kill {self.name}")

    def start_again(self) -> None:
        self.is_running = True
        self.did.append(f"start {self.name}")

    def open_manager(self) -> FakeManager:
        self.manager = FakeManager()
        self.did.append(f"manager {self.name}")
        return self.manager


@dataclass
class FakeJob:
    name: str


@dataclass
class FakeProject:
    did: list[str]
    name: str = "world"
    master_url: str = "http://boinc.test/world/"
    trouble: HarnessError | None = None

    def submit(self, app: str, **options: object) -> FakeJob:
        if self.trouble is not None:
            raise self.trouble
        self.did.append(f"submit {app}")
        return FakeJob(f"{app}_1")


@dataclass
class FakeServer:
    token: str = "control-token"

    def public_url(self) -> str:
        return "http://172.30.0.3:80"


@dataclass
class FakeMail:
    url: str = "http://172.30.0.4:1080"


class FakeClock:
    def __init__(self, did: list[str]) -> None:
        self.is_real = False
        self._did = did

    def skip(self, seconds: float) -> None:
        self._did.append(f"skip {seconds:g}")


class FakeFaults:
    def __init__(self, did: list[str]) -> None:
        self._did = did

    def heal(self) -> None:
        self._did.append("heal")

    def partition(self, client: FakeClient) -> None:
        self._did.append(f"partition {client.name}")


@dataclass
class FakeStack:
    did: list[str] = field(default_factory=list)
    server: FakeServer = field(default_factory=FakeServer)
    mail: FakeMail = field(default_factory=FakeMail)
    history: History = field(default_factory=lambda: History(Clock.real()))

    def __post_init__(self) -> None:
        self.clock, self.faults = FakeClock(self.did), FakeFaults(self.did)
        self.project = FakeProject(self.did)
        self.clients = [FakeClient("host1", self.did), FakeClient("host2", self.did, manager=FakeManager())]

    def page(self, project: FakeProject) -> str:
        return f"http://172.30.0.3:80/{project.name}/"

    @property
    def first(self) -> Event:
        return next(iter(self.history))

    @property
    def last_line(self) -> int:
        return len(self.history)

    def events(self, count: int) -> None:
        for number in range(count):
            self.history.add("client.message", "host1", client="host1", text=f"message {number}", project="world")


@dataclass
class FakeVmApp:
    did: list[str]

    def submit(self, command: str, **options: object) -> FakeJob:
        self.did.append("submit vm")
        return FakeJob("vm_1")


def site_of(stack: FakeStack, *, port: int = 0) -> Site:
    account = Account(email="volunteer@world.test", password="pass word", authenticator="0123456789abcdef", id=1)
    return Site(cast(Any, stack), cast(Any, stack.project), account, port=port, vm_app=cast(Any, FakeVmApp(stack.did)))
