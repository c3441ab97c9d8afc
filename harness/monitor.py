"""Watches one client by GUI RPC and writes what changes into the stack's history.

Kinds and fields: client.message (pri, project, text), task.state (result, state, active_state, exit_status, suspended),
transfer.state (name, upload, status, retries, active).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from harness.errors import HarnessError
from harness.guirpc import FileTransfer, GuiRpc, Result
from harness.history import History

#: real seconds between two looks; a look costs the client about a millisecond
INTERVAL = 0.1


class Monitor(threading.Thread):
    """One thread with a GUI RPC connection of its own; ends with `stop`."""

    def __init__(self, name: str, connect: Callable[[], GuiRpc], history: History) -> None:
        super().__init__(name=f"monitor of {name}", daemon=True)
        self._source = name
        self._connect = connect
        self._history = history
        self._halt = threading.Event()
        self._last_message = 0
        self._tasks: dict[str, tuple[object, ...]] = {}
        self._transfers: dict[str, tuple[object, ...]] = {}

    def stop(self) -> None:
        """Look no more. Returns when the thread has ended, so that nothing of this client is recorded afterwards."""
        self._halt.set()
        if self.is_alive():
            self.join(timeout=5.0)

    def run(self) -> None:
        rpc: GuiRpc | None = None
        while not self._halt.is_set():
            try:
                if rpc is None:
                    rpc = self._connect()
                self._look(rpc)
            except HarnessError:
                # The client is restarting, stopped or frozen: whoever did that has recorded it. Look again later.
                if rpc is not None:
                    rpc.close()
                rpc = None
            self._halt.wait(INTERVAL)
        if rpc is not None:
            rpc.close()

    def _look(self, rpc: GuiRpc) -> None:
        for message in rpc.get_messages(self._last_message):
            self._last_message = max(self._last_message, message.seqno)
            self._history.add(
                "client.message",
                self._source,
                virtual=message.time,
                text=message.body.strip(),
                pri=int(message.pri),
                project=message.project,
                client=self._source,
            )
        self._compare_tasks(rpc.get_results())
        self._compare_transfers(rpc.get_file_transfers())

    def _compare_tasks(self, results: tuple[Result, ...]) -> None:
        for result in results:
            active = result.active_task
            now = (result.state, active.active_task_state if active else None, result.exit_status, result.suspended_via_gui)
            if self._tasks.get(result.name) != now:
                self._tasks[result.name] = now
                self._history.add(
                    "task.state",
                    self._source,
                    client=self._source,
                    result=result.name,
                    state=result.state.name,
                    active_state=active.active_task_state.name if active else None,
                    exit_status=result.exit_status,
                    suspended=result.suspended_via_gui,
                )

    def _compare_transfers(self, transfers: tuple[FileTransfer, ...]) -> None:
        for transfer in transfers:
            persistent = transfer.persistent_file_xfer
            now = (transfer.status, persistent.num_retries, transfer.file_xfer is not None)
            if self._transfers.get(transfer.name) != now:
                self._transfers[transfer.name] = now
                self._history.add(
                    "transfer.state",
                    self._source,
                    client=self._source,
                    name=transfer.name,
                    upload=persistent.is_upload,
                    status=transfer.status,
                    retries=persistent.num_retries,
                    active=transfer.file_xfer is not None,
                )
