"""Content keys, build contexts, and what is built when."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import bases, build, engine, images
from harness.errors import HarnessError, ImageBuildFailed, ImageUnknown


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder with one image `x` on trixie that takes parts of an image `parts` on sid."""
    for name in ("x", "parts"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n", encoding="utf-8")
    specs = (
        images.SPECS["base"],
        images.Spec("x", ("trixie",), uses={"PARTS": "parts"}, without=("other",)),
        images.Spec("parts", ("sid",)),
        images.Spec("gone", ("sid",)),
        images.Spec("many", bases.SUITES, folder="x"),
    )
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "SPECS", {spec.name: spec for spec in specs})
    images._tag.cache_clear()
    yield tmp_path / "images"
    images._tag.cache_clear()


def _tag(name: str, variant: str = "") -> str:
    images._tag.cache_clear()
    return images.tag(name, variant)


def test_a_key_changes_with_every_file_and_mode_and_with_nothing_else(tree: Path) -> None:
    first = _tag("x")
    assert first.startswith("boinc-harness/x:")
    (tree / "x" / "tool").write_text("1", encoding="utf-8")
    second = _tag("x")
    (tree / "x" / "tool").chmod(0o755)
    third = _tag("x")
    assert len({first, second, third}) == 3
    os.utime(tree / "x" / "tool", (1, 1))
    (tree / "x" / "tests").mkdir()
    (tree / "x" / "tests" / "test_it.py").write_text("", encoding="utf-8")
    (tree / "x" / "other").mkdir()
    (tree / "x" / "other" / "file").write_text("of another target", encoding="utf-8")
    (tree / "x" / "__pycache__").mkdir()
    (tree / "x" / "__pycache__" / "m.pyc").write_bytes(b"0")
    assert _tag("x") == third


def test_a_change_below_changes_what_is_built_on_it(tree: Path) -> None:
    x, parts = _tag("x"), _tag("parts")
    (tree / "parts" / "new").write_text("", encoding="utf-8")
    assert _tag("parts") != parts
    assert _tag("x") != x


def test_variants_have_tags_of_their_own(tree: Path) -> None:
    found = {suite: _tag("many", suite) for suite in bases.SUITES}
    assert len(set(found.values())) == len(bases.SUITES)
    assert all(suite in tag for suite, tag in found.items())


@pytest.mark.parametrize(("name", "variant"), [("nothing", ""), ("many", ""), ("many", "jessie"), ("x", "sid")])
def test_an_unknown_image_or_variant_is_named_with_what_there_is(tree: Path, name: str, variant: str) -> None:
    with pytest.raises(ImageUnknown) as caught:
        images.tag(name, variant)
    assert "one of" in caught.value.expected
    assert caught.value.exit_code == 64


def test_an_image_without_a_dockerfile_says_so(tree: Path) -> None:
    with pytest.raises(ImageBuildFailed, match="images/gone/Dockerfile"):
        images.tag("gone")


_FILES = st.dictionaries(st.text("abc/", min_size=1, max_size=4), st.binary(max_size=6), max_size=3)


@given(_FILES, _FILES)
def test_two_contexts_have_one_key_only_if_they_are_equal(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    class Content:
        """As much of a path as a key needs."""

        def __init__(self, data: bytes) -> None:
            self.data = data

        def is_symlink(self) -> bool:
            return False

        def stat(self) -> os.stat_result:
            return os.stat_result((0o100644, *[0] * 9))

        def read_bytes(self) -> bytes:
            return self.data

    def key(files: dict[str, bytes]) -> str:
        return images.content_key(["w"], [(name, Content(data)) for name, data in sorted(files.items())])  # type: ignore[misc]

    assert (key(one) == key(other)) == (one == other)


def test_the_context_that_is_sent_holds_exactly_what_was_hashed(tree: Path) -> None:
    (tree / "x" / "sub").mkdir()
    (tree / "x" / "sub" / "run").write_text("#!/bin/sh\n", encoding="utf-8")
    (tree / "x" / "sub" / "run").chmod(0o700)
    (tree / "x" / "link").symlink_to("sub/run")
    files = images.context_files(images.SPECS["x"])
    packed = build.pack(files)
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        members = {member.name: (member.mode, member.mtime, member.uid) for member in tar if member.isreg()}
        assert tar.getmember("link").linkname == "sub/run"
    assert members == {"Dockerfile": (0o644, 0, 0), "sub/run": (0o755, 0, 0)}
    assert build.pack(files) == packed


def test_what_is_there_is_not_built_again(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "present", lambda: {images.tag("x")})
    monkeypatch.setattr(images, "_make", lambda *_: pytest.fail("it was built"))
    assert images.ensure("x") == images.tag("x")


def test_what_is_missing_is_built_once_and_below_first(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = set()
    made: list[str] = []

    def make(tag: str) -> None:
        made.append(tag)
        there.add(tag)

    monkeypatch.setattr(images, "present", lambda: set(there))
    monkeypatch.setattr(bases, "make", lambda suite, tag: make(tag))
    monkeypatch.setattr(build, "build", lambda tag, files, **_: make(tag))
    images.ensure_all([("x", ""), ("parts", "")])
    assert sorted(made) == sorted([images.tag("base", "trixie"), images.tag("base", "sid"), images.tag("parts"), images.tag("x")])
    assert made.index(images.tag("parts")) < made.index(images.tag("x"))


def test_the_first_failure_ends_the_building_of_several(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(suite: str, tag: str) -> None:
        raise engine.disk_full(f"building {tag}")

    monkeypatch.setattr(images, "present", set)
    monkeypatch.setattr(bases, "make", full)
    with pytest.raises(HarnessError, match="disk is full"):
        images.ensure_all([("x", ""), ("parts", "")])


def test_every_registered_default_image_can_be_built_from_this_tree() -> None:
    assert {name for name, _ in images.default_images()} == {spec.name for spec in images.SPECS.values() if spec.default}


class _FakeEngine:
    """The engine's images: which of them containers use, and which were removed."""

    def __init__(self, used: set[str]) -> None:
        self._used = used
        self.removed: list[str] = []
        self.images = self
        self.containers = self

    def list(self, *, all: bool, filters: dict[str, str]) -> list[str]:  # noqa: A002 - the SDK's name
        return [filters["ancestor"]] if filters["ancestor"] in self._used else []

    def remove(self, name: str) -> None:
        self.removed.append(name)


def test_outdated_images_go_and_current_and_used_ones_stay(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _FakeEngine(used={"boinc-harness/x:used"})
    here = images.current() | {"boinc-harness/x:old", "boinc-harness/x:used"}
    monkeypatch.setattr(images, "present", lambda: here)
    monkeypatch.setattr(engine, "connect", lambda: fake)

    assert images.remove_outdated() == ["boinc-harness/x:old"]
    assert fake.removed == ["boinc-harness/x:old"]
