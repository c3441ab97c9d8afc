"""One connection to a client's GUI RPC port: frames, deadlines, authorization.

A request is `<boinc_gui_rpc_request>` ... `</boinc_gui_rpc_request>` and byte 3; the reply the same with `reply`. The client takes
one request at a time per connection and answers from its main loop, within about a second of its own clock when it is busy.
Sources: client/gui_rpc_server.cpp, lib/gui_rpc_client.cpp.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.guirpc.errors import BadReply, ConnectFailed, ConnectionLost, RequestTooLarge, RpcRefused, RpcTimeout, Unauthorized
from harness.guirpc.nearxml import NearXmlError, Node, parse
from harness.waiting import Deadline

DEFAULT_PORT = 31416
#: seconds a reply may take where nothing else is said
DEFAULT_TIMEOUT = 10.0
#: the client closes the connection on larger requests (bytes, with the frame)
MAX_REQUEST = 100_000
#: more than any client has to say; what is larger is not a client (bytes)
MAX_REPLY = 64 * 1024 * 1024

_END = b"\x03"


@dataclass(frozen=True)
class Reply:
    """What came back for `op`: the elements in the reply's frame, and their text as it was sent."""

    op: str
    address: str
    text: str
    root: Node

    def element(self, tag: str) -> Node:
        """The top-level element of that name. Raises `BadReply`."""
        found = self.root.find(tag)
        if found is None:
            raise BadReply("the reply lacks an element", op=self.op, address=self.address, reply=self.text, expected=f"<{tag}>")
        return found


