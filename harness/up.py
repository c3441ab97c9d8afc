"""`harness up`: a stack for a person to look around in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from harness.clock import Clock
from harness.rig import Rig
from harness.stack import Stack
from harness.startpage import Site
from harness.versions import ClientVersion


def bring_up(*, clients: int, version: ClientVersion, detach: bool, port: int, say: Callable[[str], None]) -> None:
    """Bring a stack up, say where everything is, and serve the start page until interrupted; then nothing is left.

    With `detach` it returns as soon as the stack is up and leaves it running, marked as kept.
    """
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
        site = Site(stack, project, account, port=port)
        site.start()
        cleanup.callback(site.stop)
        say(f"\nstart page  {site.url}\n\nCtrl-C removes it all.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("removing it ...")
