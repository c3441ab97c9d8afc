"""The engine that runs a volunteer's container jobs, seen from outside: podman on the client, or docker beside it."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

from docker.models.containers import Container

from harness import containers, engine
from harness.errors import HarnessError


class ContainerEngine(abc.ABC):
    """What one running client has on its engine."""

    #: the program and what every call of it has
    command: ClassVar[Sequence[str]]
    #: what the names of its jobs' images begin with
    image_folder = "localhost/boinc"
    #: options of every container that a scenario starts there itself
    run_options: Sequence[str] = ()
    #: options that make `ps` list this client's containers and no others
    own: Sequence[str] = ()

    def __init__(self, container: Container) -> None:
        self.container = container

    def run(self, *arguments: str) -> str:
        """What a command of the engine printed. Raises `HarnessError`."""
        program = self.command[0]
        with engine.guard(f"running {program} in {self.container.name}"):
            done = containers.execute(self.container, [*self.command, *arguments])
        if done.exit_code:
            problem = f"{program} in {self.container.name} ended with exit code {done.exit_code}"
            raise HarnessError(problem, thing=" ".join(arguments), details=done.text)
        return done.text

    def containers(self) -> list[str]:
        """The names of all containers, running or not."""
        return self.run("ps", "--all", *self.own, "--format", "{{.Names}}").split()

    def states(self) -> list[str]:
        """The states of all containers: running, paused, exited, ..."""
        return self.run("ps", "--all", *self.own, "--format", "{{.State}}").split()

    @abc.abstractmethod
    def remove(self, *names: str) -> None:
        """Remove containers, running or not."""

    @abc.abstractmethod
    def images(self) -> list[str]:
        """The ids of the images of jobs (64 hex digits)."""
