"""`harness up`: a stack for a person to look around in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import cast

from harness import running
from harness.clock import Clock
from harness.errors import UsageError
from harness.rig import Rig
from harness.stack import Stack
from harness.startpage import Site, adopted
from harness.startpage.actions import submit_vm
from harness.startpage.site import check_port
from harness.vbox_app import VmApp
from harness.versions import NEWEST, ClientVersion


def serve_page(run: str | None, *, port: int, say: Callable[[str], None]) -> None:
    """Serve the start page of a stack that is up, until interrupted; the stack goes on afterwards."""
    check_port(port)
    with ExitStack() as cleanup:
        found = adopted.choose(run)
        stack = adopted.AdoptedStack(found)
        cleanup.callback(stack.close)
        site = Site(cast("Stack", stack), stack.project, stack.account(), port=port)
        site.start()
        cleanup.callback(site.stop)
        say(f"start page  {site.url}  of the stack {found.run}\n\nCtrl-C ends the page; the stack goes on.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("the page has ended")


def bring_up(*, clients: int, vms: int = 0, version: ClientVersion, detach: bool, port: int, say: Callable[[str], None]) -> None:
    """Bring a stack up, say where everything is, and serve the start page until interrupted; then nothing is left.

    `vms` more clients have VirtualBox. With `detach` it returns as soon as the stack is up and leaves it running, marked as kept.
    """
    if vms and version is not NEWEST:
        raise UsageError(
            "hosts with virtual machines have the newest client only",
            thing=f"--vm {vms} --client-version {version}",
            expected=f"--client-version {NEWEST}",
        )
    check_port(port)
    others = running.stacks()
    if others:
        names = ", ".join(other.run for other in others)
        say(f"beside what runs here already ({names}), which is left alone; `harness gui` and `harness logs` ask for whole names then")
    with ExitStack() as cleanup:
        rig = Rig(name="up", keep=detach)
        cleanup.callback(rig.discard)
        stack = Stack(rig, "world", clock=Clock.steerable(), version=version)
        cleanup.callback(stack.close)
        hosts = {f"host{number}": False for number in range(1, clients + 1)} | {f"vm{number}": True for number in range(1, vms + 1)}
        counted = f" and {len(hosts)} client{'s' if len(hosts) > 1 else ''} (BOINC {version})" if hosts else ""
        say(f"starting the project server, the mail sink{counted} ...")
        rig.networks()
        with ThreadPoolExecutor(max_workers=8) as pool:
            # each waits for its own container only; what a client does next it does while a person reads the page
            sink = pool.submit(rig.mail_sink)
            started = [pool.submit(stack.client, name, vbox=vbox) for name, vbox in hosts.items()]
            project = stack.new_project("world")
            account = project.account()
            for client in started:
                client.result().attach(project, wait=False)
            sink.result()
        stack.clients.sort(key=lambda client: list(hosts).index(client.name))
        mails = stack.mail.url
        vm_app = VmApp.install(project) if vms else None
        if vm_app is not None:
            for _ in range(vms):
                submit_vm(vm_app)
        project.submit("uppercase", input=b"hello from harness up\n")
        say(f"\nproject  {stack.page(project)}  (the volunteers' own name for it: {project.master_url})")
        say(f"account  {account.email}, password {account.password!r}, key {account.authenticator}")
        say(f"mails    {mails}")
        for one in stack.clients:
            say(f"client   {one.name}: GUI RPC {one.gui_rpc_address()}, password {one.password}  (harness shell {one.name})")
        if detach:
            say("\nremove it with: harness down")
            cleanup.pop_all()
            rig.close()
            return
        site = Site(stack, project, account, port=port, vm_app=vm_app)
        site.start()
        cleanup.callback(site.stop)
        say(f"\nstart page  {site.url}\n\nCtrl-C removes it all.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("removing it ...")