class Connection:
    """A connected socket that speaks GUI RPC frames. One request at a time: threads that share it take turns."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._socket: socket.socket | None = sock
        self._turn = threading.Lock()
        self.address = address

    @classmethod
    def open(cls, host: str, port: int = DEFAULT_PORT, *, within: Deadline | float = DEFAULT_TIMEOUT) -> Self:
        """Connect by TCP. While nothing listens yet, tries again until the deadline. Raises `ConnectFailed`."""
        deadline = Deadline.of(within)
        address = f"{host}:{port}"
        # A container that has just got its network may miss the first packet, and TCP sends the next one a second later: try anew instead.
        patience = 0.1
        while True:
            try:
                sock = socket.create_connection((host, port), timeout=max(0.05, min(patience, deadline.remaining)))
            except OSError as error:
                if deadline.expired or isinstance(error, socket.gaierror):
                    raise _no_connection(address, error, deadline) from error
                deadline.pause(0.02)
                patience *= 2 if isinstance(error, TimeoutError) else 1
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return cls(sock, address)

    @classmethod
    def open_unix(cls, path: Path, *, within: Deadline | float = DEFAULT_TIMEOUT) -> Self:
        """Connect to the socket file `boinc_socket` of a client that runs with --gui_rpc_unix_domain."""
        deadline = Deadline.of(within)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(max(0.05, deadline.remaining))
        try:
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            raise _no_connection(str(path), error, deadline) from error
        return cls(sock, str(path))

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        """Close the connection; later requests raise `ConnectionLost`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def authorize(self, password: str, *, within: Deadline | float = DEFAULT_TIMEOUT) -> float:
        """Prove that we know the password. Raises `Unauthorized`.

        Returns the client's clock (unix seconds, microseconds' precision) at the moment it answered: that is what its nonce is.
        """
        deadline = Deadline.of(within)
        nonce = self.call("auth1", within=deadline).element("nonce").text
        digest = hashlib.md5(f"{nonce}{password}".encode(), usedforsecurity=False).hexdigest()
        self.call("auth2", f"<nonce_hash>{digest}</nonce_hash>", within=deadline).element("authorized")
        try:
            return float(nonce)
        except ValueError:
            return 0.0  # an opaque nonce would do as well: nothing but our clock measurement depends on it

    def call(self, op: str, arguments: str = "", *, within: Deadline | float = DEFAULT_TIMEOUT) -> Reply:
        """Ask for `op` and return the reply. `arguments` is XML text to stand inside the operation's element.

        Raises `Unauthorized`, `RpcRefused` (`<error>TEXT</error>`), `RpcTimeout`, `ConnectionLost`, `BadReply`, `RequestTooLarge`.
        """
        deadline = Deadline.of(within)
        body = f"<{op}>\n{arguments}\n</{op}>" if arguments else f"<{op}/>"
        frame = f"<boinc_gui_rpc_request>\n{body}\n</boinc_gui_rpc_request>\n".encode()
        if len(frame) + 1 >= MAX_REQUEST:
            raise RequestTooLarge(
                f"the request has {len(frame) + 1} bytes", op=op, address=self.address, expected=f"less than {MAX_REQUEST}"
            )
        if _END in frame:
            raise ValueError(f"{op}: byte 3 ends a request, so it cannot be part of one")
        with self._turn:
            raw = self._exchange(op, frame + _END, deadline)
        return self._understand(op, raw.decode("utf-8", "replace"))

    def _exchange(self, op: str, request: bytes, deadline: Deadline) -> bytes:
        sock = self._socket
        if sock is None:
            raise ConnectionLost("the connection is closed", op=op, address=self.address, remedy="connect again")
        received = bytearray()
        try:
            sock.settimeout(max(0.001, deadline.remaining))
            sock.sendall(request)
            while True:
                sock.settimeout(max(0.001, deadline.remaining))
                block = sock.recv(65536)
                if not block:
                    self.close()
                    raise ConnectionLost(
                        "the client closed the connection" + (" in the middle of a reply" if received else " without a reply"),
                        op=op,
                        address=self.address,
                        reply=received.decode("utf-8", "replace"),
                    )
                searched = len(received)
                received += block
                end = received.find(_END, searched)
                if end >= 0:
                    break
                if len(received) > MAX_REPLY:
                    self.close()
                    raise BadReply(f"the reply has more than {MAX_REPLY} bytes", op=op, address=self.address)
        except TimeoutError as error:
            self.close()
            raise RpcTimeout(
                f"no complete reply within {deadline.elapsed:.1f} s ({len(received)} bytes of one)",
                op=op,
                address=self.address,
                reply=received.decode("utf-8", "replace"),
                remedy="is the client alive, and not paused? Look at its log",
            ) from error
        except OSError as error:
            self.close()
            raise ConnectionLost(f"the connection broke: {error.strerror or error}", op=op, address=self.address) from error
        if end != len(received) - 1:
            self.close()
            raise BadReply("bytes after the end of the reply", op=op, address=self.address, reply=received.decode("utf-8", "replace"))
        return bytes(received[:end])

    def _understand(self, op: str, text: str) -> Reply:
        try:
            frame = parse(text).find("boinc_gui_rpc_reply")
        except NearXmlError as error:
            raise BadReply(f"the reply cannot be read: {error}", op=op, address=self.address, reply=text) from error
        if frame is None:
            raise BadReply("the reply is not a GUI RPC reply", op=op, address=self.address, reply=text, expected="<boinc_gui_rpc_reply>")
        inner = text.partition("<boinc_gui_rpc_reply>")[2].rpartition("</boinc_gui_rpc_reply>")[0].strip()
        if frame.find("unauthorized") is not None:
            raise Unauthorized(
                "the password is wrong" if op == "auth2" else "the client wants a password first",
                op=op,
                address=self.address,
                expected="the password in the client's gui_rpc_auth.cfg",
            )
        refusal = frame.find("error")
        if refusal is not None and not refusal.children:
            raise RpcRefused(refusal.text, op=op, address=self.address, reply=inner)
        return Reply(op, self.address, inner, frame)


def _no_connection(address: str, error: OSError, deadline: Deadline) -> ConnectFailed:
    return ConnectFailed(
        f"no connection after {deadline.elapsed:.1f} s: {error.strerror or error}",
        op="connect",
        address=address,
        expected="a BOINC client that allows GUI RPC from here",
        remedy="is it running, and is allow_remote_gui_rpc set in its cc_config.xml?",
    )
