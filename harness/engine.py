"""The container engine: finding it, what it can do here, and how its containers are reached.

Every call into the docker SDK that may meet an engine that is gone, full or busy belongs into `with guard("what is being done"):`,
which turns the SDK's exceptions into errors that name the thing and the remedy.

Addresses. Two modes, found out once per network (`reachable_by_ip`):
    bridge     the engine runs on this host's own kernel and network namespace: containers are reached by their own IP address, also
               those on internal networks. Nothing has to be published, so no port can be taken.
    published  anywhere else (a virtual machine behind Docker Desktop, an engine over ssh or tcp): containers are reached through ports
               published when they are created, with `publish()`; a container needs one network that is not internal for that.
BOINC_HARNESS_ADDRESS=bridge|published overrides what is found.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import dockerhttp, labels
from harness.errors import EngineUnavailable, HarnessError, PortTaken, UsageError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.networks import Network

#: seconds within which an engine answers a ping; one that is busy pulling and building still does
PING_TIMEOUT = 5.0
#: seconds for any other single request of the SDK; long ones (builds, waits) do not go through it
REQUEST_TIMEOUT = 60
#: the oldest engine whose BuildKit knows `RUN --mount=type=cache` and secrets without a fetched frontend
OLDEST_ENGINE = (23, 0)

_REMEDY = "start it (./run does that as root on Debian), or name another one in DOCKER_HOST; `harness doctor` says more"
_NET = Path("/sys/class/net")


class Address(NamedTuple):
    """Where this process reaches a port of a container."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Capabilities:
    """What the engine says of itself, and which of its command-line plugins are here (empty text: not there)."""

    host: str
    version: str
    operating_system: str
    architecture: str
    cgroup_version: str
    storage_driver: str
    rootless: bool
    cpus: int
    memory: int  #: bytes
    local: bool  #: on this host's kernel, so that containers can be reached by their own address
    buildx: str
    compose: str

    @property
    def version_tuple(self) -> tuple[int, ...]:
        """`version` for comparisons; "26.1.5+dfsg1" -> (26, 1, 5)."""
        numbers = self.version.split("+")[0].split("-")[0].split(".")
        return tuple(int(n) for n in numbers if n.isdigit())


def host() -> str:
    """The engine's address, as DOCKER_HOST would name it.

    In this order: DOCKER_HOST; the current docker context (DOCKER_CONTEXT or the client's settings); the usual socket; a rootless
    engine's socket. The docker SDK knows neither contexts nor rootless sockets.
    """
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    from_context = _context_host()
    if from_context:
        return from_context
    usual = Path("/var/run/docker.sock")
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    rootless = Path(runtime, "docker.sock")
    if rootless.exists() and not usual.exists():
        return f"unix://{rootless}"
    return f"unix://{usual}"


