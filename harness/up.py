"""`harness up`: a stack for a person to look around in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from harness import running
from harness.clock import Clock
from harness.errors import UsageError
from harness.project.base import Project
from harness.rig import Rig
from harness.stack import Stack
from harness.startpage import Site
from harness.startpage.actions import submit_vm
from harness.startpage.site import check_port
from harness.vbox_app import VmApp
from harness.versions import NEWEST, ClientVersion


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
        say("starting the project server ...")
        project = stack.new_project("world")
        account = project.account()
        say("starting the mail sink ...")
        mails = stack.mail.url
        if clients:
            say(f"starting {clients} client{'s' if clients > 1 else ''} (BOINC {version}) ...")
            stack.start_clients(clients, attach=project)
        vm_app = _virtual_machines(stack, project, vms, say) if vms else None
        project.submit("uppercase", input=b"hello from harness up\n")
        say(f"\nproject  {stack.page(project)}  (the volunteers' own name for it: {project.master_url})")
        say(f"account  {account.email}, password {account.password!r}, key {account.authenticator}")
        say(f"mails    {mails}")
        for client in stack.clients:
            say(f"client   {client.name}: GUI RPC {client.gui_rpc_address()}, password {client.password}  (harness shell {client.name})")
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


def _virtual_machines(stack: Stack, project: Project, count: int, say: Callable[[str], None]) -> VmApp:
    """Start hosts with VirtualBox, and give each a job in a virtual machine."""
    say(f"starting {count} client{'s' if count > 1 else ''} with VirtualBox ...")
    app = VmApp.install(project)
    for number in range(1, count + 1):
        stack.client(f"vm{number}", vbox=True, attach=project)
        submit_vm(app)
    return app
