"""A fault: what was done to which thing, and how it is undone."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.stack import Stack

_numbers = itertools.count(1)


def nothing() -> None:
    """What heals a fault that the part concerned has to get over by itself."""


class Fault:
    """One fault that is in force until `heal`.

    Fields: `number` (of this process), `kind` ("kill", "partition", ...), `target` (a client's name, "server", an endpoint),
    `data` (its parameters). Usable as a context manager: healed at the end of the block.
    """

    def __init__(self, stack: Stack, kind: str, target: str, heal: Callable[[], object], data: Mapping[str, Any]) -> None:
        self.number = next(_numbers)
        self.kind = kind
        self.target = target
        self.data: dict[str, Any] = dict(data)
        self._stack = stack
        self._heal = heal
        self._lock = threading.Lock()
        self.healed = False
        stack.history.add("fault.injected", "faults", fault=kind, target=target, number=self.number, **self.data)

    def __repr__(self) -> str:
        words = " ".join(f"{name}={value}" for name, value in self.data.items())
        return f"<Fault {self.number}: {self.kind} {self.target} {words}{', healed' if self.healed else ''}>"

    def heal(self) -> None:
        """End it; healing what is healed already does nothing."""
        with self._lock:
            if self.healed:
                return
            result = self._heal()
            self.healed = True
        more = result if isinstance(result, dict) else {}
        self._stack.history.add("fault.healed", "faults", fault=self.kind, target=self.target, number=self.number, **more)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.heal()


class FaultsNotHealed(HarnessError):
    """Some faults could not be ended. Field: `failures`, pairs of fault and error."""

    def __init__(self, failures: list[tuple[Fault, HarnessError]]) -> None:
        self.failures = failures
        super().__init__(
            f"{len(failures)} of the scenario's faults could not be healed",
            thing=", ".join(f"{fault.kind} {fault.target}" for fault, _ in failures),
            expected="every fault to end with its scenario",
            details="\n".join(f"{fault!r}: {error}" for fault, error in failures),
        )
