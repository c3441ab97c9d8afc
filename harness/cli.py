"""The `harness` command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from harness import manager_cli, scenario_cli
from harness.conformance.command import conformance
from harness.errors import HarnessError, UsageError
from harness.versions import NEWEST, ClientVersion

# Imports of what needs the engine's SDK are inside the commands: `harness --help` shall not take a second.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A BOINC world in containers: look at it, run scenarios in it, clean up after it."""


for _command in (*scenario_cli.COMMANDS, manager_cli.gui, conformance):
    cli.add_command(_command)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="as data: name, state, detail, consequence, remedy, required of each check")
def doctor(as_json: bool) -> None:
    """Say what this host can do, and why not."""
    from harness import doctor as checks  # noqa: PLC0415

    found = checks.run_checks()
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found], indent=1))
    else:
        checks.render(found)
    if any(check.state == "missing" and check.required for check in found):
        sys.exit(1)


@cli.command()
@click.option("--clients", default=1, show_default=True, type=click.IntRange(0, 25), help="how many volunteers")
@click.option("--vm", "vms", default=0, show_default=True, type=click.IntRange(0, 8), help="how many more that run virtual machines")
@click.option("--client-version", default=str(NEWEST), show_default=True, help="their generation: 7.20, 8.0 or 8.2")
@click.option("--detach", is_flag=True, help="return when it is up and leave it running until `harness down` (without the start page)")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="port of the start page on this host (default: any free one)")
def up(clients: int, vms: int, client_version: str, detach: bool, port: int) -> None:
    """Bring up a stack to look around in; Ctrl-C removes it."""
    from harness.up import bring_up  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bring_up(clients=clients, vms=vms, version=ClientVersion.of(client_version), detach=detach, port=port, say=click.echo)
    except KeyboardInterrupt:
        sys.exit(130)


@cli.command()
@click.argument("stack", required=False)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="port of the page on this host (default: any free one)")
def page(stack: str | None, port: int) -> None:
    """Serve the start page of a stack that is up already.

    STACK is its run as `harness top` shows it, or "compose" for that of compose.test.yml; it can be left out where there is one only.
    The stack is left as it is.
    """
    from harness.up import serve_page  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serve_page(stack, port=port, say=click.echo)


@cli.command()
def down() -> None:
    """Remove what `harness up --detach` and `--keep` left running."""
    from harness import sweep  # noqa: PLC0415

    click.echo(sweep.sweep(kept=True).describe())


@cli.command(name="sweep")
@click.option("--images", "old_images", is_flag=True, help="remove images that the files of this tree no longer make, too")
def sweep_(old_images: bool) -> None:
    """Remove what killed runs left behind; what lives or was kept on purpose stays."""
    from harness import images, sweep  # noqa: PLC0415

    click.echo(sweep.sweep().describe())
    if old_images:
        removed = images.remove_outdated()
        click.echo("\n".join(["removed outdated images:", *removed]) if removed else "no image is outdated")


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def run(file: str, options: Sequence[str]) -> None:
    """Run the scenario(s) in FILE; further OPTIONS are pytest's."""
    path = Path(file.partition("::")[0])
    if not path.exists():
        raise UsageError("no such scenario file", thing=str(path), expected="a file with scenarios", remedy="see scenarios/ for examples")
    if path.is_file() and path.suffix != ".py" and not path.name.endswith(".scenario.yaml"):
        raise UsageError("no scenario file by its name", thing=str(path), expected="NAME.scenario.yaml, or a Python file with scenarios")
    os.execv(sys.executable, [sys.executable, "-m", "pytest", file, *options])


@cli.command()
@click.option("--once", is_flag=True, help="print once and end")
def top(once: bool) -> None:
    """Show clients, tasks, transfers and server queues of the running stacks, live."""
    from harness import top as display  # noqa: PLC0415

    display.show(once=once)


@cli.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="go on as the log grows")
@click.option("-n", "--lines", default=200, show_default=True, type=click.IntRange(0), help="how many of the last lines")
def logs(name: str, follow: bool, lines: int) -> None:
    """Show the log of a part of a running stack: server, mail, or a client's name."""
    from harness import running  # noqa: PLC0415

    container = running.find(name)
    if not follow:
        click.echo(container.logs(tail=lines), nl=False)
        return
    try:
        for chunk in container.logs(stream=True, follow=True, tail=lines):
            click.echo(chunk, nl=False)
    except KeyboardInterrupt:
        return


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("client")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(client: str, command: Sequence[str]) -> NoReturn:
    """Open a shell in a client's container, or run COMMAND there."""
    from harness import running  # noqa: PLC0415

    container = running.find(client)
    docker = shutil.which("docker")
    if docker is None:
        raise HarnessError(
            "no docker command here", expected="`docker` on the PATH, for a terminal in the container", remedy="install docker-cli"
        )
    terminal = ["-it"] if sys.stdin.isatty() else ["-i"]
    words = [docker, "exec", *terminal, str(container.name), *(command or ["bash"])]
    sys.exit(subprocess.run(words, check=False).returncode)


@cli.command(name="create_container_work", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--project", default="", help="the project, if the server has several")
@click.option("--squash-from", "base", default="", metavar="BASE", help="make one layer of those above BASE, an image")
@click.option("--input", "inputs", multiple=True, metavar="FILE", help="a file for the job's folder /root/shared; may be repeated")
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="a file that the job writes into /root/shared; may be repeated")
@click.option("--env", "environment", multiple=True, metavar="NAME[=VALUE]", help="an environment variable; may be repeated")
@click.option("--workdir", default="", help="the working directory, in place of the image's")
@click.option("--user", default="", help="the user, in place of the image's")
@click.option("--memory-mb", default=0.0, type=click.FloatRange(0), help="what the job may use; 0: no limit")
@click.option("--network", is_flag=True, help="let the job use the network (on the volunteer's own engine only)")
@click.option(
    "--native", "where", flag_value="native", default="native", help="run it on the volunteer's own podman or docker (the default)"
)
@click.option("--vm", "where", flag_value="vm", help="run it in a virtual machine")
@click.option("--either", "where", flag_value="either", help="run it on whichever of the two a volunteer has")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 100_000), help="how many such jobs")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def create_container_work(image: str, command: Sequence[str], base: str, memory_mb: float, **options: Any) -> None:
    """Make jobs of a container image and a command, which no shell touches.

    IMAGE is a name that the engine here knows, a tar of `docker save`, or an OCI layout folder.
    """
    from harness.oci import commands  # noqa: PLC0415

    commands.create_container_work(image, command, base=base, memory_bytes=memory_mb * 1e6, **options)


@cli.command(name="container_images")
@click.option("--project", default="", help="the project, if the server has several")
@click.option("--gc", "garbage", is_flag=True, help="delete what no job needs that is not done; volunteers keep what they have")
def container_images(project: str, garbage: bool) -> None:
    """List the container images of a project's jobs: sizes, what they share, the hosts that have had them."""
    from harness.oci import commands  # noqa: PLC0415

    commands.container_images(project, garbage=garbage)


def main() -> NoReturn:
    """Entry point: our own errors become a message and an exit code, never a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except HarnessError as error:
        click.echo(f"harness: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our words has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a file that cannot be read or written
        click.echo(f"harness: {error.strerror or error}: {error.filename or ''}".rstrip(": "), err=True)
        sys.exit(70)
    sys.exit(0)
