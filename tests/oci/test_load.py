"""Reading images from files: all layouts give the same blobs, and hostile ones are refused with what is wrong."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.oci import ImageRefused, Limits, Store, load
from harness.oci.layers import leads_out

from .build import Entry, as_tar, config, digest, layer, oci_layout, old_save

PLAIN = layer(
    [Entry("bin/", kind=tarfile.DIRTYPE, mode=0o755), Entry("bin/x", b"program"), Entry("link", kind=tarfile.SYMTYPE, link="/bin/x")]
)
SECOND = layer([Entry("etc/y", b"settings")])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_every_layout_gives_the_same_image(tmp_path: Path, store: Store) -> None:
    packed = oci_layout(tmp_path / "packed", [PLAIN, SECOND])
    sources = [
        packed,
        oci_layout(tmp_path / "plain", [PLAIN, SECOND], compress=False),
        as_tar(packed, tmp_path / "layout.tar"),
        old_save(tmp_path / "old.tar", [PLAIN, SECOND]),
    ]

    images = [load(str(source), store) for source in sources]

    assert {image.manifest_digest for image in images} == {images[0].manifest_digest}
    assert [one.diff_id for one in images[0].layers] == [digest(PLAIN), digest(SECOND)]
    for one in images[0].layers:
        assert digest(one.path.read_bytes()) == one.digest
    assert len(list((store.folder / "blobs").iterdir())) == 2, "nothing but the two layers is left in the store"


def refusal(source: Path, store: Store, limits: Limits | None = None) -> str:
    with pytest.raises(ImageRefused) as caught:
        load(str(source), store, limits=limits)
    assert not list((store.folder / "blobs").glob(".part-*"))
    return caught.value.why


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([Entry("../etc/passwd", b"x")], "leads out"),
        ([Entry("a/../../x", b"x")], "leads out"),
        ([Entry("/etc/passwd", b"x")], "is absolute"),
        ([Entry("x", kind=tarfile.LNKTYPE, link="/etc/passwd")], "is absolute"),
        ([Entry("x", kind=tarfile.LNKTYPE, link="../../etc/passwd")], "leads out"),
        ([Entry("out", kind=tarfile.SYMTYPE, link="/etc"), Entry("out/passwd", b"x")], "goes through the link 'out'"),
        ([Entry("a/out", kind=tarfile.SYMTYPE, link="../../etc"), Entry("a/out/passwd", b"x")], "goes through the link 'a/out'"),
        ([Entry("x", kind=b"V")], "unknown kind"),
        ([Entry("x" * 300, b"")], "too long"),
    ],
)
def test_layers_that_lead_out_are_refused(tmp_path: Path, store: Store, entries: list[Entry], why: str) -> None:
    assert why in refusal(oci_layout(tmp_path / "x", [layer(entries)]), store)


def test_links_that_real_images_have_are_fine(tmp_path: Path, store: Store) -> None:
    entries = [
        Entry("lib", kind=tarfile.SYMTYPE, link="usr/lib"),
        Entry("lib/x", b"through a link that stays inside"),
        Entry("dev/null", kind=tarfile.CHRTYPE),
        Entry("usr/bin/awk", kind=tarfile.SYMTYPE, link="/etc/alternatives/awk"),
        Entry("hard", kind=tarfile.LNKTYPE, link="lib/x"),
        Entry("n" * 120 + "/" + "ä" * 100, b"long"),
    ]
    assert load(str(oci_layout(tmp_path / "x", [layer(entries)])), store).unpacked > 0


def test_wrong_digests(tmp_path: Path, store: Store) -> None:
    folder = oci_layout(tmp_path / "layer", [PLAIN])
    blob = folder / "blobs" / "sha256" / digest(gzip.compress(PLAIN, mtime=0)).partition(":")[2]
    blob.write_bytes(gzip.compress(SECOND, mtime=0))
    assert "digest is wrong" in refusal(folder, store)

    folder = oci_layout(tmp_path / "config", [PLAIN], conf=config([SECOND]))
    assert "not the one that the config names" in refusal(folder, store)

    folder = oci_layout(tmp_path / "manifest", [PLAIN])
    index = json.loads((folder / "index.json").read_text())
    (folder / "blobs" / "sha256" / index["manifests"][0]["digest"].partition(":")[2]).write_text("{}")
    assert "digest is wrong" in refusal(folder, store)

    index["manifests"][0]["digest"] = "sha256:../../../../etc/passwd"
    (folder / "index.json").write_text(json.dumps(index))
    assert "is no digest" in refusal(folder, store)


def test_missing_parts(tmp_path: Path, store: Store) -> None:
    folder = oci_layout(tmp_path / "x", [PLAIN])
    (folder / "blobs" / "sha256" / digest(gzip.compress(PLAIN, mtime=0)).partition(":")[2]).unlink()
    assert refusal(folder, store) == "a layer is missing"
    (tmp_path / "empty").mkdir()
    assert "neither manifest.json nor index.json" in refusal(tmp_path / "empty", store)
    (tmp_path / "text").write_text("no tar at all, whatever one does")
    assert "it is no tar" in refusal(tmp_path / "text", store)


def test_what_volunteers_cannot_run(tmp_path: Path, store: Store) -> None:
    assert "linux/arm64" in refusal(oci_layout(tmp_path / "arm", [PLAIN], conf=config([PLAIN], architecture="arm64")), store)
    assert "200 layers" in refusal(oci_layout(tmp_path / "many", [PLAIN] * 200), store)
    assert "not supported" in refusal(
        oci_layout(tmp_path / "type", [PLAIN], media_type="application/vnd.oci.image.layer.v1.tar+zstd"), store
    )
    assert "0 layers" in refusal(oci_layout(tmp_path / "none", []), store)
    zstd = b"\x28\xb5\x2f\xfd" + bytes(100)
    assert "compression" in refusal(oci_layout(tmp_path / "zstd", [zstd], compress=False), store)


def test_bombs(tmp_path: Path, store: Store) -> None:
    small = Limits(image_bytes=1 << 20)
    assert "too large" in refusal(oci_layout(tmp_path / "big", [layer([Entry("x", bytes(2 << 20))])]), store, small)
    padded = layer([Entry("x")]) + bytes(2 << 20)
    assert "unpacks to too much" in refusal(oci_layout(tmp_path / "padded", [padded]), store, small)
    bomb = layer([Entry("x", bytes(80 << 20))])
    assert "bomb" in refusal(oci_layout(tmp_path / "bomb", [bomb]), store)
    sparse = layer([Entry("x", b"", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)})])
    with pytest.raises(ImageRefused):
        load(str(oci_layout(tmp_path / "sparse", [sparse])), store)
    holes = layer([Entry("x", b"1\n0\n1\n".ljust(512, b"\0") + b"d", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})])
    assert "with holes" in refusal(oci_layout(tmp_path / "holes", [holes]), store)
    cut = gzip.compress(PLAIN, mtime=0)[:-20]
    folder = old_save(tmp_path / "cut.tar", [cut])
    assert "cut off" in refusal(folder, store)


@given(content=st.binary(max_size=3000))
@settings(max_examples=150, deadline=None)
def test_no_garbage_gets_further_than_a_refusal(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    with pytest.raises(HarnessError):
        load(str(old_save(folder / "x.tar", [b"\x1f\x8b\x08" + content])), Store(folder / "store"))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["manifests", "config", "layers", "digest", "mediaType", "platform", "Config", "Layers"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_description_gets_further_than_a_refusal(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    for name in ("index.json", "manifest.json"):
        (folder / name).write_text(json.dumps(value))
        with pytest.raises(ImageRefused):
            load(str(folder), Store(folder / "store"))


@given(parts=st.lists(st.sampled_from(["a", "b", "..", "."]), min_size=1, max_size=6), depth=st.integers(0, 3))
def test_links_lead_out_when_they_climb_above_the_root(parts: list[str], depth: int) -> None:
    level, out = depth, False
    for part in parts:
        level += {"..": -1, ".": 0}.get(part, 1)
        out = out or level < 0
    # a link that climbs out and in again by other names leads out, too, unless it ends inside lexically
    name = "/".join(["d"] * depth + ["link"])
    assert leads_out(name, "/".join(parts)) == (level < 0 or (out and level >= 0 and _ends_outside(depth, parts)))


def _ends_outside(depth: int, parts: list[str]) -> bool:
    stack: list[str] = ["d"] * depth
    above = 0
    for part in parts:
        if part == "..":
            if stack:
                stack.pop()
            else:
                above += 1
        elif part != ".":
            stack.append(part)
    return above > 0
