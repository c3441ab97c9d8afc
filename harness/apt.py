"""This machine's apt settings, read so that no mirror has to be named anywhere in the project.

A Debian (or derived) machine already says where it gets packages from: `/etc/apt/sources.list` (one-line style) and
`/etc/apt/sources.list.d/*.{list,sources}` (one-line and deb822 style, see sources.list(5)). From the entry that serves the
machine's own suite this module derives entries for other Debian suites: trixie's Docker engine on bookworm, and the sources with
which base images are bootstrapped and built.

Standard library only: `./run` uses it before the Python environment exists.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

#: suites that are served by the main archive, oldest first; an entry for one of them has a sibling for each other
SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")
_ALIASES = {"oldoldstable": "bullseye", "oldstable": "bookworm", "stable": "trixie", "testing": "forky", "unstable": "sid"}


@dataclass(frozen=True)
class Entry:
    """One apt source: URIs x suites x components, with deb822 field names for everything else."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = ("deb",)

    def deb822(self) -> str:
        """The entry as a deb822 stanza."""
        lines = [f"Types: {' '.join(self.types)}", f"URIs: {' '.join(self.uris)}", f"Suites: {' '.join(self.suites)}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        for name, value in self.options.items():
            first, *rest = value.split("\n")
            lines.append(f"{name}: {first}" if first else f"{name}:")
            lines.extend(f" {line.strip() or '.'}" for line in rest)
        return "\n".join(lines) + "\n"


def read_entries(root: Path = Path("/etc/apt")) -> list[Entry]:
    """All enabled entries of an apt configuration directory, in the order apt reads the files."""
    found: list[Entry] = []
    main = root / "sources.list"
    if main.is_file():
        found.extend(parse_one_line(main.read_text(encoding="utf-8", errors="replace")))
    parts = root / "sources.list.d"
    if parts.is_dir():
        for path in sorted(parts.iterdir()):
            if path.name == OWN_SOURCES.name or path.suffix not in (".list", ".sources"):
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            found.extend(parse_one_line(text) if path.suffix == ".list" else parse_deb822(text))
    return found


def parse_one_line(text: str) -> Iterator[Entry]:
    """Entries of the one-line style: `deb [option=value ...] URI SUITE COMPONENT...`; lines that are none are passed over."""
    names = {"signed-by": "Signed-By", "trusted": "Trusted", "arch": "Architectures", "check-valid-until": "Check-Valid-Until"}
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        match = re.fullmatch(r"deb(?:\s+\[(?P<options>[^]]*)\])?\s+(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)", line)
        if match is None:
            continue
        options: dict[str, str] = {}
        for word in (match["options"] or "").split():
            key, _, value = word.partition("=")
            if key.lower() in names:
                options[names[key.lower()]] = value.replace(",", " ")
        yield Entry((match["uri"],), (match["suite"],), tuple(match["components"].split()), options)


def parse_deb822(text: str) -> Iterator[Entry]:
    """Entries of the deb822 style; stanzas that are disabled, source-only or incomplete are passed over."""
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields: dict[str, str] = {}
        last = ""
        for line in block.split("\n"):
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t" and last:
                fields[last] += "\n" + line.strip()
                continue
            name, colon, value = line.partition(":")
            if colon:
                last = name.strip().lower()
                fields[last] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "disable"):
            continue
        types = fields.get("types", "").split()
        if "deb" not in types or not fields.get("uris") or not fields.get("suites"):
            continue
        options: dict[str, str] = {}
        for name in ("Signed-By", "Trusted", "Architectures", "Check-Valid-Until"):
            if fields.get(name.lower()):
                options[name] = fields[name.lower()]
        yield Entry(tuple(fields["uris"].split()), tuple(fields["suites"].split()), tuple(fields.get("components", "").split()), options)


def archive_entry(entries: Iterable[Entry]) -> Entry | None:
    """The entry that serves a Debian suite's main component (not security, updates or backports), or None."""
    for entry in entries:
        suites = [s for s in entry.suites if _codename(s) in SUITES]
        if suites and "main" in entry.components:
            return replace(entry, suites=tuple(suites))
    return None


def for_suite(suite: str, entries: Sequence[Entry] | None = None, *, components: Sequence[str] = ("main", "contrib")) -> list[Entry] | None:
    """Entries with which this machine's mirror serves another Debian suite, or None if the machine names no Debian mirror.

    Updates and security come along for the suites that have them and where the machine's own settings have them. A lagging
    mirror's Release file of sid (which is made anew four times a day and expires in a week) may be past its Valid-Until: its
    date is not checked for sid, and for sid only.
    """
    known = read_entries() if entries is None else list(entries)
    main = archive_entry(known)
    if main is None:
        return None
    own = _codename(main.suites[0])
    options = {name: value for name, value in main.options.items() if name != "Check-Valid-Until"}
    if suite == "sid":
        options["Check-Valid-Until"] = "no"
    found = [Entry(main.uris, (suite,), tuple(components), options)]
    if suite in ("sid", "forky"):
        return found
    for ending in ("-updates", "-security"):
        sibling = next((e for e in known if any(_codename(s.removesuffix(ending)) == own for s in e.suites if s.endswith(ending))), None)
        if sibling is not None:
            found.append(replace(sibling, suites=(suite + ending,), components=tuple(components), options=dict(sibling.options)))
    return found


def knows_suite(suite: str, entries: Iterable[Entry]) -> bool:
    """Whether some entry already serves a suite."""
    return any(_codename(name) == suite for entry in entries for name in entry.suites)


def _codename(suite: str) -> str:
    return _ALIASES.get(suite, suite)


# ---------------------------------------------------------------------------------------------------------------------------------
# Docker's engine from trixie on an older Debian: two files of our own, nothing else of apt's settings is touched

OWN_SOURCES = Path("/etc/apt/sources.list.d/boinc-harness.sources")
OWN_PINS = Path("/etc/apt/preferences.d/boinc-harness")
ENGINE_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose")


def engine_files(entries: Sequence[Entry]) -> dict[Path, str] | None:
    """The files that let apt take trixie's Docker packages, and nothing else from trixie; None without a Debian mirror.

    Where the machine knows trixie already, its own entry and its own priority for trixie stay as they are.
    """
    pins = (
        "# Written by boinc-harness (./run): Docker's engine, client, buildx and compose come from trixie.\n"
        f"Package: {' '.join(ENGINE_PACKAGES)}\nPin: release n=trixie\nPin-Priority: 600\n"
    )
    if knows_suite("trixie", entries):
        return {OWN_PINS: pins}
    derived = for_suite("trixie", entries, components=("main",))
    if derived is None:
        return None
    sources = "# Written by boinc-harness (./run): trixie, for Docker's packages only (see preferences.d/boinc-harness).\n"
    sources += derived[0].deb822()
    everything_else = "\nPackage: *\nPin: release n=trixie\nPin-Priority: 100\n"
    return {OWN_SOURCES: sources, OWN_PINS: pins + everything_else}


def main(arguments: Sequence[str]) -> int:
    """`python -m harness.apt pin-engine`: write the two files. Exit code 1 where no Debian mirror is configured."""
    if list(arguments) != ["pin-engine"]:
        print("usage: python -m harness.apt pin-engine", file=sys.stderr)
        return 64
    files = engine_files(read_entries())
    if files is None:
        print("apt's settings on this machine name no Debian mirror (no entry with a Debian suite and 'main')", file=sys.stderr)
        return 1
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"  wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
