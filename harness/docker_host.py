"""Docker on a client, seen from outside: the harness' own engine, through a socket that the user has named.

Who may use an engine's socket is root on that engine's machine, and jobs' programs run as the client's user: so no client gets one
unless the user says so (`--docker-socket PATH`).
"""

from __future__ import annotations

import re
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException
from docker.models.containers import Container

from harness import containers, engine, labels
from harness.container_engine import ContainerEngine
from harness.errors import HarnessError, UsageError

#: where a client finds it
SOCKET = "/var/run/docker.sock"
#: the label with which the containers of one client are found
HOST = f"{labels.PREFIX}.host"
#: a client on an engine that others use as well removes theirs at its start, unless it is told (BOINC's issue 7020)
CC_OPTIONS = {"allow_multiple_clients": True}
#: what the images of volunteers' jobs are named below: NAMES/RUN/CLIENT/KEY:ID
NAMES = "localhost/boinc-harness"


class DockerSocketRefused(UsageError):
    """A socket that clients cannot be given. Field: `socket`."""

    def __init__(self, socket: Path, why: str, remedy: str) -> None:
        self.socket = socket
        super().__init__("a docker socket that clients cannot be given", thing=str(socket), expected=why, remedy=remedy)


class NoDockerSocket(HarnessError):
    """A scenario wants a host with docker, and the user has named no socket."""

    def __init__(self) -> None:
        super().__init__(
            "no docker socket was named",
            expected="the user's consent, since a socket is root on the engine's machine",
            remedy="--docker-socket PATH (docs/containers.md)",
        )


def check_socket(socket: Path) -> int:
    """The group that may use the socket, which has to be one of the harness' own engine. Raises `DockerSocketRefused`."""
    if not socket.is_socket():
        raise DockerSocketRefused(socket, "a unix socket of a docker engine on this machine", "look for it with `docker context inspect`")
    try:
        there = DockerClient(base_url=f"unix://{socket}", timeout=engine.REQUEST_TIMEOUT)
        try:
            found = there.info().get("ID")
        finally:
            there.close()
    except DockerException as error:
        raise DockerSocketRefused(socket, f"an engine that answers: {error}", "start it") from error
    with engine.guard("asking the engine who it is"):
        own = engine.connect().info().get("ID")
    if found != own:
        raise DockerSocketRefused(
            socket, "the engine that runs the clients: it has to see their files", f"set DOCKER_HOST=unix://{socket} for the whole run"
        )
    return socket.stat().st_gid


def image_folder(client: str) -> str:
    """What the names of a client's images begin with."""
    words = re.sub(r"[^a-z0-9]+", "-", client.lower()).strip("-")
    return f"{NAMES}/{labels.run_id()}/{words}"


def run_of(image_name: str) -> str:
    """The run whose client an image of `image_folder` belongs to; "" for other images."""
    rest = image_name.removeprefix(f"{NAMES}/")
    return rest.split("/", maxsplit=1)[0] if rest != image_name and "/" in rest else ""


class Docker(ContainerEngine):
    """The docker of one running client: what of the engine's is that client's."""

    command = ("docker",)

    def __init__(self, container: Container, client: str, *, keep: bool) -> None:
        super().__init__(container)
        self.image_folder = image_folder(client)
        self.own = ("--filter", f"label={HOST}={client}")
        self.run_options = [word for name, value in labels_of(client, keep=keep).items() for word in ("--label", f"{name}={value}")]

    def remove(self, *names: str) -> None:
        self.run("rm", "--force", "--volumes", *names)

    def images(self) -> list[str]:
        found = self.run("images", "--no-trunc", "--format", "{{.ID}}", "--filter", f"reference={self.image_folder}/*").split()
        return sorted({image.removeprefix("sha256:") for image in found})


def labels_of(client: str, *, keep: bool) -> dict[str, str]:
    """What every container of a client's jobs carries."""
    return {**labels.owner_labels(keep=keep, role="job"), HOST: client}


def environment(client: str, *, keep: bool) -> dict[str, str]:
    """Settings that a client hands on to its container wrapper."""
    return {
        "BOINC_CONTAINER_ENGINE": "docker",
        "BOINC_CONTAINER_LABELS": " ".join(f"{name}={value}" for name, value in labels_of(client, keep=keep).items()),
        "BOINC_CONTAINER_IMAGES": image_folder(client),
    }


def remove_all(client: str) -> None:
    """Remove what the jobs of a client that is gone have left on the engine. Raises `HarnessError`."""
    api = engine.connect().api
    with engine.guard(f"removing what {client} left on the engine"):
        for found in api.containers(all=True, filters={"label": f"{HOST}={client}"}):
            containers.remove_quietly(found["Id"])
        for image in api.images(name=f"{image_folder(client)}/*"):
            for name in image["RepoTags"]:
                if name.startswith(f"{image_folder(client)}/"):
                    api.remove_image(name)


def remove_hello() -> None:
    """Remove the image hello-world if it is this process's clients who have put it there."""
    own = {name: value for name, value in labels.owner_labels().items() if name in (labels.RUN, labels.PID, labels.START)}
    api = engine.connect().api
    with engine.guard("removing the image hello-world"):
        for image in api.images(filters={"label": [f"{name}={value}" for name, value in own.items()]}):
            api.remove_image(image["Id"])
