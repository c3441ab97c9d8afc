"""Work generators: make jobs when few are left to send (what a project's own work generator daemon does).

A generator is a Python callable in the project's bin/, or a script there that prints a job a line, with the
options of ``create_work --stdin``. It is called off the server's loop.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import bindparam, func, select

from boinc_server import models, plugins, templates, work

if TYPE_CHECKING:
    from boinc_server.project import Project

TIMEOUT: Final = 300.0
MAX_LINE: Final = 65535
_COUNT: Final = select(func.count()).select_from(models.result).where(models.UNSENT, models.result.c.appid == bindparam("appid"))


class GeneratedJob(BaseModel):
    """What a Python generator yields: the arguments of create_work."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    command_line: str = ""
    inputs: list[str | bytes] = Field(default_factory=list)
    """Physical names of staged files, or contents to stage."""
    options: work.WorkOptions = Field(default_factory=work.WorkOptions)
    remote: list[tuple[str, float, str]] = Field(default_factory=list)
    """(URL, nbytes, md5) of files that clients fetch elsewhere."""


def parse_line(line: str) -> GeneratedJob:
    """A job from a line of ``create_work --stdin``. Raises ValueError."""
    if len(line) > MAX_LINE:  # shlex takes time with the square of it
        raise ValueError(f"a line of {len(line)} characters, the limit is {MAX_LINE}")
    job: dict[str, Any] = {"options": {}, "inputs": [], "remote": []}
    words = iter(shlex.split(line))
    try:
        for word in words:
            option = word.lstrip("-")
            if not word.startswith("-"):
                job["inputs"].append(word)
            elif option == "wu_name":
                job["name"] = next(words)
            elif option == "command_line":
                job["command_line"] = next(words)
            elif option == "remote_file":
                job["remote"].append((next(words), float(next(words)), next(words)))
            else:
                job["options"][option] = next(words)
    except (StopIteration, RuntimeError):
        raise ValueError(f"{word} needs a value") from None
    return GeneratedJob.model_validate(job)


class Generators:
    """The work generators of one project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._running: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self) -> None:
        """Start each generator whose app has fewer unsent results than its cushion."""
        for name, generator in self._project.config.work_generators.items():
            app = self._project.catalog.app_named(name)
            if app is None or app.id in self._running or self._project.config.stop_daemons:
                continue
            with self._project.transaction() as tx:
                row = tx.one(_COUNT, appid=app.id)
            missing = generator.cushion - (row[0] if row else 0)
            if missing > 0:
                self._start(app.id, name, generator.source, missing)

    def _start(self, appid: int, app: str, source: str, count: int) -> None:
        generate = partial(self._generate, source, count)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._finish(appid, app, generate)
            return

        async def run() -> None:
            try:
                jobs = await asyncio.to_thread(generate)
            except Exception as error:  # noqa: BLE001 - whatever a generator raises
                self._running.discard(appid)
                self._failed(app, error)
            else:
                self._finish(appid, app, lambda: jobs)

        self._running.add(appid)
        task = loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _finish(self, appid: int, app: str, generate: Callable[[], list[GeneratedJob]]) -> None:
        self._running.discard(appid)
        if self._project.closed:
            return
        try:
            with self._project.transaction() as tx:
                for job in generate():
                    files = [self._file(item) for item in job.inputs]
                    files += [templates.InputFile(f"jf_{md5}", url, nbytes, md5) for url, nbytes, md5 in job.remote]
                    work.create_work(tx, app, files, job.options, job.name, job.command_line)
        except Exception as error:  # noqa: BLE001 - whatever a generator gave
            self._failed(app, error)

    def _file(self, item: str | bytes) -> templates.InputFile:
        if isinstance(item, str):
            return templates.InputFile(item)
        name = work.inline_name(item)
        work.stage_file(self._project, name, item)
        return templates.InputFile(name)

    def _failed(self, app: str, error: Exception) -> None:
        if not self._project.closed:
            self._project.log.warning("work generator of %s: %s", app, error)
            self._project.emit("generator.failed", app=app, why=str(error) or type(error).__name__)

    def _generate(self, source: str, count: int) -> list[GeneratedJob]:
        """Ask a generator for `count` jobs."""
        if source.startswith("python:"):
            function = plugins.load_python(self._project, source.removeprefix("python:"))
            given: Iterable[Any] = function(count)
            try:
                return [job if isinstance(job, GeneratedJob) else GeneratedJob.model_validate(job) for job in given]
            except ValidationError as error:
                raise plugins.PluginError(f"{source}: {error.errors()[0]['msg']}") from error
        name, *arguments = source.removeprefix("script:").split()
        if not plugins.is_script_name(name):
            raise plugins.PluginError(f"{name!r} is no name of a script in bin/")
        done = subprocess.run(
            [str(self._project.path("bin", name)), *arguments, str(count)],
            cwd=self._project.root,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "HOME": str(self._project.root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise plugins.PluginError(f"bin/{name} returned {done.returncode}: {done.stderr[-500:].strip()}")
        return [parse_line(line) for line in done.stdout.splitlines() if line.strip()]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
