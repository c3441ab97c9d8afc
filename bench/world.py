"""What samples are taken from: a warm rig, made when the first sample needs it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from docker.models.containers import Container

from harness.client import Client
from harness.clock import Clock
from harness.project.base import Project
from harness.rig import Rig
from harness.stack import Stack
from harness.vbox_app import VmApp
from harness.versions import NEWEST, ClientVersion


class World:
    """A rig with its server running, and one attached client for each (generation, clock) that a sample asks for."""

    def __init__(self) -> None:
        self._exit = ExitStack()
        self._rig: Rig | None = None
        self._attached: dict[tuple[ClientVersion, float], tuple[Stack, Project, Client]] = {}
        self._vm_hosts: dict[float, tuple[Stack, Project, Client]] = {}
        #: VM applications that a host of a certain rate has, by (rate, name)
        self.vm_apps: dict[tuple[float, str], VmApp] = {}

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def rig(self) -> Rig:
        """The warm rig."""
        if self._rig is None:
            self._rig = self._exit.enter_context(Rig(name="bench"))
            assert self._rig.server
        return self._rig

    @contextlib.contextmanager
    def stack(self, clock: Clock, version: ClientVersion) -> Iterator[Stack]:
        """A fresh stack on the warm rig."""
        stack = Stack(self.rig, "bench", clock=clock, version=version)
        try:
            yield stack
        finally:
            stack.close()

    def attached(self, version: ClientVersion, rate: float) -> tuple[Stack, Project, Client]:
        """A stack with one client that is attached and has done a job: kept for later samples."""
        key = (version, rate)
        if key not in self._attached:
            clock = Clock.real() if rate == 1.0 else Clock.fast(rate)
            stack = self._exit.enter_context(self.stack(clock, version))
            client = stack.client(attach=True)
            self._attached[key] = (stack, stack.project, client)
        return self._attached[key]

    def vm_host(self, rate: float) -> tuple[Stack, Project, Client]:
        """A stack with one client that has VirtualBox and is attached: kept for later samples."""
        if rate not in self._vm_hosts:
            clock = Clock.real() if rate == 1.0 else Clock.fast(rate)
            stack = self._exit.enter_context(self.stack(clock, NEWEST))
            self._vm_hosts[rate] = (stack, stack.project, stack.client(vbox=True, attach=True))
        return self._vm_hosts[rate]

    def keep(self, stack: contextlib.AbstractContextManager[Stack]) -> Stack:
        """A stack that stays until the world ends."""
        return self._exit.enter_context(stack)

    def new_rig(self) -> Rig:
        """Another rig, for samples of its start; the caller closes it."""
        return Rig(name=f"bench-{time.monotonic_ns() % 10**9}")


def resident_megabytes(container: Container) -> float:
    """The resident memory of all processes of a container, in MB (10^6 bytes), its init included."""
    listing: Any = container.top(ps_args="-eo pid,rss,comm")
    column = listing["Titles"].index("RSS")
    return sum(int(row[column]) for row in listing["Processes"]) * 1024 / 1e6
