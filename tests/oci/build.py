"""Images made in memory, right ones and wrong ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One member of a layer."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    pax: Mapping[str, str] = field(default_factory=dict)


def layer(entries: Sequence[Entry]) -> bytes:
    """A layer's tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode, info.uid = entry.kind, entry.link, entry.mode, entry.uid
            info.size = len(entry.content) if entry.kind == tarfile.REGTYPE else 0
            info.pax_headers = dict(entry.pax)
            archive.addfile(info, io.BytesIO(entry.content))
    return stream.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def config(layers: Sequence[bytes], **more: Any) -> bytes:
    found = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]}}
    return json.dumps({**found, **more}).encode()


def oci_layout(folder: Path, layers: Sequence[bytes], *, compress: bool = True, media_type: str = "", conf: bytes | None = None) -> Path:
    """An OCI layout folder with one image."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, kind: str) -> dict[str, object]:
        (blobs / digest(content).partition(":")[2]).write_bytes(content)
        return {"mediaType": kind, "digest": digest(content), "size": len(content)}

    kind = media_type or "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    manifest = {
        "schemaVersion": 2,
        "config": put(config(layers) if conf is None else conf, "application/vnd.oci.image.config.v1+json"),
        "layers": [put(gzip.compress(one, mtime=0) if compress else one, kind) for one in layers],
    }
    entry = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def old_save(path: Path, layers: Sequence[bytes]) -> Path:
    """What `docker save` wrote before Docker 25."""
    conf = config(layers)
    conf_name = f"{digest(conf).partition(':')[2]}.json"
    names = [f"{number:064x}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": conf_name, "RepoTags": ["x:1"], "Layers": names}]
    with tarfile.open(path, "w") as archive:
        for name, content in [(conf_name, conf), *zip(names, layers, strict=True), ("manifest.json", json.dumps(manifest).encode())]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def as_tar(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for found in sorted(folder.rglob("*")):
            if found.is_file():
                archive.add(found, found.relative_to(folder).as_posix())
    return path
