"""Keys and signatures in BOINC's format (lib/crypt.cpp).

A signature is the RSA private operation on PKCS#1 v1.5 type 1 padding around the 32 characters of
the MD5 in lower-case hex, with no DigestInfo. Keys have 1024 bits, since BOINC's structures have
fixed fields of that size.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo

KEY_BITS: Final = 1024
_BYTES: Final = KEY_BITS // 8
_HALF: Final = _BYTES // 2
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_LINE: Final = 64
_CHUNK: Final = 1024 * 1024


class KeyFormatError(ValueError):
    """A text is not a key or signature in BOINC's form."""


def format_hex(data: bytes) -> str:
    """Hex lines of 32 bytes each, closed by a line with a dot (sprint_hex_data)."""
    digits = data.hex()
    lines = [digits[i : i + _LINE] for i in range(0, len(digits), _LINE)]
    return "\n".join([*lines, ".", ""])


def parse_hex(text: str) -> bytes:
    """The bytes of hex lines up to the first character that is neither a digit nor white space.

    Raises KeyFormatError for an odd number of digits.
    """
    digits: list[str] = []
    for char in text:
        if char in _HEX_DIGITS:
            digits.append(char)
        elif char not in "\r\n\t ":
            break
    if len(digits) % 2:
        raise KeyFormatError("odd number of hex digits")
    return bytes.fromhex("".join(digits))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA public key."""

    n: int
    e: int

    def text(self) -> str:
        """BOINC's key text: bits, modulus[128], exponent[128]."""
        data = self.n.to_bytes(_BYTES, "big") + self.e.to_bytes(_BYTES, "big")
        return f"{KEY_BITS}\n{format_hex(data)}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Raises KeyFormatError when `text` is no public key."""
        data = _key_bytes(text, 2 * _BYTES)
        return cls(int.from_bytes(data[:_BYTES], "big"), int.from_bytes(data[_BYTES:], "big"))

    def verify_md5(self, md5hex: str, signature: str) -> bool:
        """True when `signature` (hex lines) is this key's signature of the MD5 `md5hex`."""
        try:
            raw = parse_hex(signature)
        except KeyFormatError:
            return False
        value = int.from_bytes(raw, "big")
        if len(raw) != _BYTES or value >= self.n:
            return False
        block = pow(value, self.e, self.n).to_bytes(_BYTES, "big")
        return hmac.compare_digest(block, _padded(md5hex))


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An RSA private key with the CRT parts BOINC stores."""

    n: int
    e: int
    d: int
    p: int
    q: int

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.n, self.e)

    def text(self) -> str:
        """BOINC's key text: modulus, public and private exponent, p, q, dp, dq, q^-1 mod p."""
        wide = (self.n, self.e, self.d)
        half = (
            self.p,
            self.q,
            self.d % (self.p - 1),
            self.d % (self.q - 1),
            pow(self.q, -1, self.p),
        )
        data = b"".join(number.to_bytes(_BYTES, "big") for number in wide)
        data += b"".join(number.to_bytes(_HALF, "big") for number in half)
        return f"{KEY_BITS}\n{format_hex(data)}"

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """Raises KeyFormatError when `text` is no private key."""
        data = _key_bytes(text, 3 * _BYTES + 5 * _HALF)
        wide = [int.from_bytes(data[i * _BYTES : (i + 1) * _BYTES], "big") for i in range(3)]
        rest = data[3 * _BYTES :]
        p, q = (int.from_bytes(rest[i * _HALF : (i + 1) * _HALF], "big") for i in range(2))
        if p * q != wide[0] or p < 3 or q < 3:
            raise KeyFormatError("the primes do not make the modulus")
        return cls(wide[0], wide[1], wide[2], p, q)

    def sign_md5(self, md5hex: str) -> str:
        """The signature (4 hex lines and a dot) of an MD5 in lower-case hex."""
        return format_hex(_signer(self).sign(md5hex.encode("ascii"), padding.PKCS1v15(), NoDigestInfo()))


@lru_cache(maxsize=256)
def _signer(key: PrivateKey) -> rsa.RSAPrivateKey:
    """The library's form of a key; loading checks it, which costs more than signing."""
    public = rsa.RSAPublicNumbers(key.e, key.n)
    half = (key.d % (key.p - 1), key.d % (key.q - 1), pow(key.q, -1, key.p))
    return rsa.RSAPrivateNumbers(key.p, key.q, key.d, *half, public).private_key()


def _padded(md5hex: str) -> bytes:
    digest = md5hex.encode("ascii")
    return b"\0\1" + b"\xff" * (_BYTES - 3 - len(digest)) + b"\0" + digest


def _key_bytes(text: str, size: int) -> bytes:
    """The binary part of a key text; white space around the whole is tolerated here."""
    bits, _, lines = text.strip().partition("\n")
    if bits.strip() != str(KEY_BITS):
        raise KeyFormatError(f"a key text starts with {KEY_BITS}, not {bits[:20]!r}")
    data = parse_hex(lines)
    if len(data) < size:
        raise KeyFormatError(f"key of {len(data)} bytes, expected {size}")
    return data[:size]


def generate_key() -> PrivateKey:
    """A fresh 1024-bit key with exponent 65537 (crypt_prog -genkey 1024)."""
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS).private_numbers()
    public = numbers.public_numbers
    return PrivateKey(public.n, public.e, numbers.d, numbers.p, numbers.q)


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """The two key pairs of a project's keys/ directory."""

    code_sign: PrivateKey
    upload: PrivateKey

    def save(self, directory: Path) -> None:
        """Write keys/code_sign_private, code_sign_public, upload_private and upload_public."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, key in (("code_sign", self.code_sign), ("upload", self.upload)):
            private = directory / f"{name}_private"
            private.touch(mode=0o600)
            private.write_text(key.text(), encoding="ascii")
            (directory / f"{name}_public").write_text(key.public.text(), encoding="ascii")

    @classmethod
    def load(cls, directory: Path) -> ProjectKeys:
        """Raises OSError when a file is missing, KeyFormatError when one is damaged."""
        code_sign, upload = (
            PrivateKey.parse((directory / f"{name}_private").read_text(encoding="ascii")) for name in ("code_sign", "upload")
        )
        return cls(code_sign, upload)


def generate_project_keys() -> ProjectKeys:
    """Fresh code signing and upload keys."""
    return ProjectKeys(generate_key(), generate_key())


def md5_text(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def md5_bytes(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_file(path: Path) -> str:
    """MD5 of a file's contents in lower-case hex, read in pieces."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sign_file(path: Path, key: PrivateKey) -> str:
    """The ``<file_signature>`` text of an application file (code signing key)."""
    return key.sign_md5(md5_file(path))


def sign_text(text: str, key: PrivateKey) -> str:
    """The signature of a text as it stands."""
    return key.sign_md5(md5_text(text))


def verify_text(text: str, signature: str, key: PublicKey) -> bool:
    return key.verify_md5(md5_text(text), signature)


def verify_file(path: Path, signature: str, key: PublicKey) -> bool:
    return key.verify_md5(md5_file(path), signature)


def upload_permission(name: str, max_nbytes: float) -> str:
    """The text that an ``<xml_signature>`` signs (sched/file_upload_handler.cpp)."""
    return f"<name>{name}</name><max_nbytes>{max_nbytes:.0f}</max_nbytes>"


def sign_upload(name: str, max_nbytes: float, key: PrivateKey) -> str:
    """The ``<xml_signature>`` text for an output file (upload key)."""
    return sign_text(upload_permission(name, max_nbytes), key)
