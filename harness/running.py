"""Stacks that are up, found by their containers' labels: what other commands than the one that started a stack look through.

Knows stacks of `harness up`, of a running or kept test session, and of compose.test.yml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from docker.models.containers import Container

from harness import engine, labels
from harness.errors import UsageError
from harness.guirpc import GuiRpc
from harness.project.embedded import Control
from harness.rig import CONTROL_PORT

GUI_RPC_PORT = 31416
_COMPOSE_PROJECT = "com.docker.compose.project"
_COMPOSE_SERVICE = "com.docker.compose.service"
_COMPOSE_NAME = "boinc-harness"
#: compose services that make the world and end
_COMPOSE_HELPERS = ("world", "attach")


@dataclass(frozen=True)
class RunningClient:
    """A client's container; `name` is what people call it."""

    name: str
    container: Container = field(repr=False)

    def connect(self) -> GuiRpc:
        """An authorized GUI RPC connection of one's own. Raises `GuiRpcError`."""
        host, port = engine.address(self.container, GUI_RPC_PORT)
        return GuiRpc.connect(host, port, password=environment(self.container).get("BOINC_GUI_RPC_PASSWORD", ""), within=2.0)


@dataclass
class RunningStack:
    """The containers of one run."""

    run: str
    clients: list[RunningClient] = field(default_factory=list)
    server: Container | None = None
    mail: Container | None = None

    def control(self) -> Control | None:
        """The server's control interface, if there is a server and this host can reach it."""
        if self.server is None:
            return None
        network = next((name for name in self.server.attrs["NetworkSettings"]["Networks"] if name.endswith("control")), None)
        host, port = engine.address(self.server, CONTROL_PORT, network=network)
        return Control(f"http://{host}:{port}", environment(self.server).get("BOINC_CONTROL_TOKEN", ""))


def environment(container: Container) -> dict[str, str]:
    """The environment that a container was made with."""
    words: list[str] = container.attrs["Config"]["Env"] or []
    return dict(word.split("=", 1) for word in words if "=" in word)


def role_of(found: Mapping[str, str]) -> tuple[str, str]:
    """(run, role) from a container's labels; role is server, mail, client, or "" for what is none of ours."""
    if labels.RUN in found:
        return found[labels.RUN], found.get(labels.ROLE, "")
    if found.get(_COMPOSE_PROJECT) == _COMPOSE_NAME:
        service = found.get(_COMPOSE_SERVICE, "")
        role = service if service in ("server", "mail") else "" if service in _COMPOSE_HELPERS else "client"
        return "compose", role
    return "", ""


def stacks() -> list[RunningStack]:
    """Every stack that is up, by run."""
    found: dict[str, RunningStack] = {}
    with engine.guard("looking for running stacks"):
        running = engine.connect().containers.list()
    for container in running:
        run, role = role_of(container.labels)
        if not role:
            continue
        stack = found.setdefault(run, RunningStack(run))
        if role == "server":
            stack.server = container
        elif role == "mail":
            stack.mail = container
        elif role == "client":
            stack.clients.append(RunningClient(container.attrs["Config"]["Hostname"], container))
    for stack in found.values():
        stack.clients.sort(key=lambda client: client.name)
    return [found[run] for run in sorted(found)]


def find(name: str) -> Container:
    """The one container that `name` means: "server", "mail", a client's name, or a container's whole name. Raises `UsageError`."""
    return _find(name, clients_only=False)


def find_client(name: str) -> Container:
    """The one client's container that `name` means: the client's name, or its container's whole name. Raises `UsageError`."""
    return _find(name, clients_only=True)


def _find(name: str, *, clients_only: bool) -> Container:
    named: list[tuple[str, Container]] = []
    for stack in stacks():
        named += [(client.name, client.container) for client in stack.clients]
        if not clients_only:
            named += [(role, one) for role, one in (("server", stack.server), ("mail", stack.mail)) if one is not None]
    matching = [one for short, one in named if name in (short, one.name)]
    if len(matching) == 1:
        return matching[0]
    kind = "client" if clients_only else "container"
    listed = ", ".join(sorted(str(one.name) for one in matching) if matching else sorted({short for short, _ in named}))
    raise UsageError(
        f"several {kind}s of that name" if matching else f"no such {kind} is running",
        thing=name,
        expected=f"one of: {listed}" if listed else "a running stack",
        remedy="give the whole name" if matching else "" if listed else "bring a stack up with `harness up`",
    )
