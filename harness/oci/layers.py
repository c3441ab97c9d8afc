"""One layer on its way into the store: unpacked, checked, and compressed, in one pass and without a file of it ever being made.

A layer comes from anybody: what a hostile one could do to whoever unpacks it is refused here, before it is sent to volunteers.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from harness.oci.errors import ImageRefused
from harness.oci.image import Layer, Store

CHUNK = 1 << 20
#: how well a layer may be compressed: gzip's own limit is about 1030, real layers stay below 50
RATIO = 200
#: below this many bytes the ratio says nothing
RATIO_FROM = 64 << 20
GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may be at most. Bytes are those of unpacked tars, sparse files at their full size."""

    layers: int = 127
    image_bytes: int = 64 << 30
    entries: int = 2_000_000
    path_bytes: int = 4096
    name_bytes: int = 255
    json_bytes: int = 8 << 20


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int = ..., /) -> bytes: ...


class Inflated:
    """A stream that is gzip or not, as the plain one; hashes both sides, and stops at `limit` bytes."""

    def __init__(self, source: Source, image: str, part: str, limit: int) -> None:
        self._source = source
        self._image, self._part, self._limit = image, part, limit
        self._raw_hash, self._hash = hashlib.sha256(), hashlib.sha256()
        self.raw_bytes = self.bytes = 0
        self._pending = self._pull()
        magic = self._pending[:4]
        if magic[:4] == b"\x28\xb5\x2f\xfd" or magic[:3] == b"BZh" or magic[:4] == b"\xfd7zX":
            raise ImageRefused(image, "this compression is not supported", part=part, expected="a gzipped or plain tar")
        self.gzipped = magic[:2] == b"\x1f\x8b"
        self._inflater = zlib.decompressobj(31) if self.gzipped else None
        self._raw, self._pending = self._pending, b""

    @property
    def raw_digest(self) -> str:
        return f"sha256:{self._raw_hash.hexdigest()}"

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def _pull(self) -> bytes:
        chunk = self._source.read(CHUNK)
        self._raw_hash.update(chunk)
        self.raw_bytes += len(chunk)
        return chunk

    def _more(self) -> bytes:
        """The next plain bytes; b"" at the end."""
        while True:
            raw, self._raw = self._raw or self._pull(), b""
            if self._inflater is None:
                return raw
            if not raw:
                if not self._inflater.eof:
                    raise self._refuse("its gzip stream is cut off")
                return b""
            try:
                if self._inflater.eof:  # further members
                    self._inflater = zlib.decompressobj(31)
                plain = self._inflater.decompress(raw, CHUNK)
            except zlib.error as error:
                raise self._refuse(f"its gzip stream is damaged ({error})") from error
            self._raw = self._inflater.unconsumed_tail or self._inflater.unused_data
            if plain:
                return plain

    def _refuse(self, why: str, expected: str = "") -> ImageRefused:
        return ImageRefused(self._image, why, part=self._part, expected=expected)

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes unless the stream ends."""
        while size < 0 or len(self._pending) < size:
            plain = self._more()
            if not plain:
                break
            self._hash.update(plain)
            self.bytes += len(plain)
            if self.bytes > self._limit:
                raise self._refuse("it unpacks to too much", f"at most {self._limit} bytes in all")
            if self.gzipped and self.bytes > RATIO_FROM and self.bytes > RATIO * self.raw_bytes:
                raise self._refuse("it is compressed too well to be anything but a bomb", f"a ratio below {RATIO}")
            self._pending += plain
        if size < 0:
            size = len(self._pending)
        found, self._pending = self._pending[:size], self._pending[size:]
        return found


class _Tee:
    """Reads from one stream, and copies to another what goes by."""

    def __init__(self, source: Inflated, target: gzip.GzipFile) -> None:
        self._source, self._target = source, target

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._target.write(chunk)
        return chunk


def take_in(source: Source, store: Store, *, image: str, part: str, room: int, limits: Limits) -> tuple[Layer, str, int]:
    """Check a layer's tar (gzipped or not) and put it into the store.

    `room`: bytes that it may unpack to. Returns the layer, the digest of the bytes as they came, and the full size of its files.
    Raises `ImageRefused`.
    """
    temporary = store.temporary()
    try:
        inflated = Inflated(source, image, part, room)
        # no name and no time in the header: the same tar gives the same blob
        with (
            temporary.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=GZIP_LEVEL, mtime=0) as packed,
        ):
            tee = _Tee(inflated, packed)
            files = check(tee, image=image, part=part, room=room, limits=limits)
            while tee.read(CHUNK):
                pass
        known = store.known(inflated.digest)
        if known is not None:
            return known, inflated.raw_digest, files
        with temporary.open("rb") as packed_file:
            digest = f"sha256:{hashlib.file_digest(packed_file, 'sha256').hexdigest()}"
        return store.keep(temporary, digest, inflated.digest, inflated.bytes), inflated.raw_digest, files
    finally:
        temporary.unlink(missing_ok=True)


def check(stream: Source, *, image: str, part: str, room: int, limits: Limits) -> int:
    """Read a tar and refuse what leads out of it; returns the sum of its files' sizes. Raises `ImageRefused`."""
    total = 0
    links: dict[str, str] = {}
    for number, member in enumerate(_members(stream, image, part), start=1):
        if number > limits.entries:
            raise ImageRefused(image, "it has too many files", part=part, expected=f"at most {limits.entries}")
        name = clean_path(member.name, image=image, part=part, limits=limits)
        through = next((folder for folder in _parents(name) if folder in links and leads_out(folder, links[folder])), None)
        if through is not None:
            raise ImageRefused(image, f"{name!r} goes through the link {through!r}, which leads out", part=part)
        links.pop(name, None)
        if member.issym():
            links[name] = member.linkname
        elif member.islnk():
            clean_path(member.linkname, image=image, part=part, limits=limits)
        elif not (member.isreg() or member.isdir() or member.ischr() or member.isblk() or member.isfifo()):
            raise ImageRefused(image, f"{name!r} is of an unknown kind ({member.type!r})", part=part)
        if member.issparse():
            raise ImageRefused(image, f"{name!r} is a file with holes", part=part, expected="files as engines write them")
        total += member.size if member.isreg() else 0
        if total > room:
            raise ImageRefused(image, "its files are too large", part=part, expected=f"at most {room} bytes in all")
    return total


