"""BOINC Manager on a virtual screen, for any browser: one that is part of a client's container, or one beside a running client.

The page is noVNC's; its password is made for each container and stands in the address behind the "#", which no server is told.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import docker.errors
from docker.models.containers import Container

from harness import containers, engine, images
from harness.containers import ContainerSpec, ReadyWhen
from harness.errors import HarnessError
from harness.versions import NEWEST, ClientVersion
from harness.waiting import Deadline, wait_until

IMAGE = "client-gui"
#: the label of a container that is there for the Manager only
ROLE = "manager"
#: noVNC's port in a container of the gui target
PORT = 6080
#: all that VNC reads of a password
PASSWORD_LENGTH = 8
#: real seconds until the Manager's window is there, the image being present
OPEN_DEADLINE = 60.0
#: real seconds between two looks at whether client and Manager are still there
LOOK = 1.0
#: a page that nobody closes goes after a day
LONGEST = 86400.0
_GUI_RPC_PORT = 31416
#: says whether VNC answers and the Manager has drawn a window (its first may be the attach wizard's)
_DRAWN = [
    "bash",
    "-c",
    'exec 3<> /dev/tcp/127.0.0.1/5900 && DISPLAY=:0 xwininfo -root -tree | grep -qE \'"BOINC Manager[^"]*": .* [0-9]{3,}x[0-9]{3,}\'',
]


class ManagerGone(HarnessError):
    """The client or its Manager ended while the Manager was open. Field: `client`."""

    exit_code = 69

    def __init__(self, client: str, what: str, remedy: str = "") -> None:
        self.client = client
        super().__init__(what, thing=client, expected="it to run for as long as its Manager is open", remedy=remedy)


def new_password() -> str:
    """A password as long as VNC reads it."""
    return secrets.token_urlsafe(PASSWORD_LENGTH)[:PASSWORD_LENGTH]


@dataclass
class ManagerPage:
    """A Manager that is open. `close` removes it, if it is a container of its own."""

    #: the container with the screen
    container: Container
    password: str
    #: where this process reaches noVNC; None: on the first network of the container
    network: str | None = None
    #: whether the container is there for the Manager only
    own: bool = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> engine.Address:
        return engine.address(self.container, PORT, network=self.network)

    @property
    def url(self) -> str:
        """The page that connects by itself, scaled to the browser's window."""
        return f"http://{self.address}/vnc.html#autoconnect=true&reconnect=true&resize=scale&password={self.password}"

    @property
    def page(self) -> str:
        """The page that asks for the password."""
        return f"http://{self.address}/vnc.html"

    def is_drawn(self, _container: Container | None = None) -> bool:
        """Is there a window of the Manager on the screen?"""
        try:
            return containers.execute(self.container, _DRAWN).exit_code == 0
        except docker.errors.APIError:  # it has ended; who waits finds that out
            return False

    def wait_drawn(self, *, within: Deadline | float = OPEN_DEADLINE) -> None:
        """Wait until the Manager is on the screen."""
        wait_until(self.is_drawn, f"the Manager's window on {self.container.name}", within=within, every=0.2)

    def close(self) -> None:
        """Remove the Manager's container; a client's own screen stays with the client."""
        if self.own:
            containers.remove_quietly(str(self.container.name))


def open_beside(client: Container, *, gui_rpc_password: str, keep: bool = False) -> ManagerPage:
    """Open a Manager in a container of its own, on the client's network. The client knows nothing of it but a GUI RPC connection.

    The Manager is of the client's generation. Raises `HarnessError` for a client that does not run.
    """
    with engine.guard(f"looking for {client.name}"):
        client.reload()
    networks = {name: one["IPAddress"] for name, one in client.attrs["NetworkSettings"]["Networks"].items() if one.get("IPAddress")}
    if client.status != "running" or not networks:
        raise HarnessError(
            "a Manager needs a client that runs", thing=str(client.name), expected=f"a running client on a network; it is {client.status}"
        )
    network, address = next(iter(networks.items()))
    password = new_password()
    page: ManagerPage | None = None

    def drawn(container: Container) -> bool:
        nonlocal page
        page = ManagerPage(container, password, network)
        return page.is_drawn()

    spec = ContainerSpec(
        name=f"{client.name}-manager-{secrets.token_hex(2)}",
        role=ROLE,
        image=images.ensure(IMAGE, variant=generation_of(client).suite),
        network=network,
        environment={
            "VNC_PASSWORD": password,
            "BOINC_MANAGER_HOST": f"{address}:{_GUI_RPC_PORT}",
            "BOINC_GUI_RPC_PASSWORD": gui_rpc_password,
        },
        ports=[PORT],
        keep=keep,
        options={"hostname": "manager"},
    )
    container = containers.start(spec, ReadyWhen(drawn, "showing the Manager", OPEN_DEADLINE))
    return page or ManagerPage(container, password, network)


def generation_of(client: Container) -> ClientVersion:
    """The generation of the client in a container of ours, by its image's tag; the newest where that says nothing."""
    name = str(client.attrs["Config"].get("Image", ""))
    found = re.search(r":(bookworm|trixie|sid)-", name)
    return ClientVersion.of(found[1]) if found else NEWEST


def watch(page: ManagerPage, client: Container, name: str, say: Callable[[str], None]) -> None:
    """Return when the Manager has been closed from outside or a day has passed; say when the client ends and comes back.

    Raises `ManagerGone` when the client's container is removed, or the Manager ends by itself.
    """
    deadline, was_running = Deadline(LONGEST), True
    while not deadline.expired:
        deadline.pause(LOOK)
        with engine.guard(f"looking for {name}"):
            running = _is_running(client)
            manager = _is_running(page.container)
        if running is None:
            raise ManagerGone(name, "the client was removed while its Manager was open")
        if not manager:
            remedy = "open it again with `harness gui`" if manager is None else f"see what it said: docker logs {page.container.name}"
            raise ManagerGone(name, "the Manager ended", remedy)
        if running != was_running:
            say(f"{name} runs again" if running else f"{name} has ended; its Manager has nothing to show until it is started again")
            was_running = running


def _is_running(container: Container) -> bool | None:
    """None: there is no such container any more."""
    try:
        container.reload()
    except docker.errors.NotFound:
        return None
    return str(container.status) == "running"
