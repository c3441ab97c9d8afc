"""`stack.faults`: the faults of one stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.faults.base import Fault, FaultsNotHealed
from harness.faults.http import HttpFaults
from harness.faults.network import NetworkFaults
from harness.faults.processes import ProcessFaults
from harness.faults.storage import StorageFaults
from harness.faults.vbox import VirtualizationFaults

if TYPE_CHECKING:
    from harness.client import Client
    from harness.stack import Stack


class Faults(ProcessFaults, NetworkFaults, StorageFaults, HttpFaults, VirtualizationFaults):
    """All faults a scenario may ask for, and those that are in force. Iterating gives every fault so far, oldest first."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults))

    @property
    def active(self) -> list[Fault]:
        """The faults in force."""
        return [fault for fault in self if not fault.healed]

    def add(self, kind: str, target: str, heal: Callable[[], object], **data: object) -> Fault:
        """Note a fault that was just injected; `heal` ends it. For faults of a scenario's own, too."""
        fault = Fault(self.stack, kind, target, heal, data)
        with self._lock:
            self._faults.append(fault)
        return fault

    def skew(self, client: Client, seconds: float = 0.0, *, drift: float = 1.0) -> Fault:
        """Let a host's clock be wrong: `seconds` ahead (negative: behind), `drift` times as fast as the others'."""
        self.stack.clock.skew(client, seconds, drift=drift)
        return self.add("skew", client.name, lambda: self.stack.clock.skew(client), seconds=seconds, drift=drift)

    def heal(self) -> None:
        """End every fault, the newest first. Raises `FaultsNotHealed` after trying them all."""
        failures: list[tuple[Fault, HarnessError]] = []
        for fault in reversed(self.active):
            try:
                fault.heal()
            except HarnessError as error:
                failures.append((fault, error))
        if failures:
            raise FaultsNotHealed(failures)

    def close(self) -> None:
        """At the end of the scenario: heal what outlives it (the server, the proxy's rules); its clients are removed anyway."""
        try:
            self.heal()
        finally:
            self.close_http()