def _context_host() -> str:
    """The address of the current docker context, or "" for the default one. Format: docker/cli, cli/context/store."""
    directory = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = os.environ.get("DOCKER_CONTEXT", "")
    try:
        if not name:
            name = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("currentContext", "")
        if not name or name == "default":
            return ""
        for meta in directory.glob("contexts/meta/*/meta.json"):
            found = json.loads(meta.read_text(encoding="utf-8"))
            if found.get("Name") == name:
                return str(found["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, AttributeError):
        pass
    return ""


def ping(*, timeout: float = PING_TIMEOUT) -> None:
    """Raise `EngineUnavailable` unless the engine answers."""
    address = host()
    if not dockerhttp.speaks(address) or os.environ.get("DOCKER_TLS_VERIFY"):
        with guard(""):
            _client(os.getpid(), address).ping()
        return
    try:
        status, _ = dockerhttp.get(address, "/_ping", timeout=timeout)
    except FileNotFoundError as error:
        raise _unavailable(address, "there is no such socket: no engine runs here") from error
    except PermissionError as error:
        raise EngineUnavailable(
            "this user may not use the container engine",
            thing=address,
            remedy=f"add the user to the socket's group (sudo usermod -aG docker {os.environ.get('USER', 'USER')}; log in again)",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(address, str(error)) from error
    if status != 200:
        raise _unavailable(address, f"it answered HTTP {status} to a ping")


def _unavailable(address: str, details: str, *, doing: str = "") -> EngineUnavailable:
    what = f"the container engine stopped answering while {doing}" if doing else "no container engine answers"
    return EngineUnavailable(what, thing=address, expected="a Docker engine there", remedy=_REMEDY, details=details)


@functools.cache
def _client(_pid: int, address: str) -> DockerClient:
    import docker  # noqa: PLC0415  (a quarter of a second, which `./run` does not pay)

    os.environ["DOCKER_HOST"] = address  # testcontainers and the docker command shall use the same engine
    return docker.from_env(timeout=REQUEST_TIMEOUT, environment=dict(os.environ))


def connect() -> DockerClient:
    """The docker SDK's client of this process, connected to an engine that answers. Raises `EngineUnavailable`."""
    ping()  # says more precisely than the SDK what is wrong
    with guard(""):
        client = _client(os.getpid(), host())
    # a host that looks like a container itself (/.dockerenv) makes testcontainers guess wrong addresses
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "bridge_ip" if is_local() else "docker_host")
    # clean-up is by label (harness.sweep); testcontainers' own reaper is an image that cannot be pulled everywhere
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    return client


@contextmanager
def guard(doing: str) -> Iterator[None]:
    """Turn exceptions of the docker SDK and its transport into errors of ours; `doing` says what was under way."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        translated = translate(error, doing)
        if translated is None:
            raise
        raise translated from error


def translate(error: BaseException, doing: str) -> HarnessError | None:
    """The error of ours that says what an exception of the docker SDK or its transport means here; None for all others."""
    import docker.errors  # noqa: PLC0415
    import requests.exceptions  # noqa: PLC0415
    import urllib3.exceptions  # noqa: PLC0415

    address = host()
    if isinstance(error, docker.errors.APIError):
        return _translate_refusal(str(error.explanation or error), doing)
    if isinstance(
        error,
        requests.exceptions.ConnectionError | requests.exceptions.Timeout | urllib3.exceptions.HTTPError | ConnectionError,
    ):
        return _unavailable(address, _first_line(error), doing=doing)
    if isinstance(error, docker.errors.DockerException) and not isinstance(error, docker.errors.NotFound):
        return _unavailable(address, _first_line(error), doing=doing)
    return None


def _translate_refusal(text: str, doing: str) -> HarnessError | None:
    """What a refusal that a person can do something about means; None for those that only a program understands (404, 409)."""
    low = text.lower()
    if "port is already allocated" in low or "address already in use" in low:
        return PortTaken(f"a port is taken (while {doing})", thing=text.strip(), remedy="stop what listens there, or choose another port")
    if "no space left on device" in low:
        return disk_full(doing, text)
    if "could not find an available" in low and "address pool" in low:
        return HarnessError(
            f"the engine has no network address range left (while {doing})",
            expected="one free range for each network of a run",
            remedy="remove left-over networks: `harness sweep`, `docker network ls`; or give the engine more default-address-pools",
            details=text,
        )
    return None


def disk_full(doing: str, details: str = "") -> HarnessError:
    """The error for a full disk under the engine."""
    return HarnessError(
        f"the engine's disk is full (while {doing})",
        expected="about 6 GB free for all images, 1 GB for a run",
        remedy="free some: `harness sweep`, `docker system df`, `docker builder prune`",
        details=details,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_local() -> bool:
    """Whether the engine's networks are in this process's own network namespace."""
    forced = os.environ.get("BOINC_HARNESS_ADDRESS", "")
    if forced not in ("", "bridge", "published"):
        raise UsageError("BOINC_HARNESS_ADDRESS is wrong", thing=forced, expected="bridge or published")
    if forced:
        return forced == "bridge"
    return host().startswith("unix://") and any(_NET.glob("docker0"))


@functools.cache
def capabilities() -> Capabilities:
    """What the engine can do. Raises `EngineUnavailable`."""
    client = connect()
    with guard("asking the engine what it can do"):
        info: Mapping[str, Any] = client.info()
    options = [str(option) for option in info.get("SecurityOptions") or []]
    return Capabilities(
        host=host(),
        version=str(info.get("ServerVersion", "")),
        operating_system=str(info.get("OperatingSystem", "")),
        architecture=str(info.get("Architecture", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
        storage_driver=str(info.get("Driver", "")),
        rootless=any("rootless" in option for option in options),
        cpus=int(info.get("NCPU", 0)),
        memory=int(info.get("MemTotal", 0)),
        local=is_local(),
        buildx=_plugin_version("buildx"),
        compose=_plugin_version("compose"),
    )


def _plugin_version(plugin: str) -> str:
    """The version that a plugin of the docker command reports, or "" where it is not installed."""
    try:
        done = subprocess.run(["docker", plugin, "version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = [word for word in done.stdout.split() if word.lstrip("v")[:1].isdigit()]
    return words[0].lstrip("v") if done.returncode == 0 and words else ""


def publish(ports: Iterable[int]) -> dict[str, tuple[str, int]]:
    """The `ports=` argument with which a container's TCP ports can be reached later by `address()`: nothing in bridge mode."""
    return {} if is_local() else {f"{port}/tcp": ("0.0.0.0" if _remote_name() else "127.0.0.1", 0) for port in ports}  # 0: any free one


def address(container: Container, port: int, *, network: str | None = None) -> Address:
    """Where this process reaches a TCP port of a running container.

    In bridge mode on the named network, or on the first one it has an address on. Raises `HarnessError` for a container that has
    no address (it has ended, or its port was not published).
    """
    attributes = _with_network(container, port)
    networks: Mapping[str, Mapping[str, str]] = attributes["NetworkSettings"]["Networks"] or {}
    if is_local():
        for name, settings in networks.items():
            if settings.get("IPAddress") and network in (None, name):
                return Address(settings["IPAddress"], port)
    bindings = (attributes["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp") or []
    for binding in bindings:
        return Address(_remote_name() or "127.0.0.1", int(binding["HostPort"]))
    raise HarnessError(
        f"port {port} of a container cannot be reached",
        thing=f"{container.name} ({attributes['State'].get('Status', 'unknown')})",
        expected=f"an address on network {network}" if network else "an address on one of its networks, or the port published",
        remedy=f"see what it said: docker logs {container.name}",
    )


def _with_network(container: Container, port: int) -> Mapping[str, Any]:
    """The container's attributes, read again when those at hand are from before it had an address."""
    settings = container.attrs.get("NetworkSettings") or {}
    known = any(n.get("IPAddress") for n in (settings.get("Networks") or {}).values())
    if not known or (not is_local() and not (settings.get("Ports") or {}).get(f"{port}/tcp")):
        with guard(f"asking for the address of {container.name}"):
            container.reload()
    return dict(container.attrs)


def _remote_name() -> str:
    """The host name of an engine on another machine, else ""."""
    parts = urllib.parse.urlsplit(host())
    return parts.hostname or "" if parts.scheme in ("tcp", "ssh", "http", "https") else ""


def create_network(name: str, *, internal: bool = False, keep: bool = False, fixed: bool = False) -> Network:
    """A bridge network of this run. `internal`: no way out to anywhere but this host. Raises `HarnessError`.

    `fixed`: containers may ask for addresses of their own there. An engine allows that only where the range was asked for, too: so we
    ask for the one that it chose itself.
    """
    client = connect()
    with guard(f"creating the network {name}"):
        network = _create_network(client, name, internal, keep)
        if not fixed:
            return network
        network.reload()
        [chosen] = network.attrs["IPAM"]["Config"]
        network.remove()
        return _create_network(client, name, internal, keep, chosen["Subnet"])


def _create_network(client: DockerClient, name: str, internal: bool, keep: bool, subnet: str = "") -> Network:
    from docker.types import IPAMConfig, IPAMPool  # noqa: PLC0415

    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]) if subnet else None
    owner = labels.owner_labels(keep=keep)
    return client.networks.create(name, driver="bridge", internal=internal, check_duplicate=True, labels=owner, ipam=ipam)


def subnet_of(network: Network) -> ipaddress.IPv4Network:
    """The address range of a network."""
    network.reload()
    return ipaddress.IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])


def main(arguments: list[str]) -> int:
    """`python -m harness.engine [--quiet]`: exit code 0 if an engine answers."""
    try:
        ping()
    except HarnessError as error:
        if "--quiet" not in arguments:
            print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
