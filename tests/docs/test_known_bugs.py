"""docs/known-bugs.md and scenarios/regressions say the same."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.scenario.loader import load

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "known-bugs.md"
FOLDER = ROOT / "scenarios" / "regressions"
ISSUES = "https://github.com/BOINC/boinc/issues/"
_ROW = re.compile(r"^\| \[(\d+)\]\((\S+)\) \|(.*)\|(.*)\|(.*)\|$", re.MULTILINE)


def rows() -> Iterator[tuple[int, str, str, str]]:
    """(issue, its address, reproduced with, scenario or reason) of each row."""
    for number, address, _, reproduced, scenario in _ROW.findall(TABLE.read_text(encoding="utf-8")):
        yield int(number), address, reproduced.strip(), scenario.strip()


def named(scenario: str) -> list[str]:
    """The scenarios that a cell names, as links from docs/ and, for Python, the test: [text](../scenarios/FILE)`::test`."""
    return [path.removeprefix("../") + (test or "") for path, test in re.findall(r"\]\((\.\./scenarios/[^)]+)\)(?:`(::\w+)`)?", scenario)]


def issues_by_test(path: Path) -> dict[str, set[int]]:
    """The tests of a module and the issues that their marks name."""
    found: dict[str, set[int]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            calls = [mark for mark in node.decorator_list if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.issue"]
            found[node.name] = {int(ast.literal_eval(number)) for call in calls for number in call.args}
    return found


def regressions() -> dict[str, set[int]]:
    """Every scenario of the folder and the issues it names."""
    found: dict[str, set[int]] = {}
    for path in sorted(FOLDER.glob("*.scenario.yaml")):
        issue = load(path).scenario.issue
        assert issue.startswith(ISSUES), f"{path.name} names no issue"
        found[str(path.relative_to(ROOT))] = {int(issue.removeprefix(ISSUES))}
    for path in sorted(FOLDER.glob("test_*.py")):
        found |= {f"{path.relative_to(ROOT)}::{name}": issues for name, issues in issues_by_test(path).items()}
    return found


def test_there_are_thirty_scenarios_of_known_bugs() -> None:
    assert len(regressions()) >= 30


def test_each_row_is_about_an_issue_and_says_with_whom_or_why_not() -> None:
    numbers = [number for number, *_ in rows()]
    assert numbers == sorted(numbers), "rows in the order of the issues"
    for number, address, reproduced, scenario in rows():
        assert address == f"{ISSUES}{number}"
        assert reproduced
        assert scenario


@pytest.mark.parametrize("name", sorted({name for *_, scenario in rows() for name in named(scenario)}))
def test_a_scenario_that_is_named_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert (ROOT / path).is_file()
    assert not test or test in issues_by_test(ROOT / path)


def test_every_scenario_is_in_the_row_of_its_issue() -> None:
    table = {(name, number) for number, _, _, scenario in rows() for name in named(scenario)}
    for name, issues in regressions().items():
        assert issues, f"{name} names no issue: @pytest.mark.issue(N)"
        for number in issues:
            assert (name, number) in table, f"{name} is not in the row of issue {number}"
