"""Just enough VNC over a WebSocket to see a screen: what noVNC does in a browser (RFC 6143, RFC 6455)."""

from __future__ import annotations

import base64
import os
import socket
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes


class ScreenRefused(Exception):
    """The screen's server did not let us in."""


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    #: red, green, blue, one byte each, row by row
    pixels: bytes

    def colours(self) -> int:
        return len({self.pixels[i : i + 3] for i in range(0, len(self.pixels), 3)})

    def save(self, path: Path) -> None:
        """As a PNG file."""
        rows = b"".join(b"\0" + self.pixels[y * self.width * 3 : (y + 1) * self.width * 3] for y in range(self.height))

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Screen:
    """A VNC session through websockify. `password` None: ask for a session without one."""

    def __init__(self, host: str, port: int, password: str | None, *, timeout: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._raw = bytearray()
        self._data = bytearray()
        try:
            self._upgrade(host, port)
            self._log_in(password)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def picture(self) -> Picture:
        """The whole screen as it is now."""
        self._send(struct.pack(">BBBBBBBBHHHBBBxxx", 0, 0, 0, 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))  # 32 bits, true colour
        self._send(struct.pack(">BBHi", 2, 0, 1, 0))  # raw encoding only
        self._send(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        pixels = bytearray(self.width * self.height * 3)
        missing = self.width * self.height
        while missing > 0:
            kind = self._read(1)[0]
            if kind == 2:  # bell
                continue
            if kind == 3:  # cut text
                self._read(3)
                self._read(struct.unpack(">I", self._read(4))[0])
                continue
            assert kind == 0, f"message type {kind}"
            for _ in range(struct.unpack(">xH", self._read(3))[0]):
                x, y, w, h, encoding = struct.unpack(">HHHHi", self._read(12))
                assert encoding == 0
                block = self._read(w * h * 4)
                for row in range(h):
                    line = block[row * w * 4 : (row + 1) * w * 4]
                    start = ((y + row) * self.width + x) * 3
                    pixels[start : start + w * 3 : 3] = line[2::4]
                    pixels[start + 1 : start + w * 3 : 3] = line[1::4]
                    pixels[start + 2 : start + w * 3 : 3] = line[0::4]
                missing -= w * h
        return Picture(self.width, self.height, bytes(pixels))

    def _upgrade(self, host: str, port: int) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /websockify HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        while b"\r\n\r\n" not in self._raw:
            self._more()
        head, _, rest = bytes(self._raw).partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        self._raw = bytearray(rest)

    def _log_in(self, password: str | None) -> None:
        version = self._read(12)
        assert version.startswith(b"RFB 003."), version
        self._send(b"RFB 003.008\n")
        kinds = self._read(self._read(1)[0])
        if password is None:
            if 1 not in kinds:
                raise ScreenRefused(f"only these kinds of security: {list(kinds)}")
            self._send(b"\x01")
        else:
            assert 2 in kinds, kinds
            self._send(b"\x02")
            secret = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
            encryptor = Cipher(TripleDES(secret * 3), modes.ECB()).encryptor()  # VNC's DES, bits of each byte reversed
            self._send(encryptor.update(self._read(16)) + encryptor.finalize())
        if struct.unpack(">I", self._read(4))[0] != 0:
            raise ScreenRefused("wrong password")
        self._send(b"\x01")  # shared
        self.width, self.height = struct.unpack(">HH", self._read(4))
        self._read(16)
        self.name = self._read(struct.unpack(">I", self._read(4))[0]).decode()

    def _more(self) -> None:
        block = self._socket.recv(1 << 16)
        if not block:
            raise ConnectionError("the screen's server closed the connection")
        self._raw += block

    def _read(self, length: int) -> bytes:
        while len(self._data) < length:
            self._frame()
        found = bytes(self._data[:length])
        del self._data[:length]
        return found

    def _frame(self) -> None:
        while len(self._raw) < 2:
            self._more()
        length, start = self._raw[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            while len(self._raw) < start:
                self._more()
            length = int.from_bytes(self._raw[2:start], "big")
        while len(self._raw) < start + length:
            self._more()
        if self._raw[0] & 0x0F == 8:
            raise ConnectionError("the screen's server ended the session")
        if self._raw[0] & 0x0F in (0, 1, 2):
            self._data += self._raw[start : start + length]
        del self._raw[: start + length]

    def _send(self, data: bytes) -> None:
        mask = os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self._socket.sendall(b"\x82" + size + mask + masked)
