"""A client's GUI RPC port, played by a thread: answers from a script, byte for byte as told."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[str], "bytes | None"]

NONCE = "1795345000.123456"


def frame(inner: str) -> bytes:
    return f"<boinc_gui_rpc_reply>\n{inner}\n</boinc_gui_rpc_reply>\n\x03".encode()


class FakeClient:
    """Serves connections one after another. `answer` gets a request's text and returns the bytes to send; None: hang up.

    `chunk`: bytes a send (0: all at once), with `pause` seconds between them. `requests` holds what was asked.
    """

    def __init__(self, answer: Answer, *, chunk: int = 0, pause: float = 0.0) -> None:
        self.answer = answer
        self.chunk = chunk
        self.pause = pause
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                try:
                    self._talk(sock)
                except OSError:
                    continue

    def _talk(self, sock: socket.socket) -> None:
        pending = b""
        while True:
            while b"\x03" not in pending:
                block = sock.recv(65536)
                if not block:
                    return
                pending += block
            raw, _, pending = pending.partition(b"\x03")
            request = raw.decode()
            self.requests.append(request)
            reply = self.answer(request)
            if reply is None:
                return
            if not self.chunk:
                sock.sendall(reply)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(reply), self.chunk):
                sock.sendall(reply[start : start + self.chunk])
                self._stopped.wait(self.pause)

    def stop(self) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a thread in accept(), which closing alone does not
        self._listener.close()
        self._thread.join(timeout=2)


@contextmanager
def fake_client(answer: Answer, *, chunk: int = 0, pause: float = 0.0) -> Iterator[FakeClient]:
    fake = FakeClient(answer, chunk=chunk, pause=pause)
    try:
        yield fake
    finally:
        fake.stop()


def op_of(request: str) -> str:
    found = re.search(r"<boinc_gui_rpc_request>\s*<(\w+)", request)
    return found[1] if found else ""


def scripted(replies: dict[str, str], password: str | None = None) -> Answer:
    """Answers by operation; with a password as a client does, authorization first. Not for several connections at a time."""
    authorized = password is None

    def answer(request: str) -> bytes | None:
        nonlocal authorized
        op = op_of(request)
        if op == "auth1":
            return frame(f"<nonce>{NONCE}</nonce>")
        if op == "auth2":
            expected = hashlib.md5(f"{NONCE}{password}".encode()).hexdigest()
            authorized = f"<nonce_hash>{expected}</nonce_hash>" in request
            return frame("<authorized/>" if authorized else "<unauthorized/>")
        if not authorized:
            return frame("<unauthorized/>")
        return frame(replies.get(op, "<error>unrecognized op</error>"))

    return answer
