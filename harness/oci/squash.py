"""Squashing: the layers above a base become one, those of the base stay as they are and shared.

What a layer says of the layers below it (whiteouts: OCI image specification, layer.md) is carried out here, on names; of a file that
a later layer replaces or removes, nothing is sent any more.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from harness.oci.errors import SquashRefused
from harness.oci.image import Image, Layer, Store
from harness.oci.layers import CHUNK, Limits, take_in

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Savings:
    """What squashing has changed: numbers of layers, and bytes that a volunteer downloads who has nothing / who has the base."""

    layers_before: int
    layers_after: int
    bytes_before: int
    bytes_after: int
    above_base_before: int
    above_base_after: int

    def __str__(self) -> str:
        saved = self.above_base_before - self.above_base_after
        share = 100 * saved / self.above_base_before if self.above_base_before else 0.0
        return (
            f"{self.layers_before} layers became {self.layers_after}; above the base {self.above_base_before} bytes became "
            f"{self.above_base_after} ({saved} saved, {share:.0f} %); in all {self.bytes_before} became {self.bytes_after}"
        )


@dataclass(slots=True, eq=False)
class _File:
    """A file of the squashed layers, whatever its names: what tells hard links of one file."""

    info: tarfile.TarInfo
    archive: tarfile.TarFile


def squash(image: Image, base: Image, store: Store, *, limits: Limits | None = None) -> tuple[Image, Savings]:
    """The image with its layers above `base` as one. Raises `SquashRefused` where that is not the same image any more."""
    kept = len(base.layers)
    own, below = [layer.diff_id for layer in image.layers], [layer.diff_id for layer in base.layers]
    if own[:kept] != below:
        same = next((number for number, (one, other) in enumerate(zip(own, below, strict=False)) if one != other), min(len(own), kept))
        raise SquashRefused(image.name, base.name, f"only the lowest {same} layers are the base's", expected=f"all {kept}")
    above = list(image.layers[kept:])
    if len(above) < 2:
        return image, _savings(image, image, kept)
    with ExitStack() as stack:
        tree = _Tree(image.name, base.name, _names_of(base.layers))
        for layer in above:
            tree.apply(stack.enter_context(_opened(layer)))
        with tempfile.TemporaryFile() as target:
            tree.write(target)
            target.seek(0)
            limit = limits or Limits()
            layer, _, _ = take_in(target, store, image=image.name, part="squashed layer", room=limit.image_bytes, limits=limit)
    settings = dict(image.settings)
    settings["rootfs"] = {"type": "layers", "diff_ids": [*below, layer.diff_id]}
    entry = {"created_by": f"squash of {len(above)} layers", "created": image.settings.get("created")}
    settings["history"] = [*_history(image, kept), {name: value for name, value in entry.items() if value is not None}]
    squashed = Image(image.name, json.dumps(settings, sort_keys=True).encode(), [*image.layers[:kept], layer])
    return squashed, _savings(image, squashed, kept)


def _savings(before: Image, after: Image, kept: int) -> Savings:
    return Savings(
        len(before.layers),
        len(after.layers),
        before.size,
        after.size,
        sum(layer.size for layer in before.layers[kept:]),
        sum(layer.size for layer in after.layers[kept:]),
    )


def _history(image: Image, kept: int) -> list[dict[str, object]]:
    """The entries of the base's layers."""
    found: list[dict[str, object]] = []
    layers = 0
    for entry in image.settings.get("history") or []:
        if not entry.get("empty_layer"):
            layers += 1
        if layers > kept:
            break
        found.append(entry)
    return found


@contextmanager
def _opened(layer: Layer) -> Iterator[tarfile.TarFile]:
    """A layer's tar, for reading anywhere in it: unpacked to a file that goes again."""
    with tempfile.TemporaryFile() as plain:
        with gzip.open(layer.path) as packed:
            while chunk := packed.read(CHUNK):
                plain.write(chunk)
        plain.seek(0)
        with tarfile.open(fileobj=plain) as archive:
            yield archive


def _path(name: str) -> str:
    return "/".join(piece for piece in name.split("/") if piece not in ("", "."))


