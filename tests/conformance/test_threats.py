"""docs/threats.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {"wire": ROOT / "images/server/tests/wire", "conformance": ROOT / "tests/conformance"}


def test_every_threat_names_its_test() -> None:
    text = (ROOT / "docs/threats.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Threat")]
    assert len(rows) > 50
    for row in rows:
        cell = row.rstrip(" |").rpartition("| ")[2]
        named = re.findall(r"`((?:\w+/\w+\.py)?)::(\w+)`", cell)
        assert named, f"no test: {row}"
        file = ""
        for path, test in named:
            file = path or file
            place, _, name = file.partition("/")
            assert f"\ndef {test}(" in (PLACES[place] / name).read_text(), f"{file}::{test}"
