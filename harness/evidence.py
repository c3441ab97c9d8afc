"""What is kept of a scenario: one folder with everything a person needs to understand it.

history.jsonl       every event, one JSON object a line
summary.txt         what failed, the versions, the command that runs it again
server.log          the end of the server's log; PROJECT.log and PROJECT.json: each project's own log, results and workunits
PROJECT.har         every HTTP exchange, where the recording proxy took part
PROJECT.rpcs/       scheduler requests and replies, where the server keeps them (the upstream one)
CLIENT/             log (the client's standard output), files of its data directory (state, requests, replies, slots)
CLIENT/vm/NAME/     of each virtual machine: VBox.log, guest.log, screenshot.png, showvminfo.txt
"""

from __future__ import annotations

import io
import json
import platform
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import docker.errors

from harness import engine
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.client import Client
    from harness.project.base import Project
    from harness.stack import Stack

#: files of the data directory larger than this are left out
MAX_FILE = 4_000_000
#: in which a volunteer's password or key stands: not for a folder that people attach to bug reports
_SECRET = ("gui_rpc_auth.cfg", "gui_rpc_auth")


def collect(stack: Stack, folder: Path, *, why: str = "") -> Path:
    """Write the evidence of a stack into `folder` (made if missing) and return it.

    A part that cannot be had (the server was killed, say) is named in summary.txt instead of losing the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []

    def part(name: str, write: Callable[[], object]) -> None:
        try:
            write()
        except (HarnessError, docker.errors.DockerException, OSError, tarfile.TarError) as error:
            missing.append(f"{name}: {error}")

    part("history", lambda: stack.history.write(folder / "history.jsonl"))
    if stack.projects:
        part("server log", lambda: (folder / "server.log").write_text(stack.rig.project_server.log(5000), encoding="utf-8"))
    for project in stack.projects:
        part(f"log of {project.name}", lambda project=project: _text(folder / f"{project.name}.log", project.log()))  # type: ignore[misc]
        if stack.proxy is not None:
            part(f"HTTP of {project.name}", lambda project=project: _har(stack, project, folder))  # type: ignore[misc]
        part(f"exchanges of {project.name}", lambda project=project: _exchanges(project, folder / f"{project.name}.rpcs"))  # type: ignore[misc]
        part(f"state of {project.name}", lambda project=project: _text(folder / f"{project.name}.json", _state(project)))  # type: ignore[misc]
    for client in stack.clients:
        if client.has_virtualbox:
            part(f"VMs of {client.name}", lambda client=client: missing.extend(_machines(client, folder / client.name / "vm")))  # type: ignore[misc]
        part(client.name, lambda client=client: _client(client, folder / client.name))  # type: ignore[misc]
    _text(folder / "summary.txt", _summary(stack, why, missing))
    return folder


def _har(stack: Stack, project: Project, folder: Path) -> None:
    if stack.proxy is not None:
        (folder / f"{project.name}.har").write_bytes(stack.proxy.har(project.name))


def _exchanges(project: Project, folder: Path) -> None:
    for name, content in project.exchanges().items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PurePosixPath(name).name).write_bytes(content[:MAX_FILE])


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _state(project: Project) -> str:
    records = {
        "hosts": project.hosts(),
        "results": [dict(result.record) for result in project.results()],
        "workunits": project.workunits(),
    }
    return json.dumps(records, indent=1, default=str)


def _machines(client: Client, folder: Path) -> list[str]:
    """What is to be seen of the host's virtual machines; returns what could not be had."""
    box = client.virtualbox
    return [line for machine in box.machines() for line in box.vm(machine.uuid).collect(folder / machine.name.strip("<>"))]


def _client(client: Client, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _text(folder / "client.log", client.log())
    client.container.reload()
    state = {name: client.container.attrs[name] for name in ("State", "NetworkSettings", "HostConfig")}
    _text(folder / "container.json", json.dumps(state, indent=1))
    stream, _ = client.container.get_archive(client.DATA_DIRECTORY)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        for member in archive:
            # The client's container wrote these names: only plain files, only below the folder.
            path = PurePosixPath(member.name)
            if not member.isfile() or member.size > MAX_FILE or ".." in path.parts or path.is_absolute() or path.name in _SECRET:
                continue
            source = archive.extractfile(member)
            target = folder.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source is not None:
                target.write_bytes(source.read())


def _summary(stack: Stack, why: str, missing: list[str]) -> str:
    clock = "real time" if stack.clock.is_real else f"virtual time, {stack.clock.rate:g} x"
    lines = [
        f"scenario   {stack.name}",
        f"clock      {clock}",
        f"events     {len(stack.history)}",
        f"server     {stack.rig.project_server.image or 'not started'}",
        *(f"client     {client.name}: BOINC {client.boinc_version or client.version} ({client.image})" for client in stack.clients),
        f"engine     {engine.capabilities().version}",
        f"host       {platform.platform()}, Python {platform.python_version()}",
        f"again      ./run {stack.name if '::' in stack.name else ''}".rstrip(),
    ]
    if missing:
        lines += ["", "could not be had:", *(f"  {line}" for line in missing)]
    if why:
        lines += ["", why]
    return "\n".join(lines) + "\n"