def _names_of(layers: object) -> set[str]:
    """The names that the base's files have when all its layers are applied; whiteouts within it are not undone, which errs to caution."""
    names: set[str] = set()
    assert isinstance(layers, list | tuple)
    for layer in layers:
        with gzip.open(layer.path) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                name = _path(member.name)
                names.add(name)
                while "/" in name:
                    name = name.rpartition("/")[0]
                    names.add(name)
    return names


class _Tree:
    """What several layers, one after the other, make of the base's files."""

    def __init__(self, image: str, base: str, base_names: set[str]) -> None:
        self._image, self._base, self._base_names = image, base, base_names
        self._files: dict[str, _File] = {}
        self._whiteouts: set[str] = set()
        self._opaque: set[str] = set()

    def _refuse(self, why: str) -> SquashRefused:
        return SquashRefused(self._image, self._base, why)

    def apply(self, archive: tarfile.TarFile) -> None:
        """Carry out one more layer: first what it removes from those below, then what it adds."""
        members = [(_path(member.name), member) for member in archive.getmembers()]
        for name, _ in members:
            folder, _, last = name.rpartition("/")
            if last == OPAQUE:
                self._clear_below(folder)
                self._opaque.add(folder)
            elif last.startswith(WHITEOUT):
                gone = f"{folder}/{last[len(WHITEOUT) :]}".lstrip("/")
                self._remove(gone)
                if gone in self._base_names:
                    self._whiteouts.add(gone)
        for name, member in members:
            if name and not name.rpartition("/")[2].startswith(WHITEOUT):
                self._add(name, member, archive)

    def _clear_below(self, folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        for name in [name for name in self._files if name.startswith(prefix) and name != folder]:
            del self._files[name]
        self._whiteouts = {name for name in self._whiteouts if not name.startswith(prefix)}
        self._opaque = {name for name in self._opaque if not name.startswith(prefix)}

    def _remove(self, name: str) -> None:
        self._files.pop(name, None)
        self._clear_below(name)
        self._opaque.discard(name)

    def _add(self, name: str, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        if member.islnk():
            target = self._files.get(_path(member.linkname))
            if target is None:
                raise self._refuse(f"{name!r} is a hard link to {member.linkname!r}, which no layer above the base has")
            self._replace(name, target)
            return
        self._replace(name, _File(member, archive))

    def _replace(self, name: str, new: _File) -> None:
        if not new.info.isdir():
            # a file in a folder's place hides what was in it
            self._clear_below(name)
            self._opaque.discard(name)
        elif name in self._whiteouts or (name in self._files and not self._files[name].info.isdir() and name in self._base_names):
            # what was removed and made anew shows nothing of the base's
            self._opaque.add(name)
        self._whiteouts.discard(name)
        self._files[name] = new

    def write(self, target: IO[bytes]) -> None:
        """The tar of the one layer: parents first, whiteouts before what is added."""
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            markers = [self._marker(name) for name in self._whiteouts] + [f"{name}/{OPAQUE}".lstrip("/") for name in self._opaque]
            names = sorted([*self._files, *markers])
            first: dict[int, str] = {}
            for name in names:
                found = self._files.get(name)
                if found is None:
                    archive.addfile(tarfile.TarInfo(name))
                    continue
                info = copy.copy(found.info)
                info.pax_headers = {key: value for key, value in found.info.pax_headers.items() if key not in ("path", "linkpath", "size")}
                info.name = name
                if not info.isreg():
                    if id(found) in first and not info.isdir():
                        info.type, info.linkname = tarfile.LNKTYPE, first[id(found)]
                    first.setdefault(id(found), name)
                    archive.addfile(info)
                    continue
                if id(found) in first:
                    info.type, info.linkname, info.size = tarfile.LNKTYPE, first[id(found)], 0
                    archive.addfile(info)
                    continue
                first[id(found)] = name
                info.type = tarfile.REGTYPE
                info.sparse = None  # written in full
                archive.addfile(info, found.archive.extractfile(found.info) or io.BytesIO())

    @staticmethod
    def _marker(name: str) -> str:
        folder, _, last = name.rpartition("/")
        return f"{folder}/{WHITEOUT}{last}".lstrip("/")
