"""The record of everything a project did: append-only, numbered, in the order of commits.

The newest events are kept in memory for those who follow; all of them are lines of a file, so that
a restarted server goes on with the next number and late readers miss nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from boinc_server.clock import Clock

RING_SIZE: Final = 20_000
KEEP_ALIVE: Final = 5.0
"""Wall seconds after which a follower gets an empty line."""


class EventLog:
    """Events of one project. Not thread safe: belongs to the server's loop."""

    def __init__(self, project: str, path: Path | None, clock: Clock) -> None:
        self._project = project
        self._path = path
        self._clock = clock
        self._ring: deque[tuple[int, bytes]] = deque(maxlen=RING_SIZE)
        self._wakers: set[asyncio.Event] = set()
        self._file: BinaryIO | None = None
        self._closed = False
        self.last_seq = self._recover() if path is not None else 0

    def _recover(self) -> int:
        """Open the file; cut off a last line that a kill left incomplete."""
        assert self._path is not None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b", buffering=0)
        size = self._file.seek(0, 2)
        if size == 0:
            return 0
        tail_start = max(0, size - 1_000_000)
        self._file.seek(tail_start)
        tail = self._file.read()
        end = tail.rfind(b"\n") + 1
        if end != len(tail):
            self._file.truncate(tail_start + end)
        lines = tail[:end].splitlines()
        return int(json.loads(lines[-1])["seq"]) if lines else 0

    def append(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        """Publish the events of one commit: (kind, fields) each."""
        if not batch:
            return
        real = time.time()
        virtual = self._clock.spec.virtual(real)
        lines = []
        for kind, fields in batch:
            self.last_seq += 1
            head = {"seq": self.last_seq, "project": self._project, "kind": kind, "real": real, "virtual": virtual}
            line = json.dumps(head | fields, separators=(",", ":"), default=str).encode() + b"\n"
            self._ring.append((self.last_seq, line))
            lines.append(line)
        if self._file is not None:
            self._file.write(b"".join(lines))
        for waker in self._wakers:
            waker.set()

    def emit(self, kind: str, **fields: Any) -> None:
        """Publish one event that belongs to no transaction."""
        self.append([(kind, fields)])

    def since(self, seq: int) -> Iterator[bytes]:
        """The lines of all events after `seq`, oldest first."""
        first = self._ring[0][0] if self._ring else self.last_seq + 1
        if seq + 1 < first and self._path is not None:
            with self._path.open("rb") as lines:
                for line in lines:
                    number = int(json.loads(line)["seq"])
                    if seq < number < first:
                        yield line
        # The ring may grow while a slow reader is being served: take what is there now.
        skip = max(0, seq - first + 1)
        for index, (number, line) in enumerate(list(self._ring)):
            if index >= skip and number > seq:
                yield line

    async def follow(self, seq: int) -> AsyncIterator[bytes]:
        """All lines after `seq`, then each new one as it comes, until the log is closed."""
        waker = asyncio.Event()
        self._wakers.add(waker)
        try:
            while True:
                waker.clear()
                if seq < self.last_seq:
                    lines = list(self.since(seq))
                    seq = self.last_seq
                    yield b"".join(lines)
                    continue
                if self._closed:
                    return
                try:
                    await asyncio.wait_for(waker.wait(), KEEP_ALIVE)
                except TimeoutError:
                    yield b"\n"
        finally:
            self._wakers.discard(waker)

    def finish(self) -> None:
        """End every follower once it has got everything."""
        self._closed = True
        for waker in self._wakers:
            waker.set()

    def close(self) -> None:
        """End every follower, close the file."""
        self.finish()
        if self._file is not None:
            self._file.close()
            self._file = None
