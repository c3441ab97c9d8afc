"""How the harness starts a container: least privilege, labelled, on one network, and gone again if it does not come up."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import docker.errors
import requests
from docker.models.containers import Container
from docker.types import EndpointConfig
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import WaitStrategy

from harness import engine, images, labels
from harness.errors import HarnessError
from harness.waiting import Deadline, wait_until

# Clean-up is ours (labels and harness.sweep): it also works where Ryuk's image cannot be pulled.
testcontainers_config.ryuk_disabled = True

#: seconds a container has to become ready
START_DEADLINE = 60.0
#: the last lines of a container's log that an error shows
LOG_TAIL = 30


class ContainerFailed(HarnessError):
    """A container did not start, or ended while it was needed. Fields: `container` (name), `image`."""

    exit_code = 69

    def __init__(self, name: str, image: str, why: str, *, log: str = "") -> None:
        self.container = name
        self.image = image
        super().__init__(
            "a container failed",
            thing=f"{name} ({image})",
            expected=why,
            remedy="the last lines of its log follow" if log else "",
            details=log,
        )


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What to start. `network` is the one it starts on, with `aliases`; `ports` are those the harness itself talks to."""

    name: str
    role: str
    image: str
    network: str
    aliases: Sequence[str] = ()
    #: an address on a network with chosen addresses (see `Rig.next_address`); None: the engine's choice
    address: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    keep: bool = False
    #: further arguments of the docker SDK's create (devices, volumes, tmpfs, mem_limit, ...)
    options: Mapping[str, Any] = field(default_factory=dict)
    #: entries of the engine API's HostConfig that the SDK has no argument for (MaskedPaths, ...)
    host_config: Mapping[str, Any] = field(default_factory=dict)


class ReadyWhen(WaitStrategy):
    """Ready as soon as a function of ours says so; a container that exits meanwhile ends the wait at once."""

    def __init__(self, check: Callable[[Container], bool], what: str, within: Deadline | float = START_DEADLINE) -> None:
        super().__init__()
        self._check = check
        self._what = what
        self._deadline = Deadline.of(within)

    def wait_until_ready(self, container: Any) -> None:
        wrapped: Container = container.get_wrapped_container()
        looked = 0

        def ready() -> bool:
            nonlocal looked
            if self._check(wrapped):
                return True
            looked += 1
            if looked % 10 == 0:  # asking the engine costs more than asking the service
                wrapped.reload()
                if wrapped.status in ("exited", "dead"):
                    code = wrapped.attrs["State"]["ExitCode"]
                    raise _failed(wrapped, f"it to run; it ended with exit code {code} before it was {self._what}")
            return False

        wait_until(ready, f"{wrapped.name} {self._what}", within=self._deadline, every=0.02, last_state=lambda: log_tail(wrapped, 5))


def start(spec: ContainerSpec, ready: WaitStrategy | None = None) -> Container:
    """Start a container and wait until it is ready; one that does not get there is removed again."""
    client = engine.connect()
    endpoint = EndpointConfig(client.api.api_version, aliases=list(spec.aliases), ipv4_address=spec.address)
    options: dict[str, Any] = {
        "hostname": spec.name,
        "labels": labels.owner_labels(keep=spec.keep, role=spec.role),
        "network": spec.network,
        "networking_config": {spec.network: endpoint},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "use_config_proxy": False,  # a proxy of the docker client's settings would stand between the volunteers and boinc.test
        **spec.options,
    }
    tmpfs = options.pop("tmpfs", {})  # testcontainers has a way of its own to pass these
    volumes = options.pop("volumes", {})  # testcontainers passes its own
    container = DockerContainer(spec.image, env=dict(spec.environment), name=spec.name).with_kwargs(**options)
    container.volumes.update(volumes)
    container.tmpfs.update(tmpfs)
    # testcontainers types a port's host side as a number; the SDK takes the address to bind to as well
    container.ports.update(engine.publish(spec.ports))  # type: ignore[arg-type]
    if spec.host_config:
        _add_to_host_config(container, spec.host_config)
    if ready is not None:
        container.waiting_for(ready)
    started = False
    try:
        with engine.guard(f"starting {spec.name}"):
            container.start()
        started = True
        return container.get_wrapped_container()
    except docker.errors.APIError as error:
        raise ContainerFailed(spec.name, spec.image, f"the engine to start it; it said: {error.explanation or error}") from error
    finally:
        if not started:
            remove_quietly(spec.name)


def _add_to_host_config(container: DockerContainer, entries: Mapping[str, Any]) -> None:
    """Options of the engine that the docker SDK has no argument for (MaskedPaths): added to the request itself."""
    api = container.get_docker_client().client.api  # each testcontainers' container has one of its own
    create: Callable[..., Any] = api.create_container_from_config

    def create_with_more(config: dict[str, Any], *arguments: Any, **more: Any) -> Any:
        config["HostConfig"].update(entries)
        return create(config, *arguments, **more)

    api.create_container_from_config = create_with_more  # type: ignore[method-assign]


