"""The screens of the virtual machines on volunteers' hosts, as pictures for a browser: at most two a second, however many look."""

from __future__ import annotations

import html
import threading
from importlib.resources import files
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UsageError
from harness.report import page
from harness.waiting import Deadline

if TYPE_CHECKING:
    from harness.client import Client

#: real seconds for which a picture serves whoever asks
FRAME = 0.5


class NoScreen(HarnessError):
    """There is nothing to see on a client: no virtual machine runs there now."""


class Screens:
    """Pictures of the first virtual machine of each client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[Deadline, bytes]] = {}

    def picture(self, client: Client) -> bytes:
        """The screen as a PNG file, at most `FRAME` seconds old. Raises `NoScreen`, and what VirtualBox says."""
        with self._lock:
            fresh, picture = self._last.get(client.name, (None, b""))
            if fresh is None or fresh.expired:
                picture = _taken(client)
                self._last[client.name] = (Deadline(FRAME), picture)
            return picture


def has_screen(client: Client) -> bool:
    """Is this a host with VirtualBox?"""
    return client.has_virtualbox


def find(clients: list[Client], name: str) -> Client:
    """The client whose screen is asked for. Raises `UsageError`."""
    known = {client.name: client for client in clients if has_screen(client)}
    if name not in known:
        raise UsageError(
            "no such host with VirtualBox",
            thing=name[:80],
            expected=f"one of {', '.join(known) or 'none'}",
            remedy="" if known else "harness up --vm 1",
        )
    return known[name]


def _taken(client: Client) -> bytes:
    if not client.is_running:
        raise NoScreen("the client does not run", thing=client.name, expected="a client with a virtual machine that runs")
    box = client.virtualbox
    for machine in box.machines():
        vm = box.vm(machine.name)
        if vm.state in ("running", "paused"):
            return vm.screenshot()
    raise NoScreen(
        "no virtual machine runs there now", thing=client.name, expected="a virtual machine that runs", remedy="submit a VM job, or wait"
    )


def shown(client: Client) -> str:
    """The page that shows one client's screen and follows it."""
    template = files("harness.startpage").joinpath("assets", "screen.html").read_text(encoding="utf-8")
    return page.fill(template, {"css": page.asset("page.css"), "client": html.escape(client.name)})
