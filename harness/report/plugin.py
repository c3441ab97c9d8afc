"""pytest writes report.html beside each scenario's evidence, index.html for the run, and what GitHub shows of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.report import Facts, github, write
from harness.report.runs import Ran, write_run
from harness.scenario.collect import copy_scenario

#: user property of scenarios: that they are one, and where their evidence would be
EVIDENCE_PROPERTY = "boinc-evidence"
_OUTCOMES = {"failed": "failed", "error": "failed", "passed": "passed", "skipped": "skipped", "xfailed": "xfailed", "xpassed": "failed"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("boinc-harness").addoption(
        "--report-all", action="store_true", help="keep the evidence and the report of scenarios that passed, too"
    )


def write_report(item: pytest.Item, reports: Sequence[pytest.TestReport], folder: Path) -> None:
    """Write report.html into a scenario's evidence, with what pytest knows of it so far; of a failure, FOLDER.zip to attach as well."""
    failed = [report for report in reports if report.failed]
    properties = [(name, str(value)) for name, value in item.user_properties if name != EVIDENCE_PROPERTY]
    loaded = getattr(item, "loaded", None)
    facts = Facts(
        name=loaded.scenario.scenario if loaded is not None else item.name.replace("_", " "),
        nodeid=item.nodeid,
        outcome="failed" if failed else "passed",
        seconds=sum(report.duration for report in reports),
        why="\n\n".join(report.longreprtext for report in failed),
        properties=properties,
        again=f"./run {item.nodeid if loaded is None else item.nodeid.partition('::')[0]}",
        started=min((report.start for report in reports), default=0.0),
    )
    copy_scenario(item, folder)
    write(folder, facts)
    if failed:
        shutil.make_archive(str(folder), "zip", folder)


def scenarios_of(stats: dict[str, list[Any]]) -> list[Ran]:
    """The scenarios among the reports of a session; one that failed in several phases counts once."""
    found: dict[str, Ran] = {}
    for category, outcome in _OUTCOMES.items():
        for report in stats.get(category, []):
            properties = dict(getattr(report, "user_properties", ()))
            folder = properties.get(EVIDENCE_PROPERTY)
            if folder is None or report.nodeid in found:
                continue
            why = str(getattr(report, "longreprtext", "")) if outcome == "failed" else ""
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                why = str(report.longrepr[2])
            found[report.nodeid] = Ran(report.nodeid, outcome, float(report.duration), why, Path(str(folder)))
    return list(found.values())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ran = scenarios_of(terminalreporter.stats)
    if not ran:
        return
    root = (config.rootpath / config.getoption("--evidence")).resolve()
    page = write_run(root, ran)
    terminalreporter.write_line(f"report: {page}")
    if github.is_github(os.environ):
        github.append_summary(os.environ, ran)
        for one in ran:
            if one.outcome == "failed":
                terminalreporter.write_line(github.annotation(one))
