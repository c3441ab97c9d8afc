"""pytest writes down what each scenario was like on its server: `--record-conformance FILE`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.conformance.compare import Record
from harness.conformance.shape import Shape, shape_of

if TYPE_CHECKING:
    from harness.stack import Stack

_shape = pytest.StashKey[Shape]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("boinc-harness", "BOINC scenarios")
    group.addoption("--record-conformance", metavar="FILE", help="add what each scenario was like to FILE, for `harness conformance`")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        stack: Stack | None = getattr(item, "funcargs", {}).get("stack")
        if stack is not None:
            item.stash[_shape] = shape_of(stack.history)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    path = item.config.getoption("--record-conformance")
    # one line for each scenario: of the call, or of the setup that kept it from being called
    if path and (call.when == "call" or (call.when == "setup" and not report.passed)):
        server = str(item.config.getoption("--server")).partition(":")[0]
        record = Record(item.nodeid, server, report.outcome, _why(report), report.duration, item.stash.get(_shape, Shape()))
        with Path(path).open("a", encoding="utf-8") as file:  # one write for each line: workers share the file
            file.write(record.as_json() + "\n")
    return report


def _why(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        return (str(crash.message) if crash is not None else report.longreprtext).splitlines()[0][:300]
    return ""
