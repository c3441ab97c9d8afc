"""Squashed layers show the same files as those they were made of."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.oci import Image, SquashRefused, Store, load, squash

from .build import Entry, layer, oci_layout


def rootfs(image: Image) -> dict[str, object]:
    """What an engine makes of the layers: path -> what it is. Simple-minded on purpose."""
    files: dict[str, object] = {}

    def drop_below(folder: str, keep: set[str]) -> None:
        for name in [name for name in files if name.startswith(f"{folder}/" if folder else "") and name != folder and name not in keep]:
            del files[name]

    for one in image.layers:
        with gzip.open(one.path) as packed, tarfile.open(fileobj=packed) as archive:
            added: set[str] = set()
            members = archive.getmembers()
            for member in members:
                folder, _, last = member.name.rpartition("/")
                if last == ".wh..wh..opq":
                    drop_below(folder, set())
                elif last.startswith(".wh."):
                    gone = f"{folder}/{last[4:]}".lstrip("/")
                    files.pop(gone, None)
                    drop_below(gone, set())
            for member in members:
                if member.name.rpartition("/")[2].startswith(".wh."):
                    continue
                if not member.isdir():
                    drop_below(member.name, added)
                if member.islnk():
                    files[member.name] = files[member.linkname]
                else:
                    source = archive.extractfile(member) if member.isreg() else None
                    files[member.name] = (member.type, member.mode, member.uid, member.linkname, source.read() if source else b"")
                added.add(member.name)
    return files


NAMES = ("a", "b", "d", "d/x", "d/y", "d/e", "d/e/z")


@st.composite
def layers(draw: Any) -> list[list[Entry]]:
    """Layers as an engine writes them: what is removed was there, parents come first, links point into the same layer."""
    files: dict[str, bool] = {}  # name -> is a folder
    found: list[list[Entry]] = []
    for _ in range(draw(st.integers(2, 5))):
        entries: list[Entry] = []
        gone = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
        for name in gone:
            if name in files and not any(name.startswith(f"{other}/") for other in gone):
                folder, _, last = name.rpartition("/")
                entries.append(Entry(f"{folder}/.wh.{last}".lstrip("/")))
                for below in [below for below in files if below == name or below.startswith(f"{name}/")]:
                    del files[below]
        removed = {entry.name for entry in entries}
        regular: list[str] = []
        for name in sorted(draw(st.sets(st.sampled_from(NAMES), max_size=5))):
            folder, _, last = name.rpartition("/")
            if folder and not files.get(folder):
                continue  # no parent to be in
            if f"{folder}/.wh.{last}".lstrip("/") in removed:
                continue  # an engine writes an opaque folder for this, see below
            if name in ("d", "d/e"):
                entries.append(Entry(name, kind=tarfile.DIRTYPE, mode=draw(st.sampled_from([0o755, 0o700]))))
                opaque: bool = draw(st.booleans())
                if opaque and files.get(name):
                    entries.append(Entry(f"{name}/.wh..wh..opq"))
                    for below in [below for below in files if below.startswith(f"{name}/")]:
                        del files[below]
                files[name] = True
            elif regular and draw(st.integers(0, 1)):
                entries.append(Entry(name, kind=tarfile.LNKTYPE, link=draw(st.sampled_from(regular))))
                files[name] = False
            else:
                entries.append(Entry(name, draw(st.binary(max_size=3)), uid=draw(st.sampled_from([0, 1000]))))
                regular.append(name)
                files[name] = False
        found.append(entries)
    return found


@given(parts=layers(), kept=st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_the_same_files(tmp_path_factory: pytest.TempPathFactory, parts: list[list[Entry]], kept: int) -> None:
    folder = tmp_path_factory.mktemp("squash")
    store = Store(folder / "store")
    tars = [layer([*entries, Entry(f"mark{number}")]) for number, entries in enumerate(parts)]
    kept = min(kept, len(tars) - 1)
    image = load(str(oci_layout(folder / "image", tars)), store)
    base = load(str(oci_layout(folder / "base", tars[:kept])), store)

    squashed, savings = squash(image, base, store)

    assert rootfs(squashed) == rootfs(image)
    assert squashed.layers[:kept] == image.layers[:kept]
    assert len(squashed.layers) == savings.layers_after == kept + 1
    assert squashed.settings["rootfs"]["diff_ids"] == [one.diff_id for one in squashed.layers]


def make(tmp_path: Path, name: str, parts: list[list[Entry]]) -> Image:
    return load(str(oci_layout(tmp_path / name, [layer(entries) for entries in parts])), Store(tmp_path / "store"))


def test_what_is_not_above_the_base_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path, "image", [[Entry("a")], [Entry("b")], [Entry("c")]])
    base = make(tmp_path, "base", [[Entry("a")], [Entry("other")]])
    with pytest.raises(SquashRefused, match="only the lowest 1 layers"):
        squash(image, base, Store(tmp_path / "store"))


def test_a_hard_link_into_the_base_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path, "image", [[Entry("a", b"x")], [Entry("b", kind=tarfile.LNKTYPE, link="a")], [Entry("c")]])
    base = make(tmp_path, "base", [[Entry("a", b"x")]])
    with pytest.raises(SquashRefused, match="hard link"):
        squash(image, base, Store(tmp_path / "store"))


def test_extended_attributes_and_hard_links_stay(tmp_path: Path) -> None:
    capability = {"SCHILY.xattr.user.note": "kept"}
    upper = [[Entry("one", b"same", pax=capability), Entry("two", kind=tarfile.LNKTYPE, link="one")], [Entry("x")]]
    image = make(tmp_path, "image", [[Entry("a")], *upper])
    squashed, _ = squash(image, make(tmp_path, "base", [[Entry("a")]]), Store(tmp_path / "store"))
    with gzip.open(squashed.layers[1].path) as packed, tarfile.open(fileobj=packed) as archive:
        assert archive.getmember("one").pax_headers["SCHILY.xattr.user.note"] == "kept"
        assert archive.getmember("two").islnk()


def test_nothing_to_squash(tmp_path: Path) -> None:
    image = make(tmp_path, "image", [[Entry("a")], [Entry("b")]])
    squashed, savings = squash(image, make(tmp_path, "base", [[Entry("a")]]), Store(tmp_path / "store"))
    assert squashed is image
    assert "2 layers became 2" in str(savings)
