"""Container jobs: what their scenarios share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import pytest

from harness.client import Client
from harness.jobs import Job
from harness.oci import Image, Store, load
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


#: lists all of an image that a program could notice, but for times and numbers of links (overlayfs shows those of the layer)
INVENTORY = ["find", "/", "-xdev"]
for path in ("/proc*", "/sys*", "/dev*", "/run*", "/root*", "/shared*", "/etc/host*", "/etc/resolv.conf"):
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
        self.work = ContainerWork.install(stack.server.control, stack.project.name, where, disk_mb=VM_DISK_MB)

    def submit(self, image: Image, *command: str, inputs: Mapping[str, bytes] | None = None, **wishes: object) -> Job:
        """One job; `wishes` are fields of `ContainerJob`."""
        return self.submit_many(1, image, command, inputs=inputs, **wishes)[0]

    def submit_many(self, count: int, image: Image, command: Sequence[str], **wishes: object) -> list[Job]:
        made = self.work.submit(image, command, count=count, **wishes)  # type: ignore[arg-type]  # wishes hold submit's own
        return [Job(self.stack.project, number, name, self.work.app) for number, name in made.workunits]

    def downloads(self) -> list[str]:
        """The blobs that volunteers have downloaded, each as often as they have."""
        events = self.stack.history.find("download.done")
        return [str(event.get("name")) for event in events if str(event.get("name")).startswith("oci_")]


@pytest.fixture
def only_when_asked(request: pytest.FixtureRequest) -> None:
    """Of scenarios that take minutes where machines are interpreted."""
    if not request.config.getoption("--container-vms"):
        pytest.skip("containers in virtual machines were not asked for (--container-vms)")


@pytest.fixture
def containers(stack: Stack) -> Containers:
    return Containers(stack)


@pytest.fixture
def volunteer(stack: Stack, containers: Containers) -> Client:
    """A host with podman, attached to the project."""
    return stack.client(podman=True, attach=True)
