"""What the buttons of the start page do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.client import Client
    from harness.jobs import Job
    from harness.project.base import Project
    from harness.stack import Stack
    from harness.vbox_app import VmApp

DAY = 86400.0


def submit_vm(app: VmApp) -> Job:
    """A job whose guest counts on its screen, which shows the log, for two minutes and then gives back what it got, in capitals."""
    count = 'i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo "second $i of 120"; sleep 1; done; tr a-z A-Z < in > out'
    return app.submit(count, input=b"hello from harness up\n")


class Actions:
    """The buttons, by the names they are posted under. Each returns the words that the page shows for it."""

    def __init__(self, stack: Stack, project: Project, vm_app: VmApp | None = None) -> None:
        self.vm_app = vm_app
        self._stack = stack
        self._project = project
        self._submitted = 0
        #: name -> what it does for the whole stack
        self.world: Mapping[str, Callable[[], str]] = {
            "submit": self._submit,
            "submit-long": self._submit_long,
            "submit-vm": self._submit_vm,
            "skip-day": self._skip_day,
            "heal": self._heal,
        }
        #: name -> what it does to one client
        self.client: Mapping[str, Callable[[Client], str]] = {
            "update": self._update,
            "break-network": self._break_network,
            "kill": self._kill,
            "start": self._start,
            "open-manager": self._open_manager,
        }

    def do(self, name: str, client: str = "") -> str:
        """Do what a button says. Raises `UsageError` for what is no button, and what the action itself raises."""
        if name in self.world:
            return self.world[name]()
        if name in self.client:
            return self.client[name](self._client(client))
        raise UsageError("no such button", thing=name[:80], expected=f"one of {', '.join([*self.world, *self.client])}")

    def _client(self, name: str) -> Client:
        for client in self._stack.clients:
            if client.name == name:
                return client
        raise UsageError(
            "no such client", thing=name[:80], expected=f"one of {', '.join(one.name for one in self._stack.clients) or 'none'}"
        )

    def _submit(self) -> str:
        self._submitted += 1
        job = self._project.submit("uppercase", input=f"sample job {self._submitted}\n".encode())
        return f"submitted {job.name}"

    def _submit_long(self) -> str:
        job = self._project.submit("sleeper", command_line="120")
        return f"submitted {job.name}, which takes two minutes"

    def _submit_vm(self) -> str:
        if self.vm_app is None:
            raise UsageError("no host here runs virtual machines", expected="a stack with such hosts", remedy="harness up --vm 1")
        return f"submitted {submit_vm(self.vm_app).name}, a job in a virtual machine"

    def _skip_day(self) -> str:
        self._stack.clock.skip(DAY)
        return "it is a day later"

    def _heal(self) -> str:
        self._stack.faults.heal()
        return "every fault is healed"

    def _update(self, client: Client) -> str:
        client.update(self._project)
        return f"{client.name} contacts the project"

    def _break_network(self, client: Client) -> str:
        self._stack.faults.partition(client)
        return f"{client.name} has no network"

    def _kill(self, client: Client) -> str:
        client.kill()
        return f"{client.name} was killed"

    def _start(self, client: Client) -> str:
        client.start_again()
        return f"{client.name} runs again"

    def _open_manager(self, client: Client) -> str:
        client.open_manager()
        return f"the Manager of {client.name} is open; its link is in the table"
