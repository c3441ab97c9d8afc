"""Processes that die, stop and come back: the client, the applications it runs, the project server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.client import Client
from harness.errors import HarnessError
from harness.faults.base import Fault, nothing
from harness.rig import ServerHandle

if TYPE_CHECKING:
    from harness.stack import Stack


class ProcessFaults:
    """Part of `Faults`."""

    stack: Stack
    add: Callable[..., Fault]

    def kill(self, target: Client | ServerHandle, how: signal.Signals = signal.SIGKILL) -> Fault:
        """End a client (with its tasks) or the server: SIGKILL as a power cut would, SIGTERM in good order. Healed: started again.

        In good order a client is ended by GUI RPC, for what its handler of SIGTERM may do (see `Client.stop`).
        """
        name = target.name if isinstance(target, Client) else "server"
        if how is signal.SIGTERM:
            target.stop()
        elif how is signal.SIGKILL:
            target.kill()
        else:
            raise HarnessError("a signal that does not end a client", thing=how.name, expected="SIGKILL or SIGTERM (see also: freeze)")
        start = target.start_again if isinstance(target, Client) else target.start
        return self.add("kill", name, start, signal=how.name)

    def freeze(self, target: Client | ServerHandle, *, tasks: bool = True) -> Fault:
        """Stop it as SIGSTOP does: nothing answers, connections stay open. `tasks=False` spares a client's applications."""
        if isinstance(target, Client) and not tasks:
            # `kill` is the shell's own: the image has no other
            target.exec(["sh", "-c", "kill -STOP $(pidof boinc)"])
            return self.add("freeze", target.name, lambda: target.exec(["sh", "-c", "kill -CONT $(pidof boinc)"]) and None, tasks=False)
        container = target.container
        container.pause()

        def thaw() -> None:
            container.unpause()
            if isinstance(target, Client) and not self.stack.clock.is_real:
                target.set_clock(self.stack.clock.of(target.name))  # it slept through what was skipped meanwhile

        return self.add("freeze", target.name if isinstance(target, Client) else "server", thaw, tasks=True)

    def signal_task(self, client: Client, task: str, how: signal.Signals = signal.SIGKILL) -> Fault:
        """Send a signal to the process of a running task (by its result name). A SIGSTOP is healed by SIGCONT; others are not."""
        active = client.task(task).active_task
        if active is None or active.pid <= 0:
            raise HarnessError("a task without a process", thing=f"{task} on {client.name}", expected="a running task")
        client.exec(["sh", "-c", f"kill -{how.value} {active.pid}"])
        resume = lambda: client.exec(["sh", "-c", f"kill -CONT {active.pid}"], check=False) and None  # noqa: E731
        heal = resume if how in (signal.SIGSTOP, signal.SIGTSTP) else nothing
        return self.add("signal", task, heal, signal=how.name, pid=active.pid)
