"""An image as content-addressed blobs (OCI image specification: manifest, config, layer; digests are sha256:HEX)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.oci.errors import ImageRefused

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_HEX = frozenset("0123456789abcdef")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hex_of(digest: object, image: str) -> str:
    """The 64 hex digits of a digest. Raises `ImageRefused` for anything else: they become parts of paths."""
    text = digest if isinstance(digest, str) else ""
    algorithm, _, hexadecimal = text.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64 or not _HEX.issuperset(hexadecimal):
        raise ImageRefused(image, f"{str(digest)[:100]!r} is no digest", expected="sha256: and 64 hex digits")
    return hexadecimal


def physical_name(digest: str) -> str:
    """The BOINC file that a blob is: a file of that name never has other content."""
    return f"oci_{digest.replace(':', '_')}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: `digest` and `size` (bytes) are those of the gzipped tar at `path`, `diff_id` is that of the tar, `unpacked` its size."""

    digest: str
    diff_id: str
    size: int
    unpacked: int
    path: Path


@dataclass(frozen=True)
class Image:
    """An image whose layers are all in a `Store`. `name` is for people."""

    name: str
    config: bytes
    layers: Sequence[Layer]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration as a mapping."""
        found: dict[str, Any] = json.loads(self.config)
        return found

    @property
    def id(self) -> str:
        """The digest of the configuration, by which engines know an image."""
        return digest_of(self.config)

    @cached_property
    def manifest(self) -> bytes:
        def descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
            return {"mediaType": kind, "digest": digest, "size": size}

        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": descriptor(CONFIG_TYPE, self.id, len(self.config)),
                "layers": [descriptor(LAYER_TYPE, layer.digest, layer.size) for layer in self.layers],
            },
            sort_keys=True,
        ).encode()

    @property
    def manifest_digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def size(self) -> int:
        """Bytes that a volunteer downloads who has nothing of it yet."""
        return len(self.manifest) + len(self.config) + sum(layer.size for layer in {layer.digest: layer for layer in self.layers}.values())

    @property
    def unpacked(self) -> int:
        """Bytes of all layers' tars."""
        return sum(layer.unpacked for layer in self.layers)


class Store:
    """A folder of compressed layers, by digest, and a note for each tar that was compressed, so that this happens once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        (folder / "layers").mkdir(exist_ok=True)

    @classmethod
    def default(cls) -> Store:
        """The one in the user's cache."""
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(Path(root) / "boinc-harness" / "oci")

    def known(self, diff_id: str) -> Layer | None:
        """The layer of a tar that is here already."""
        note = self.folder / "layers" / diff_id.replace(":", "_")
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
            path = self.blob(str(found["digest"]))
            if path.stat().st_size != found["size"]:
                return None
            return Layer(found["digest"], diff_id, found["size"], found["unpacked"], path)
        except (OSError, ValueError, KeyError):
            return None

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "_")

    def temporary(self) -> Path:
        """A new file beside the blobs, for `keep` to rename."""
        handle, name = tempfile.mkstemp(prefix=".part-", dir=self.folder / "blobs")
        os.close(handle)
        return Path(name)

    def keep(self, part: Path, digest: str, diff_id: str, unpacked: int) -> Layer:
        """Take in a compressed layer."""
        size = part.stat().st_size
        target = self.blob(digest)
        part.replace(target)
        note = self.folder / "layers" / diff_id.replace(":", "_")
        aside = note.with_name(f".{note.name}.{os.getpid()}")
        aside.write_text(json.dumps({"digest": digest, "size": size, "unpacked": unpacked}), encoding="utf-8")
        aside.replace(note)
        return Layer(digest, diff_id, size, unpacked, target)
