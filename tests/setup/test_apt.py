"""Reading apt's settings, and deriving other suites' sources from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import apt

MIRROR = "http://mirror.example/debian"
ONE_LINE = f"""
# a comment, and a source package entry
deb-src {MIRROR} bookworm main
deb [signed-by=/usr/share/keyrings/some.gpg arch=amd64,i386] {MIRROR} bookworm main contrib # why
deb {MIRROR} bookworm-updates main
deb http://security.example/debian-security bookworm-security main
deb http://other.example/apt stable-of-theirs main
"""
DEB822 = f"""\
# who wrote it
Types: deb deb-src
URIs: {MIRROR}
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""


def _write(root: Path, **files: str) -> Path:
    (root / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        path = root / "sources.list" if name == "main" else root / "sources.list.d" / name.replace("_", ".")
        path.write_text(text, encoding="utf-8")
    return root


def test_one_line_entries_are_read_with_their_options() -> None:
    entries = list(apt.parse_one_line(ONE_LINE))
    assert [e.suites for e in entries] == [("bookworm",), ("bookworm-updates",), ("bookworm-security",), ("stable-of-theirs",)]
    assert entries[0].components == ("main", "contrib")
    assert entries[0].options == {"Signed-By": "/usr/share/keyrings/some.gpg", "Architectures": "amd64 i386"}


def test_deb822_stanzas_are_read_and_disabled_ones_are_not() -> None:
    entries = list(apt.parse_deb822(DEB822))
    assert [e.suites for e in entries] == [("bookworm", "bookworm-updates"), ("bookworm-security",)]
    assert "abc" in entries[1].options["Signed-By"]


@pytest.mark.parametrize("files", [{"main": ONE_LINE}, {"debian_sources": DEB822}, {"a_list": ONE_LINE, "b_sources": DEB822}])
def test_another_suite_comes_from_the_same_mirror(tmp_path: Path, files: dict[str, str]) -> None:
    entries = apt.read_entries(_write(tmp_path / "apt", **files))
    found = apt.for_suite("trixie", entries)
    assert found is not None
    assert [(e.uris, e.suites) for e in found] == [
        ((MIRROR,), ("trixie",)),
        ((MIRROR,), ("trixie-updates",)),
        (("http://security.example/debian-security",), ("trixie-security",)),
    ]


def test_the_date_of_the_release_file_is_ignored_for_sid_only() -> None:
    entries = list(apt.parse_one_line(ONE_LINE))
    sid, trixie = apt.for_suite("sid", entries), apt.for_suite("trixie", entries)
    assert sid is not None
    assert trixie is not None
    assert [e.options.get("Check-Valid-Until") for e in sid] == ["no"]
    assert all("Check-Valid-Until" not in e.options for e in trixie)


def test_a_machine_without_a_debian_mirror_has_no_sources_to_derive() -> None:
    others = list(apt.parse_one_line("deb http://archive.example/ubuntu noble main universe"))
    assert apt.for_suite("trixie", others) is None
    assert apt.engine_files(others) is None


def test_aliases_of_suites_count(tmp_path: Path) -> None:
    found = apt.for_suite("sid", list(apt.parse_one_line(f"deb {MIRROR} oldstable main")))
    assert found is not None
    assert found[0].uris == (MIRROR,)


def test_only_dockers_packages_are_taken_from_trixie() -> None:
    files = apt.engine_files(list(apt.parse_one_line(ONE_LINE)))
    assert files is not None
    assert set(files) == {apt.OWN_SOURCES, apt.OWN_PINS}
    stanzas = files[apt.OWN_PINS].split("\n\n")
    assert "Package: docker.io docker-cli docker-buildx docker-compose\n" in stanzas[0]
    assert "Pin-Priority: 600" in stanzas[0]
    assert stanzas[1].splitlines() == ["Package: *", "Pin: release n=trixie", "Pin-Priority: 100"]
    assert f"URIs: {MIRROR}\n" in files[apt.OWN_SOURCES]


def test_an_admins_own_trixie_entry_and_its_priority_stay_as_they_are() -> None:
    files = apt.engine_files(list(apt.parse_one_line(ONE_LINE + f"deb {MIRROR} trixie main\n")))
    assert files is not None
    assert set(files) == {apt.OWN_PINS}
    assert "Package: *" not in files[apt.OWN_PINS]


def test_our_own_file_is_not_taken_for_the_admins(tmp_path: Path) -> None:
    root = _write(tmp_path / "apt", main=ONE_LINE)
    files = apt.engine_files(apt.read_entries(root))
    assert files is not None
    (root / "sources.list.d" / apt.OWN_SOURCES.name).write_text(files[apt.OWN_SOURCES], encoding="utf-8")
    assert apt.engine_files(apt.read_entries(root)) == files


_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-./", min_size=1, max_size=12)


@given(
    st.builds(
        apt.Entry,
        uris=st.lists(_WORD.map("http://m.example/".__add__), min_size=1, max_size=2).map(tuple),
        suites=st.lists(_WORD, min_size=1, max_size=3).map(tuple),
        components=st.lists(_WORD, min_size=1, max_size=3).map(tuple),
        options=st.fixed_dictionaries(
            {}, optional={"Trusted": st.just("yes"), "Signed-By": st.sampled_from(["/a/b.gpg", "\n-----BEGIN\n.\nabc"])}
        ),
    )
)
def test_what_is_written_is_read_back(entry: apt.Entry) -> None:
    assert list(apt.parse_deb822(entry.deb822())) == [entry]


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers(text: str) -> None:
    for entry in (*apt.parse_deb822(text), *apt.parse_one_line(text)):
        assert entry.uris
        assert entry.suites
