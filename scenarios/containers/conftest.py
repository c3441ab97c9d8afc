"""Container jobs: what their scenarios share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from harness import build, images
from harness.client import Client
from harness.jobs import Job
from harness.oci import Image, Store, load
from harness.oci.work import APP, ContainerWork
from harness.stack import Stack

#: seconds for a container job on a slow machine
WITHIN = 60.0
_FOLDER = Path(__file__).parent / "images"


@functools.cache
def image_named(target: str) -> str:
    """The engine's name of a target of images/Dockerfile, built if need be."""
    files = [("Dockerfile", _FOLDER / "Dockerfile")]
    tag = f"{images.PREFIX}/test-{target}:{images.content_key([target, images.tag('base', 'sid')], files)}"
    if tag not in images.present():
        build.build(tag, files, suite="sid", target=target, args={"BASE": images.ensure("base", "sid")}, within=300)
    return tag


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("oci"))


@pytest.fixture(scope="session")
def image(store: Store) -> Callable[[str], Image]:
    """Loads a target of images/Dockerfile from the engine."""
    return functools.cache(lambda target: load(image_named(target), store))


class Containers:
    """The container jobs of a stack's project."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.work = ContainerWork.install(stack.server.control, stack.project.name)

    def submit(self, image: Image, *command: str, inputs: Mapping[str, bytes] | None = None, **wishes: object) -> Job:
        """One job; `wishes` are fields of `ContainerJob`."""
        return self.submit_many(1, image, command, inputs=inputs, **wishes)[0]

    def submit_many(self, count: int, image: Image, command: Sequence[str], **wishes: object) -> list[Job]:
        made = self.work.submit(image, command, count=count, **wishes)  # type: ignore[arg-type]  # wishes hold submit's own
        return [Job(self.stack.project, number, name, APP) for number, name in made.workunits]

    def downloads(self) -> list[str]:
        """The blobs that volunteers have downloaded, each as often as they have."""
        events = self.stack.history.find("download.done")
        return [str(event.get("name")) for event in events if str(event.get("name")).startswith("oci_")]


@pytest.fixture
def containers(stack: Stack) -> Containers:
    return Containers(stack)


@pytest.fixture
def volunteer(stack: Stack, containers: Containers) -> Client:
    """A host with podman, attached to the project."""
    return stack.client(podman=True, attach=True)
