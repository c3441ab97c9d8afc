"""`GuiRpc`: one method for every GUI RPC, named as BOINC names it.

    with GuiRpc.connect("172.18.0.3", password="secret") as rpc:
        rpc.project_attach("http://boinc.test/p1/", authenticator)
        rpc.get_results()

The same RPCs are in all clients from 7.20 to 8.2 (client/gui_rpc_server_ops.cpp). Each method takes its time limit as `within`
(seconds or a `Deadline`), and raises the errors of `harness.guirpc.errors`.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from harness.guirpc.accounts import Accounts
from harness.guirpc.configuration import Configuration
from harness.guirpc.control import Control
from harness.guirpc.reading import Reading
from harness.guirpc.transport import DEFAULT_PORT, DEFAULT_TIMEOUT, Connection
from harness.waiting import Deadline


class GuiRpc(Reading, Control, Accounts, Configuration):
    """A connection to a client, with a method for each RPC. Belongs to one owner; threads that share it take turns."""

    @classmethod
    def connect(
        cls,
        host: str,
        port: int = DEFAULT_PORT,
        *,
        password: str | None = None,
        within: Deadline | float = DEFAULT_TIMEOUT,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Self:
        """Connect, waiting for a client that is just starting, and authorize if a password is given.

        `within` limits connecting, `timeout` (seconds) is the limit of each later RPC that names none.
        """
        deadline = Deadline.of(within)
        return cls._authorized(Connection.open(host, port, within=deadline), password, deadline, timeout)

    @classmethod
    def connect_unix(
        cls,
        path: Path,
        *,
        password: str | None = None,
        within: Deadline | float = DEFAULT_TIMEOUT,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Self:
        """The same through the client's socket file."""
        deadline = Deadline.of(within)
        return cls._authorized(Connection.open_unix(path, within=deadline), password, deadline, timeout)

    @classmethod
    def _authorized(cls, connection: Connection, password: str | None, deadline: Deadline, timeout: float) -> Self:
        try:
            if password is not None:
                connection.authorize(password, within=deadline)
        except BaseException:
            connection.close()
            raise
        return cls(connection, timeout=timeout)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
