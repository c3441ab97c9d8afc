"""The tables of options and faults are complete."""

import inspect
import os
import re
from pathlib import Path

from harness.faults import Faults
from tests.docs import options

ROOT = Path(__file__).parents[2]
#: what is no fault of Faults
OTHERS = {"active", "add", "heal", "close", "close_http"}
SOURCES = [*(ROOT / "harness").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py"), ROOT / "run"]


def test_the_options_are_those_of_the_commands() -> None:
    assert options.FILE.read_text(encoding="utf-8") == options.text(), "write it anew: .venv/bin/python -m tests.docs.options"


def test_every_option_of_pytest_says_what_it_does() -> None:
    assert all(words for _, _, words in options.pytest_options())
    assert len(options.pytest_options()) >= 10


def test_every_variable_that_is_read_is_told() -> None:
    read = {name for file in SOURCES for name in re.findall(r"BOINC_HARNESS_[A-Z_]*[A-Z]", file.read_text(encoding="utf-8"))}
    read |= set(re.findall(r"BOINC_HARNESS_[A-Z_]*[A-Z]", (ROOT / "compose.test.yml").read_text(encoding="utf-8")))
    unknown = {name for name in read if not name.startswith("BOINC_HARNESS_IMAGE")} - set(options.VARIABLES) - options.OWN_VARIABLES
    assert unknown == set()
    assert set(options.VARIABLES) - {"DOCKER_HOST"} <= read
    assert os.fspath(options.FILE).endswith("options.md")


def test_every_fault_is_in_the_table() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)\(", text, re.MULTILINE))
    public = {name for name, _ in inspect.getmembers(Faults, callable) if not name.startswith("_")} - OTHERS
    assert rows == public
    for name in inspect.signature(Faults.http).parameters:
        assert name in ("self", "endpoint", "path") or f"`{name}" in text, f"faults.http({name}=...)"
