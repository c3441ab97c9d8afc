"""Locks between processes: two xdist workers, or two checkouts, must not build the same image or bootstrap the same base at once."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError
from harness.waiting import Deadline


def lock_folder() -> Path:
    """Where the lock files of this user are; removed by nobody, a few empty files."""
    folder = Path(tempfile.gettempdir()) / f"boinc-harness-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def held(name: str, *, within: Deadline | float) -> Iterator[None]:
    """Hold the lock of that name. The kernel releases it when the process ends, however it ends. Raises `HarnessError`."""
    deadline = Deadline.of(within)
    path = lock_folder() / (name.replace("/", "_").replace(":", "_") + ".lock")
    with path.open("a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if deadline.expired:
                    file.seek(0)
                    raise HarnessError(
                        "another process did not finish in time",
                        thing=f"{name}, held by process {file.read().strip() or 'unknown'}",
                        expected=f"its lock within {deadline.elapsed:.0f} s",
                        remedy=f"see what that process is doing; the lock file is {path}",
                    ) from error
                deadline.pause(0.2)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
