"""What pytest hands to the pages."""

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.report.plugin import EVIDENCE_PROPERTY, scenarios_of, write_report
from tests.report.fabricated import evidence


def report(nodeid: str, *, when: str = "call", failed: bool = False, folder: str | None = "/e", longrepr: object = "why") -> Any:
    properties = [] if folder is None else [(EVIDENCE_PROPERTY, folder)]
    return SimpleNamespace(
        nodeid=nodeid,
        when=when,
        failed=failed,
        duration=1.5,
        user_properties=properties,
        longrepr=longrepr,
        longreprtext=str(longrepr),
        start=5.0,
    )


def test_only_scenarios_are_listed_and_each_once() -> None:
    stats = {
        "failed": [report("a", failed=True)],
        "error": [report("a", when="teardown", failed=True), report("b", when="setup", failed=True)],
        "passed": [report("b"), report("c"), report("unit", folder=None)],
        "skipped": [report("d", longrepr=("file", 3, "Skipped: no VM"))],
        "xfailed": [report("e")],
        "deselected": [object()],
    }
    found = {ran.nodeid: (ran.outcome, ran.why) for ran in scenarios_of(stats)}
    assert found == {
        "a": ("failed", "why"),
        "b": ("failed", "why"),
        "c": ("passed", ""),
        "d": ("skipped", "Skipped: no VM"),
        "e": ("xfailed", ""),
    }


@pytest.mark.parametrize("failed", [True, False])
def test_a_failure_leaves_a_page_and_an_archive(failed: bool, tmp_path: Path) -> None:
    folder = tmp_path / "story"
    evidence(folder)
    item = SimpleNamespace(
        name="test_a_story", nodeid="scenarios/x.py::test_a_story", user_properties=[("server", "s:1"), (EVIDENCE_PROPERTY, "e")]
    )
    write_report(cast(pytest.Item, item), [report("x", failed=failed)], folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "test a story" in page
    assert "./run scenarios/x.py::test_a_story" in page
    archive = tmp_path / "story.zip"
    assert archive.exists() == failed
    if failed:
        assert {"report.html", "history.jsonl", "facts.json"} <= set(zipfile.ZipFile(archive).namelist())
