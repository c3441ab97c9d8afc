"""Images from wherever they are: the engine, a `docker save` tar (of before and since Docker 25), an OCI layout folder.

image = load("myproject/fit:2", store)          # what the engine knows by that name
image = load("fit.tar", store)                  # docker save, podman save, or a tar of an OCI layout
image = load("layout/", store)                  # skopeo copy ... oci:layout
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import docker.errors

from harness import engine
from harness.oci.errors import ImageRefused
from harness.oci.image import Image, Layer, Store, digest_of, hex_of
from harness.oci.layers import Limits, take_in

ARCHITECTURE, SYSTEM = "amd64", "linux"
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)

#: told of each layer: its number from 1, how many there are
Progress = Callable[[int, int], None]


class Files(Protocol):
    """The files of a layout or a save, by their paths in it."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Raises KeyError where there is none."""


class FolderFiles:
    """Those of a folder; links are not followed out of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        target = (self._folder / path).resolve()
        if not target.is_relative_to(self._folder) or not target.is_file():
            raise KeyError(path)
        with target.open("rb") as stream:
            yield stream


class TarFiles:
    """Those of a tar. Old saves have links from one layer to another that is the same."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {member.name.removeprefix("./"): member for member in archive.getmembers()}

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        member = self._members[path]
        for _ in range(3):
            if member.issym():
                parts: list[str] = []
                for piece in f"{path.rpartition('/')[0]}/{member.linkname}".split("/"):
                    parts = parts[:-1] if piece == ".." else [*parts, piece] if piece not in ("", ".") else parts
                path = "/".join(parts)
                member = self._members[path]
            elif member.islnk():
                member = self._members[member.linkname.removeprefix("./")]
        stream = self._archive.extractfile(member) if member.isreg() else None
        if stream is None:
            raise KeyError(path)
        with stream:
            yield stream


def load(source: str, store: Store, *, limits: Limits | None = None, progress: Progress | None = None) -> Image:
    """Read an image, check it, and put its layers into the store.

    Raises `ImageRefused`, or `EngineUnavailable` where `source` is neither a file nor a folder and no engine answers.
    """
    reader = _Reader(source, store, limits or Limits(), progress or (lambda _number, _count: None))
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # too long for a path, or NUL in it; then the engine may say what it is
        is_folder = is_file = False
    if is_folder:
        return reader.read(FolderFiles(path))
    if is_file:
        try:
            with tarfile.open(path, "r:*") as archive:
                return reader.read(TarFiles(archive))
        except tarfile.TarError as error:
            raise ImageRefused(source, f"it is no tar ({error})", expected="a tar as of `docker save`, or an OCI layout folder") from error
    return _from_engine(source, reader)


def _from_engine(name: str, reader: _Reader) -> Image:
    client = engine.connect()
    with engine.guard(f"saving {name}"), tempfile.TemporaryDirectory(prefix="boinc-harness-oci-") as folder:
        try:
            found = client.images.get(name)
        except (docker.errors.ImageNotFound, docker.errors.NullResource) as error:
            raise ImageRefused(name, "there is no such image", expected="a name that the engine knows, a tar, or an OCI layout") from error
        except docker.errors.APIError as error:
            if error.status_code == 400:
                raise ImageRefused(name, "this cannot be an image's name", expected="such as project/name:tag, in lower case") from error
            raise
        saved = Path(folder) / "image.tar"
        with saved.open("wb") as target:
            for chunk in found.save(chunk_size=1 << 20):
                target.write(chunk)
        with tarfile.open(saved) as archive:
            return reader.read(TarFiles(archive))


