"""The servers that projects can stand on, behind one interface: which one it is, the rest of the harness asks only here."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from harness.capabilities import ALL, Capability, Unsupported
from harness.clock import MAX_RATE
from harness.project.base import Project
from harness.project.embedded import EmbeddedProject
from harness.project.upstream.imageset import ImageSet, parse_server

if TYPE_CHECKING:
    from harness.rig import Rig
    from harness.stack import Stack

EMBEDDED: Final = "embedded"


class ProjectServer(abc.ABC):
    """What stands behind the projects of a process's stacks."""

    name: str
    capabilities: frozenset[Capability]
    #: a stack's clock runs no faster than this (virtual seconds a second)
    max_rate: float

    def need(self, capability: Capability, details: str = "") -> None:
        """Raise `Unsupported` unless the server has that."""
        if capability not in self.capabilities:
            raise Unsupported(capability, self.name, details=details)

    def check(self) -> None:  # noqa: B027 - most have nothing to check
        """See that it can be started at all. Raises `NoImages`."""

    @abc.abstractmethod
    def new_project(self, stack: Stack, name: str, config: Mapping[str, object]) -> Project:
        """Make a project for a stack; `config` are options of its config.xml."""

    @abc.abstractmethod
    def healthy(self) -> bool:
        """Can its projects be asked questions?"""

    @abc.abstractmethod
    def log(self, lines: int) -> str:
        """The last lines of its log."""

    @abc.abstractmethod
    def public_url(self, project: Project) -> str:
        """Where this process reaches what volunteers know as http://boinc.test."""

    @property
    @abc.abstractmethod
    def image(self) -> str:
        """Of which image(s) it is, for reports."""


class EmbeddedServer(ProjectServer):
    """The project server of this repository: one process with many projects, warm for all stacks of a process."""

    name = EMBEDDED
    capabilities = ALL
    max_rate = MAX_RATE

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def new_project(self, stack: Stack, name: str, config: Mapping[str, object]) -> Project:
        project = EmbeddedProject(self._rig.server.control, name, stack.history, stack.clock.current, config=config)
        stack.clock.steer(project)
        return project

    def healthy(self) -> bool:
        return self._rig.server.healthy()

    def log(self, lines: int) -> str:
        return self._rig.server.log(lines)

    def public_url(self, project: Project) -> str:  # noqa: ARG002 - one address for all projects
        return self._rig.server.public_url()

    @property
    def image(self) -> str:
        return self._rig.server_image


def server_of(rig: Rig, choice: str) -> ProjectServer:
    """The server that `--server CHOICE` means, for a rig. Nothing is started. Raises `UsageError`."""
    images: ImageSet | None = parse_server(choice)
    if images is None:
        return EmbeddedServer(rig)
    from harness.project.upstream.server import UpstreamServer  # noqa: PLC0415 - a database driver that few runs need

    return UpstreamServer(rig, images)
