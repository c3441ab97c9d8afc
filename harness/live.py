"""What is going on right now, shown below pytest's own words in the terminal and wiped again: of a scenario in this process the
newest event, of workers the tests that they run.

Only where a person watches, which is where pytest writes to a terminal. Elsewhere pytest's lines are the progress.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import pytest

if TYPE_CHECKING:
    from harness.history import History

INTERVAL = 0.25
_UP, _WIPE, _DIM, _PLAIN = "\x1b[A", "\x1b[K", "\x1b[2m", "\x1b[0m"


class Live(threading.Thread):
    """Shows `words` in the line below the one that pytest writes (and is at `column` of), again and again until `stop`."""

    def __init__(self, words: Callable[[], str], terminal: TextIO, *, column: Callable[[], int]) -> None:
        super().__init__(name="live progress", daemon=True)
        self._words = words
        self._terminal = terminal
        self._column = column
        self._halt = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self._halt.wait(INTERVAL):
            with self._lock:
                self._show(self.line())

    def line(self) -> str:
        """What to show now, as much of it as there is room for."""
        width = shutil.get_terminal_size().columns - 1
        return "".join(character for character in self._words() if character.isprintable())[:width]

    def _show(self, text: str) -> None:
        column = max(self._column(), 0)  # of a line that was begun anew with "\r" pytest does not know it
        there = f"\x1b[{column}C" if column else ""
        self._terminal.write(f"\r\n{_DIM}{text}{_PLAIN}{_WIPE}{_UP}\r{there}")
        self._terminal.flush()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Wipe it, and leave the terminal to others for so long."""
        with self._lock:
            self._show("")
            yield

    def stop(self) -> None:
        """Show no more, and wipe what is there."""
        self._halt.set()
        if self.is_alive():
            self.join(timeout=2.0)
        with self.hidden():
            pass


def newest_event(history: History) -> Callable[[], str]:
    """Words for a scenario: seconds since now, number of events, the newest event."""
    began = time.monotonic()
    return lambda: f"{time.monotonic() - began:.0f} s, {len(history)} events: {history.tail(1)}"


class Workers:
    """A plugin for the process whose workers run the tests: shows which they are at, and for how long, the oldest first."""

    def __init__(self, terminal: TextIO, *, column: Callable[[], int]) -> None:
        self._began: dict[str, float] = {}
        self._live = Live(self.words, terminal, column=column)
        self._live.start()

    def words(self) -> str:
        now = time.monotonic()
        return ", ".join(f"{nodeid.rpartition('::')[2] or nodeid} {now - began:.0f} s" for nodeid, began in list(self._began.items()))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, None, None]:
        with self._live.hidden():
            self._began[nodeid] = time.monotonic()
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, None, None]:
        with self._live.hidden():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> Generator[None, None, None]:
        with self._live.hidden():
            self._began.pop(nodeid, None)
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._live.stop()
