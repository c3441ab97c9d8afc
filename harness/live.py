"""What a running scenario is doing, shown behind its name in the terminal and wiped when it ends.

Only where a person watches: pytest writes to a terminal, and the tests run in its own process. Elsewhere pytest's lines, one for
each scenario, are the progress.
"""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from harness.history import History

INTERVAL = 0.25
_SAVE, _RESTORE, _WIPE, _DIM, _PLAIN = "\x1b7", "\x1b8", "\x1b[K", "\x1b[2m", "\x1b[0m"
#: columns that are left to pytest's own "PASSED [ 50%]"
_MARGIN = 16


class Live(threading.Thread):
    """Shows the newest event of a history until `stop`."""

    def __init__(self, history: History, terminal: TextIO, *, column: int) -> None:
        super().__init__(name="live progress", daemon=True)
        self._history = history
        self._terminal = terminal
        self._column = column
        self._halt = threading.Event()
        self._began = time.monotonic()

    def run(self) -> None:
        while not self._halt.wait(INTERVAL):
            self._show(self.line())

    def line(self) -> str:
        """What to show now: seconds, number of events, the newest event."""
        width = shutil.get_terminal_size().columns - self._column - _MARGIN
        text = f"{time.monotonic() - self._began:.0f} s, {len(self._history)} events: {self._history.tail(1)}"
        return "".join(character for character in text if character.isprintable())[: max(width, 0)]

    def _show(self, text: str) -> None:
        self._terminal.write(f"{_SAVE}{_DIM} {text}{_PLAIN}{_WIPE}{_RESTORE}")
        self._terminal.flush()

    def stop(self) -> None:
        """Show no more, and wipe what is there."""
        self._halt.set()
        if self.is_alive():
            self.join(timeout=2.0)
        self._terminal.write(f"{_SAVE}{_WIPE}{_RESTORE}")
        self._terminal.flush()