class _Reader:
    def __init__(self, name: str, store: Store, limits: Limits, progress: Progress) -> None:
        self._name, self._store, self._limits, self._progress = name, store, limits, progress

    def _refuse(self, why: str, *, part: str = "", expected: str = "") -> ImageRefused:
        return ImageRefused(self._name, why, part=part, expected=expected)

    def read(self, files: Files) -> Image:
        saved = self._bytes(files, "manifest.json", missing_ok=True)
        if saved is not None:
            return self._docker_save(files, self._json(saved, "manifest.json"))
        index = self._bytes(files, "index.json", missing_ok=True)
        if index is None:
            raise self._refuse("neither manifest.json nor index.json is in it", expected="what `docker save` writes, or an OCI layout")
        return self._oci_layout(files, self._json(index, "index.json"))

    def _bytes(self, files: Files, path: str, *, missing_ok: bool = False) -> bytes | None:
        try:
            with files.open(path) as stream:
                content = stream.read(self._limits.json_bytes + 1)
        except KeyError:
            if missing_ok:
                return None
            raise self._refuse("a part is missing", part=path) from None
        if len(content) > self._limits.json_bytes:
            raise self._refuse("a description is too long", part=path, expected=f"at most {self._limits.json_bytes} bytes")
        return content

    def _json(self, content: bytes, part: str) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._refuse(f"it is no JSON ({error})", part=part) from error

    def _docker_save(self, files: Files, manifest: Any) -> Image:
        if not isinstance(manifest, list) or len(manifest) != 1 or not isinstance(manifest[0], dict):
            count = len(manifest) if isinstance(manifest, list) else 0
            raise self._refuse(f"the save holds {count} images", part="manifest.json", expected="one: docker save ONE-NAME")
        config_path, layers = manifest[0].get("Config"), manifest[0].get("Layers")
        if not isinstance(config_path, str) or not isinstance(layers, list) or not all(isinstance(one, str) for one in layers):
            raise self._refuse("it names no config and layers", part="manifest.json")
        config = self._bytes(files, config_path) or b""
        stated = config_path.rpartition("/")[2].removesuffix(".json")
        if len(stated) == 64 and digest_of(config) != f"sha256:{stated}":
            raise self._refuse("its digest is wrong", part=config_path)
        digests = [f"sha256:{path.rpartition('/')[2]}" if path.startswith("blobs/sha256/") else None for path in layers]
        return self._image(files, config, list(zip(layers, digests, strict=True)))

    def _oci_layout(self, files: Files, index: Any) -> Image:
        for _ in range(3):
            descriptor = self._choose(index)
            content = self._blob(files, descriptor)
            value = self._json(content, str(descriptor["digest"]))
            if descriptor.get("mediaType") in _MANIFESTS:
                break
            index = value
        else:
            raise self._refuse("indexes are nested too deeply", part="index.json")
        config, layers = (value.get("config"), value.get("layers")) if isinstance(value, dict) else (None, None)
        if not isinstance(config, dict) or not isinstance(layers, list) or not all(isinstance(one, dict) for one in layers):
            raise self._refuse("it names no config and layers", part=str(descriptor["digest"]))
        for layer in layers:
            if layer.get("mediaType") not in _LAYERS:
                raise self._refuse(f"layers of the type {layer.get('mediaType')!r} are not supported", expected=" or ".join(_LAYERS[:2]))
        named = [(f"blobs/sha256/{hex_of(layer.get('digest'), self._name)}", str(layer["digest"])) for layer in layers]
        return self._image(files, self._blob(files, config), named)

    def _choose(self, index: Any) -> Mapping[str, Any]:
        """The one image of an index that our volunteers can run."""
        found = index.get("manifests") if isinstance(index, dict) else None
        wanted = []
        for one in found if isinstance(found, list) else []:
            platform = one.get("platform") if isinstance(one, dict) else None
            if not isinstance(one, dict) or one.get("mediaType") not in (*_INDEXES, *_MANIFESTS):
                continue
            if not isinstance(platform, dict) or (platform.get("architecture"), platform.get("os")) == (ARCHITECTURE, SYSTEM):
                wanted.append(one)
        if len(wanted) != 1:
            raise self._refuse(f"it holds {len(wanted)} images for {SYSTEM}/{ARCHITECTURE}", part="index.json", expected="one")
        return wanted[0]

    def _blob(self, files: Files, descriptor: Mapping[str, Any]) -> bytes:
        path = f"blobs/sha256/{hex_of(descriptor.get('digest'), self._name)}"
        content = self._bytes(files, path) or b""
        if digest_of(content) != descriptor["digest"]:
            raise self._refuse("its digest is wrong", part=path)
        return content

    def _image(self, files: Files, config: bytes, layers: Sequence[tuple[str, str | None]]) -> Image:
        settings = self._json(config, "config")
        if not isinstance(settings, dict):
            raise self._refuse("it is no description of an image", part="config")
        platform = (settings.get("os"), settings.get("architecture"))
        if platform != (SYSTEM, ARCHITECTURE):
            raise self._refuse(f"it is for {platform[0]}/{platform[1]}", expected=f"{SYSTEM}/{ARCHITECTURE}")
        rootfs = settings.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or not diff_ids or len(diff_ids) != len(layers):
            known = len(diff_ids) if isinstance(diff_ids, list) else 0
            raise self._refuse(f"it has {len(layers)} layers, its config knows {known}", expected="the same, and at least one")
        if len(layers) > self._limits.layers:
            raise self._refuse(f"it has {len(layers)} layers", expected=f"at most {self._limits.layers}: squash it")
        room = self._limits.image_bytes
        found: list[Layer] = []
        for number, ((path, digest), diff_id) in enumerate(zip(layers, diff_ids, strict=True), start=1):
            self._progress(number, len(layers))
            hex_of(diff_id, self._name)
            layer = self._layer(files, path, digest, str(diff_id), room)
            room -= layer.unpacked
            found.append(layer)
        return Image(self._name, config, found)

    def _layer(self, files: Files, path: str, digest: str | None, diff_id: str, room: int) -> Layer:
        try:
            with files.open(path) as stream:
                layer, raw_digest, _files = take_in(stream, self._store, image=self._name, part=path, room=room, limits=self._limits)
        except KeyError:
            raise self._refuse("a layer is missing", part=path) from None
        if digest is not None and digest != raw_digest:
            raise self._refuse("its digest is wrong", part=path, expected=digest)
        if layer.diff_id != diff_id:
            raise self._refuse("a layer is not the one that the config names", part=path, expected=diff_id)
        return layer