def _members(stream: Source, image: str, part: str) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as archive:  # type: ignore[call-overload]  # it only reads
            while (member := archive.next()) is not None:
                yield member
                archive.members.clear()  # it would keep them all
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ImageRefused(image, f"a layer is no tar ({error})", part=part) from error


def _parents(name: str) -> Iterator[str]:
    while (name := posixpath.dirname(name)) not in ("", "."):
        yield name


def leads_out(name: str, target: str) -> bool:
    """Whether a symbolic link at `name` points outside the tree when nothing confines it."""
    return target.startswith("/") or posixpath.normpath(posixpath.join(posixpath.dirname(name), target)).split("/")[0] == ".."


def clean_path(path: str, *, image: str, part: str, limits: Limits) -> str:
    """A member's path without `./` and trailing slashes. Raises `ImageRefused` for one that is absolute or leads out."""
    pieces = [piece for piece in path.split("/") if piece not in ("", ".")]
    if path.startswith("/"):
        raise ImageRefused(image, f"the path {path[:200]!r} is absolute", part=part, expected="paths inside the image")
    if ".." in pieces:
        raise ImageRefused(image, f"the path {path[:200]!r} leads out", part=part, expected="paths inside the image")
    if "\0" in path or len(path.encode("utf-8", "surrogateescape")) > limits.path_bytes:
        raise ImageRefused(image, f"the path {path[:60]!r}... cannot be one", part=part, expected=f"at most {limits.path_bytes} bytes")
    if any(len(piece.encode("utf-8", "surrogateescape")) > limits.name_bytes for piece in pieces):
        raise ImageRefused(
            image, f"the path {path[:60]!r}... has a name that is too long", part=part, expected=f"at most {limits.name_bytes} bytes"
        )
    return "/".join(pieces)
