"""What kinds of volunteers' hosts there are: what each has besides its BOINC client, and what its container needs for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import docker_host, manager, podman
from harness.container_engine import ContainerEngine
from harness.errors import UsageError
from harness.manager import ManagerPage
from harness.vbox_app import Wrapper

if TYPE_CHECKING:
    from harness.client import Client
    from harness.faults.vbox import FakeCpu


class Host:
    """A host with a client and nothing else; kinds that have more are derived from it. Raises `UsageError` for what it cannot be."""

    #: its image in harness.images
    image_name: ClassVar[str] = "client"
    #: options of cc_config.xml, unless a scenario sets them itself
    cc_options: ClassVar[Mapping[str, object]] = {}
    #: entries of the engine API's HostConfig that its container needs
    host_config: ClassVar[Mapping[str, Any]] = {}
    #: ports of its container that this process talks to, besides the client's own
    ports: ClassVar[Sequence[int]] = ()

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rig = client.stack.rig

    def environment(self) -> Mapping[str, str]:
        return {}

    def volumes(self) -> Mapping[str, Mapping[str, str]]:
        """What is put into its container from outside."""
        return {}

    def rights(self) -> Mapping[str, object]:
        """What its container may do that others may not, as arguments of the docker SDK's create."""
        return {}

    def cpu(self) -> FakeCpu | None:
        """The CPU that it shows if a scenario asks for none; None: this machine's own."""
        return None

    def container_engine(self) -> ContainerEngine:
        """What the client has on its engine. Raises `UsageError` if this kind has none."""
        expected = "one started with `podman=True` or `docker=True`"
        raise UsageError("a client without a container engine", thing=self.client.name, expected=expected)

    def open_manager(self) -> ManagerPage:
        """BOINC Manager for this client, in a container beside its own."""
        return manager.open_beside(self.client.container, gui_rpc_password=self.client.password, keep=self.rig.keep)

    def clean_up(self, container_name: str) -> None:
        """Remove what jobs have left outside the container, which is gone. Raises `HarnessError`."""


class GuiHost(Host):
    """A host with BOINC Manager on a screen of its own."""

    image_name = manager.IMAGE
    ports = (manager.PORT,)

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._password = manager.new_password()

    def environment(self) -> Mapping[str, str]:
        return {"VNC_PASSWORD": self._password}

    def open_manager(self) -> ManagerPage:
        page = ManagerPage(self.client.container, self._password, self.client.network, own=False)
        page.wait_drawn()
        return page


class VirtualBoxHost(Host):
    """A host with VirtualBox."""

    image_name = "client-vbox"

    def cpu(self) -> FakeCpu | None:
        """What the wrapper under test needs to see."""
        program = self.rig.wrapper_program
        return Wrapper.at(program).cpu if program is not None else None


class PodmanHost(Host):
    """A host with podman (BOINC 8.2 and later look for it)."""

    image_name = "client-containers"
    host_config = podman.HOST_CONFIG

    def rights(self) -> Mapping[str, object]:
        return podman.RIGHTS

    def container_engine(self) -> ContainerEngine:
        return podman.Podman(self.client.container)


class DockerHost(Host):
    """A host with docker: the harness' own engine, through the socket that the user has named."""

    image_name = "client-docker"
    cc_options = docker_host.CC_OPTIONS

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        if client.disk_mb:
            expected = "its data where the engine sees it"
            raise UsageError("a client with docker and a disk of its own", thing=client.name, expected=expected)

    def environment(self) -> Mapping[str, str]:
        return docker_host.environment(self.client.container_name, keep=self.rig.keep)

    def volumes(self) -> Mapping[str, Mapping[str, str]]:
        return {str(self.rig.docker_socket): {"bind": docker_host.SOCKET, "mode": "rw"}}

    def rights(self) -> Mapping[str, object]:
        return {"group_add": [self.rig.docker_group()]}

    def container_engine(self) -> ContainerEngine:
        return docker_host.Docker(self.client.container, self.client.container_name, keep=self.rig.keep)

    def clean_up(self, container_name: str) -> None:
        docker_host.remove_all(container_name)


def kind_of(name: str, **wanted: bool) -> type[Host]:
    """The kind of host that a scenario asks for with one of gui, vbox, podman and docker, or none. Raises `UsageError`."""
    kinds: Mapping[str, type[Host]] = {"gui": GuiHost, "vbox": VirtualBoxHost, "podman": PodmanHost, "docker": DockerHost}
    chosen = [kinds[word] for word, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise UsageError(
            "a client with a screen of its own, VirtualBox, podman and docker has only one of these",
            thing=name,
            expected="one of gui, vbox, podman and docker",
            remedy="leave gui out: `client.open_manager()` opens a Manager beside any client",
        )
    return chosen[0] if chosen else Host
