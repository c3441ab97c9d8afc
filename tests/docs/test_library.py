"""docs/library.md and docs/semantics.md name scenarios and tests that exist, and leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = {
    "wire": ROOT / "images/server/tests/wire",
    "state": ROOT / "images/server/tests/state",
    "conformance": ROOT / "tests/conformance",
    "tests": ROOT / "tests",
}
#: tests/old of BOINC's repository: what is a test there
UPSTREAM = (
    "1sec.php 1sec.py abort.php abort.py api.php backend.php concat.php concat.py download_backoff.php exit.py limit.php loop.php "
    "masterurl_failure.php masterurl_failure.py mdownload_backoff.php pers.php prefs.php rsc.php rsc.py sanity.php sanity.py "
    "sched_failure.php sched_moved.py signal.py sticky.php suite.php time.php uc.php uc.py uc_slow.php uc_win.php upload_backoff.php "
    "upload_resume.php water.php"
)


def named(document: str) -> list[str]:
    """What the tables' cells name as `folder/file.py::test` or `folder/file.ext`."""
    return re.findall(r"`(\w+/[\w/.]+(?:::\w+)?)`", (ROOT / "docs" / document).read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", ["library.md", "semantics.md"])
def test_what_is_named_exists(document: str) -> None:
    names = [name for name in named(document) if not name.startswith("tests/old") and not name.endswith("/")]
    assert len(names) > 40
    for name in names:
        path, _, test = name.partition("::")
        place, _, rest = path.partition("/")
        file = PLACES[place] / rest if place in PLACES else ROOT / "scenarios" / path
        assert file.is_file(), name
        if test:
            assert re.search(rf"^(async )?def {test}\(", file.read_text(encoding="utf-8"), re.MULTILINE), name


def test_every_old_test_of_upstream_has_a_row() -> None:
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    for name in UPSTREAM.split():
        assert f"`test_{name}`" in text, name


def test_every_semantics_is_shown() -> None:
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 40
    for row in rows:
        assert "::test_" in row, row
