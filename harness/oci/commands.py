"""What `harness create_container_work` and `harness container_images` do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import running
from harness.errors import UsageError
from harness.oci.image import Image, Store
from harness.oci.load import load
from harness.oci.squash import squash
from harness.oci.versions import Where
from harness.oci.work import ContainerWork
from harness.project.embedded import Control

_MEGABYTE = 1e6


def server() -> Control:
    """The project server to talk to: that of BOINC_CONTROL_URL and BOINC_CONTROL_TOKEN, else the one that runs here."""
    url = os.environ.get("BOINC_CONTROL_URL")
    if url:
        return Control(url, os.environ.get("BOINC_CONTROL_TOKEN", ""))
    found = [stack for stack in running.stacks() if stack.server is not None]
    control = found[0].control() if len(found) == 1 else None
    if control is None:
        raise UsageError(
            f"{len(found)} project servers run here",
            expected="one",
            remedy="bring one up with `harness up`, or name one by BOINC_CONTROL_URL and BOINC_CONTROL_TOKEN",
        )
    return control


def project_of(control: Control, name: str) -> str:
    """The project of that name, or the only one."""
    names = [str(found["name"]) for found in control.call("GET", "/projects")]
    if name in names:
        return name
    if not name and len(names) == 1:
        return names[0]
    what = "no such project" if name else "which project?"
    raise UsageError(what, thing=name, expected=f"one of: {', '.join(names) or 'none there'}", remedy="--project NAME")


def read_inputs(paths: Sequence[str]) -> dict[str, bytes]:
    """Files by the names that a job sees them under."""
    found: dict[str, bytes] = {}
    for text in paths:
        path = Path(text)
        if path.name in found:
            raise UsageError("two inputs of one name", thing=path.name, expected="a name of its own for each")
        try:
            found[path.name] = path.read_bytes()
        except OSError as error:
            raise UsageError("an input that cannot be read", thing=text, expected=str(error)) from error
    return found


def prepare(name: str, base: str, console: Console) -> Image:
    """Load an image, squashed above a base if one is given."""
    store = Store.default()
    with console.status(f"reading {name}") as status:
        image = load(name, store, progress=lambda number, count: status.update(f"{name}: layer {number} of {count}"))
        if not base:
            return image
        below = load(base, store)
        status.update(f"squashing {name} above {base}")
        squashed, savings = squash(image, below, store)
    console.print(f"squashed: {savings}")
    return squashed


def create_container_work(
    name: str,
    command: Sequence[str],
    *,
    project: str,
    base: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    environment: Sequence[str],
    count: int,
    where: Where,
    **wishes: object,
) -> None:
    """Make jobs and say their names."""
    console = Console(stderr=True)
    files = read_inputs(inputs)
    pairs = {name: value if equals else os.environ.get(name, "") for name, equals, value in (word.partition("=") for word in environment)}
    control = server()
    work = ContainerWork.install(control, project_of(control, project), where)
    image = prepare(name, base, console)
    with console.status("staging") as status:
        made = work.submit(
            image,
            command,
            inputs=files,
            count=count,
            progress=lambda blob, size: status.update(f"{blob[:24]}... {size / _MEGABYTE:.1f} MB" if size else f"{blob[:24]}... is there"),
            environment=pairs,
            outputs=list(outputs),
            **wishes,  # type: ignore[arg-type]  # fields of ContainerJob
        )
    sent, there = made.sent / _MEGABYTE, made.reused / _MEGABYTE
    console.print(f"{len(image.layers)} layers, {image.size / _MEGABYTE:.1f} MB: {sent:.1f} MB sent, {there:.1f} MB were there")
    for _, workunit in made.workunits:
        print(workunit)


def container_images(project: str, *, garbage: bool) -> None:
    """Show the images of a project's jobs, after having deleted those of jobs that are done if `garbage`."""
    control = server()
    work = ContainerWork(control, project_of(control, project))
    if garbage:
        gone = work.collect_garbage()
        print(f"{len(gone)} files deleted, {sum(gone.values()) / _MEGABYTE:.1f} MB")
    images = work.images()
    table = Table("image", "files", "MB", "of them shared", "jobs", "unfinished", "hosts", box=None)
    for image in images:
        size, shared = f"{image.size / _MEGABYTE:.1f}", f"{image.shared / _MEGABYTE:.1f}"
        hosts = ", ".join(map(str, sorted(image.hosts))) or "-"
        table.add_row(image.name, str(len(image.files)), size, shared, str(image.jobs), str(image.unfinished), hosts)
    Console().print(table if images else "no container jobs yet")
