"""What a person sees while something takes long: moving lines in a terminal, plain lines elsewhere. All on standard error."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: seconds between two plain lines about the same step
_QUIET_SPELL = 15.0


class _Board:
    """The moving lines of all steps that are under way in this process; rich allows one live display at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._steps = 0

    def add(self, title: str) -> TaskID:
        from rich.console import Console  # noqa: PLC0415  (only where something takes long)
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        with self._lock:
            if self._progress is None:
                columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("[dim]{task.fields[now]}"))
                self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
                self._progress.start()
            self._steps += 1
            return self._progress.add_task(title, total=None, now="")

    def update(self, task: TaskID, text: str) -> None:
        from rich.markup import escape  # noqa: PLC0415

        with self._lock:
            if self._progress is not None:
                self._progress.update(task, now=escape(text))

    def remove(self, task: TaskID, last_words: str) -> None:
        with self._lock:
            if self._progress is None:
                return
            self._progress.remove_task(task)
            self._progress.console.print(last_words, markup=False, highlight=False)
            self._steps -= 1
            if self._steps == 0:
                self._progress.stop()
                self._progress = None


_board = _Board()


class Step:
    """A long step: `with Step("building X") as step: step.now("3/7 RUN ...")`. Says how long it took, and that it failed if it did."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._start = time.monotonic()
        self._spoke = 0.0
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if sys.stderr.isatty():
            self._task = _board.add(self.title)
        else:
            self._say(f"==> {self.title} ...")
        return self

    def now(self, text: str) -> None:
        """What is being done now; may be called often."""
        text = " ".join(text.split())[:100]
        if self._task is not None:
            _board.update(self._task, text)
        elif time.monotonic() - self._spoke > _QUIET_SPELL:
            self._say(f"    {self.title}: {text}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        words = f"==> {self.title}: {'done' if kind is None else 'failed'} after {time.monotonic() - self._start:.1f} s"
        if self._task is not None:
            _board.remove(self._task, words)
        else:
            self._say(words)

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        print(line, file=sys.stderr, flush=True)
