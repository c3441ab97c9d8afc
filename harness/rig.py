"""What the scenarios of one process share: two networks, a warm project server, and - once somebody looks at mails - a mail sink.

control     the harness talks to the server's control port and to the mail sink here; volunteers are not on it
volunteers  internal (no way out of the machine): the clients, and the server as boinc.test
proxied     made when asked for, internal, too: the clients of stacks with a recording proxy, and that proxy as boinc.test
"""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar, cast

import docker.errors
import httpx
from docker.models.containers import Container
from docker.models.networks import Network

from harness import containers, docker_host, engine, images, labels, manager
from harness.containers import ContainerSpec, ReadyWhen
from harness.errors import HarnessError
from harness.mail import SINKS, Mailpit, MailSink
from harness.oci.docker_wrapper import DockerWrapper
from harness.project.embedded import Control
from harness.project.servers import EMBEDDED, EmbeddedServer, ProjectServer, server_of
from harness.proxy import CONTROL_PORT as PROXY_CONTROL_PORT
from harness.proxy import ProxyHandle
from harness.waiting import Deadline

Part = TypeVar("Part")

SERVER_NAME = "boinc.test"
PUBLIC_PORT = 80
CONTROL_PORT = 8081
MAIL_SMTP_PORT = 1025


class ServerHandle:
    """The project server's container: what a scenario may do to it."""

    def __init__(self, rig: Rig, container: Container, token: str) -> None:
        self._rig = rig
        self.container = container
        self.token = token
        self.control = Control(self._control_url(), token)

    def _control_url(self) -> str:
        self.container.reload()
        host, port = engine.address(self.container, CONTROL_PORT, network=self._rig.control_network)
        return f"http://{host}:{port}"

    def public_url(self) -> str:
        """Where this process reaches what volunteers know as http://boinc.test."""
        host, port = engine.address(self.container, PUBLIC_PORT, network=self._rig.control_network)
        return f"http://{host}" if port == PUBLIC_PORT else f"http://{host}:{port}"

    def stop(self) -> None:
        """End it in good order (SIGTERM)."""
        self.control.up.clear()
        self.container.stop(timeout=10)

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        self.control.up.clear()
        self.container.kill()

    def start(self, *, within: Deadline | float = containers.START_DEADLINE) -> None:
        """Start it again on its old data, and wait until it answers."""
        self.container.start()
        self.control.rebase(self._control_url())
        ReadyWhen(self.healthy, "answering on its control port", within).wait_until_ready(_Wrapped(self.container))
        self.control.up.set()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def healthy(self, _container: Container | None = None) -> bool:
        """Does it answer on its control port?"""
        try:
            return httpx.get(f"{self.control.base_url}/health", timeout=2.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def log(self, lines: int = 200) -> str:
        """The last lines of its log."""
        return containers.log_tail(self.container, lines)


class _Wrapped:
    """The little of testcontainers' container that a wait strategy asks for."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def get_wrapped_container(self) -> Container:
        return self._container


class Rig:
    """The shared part of the stacks of one process. Parts start on first use; `close` removes them all."""

    def __init__(
        self,
        *,
        name: str = "",
        keep: bool = False,
        mail_sink: str = "maildev",
        client_program: Path | None = None,
        wrapper_program: Path | None = None,
        docker_socket: Path | None = None,
        docker_wrapper: Path | None = None,
        server: str = EMBEDDED,
    ) -> None:
        self.name = f"boinc-harness-{labels.run_id()}" + (f"-{name}" if name else "")
        self.keep = keep
        #: a BOINC client in the place of the images' own
        self.client_program = client_program
        #: a vboxwrapper in the place of ours (`harness.vbox_app.Wrapper.chosen`)
        self.wrapper_program = wrapper_program
        #: of the engine, for volunteers whose containers run there; only the user can name it (`harness.docker_host`)
        self.docker_socket = docker_socket
        self.kept_stacks: list[str] = []
        self.server_image = ""
        self.control_network = f"{self.name}-control"
        self.volunteers_network = f"{self.name}-volunteers"
        self.proxied_network = f"{self.name}-proxied"
        self._cleanup = ExitStack()
        self._lock = threading.RLock()
        self._addresses: dict[str, Iterator[ipaddress.IPv4Address]] = {}
        self._parts: dict[str, object] = {}
        #: one for each part, so that several can start at the same time
        self._part_locks: dict[str, threading.Lock] = {}
        self._mail_kind = SINKS[mail_sink]
        self.project_server: ProjectServer = server_of(self, server)
        self._networks = False
        #: BOINC's docker_wrapper in the place of our container wrapper
        self.docker_wrapper = DockerWrapper.at(docker_wrapper) if docker_wrapper is not None else None
        self._docker_group: int | None = None
        self._counter = 0
        self._background = ThreadPoolExecutor(max_workers=4, thread_name_prefix="rig")
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next_number(self) -> int:
        """A number that no other stack of this rig has."""
        with self._lock:
            self._counter += 1
            return self._counter

    def next_address(self, network: str) -> str:
        """An address on one of the clients' networks that no container of this run had before.

        A client makes its cross-project identity from its network card's address, which engines make from this one. Besides, whoever
        has spoken with a container that is gone would look for the new one behind the old card for a while.
        """
        with self._lock:
            return str(next(self._addresses[network]))

    def networks(self) -> None:
        """Make the two networks, once."""
        with self._lock:
            if self._networks:
                return
            self._networks = True
            self._make_network(self.control_network, internal=False)
            self._make_network(self.volunteers_network, internal=engine.is_local())

    def _make_network(self, name: str, *, internal: bool) -> Network:
        network = engine.create_network(name, internal=internal, keep=self.keep, fixed=True)
        subnet = engine.subnet_of(network)
        # the engine gives the lowest free addresses to what has no own one: leave it some
        self._addresses[name] = iter(list(itertools.islice(subnet.hosts(), subnet.num_addresses // 4, 50_000)))
        self._cleanup.callback(_remove_network, network)
        return network

    def _once(self, name: str, start: Callable[[], Part]) -> Part:
        """A part that starts on first use; one that failed to start fails everybody who asks for it, at once and with the same words."""
        with self._lock:
            lock = self._part_locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self._parts:
                self.networks()
                try:
                    self._parts[name] = start()
                except HarnessError as error:
                    self._parts[name] = error
            part = self._parts[name]
            if isinstance(part, HarnessError):
                raise part
            return cast("Part", part)

    def _start(self, spec: ContainerSpec) -> Container:
        container = containers.start(spec)
        self._cleanup.callback(containers.remove_quietly, spec.name)
        return container

    @property
    def url_base(self) -> str:
        """What all URLs of volunteers begin with, whichever server it is."""
        return f"http://{SERVER_NAME}"

    @property
    def server(self) -> ServerHandle:
        """The embedded project server, started on first use."""
        return self._once("server", self._start_server)

    def _start_server(self) -> ServerHandle:
        token = secrets.token_urlsafe(24)
        self.server_image = images.ensure("server")
        spec = ContainerSpec(
            name=f"{self.name}-server",
            role="server",
            image=self.server_image,
            network=self.control_network,
            aliases=["control"],
            environment={
                "BOINC_CONTROL_HOST": "control",
                "BOINC_CONTROL_TOKEN": token,
                "BOINC_URL_BASE": self.url_base,
                "BOINC_SMTP_HOST": "mail",
                "BOINC_SMTP_PORT": str(MAIL_SMTP_PORT),
            },
            ports=[CONTROL_PORT, PUBLIC_PORT],
            keep=self.keep,
        )
        container = self._start(spec)
        engine.connect().networks.get(self.volunteers_network).connect(container, aliases=[SERVER_NAME])
        handle = ServerHandle(self, container, token)
        self._cleanup.callback(handle.control.close)
        ReadyWhen(handle.healthy, "answering on its control port").wait_until_ready(_Wrapped(container))
        return handle

    def mail_sink(self) -> MailSink:
        """The mail sink, started on first use; until then the server keeps its mails and tries again."""
        return self._once("mail", self._start_mail)

    def _start_mail(self) -> MailSink:
        spec = ContainerSpec(
            name=f"{self.name}-mail",
            role="mail",
            image=_mailpit() if self._mail_kind is Mailpit else images.ensure("mail"),
            network=self.control_network,
            aliases=["mail"],
            ports=[self._mail_kind.web_port],
            keep=self.keep,
        )
        container = self._start(spec)
        container.reload()
        host, port = engine.address(container, self._mail_kind.web_port, network=self.control_network)
        sink = self._mail_kind(f"http://{host}:{port}")
        self._cleanup.callback(sink.close)
        ReadyWhen(lambda _container: sink.ready(), "answering on its web port").wait_until_ready(_Wrapped(container))
        return sink

    @property
    def proxy(self) -> ProxyHandle:
        """The recording proxy in front of the server, started on first use."""
        return self._once("proxy", self._start_proxy)

    def _start_proxy(self) -> ProxyHandle:
        if isinstance(self.project_server, EmbeddedServer):
            self.server  # noqa: B018 - what the proxy is in front of
        token = secrets.token_urlsafe(24)
        spec = ContainerSpec(
            name=f"{self.name}-proxy",
            role="proxy",
            image=images.ensure("proxy"),
            network=self.control_network,
            aliases=["proxy"],
            environment={
                "PROXY_SERVER": f"http://control:{PUBLIC_PORT}",
                "PROXY_CONTROL_HOST": "proxy",
                "PROXY_CONTROL_TOKEN": token,
            },
            ports=[PROXY_CONTROL_PORT],
            keep=self.keep,
        )
        proxied = self._make_network(self.proxied_network, internal=engine.is_local())
        container = self._start(spec)
        proxied.connect(container, aliases=[SERVER_NAME])
        # here for clients that ran before: see Client.redirect
        engine.connect().networks.get(self.volunteers_network).connect(container, aliases=["proxy"])
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self.volunteers_network]["IPAddress"]
        host, port = engine.address(container, PROXY_CONTROL_PORT, network=self.control_network)
        handle = ProxyHandle(f"http://{host}:{port}", token, address)
        self._cleanup.callback(handle.close)
        ReadyWhen(lambda _container: handle.ready(), "answering on its control port").wait_until_ready(_Wrapped(container))
        return handle

    def docker_group(self) -> int:
        """The group that may use the docker socket. Raises `NoDockerSocket`, `DockerSocketRefused`."""
        if self.docker_socket is None:
            raise docker_host.NoDockerSocket
        with self._lock:
            if self._docker_group is None:
                self._docker_group = docker_host.check_socket(self.docker_socket)
                self._cleanup.callback(docker_host.remove_hello)
            return self._docker_group

    def remove_later(self, container_name: str, then: Callable[[str], None] | None = None) -> None:
        """Remove a container in the background, and do what is to be done `then`; `close` waits for it."""

        def remove() -> None:
            containers.remove_quietly(container_name)
            if then is not None:
                then(container_name)

        self._pending.append(self._background.submit(remove))

    def discard(self) -> None:
        """Remove everything, even what was to be kept."""
        self.keep = False
        self.close()

    def close(self) -> None:
        """Remove everything, whatever fails on the way; the first failure is raised at the end."""
        if self.keep:
            self._background.shutdown(wait=True)
            return
        try:
            with self._cleanup:
                self._background.shutdown(wait=True)
        finally:
            # said above all that follows from it: a network with a container in it cannot be removed either
            failures = [error for error in (job.exception() for job in self._pending) if error is not None]
            if failures:
                raise RigLeak(self.name, failures)


class RigLeak(HarnessError):
    """Something of a stack could not be removed. Field: `failures`."""

    def __init__(self, rig: str, failures: list[BaseException]) -> None:
        self.failures = failures
        super().__init__(
            "something could not be removed",
            thing=rig,
            expected="every container to go: " + "; ".join(str(error) for error in failures),
            remedy="run `harness sweep`",
        )


def _remove_network(network: Network) -> None:
    try:
        network.reload()
        for container in network.containers:
            if container.labels.get(labels.ROLE) == manager.ROLE:  # somebody else's `harness gui`, which says why it ends
                containers.remove_quietly(str(container.name))
        network.remove()
    except docker.errors.NotFound:
        return


def _mailpit() -> str:
    """Mailpit's image, pulled if the engine does not have it."""
    client = engine.connect()
    try:
        client.images.get(Mailpit.image)
    except docker.errors.ImageNotFound:
        with engine.guard(f"pulling {Mailpit.image}"):
            client.images.pull(Mailpit.image)
    return Mailpit.image