def remove_quietly(name: str) -> None:
    """Remove a container with its anonymous volumes, running or not; one that is not there is fine."""
    try:
        engine.connect().api.remove_container(name, v=True, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if "already in progress" not in str(error.explanation):  # somebody else removes it; other conflicts mean that it stays
            raise


class NoSuchFile(HarnessError):
    """A container has no such file. Field: `path`."""

    def __init__(self, path: str, container: str) -> None:
        self.path = path
        super().__init__("no such file", thing=f"{path} of {container}")


def read_file(container: Container, path: str) -> bytes:
    """A file of a container, running or not. Raises `NoSuchFile`, or `HarnessError` for what is no file."""
    with engine.guard(f"reading {path} of {container.name}"):
        try:
            stream, _ = container.get_archive(path)
        except docker.errors.NotFound as error:
            raise NoSuchFile(path, str(container.name)) from error
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        member = archive.next()
        source = archive.extractfile(member) if member is not None else None
        if source is None:
            raise HarnessError("not a file", thing=f"{path} of {container.name}", expected="a plain file")
        return source.read()


def write_file(container: Container, path: str, content: bytes, *, owner: int = 0, mode: int = 0o644) -> None:
    """Write a file of a container, running or not (but not below a tmpfs: the engine does not see into those)."""
    target = PurePosixPath(path)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(target.name)
        info.size, info.mode, info.uid, info.gid = len(content), mode, owner, owner
        archive.addfile(info, io.BytesIO(content))
    with engine.guard(f"writing {path} of {container.name}"):
        container.put_archive(str(target.parent), stream.getvalue())


class Executed(NamedTuple):
    """How a command in a container ended, and what it wrote to both of its streams."""

    exit_code: int
    output: bytes

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")


def execute(
    container: Container, words: Sequence[str], *, user: str = "", workdir: str | None = None, environment: Mapping[str, str] | None = None
) -> Executed:
    """Run a command in a running container, for as long as it takes. Raises `docker.errors.APIError`.

    The SDK's `exec_run` asks for the bare connection and reads on from there, but its HTTP client has read the answer's head with a
    buffer: on a busy machine all that a short command prints is in that buffer already, and lost (14 times of 2860, with exit code 0).
    An answer that is an HTTP body is read to its end.
    """
    assert container.client is not None
    api = container.client.api
    made = api.exec_create(container.id, list(words), user=user, workdir=workdir, environment=dict(environment or {}))
    url = f"{api.base_url}/v{api.api_version}/exec/{made['Id']}/start"
    with api.post(url, json={"Detach": False, "Tty": False}, timeout=None) as answer:
        try:
            answer.raise_for_status()
        except requests.HTTPError as error:
            docker.errors.create_api_error_from_http_exception(error)
        output = b"".join(_frames(answer.content))

    def ended() -> dict[str, Any] | None:
        state: dict[str, Any] = api.exec_inspect(made["Id"])
        return state if state["ExitCode"] is not None else None  # none yet is no success

    return Executed(int(wait_until(ended, f"the exit code of {words[0]}", within=10.0)["ExitCode"]), output)


def _frames(stream: bytes) -> Iterator[bytes]:
    """The contents of a stream's frames, each after its kind (a byte), three bytes of nothing, and its length (the API: attach)."""
    position = 0
    while position < len(stream):
        start = position + 8
        position = start + int.from_bytes(stream[position + 4 : start], "big")
        yield stream[start:position]


def run_in_network_of(container: Container, command: str) -> str:
    """Run a shell command as root in a container's network namespace, with iproute2 and iptables at hand; what it printed.

    A short-lived container does it (0.2 s), so that the container itself needs no privileges.
    """
    with engine.guard(f"changing the network of {container.name}"):
        try:
            output = engine.connect().containers.run(
                images.ensure("proxy"),
                ["-c", command],
                entrypoint="/bin/sh",
                network_mode=f"container:{container.id}",
                user="root",
                cap_drop=["ALL"],
                cap_add=["NET_ADMIN", "NET_RAW"],
                security_opt=["no-new-privileges"],
                labels=labels.owner_labels(role="network-fault"),
                remove=True,
                stderr=True,
            )
        except docker.errors.ContainerError as error:
            raise HarnessError(
                "a container's network could not be changed",
                thing=f"{container.name}: {command}",
                expected="iproute2 and iptables to work in its network namespace",
                details=_text(error.stderr),
            ) from error
    return _text(output)


def _text(output: object) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else str(output or "")


def log_tail(container: Container, lines: int = LOG_TAIL) -> str:
    """The last lines that a container wrote."""
    try:
        return container.logs(tail=lines).decode("utf-8", "replace")
    except docker.errors.APIError as error:
        return f"(its log cannot be read: {error.explanation or error})"


def _failed(container: Container, why: str) -> ContainerFailed:
    tags = container.image.tags if container.image else []
    return ContainerFailed(str(container.name), tags[0] if tags else "?", why, log=log_tail(container))
