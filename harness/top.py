"""`harness top`: what runs in the stacks that are up, live in the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness import running
from harness.errors import HarnessError
from harness.guirpc import FileTransfer, Result
from harness.jobs import ServerState
from harness.project.embedded import Control
from harness.waiting import Deadline

INTERVAL = 1.0
#: `harness top` ends by itself after a day: nothing here waits for ever
LONGEST = 86400.0


@dataclass
class ClientView:
    """One client at one moment; `trouble` says why it could not be asked."""

    name: str
    version: str = ""
    projects: list[str] = field(default_factory=list)
    tasks: tuple[Result, ...] = ()
    transfers: tuple[FileTransfer, ...] = ()
    trouble: str = ""


@dataclass
class ProjectView:
    """One project's queues at one moment: results by server_state."""

    name: str
    unsent: int = 0
    in_progress: int = 0
    over: int = 0
    hosts: int = 0


@dataclass
class View:
    """A stack at one moment."""

    run: str
    clients: list[ClientView]
    projects: list[ProjectView]
    trouble: str = ""


def look() -> list[View]:
    """Ask every part of every stack that is up."""
    return [_look_at(stack) for stack in running.stacks()]


def _look_at(stack: running.RunningStack) -> View:
    view = View(stack.run, [_client(client) for client in stack.clients], [])
    try:
        control = stack.control()
        if control is not None:
            try:
                view.projects = [_project(control, str(one["name"])) for one in control.call("GET", "/projects")]
            finally:
                control.close()
    except HarnessError as error:
        view.trouble = error.what
    return view


def _project(control: Control, name: str) -> ProjectView:
    states = [result["server_state"] for result in control.call("GET", f"/projects/{name}/results")]
    return ProjectView(
        name=name,
        unsent=sum(state in (ServerState.INACTIVE, ServerState.UNSENT) for state in states),
        in_progress=states.count(ServerState.IN_PROGRESS),
        over=states.count(ServerState.OVER),
        hosts=len(control.call("GET", f"/projects/{name}/hosts")),
    )


def _client(client: running.RunningClient) -> ClientView:
    try:
        with client.connect() as rpc:
            return ClientView(
                client.name,
                version=str(rpc.exchange_versions()),
                projects=[project.project_name or project.master_url for project in rpc.get_project_status()],
                tasks=rpc.get_results(),
                transfers=rpc.get_file_transfers(),
            )
    except HarnessError as error:
        return ClientView(client.name, trouble=error.what)


def render(views: list[View]) -> RenderableType:
    """The views as tables."""
    if not views:
        return Text("no stack is up; bring one up with `harness up`")
    parts: list[RenderableType] = []
    for view in views:
        parts += [Text(f"stack {view.run}", style="bold"), _projects_table(view), _tasks_table(view)]
    return Group(*parts)


def _projects_table(view: View) -> RenderableType:
    if view.trouble:
        return Text(f"server: {view.trouble}", style="red")
    table = Table("project", "hosts", "unsent", "in progress", "over", box=None, pad_edge=False)
    for project in view.projects:
        table.add_row(project.name, *(str(number) for number in (project.hosts, project.unsent, project.in_progress, project.over)))
    return table


def _tasks_table(view: View) -> RenderableType:
    table = Table("client", "BOINC", "task", "state", "done", "elapsed", "transfers", box=None, pad_edge=False)
    for client in view.clients:
        moving = ", ".join(f"{'up' if one.persistent_file_xfer.is_upload else 'down'} {one.name}" for one in client.transfers)
        if client.trouble:
            table.add_row(client.name, "", Text(client.trouble, style="red"))
            continue
        rows = [_task(task) for task in client.tasks] or [("(no task)", "", "", "")]
        for number, row in enumerate(rows):
            first = number == 0
            table.add_row(client.name if first else "", client.version if first else "", *row, moving if first else "")
    return table


def _task(task: Result) -> tuple[str, str, str, str]:
    active = task.active_task
    state = task.state.name.lower() if active is None else active.active_task_state.name.lower()
    done = f"{active.fraction_done:.0%}" if active else ""
    elapsed = f"{active.elapsed_time:.0f} s" if active else ""
    return task.name, state, done, elapsed


def show(*, once: bool) -> None:
    """Show what runs, until Ctrl-C; once and without colours where there is no terminal."""
    console = Console()
    if once or not sys.stdout.isatty():
        console.print(render(look()))
        return
    deadline = Deadline(LONGEST)
    try:
        with Live(render(look()), console=console, screen=True, auto_refresh=False) as live:
            while not deadline.expired:
                deadline.pause(INTERVAL)
                live.update(render(look()), refresh=True)
    except KeyboardInterrupt:
        return
