"""`harness gui`: BOINC Manager of any running client, in a browser."""

from __future__ import annotations

import signal

import click


@click.command()
@click.argument("client")
def gui(client: str) -> None:
    """Open BOINC Manager for a running client, in a browser; Ctrl-C closes it.

    CLIENT is its name (host1), or its container's whole name where several stacks are up. The client itself is left as it is: the
    Manager runs in a container beside it and is reachable from this host only.
    """
    from harness import manager, running  # noqa: PLC0415 - what needs the engine's SDK

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    container = running.find_client(client)
    click.echo(f"opening the Manager of {client} ...")
    try:
        password = running.environment(container).get("BOINC_GUI_RPC_PASSWORD", "")
        with manager.open_beside(container, gui_rpc_password=password) as page:
            click.echo(f"\nManager   {page.url}\npassword  {page.password}  (in that address already; {page.page} asks for it)")
            click.echo("\nCtrl-C closes it.")
            manager.watch(page, container, client, click.echo)
    except KeyboardInterrupt:
        click.echo("closed")
