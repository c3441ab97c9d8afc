"""Container jobs: what their scenarios share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import pytest

from harness.client import Client
from harness.jobs import Job
from harness.oci import Image, Store, docker_wrapper, load
from harness.oci.samples import sample
from harness.oci.versions import Where
from harness.oci.work import ContainerWork
from harness.stack import Stack

#: seconds for a container job on a slow machine
WITHIN = 60.0
#: seconds for one in a virtual machine that is interpreted
VM_WITHIN = 240.0
#: what a virtual machine keeps of images
VM_DISK_MB = 256
#: bytes of jobs in virtual machines that say nothing of memory: machines of one size boot once on a host
VM_MEMORY = 64 * 2**20


#: lists all of an image that a program could notice, but for times and numbers of links (overlayfs shows those of the layer)
INVENTORY = ["find", "/", "-xdev"]
for path in ("/.dockerenv", "/proc*", "/sys*", "/dev*", "/run*", "/root*", "/shared*", "/etc/host*", "/etc/resolv.conf"):
    INVENTORY += ["-not", "-path", path]
INVENTORY += ["-exec", "stat", "-c", "%n|%F|%a|%u|%g|%s", "{}", "+"]


def of_the_image(listing: bytes) -> list[str]:
    """The lines of an INVENTORY, sorted, without what an image says nothing of.

    A directory's size is its file system's business. The root's mode, which these images leave open, is 755 to docker and in
    virtual machines, and 555 to podman.
    """
    lines = sorted(listing.decode("utf-8", "surrogateescape").splitlines())
    return [line.rpartition("|")[0] if "|directory|" in line else line for line in lines if not line.startswith("/|")]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("oci"))


@pytest.fixture(scope="session")
def image(store: Store) -> Callable[[str], Image]:
    """Loads a target of images/Dockerfile."""
    return functools.cache(lambda target: load(sample(target), store))


class Containers:
    """The container jobs of a stack's project; `where` is what runs them."""

    def __init__(self, stack: Stack, where: Where = "native") -> None:
        self.stack = stack
        self.usual: dict[str, object] = {"memory_bytes": VM_MEMORY} if where == "vm" else {}
        self.work = ContainerWork.install(
            stack.server.control, stack.project.name, where, disk_mb=VM_DISK_MB, plug=stack.rig.docker_wrapper
        )

    def submit(self, image: Image, *command: str, inputs: Mapping[str, bytes] | None = None, **wishes: object) -> Job:
        """One job; `wishes` are fields of `ContainerJob`."""
        return self.submit_many(1, image, command, inputs=inputs, **wishes)[0]

    def submit_many(self, count: int, image: Image, command: Sequence[str], **wishes: object) -> list[Job]:
        wishes = self.usual | wishes
        made = self.work.submit(image, command, count=count, **wishes)  # type: ignore[arg-type]  # wishes hold submit's own
        return [Job(self.stack.project, number, name, self.work.app) for number, name in made.workunits]

    def downloads(self) -> list[str]:
        """The blobs that volunteers have downloaded, each as often as they have."""
        events = self.stack.history.find("download.done")
        return [str(event.get("name")) for event in events if str(event.get("name")).startswith("oci_")]


@pytest.fixture(autouse=True)
def can(request: pytest.FixtureRequest) -> None:
    """Skip what the container wrapper under test cannot do."""
    needs = {str(name) for mark in request.node.iter_markers("container_features") for name in mark.args}
    missing = docker_wrapper.lacks(needs)
    if missing and request.config.getoption("--docker-wrapper"):
        pytest.skip(f"the wrapper under test lacks {', '.join(missing)}")


@pytest.fixture
def containers(stack: Stack) -> Containers:
    return Containers(stack)


@pytest.fixture
def on_docker(request: pytest.FixtureRequest) -> bool:
    """Do the container jobs of this run use docker in place of podman?"""
    return bool(request.config.getoption("--docker-socket"))


@pytest.fixture
def docker_too(on_docker: bool) -> None:
    """Of scenarios that need a host with docker."""
    if not on_docker:
        pytest.skip("no docker socket was named (--docker-socket PATH)")


@pytest.fixture
def volunteer(stack: Stack, containers: Containers, on_docker: bool) -> Client:
    """A host with a container engine, attached to the project."""
    return stack.client(attach=True, podman=not on_docker, docker=on_docker)
