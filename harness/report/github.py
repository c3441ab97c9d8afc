"""What GitHub Actions shows of a run: a table in the step's summary, and an annotation for each failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.report.page import WORDS
from harness.report.runs import Ran

#: GitHub cuts a summary of more than 1 MiB off
_MOST_ROWS = 500


def is_github(environment: Mapping[str, str]) -> bool:
    """Does GitHub Actions run this?"""
    return environment.get("GITHUB_ACTIONS") == "true"


def summary(ran: Sequence[Ran]) -> str:
    """The run as a Markdown table, failures first."""
    order = {"failed": 0, "xfailed": 1, "passed": 2, "skipped": 3}
    counts = ", ".join(f"{sum(one.outcome == outcome for one in ran)} {WORDS[outcome].lower()}" for outcome in order)
    lines = [f"### BOINC scenarios: {counts}", "", "| outcome | scenario | seconds | |", "|---|---|---:|---|"]
    shown = sorted(ran, key=lambda one: (order.get(one.outcome, 0), one.nodeid))[:_MOST_ROWS]
    lines += [f"| {_word(one)} | `{_cell(one.nodeid)}` | {one.seconds:.1f} | {_cell(_first_line(one.why))} |" for one in shown]
    if len(ran) > _MOST_ROWS:
        lines.append(f"| | ... and {len(ran) - _MOST_ROWS} more | | |")
    return "\n".join(lines) + "\n"


def _word(one: Ran) -> str:
    return WORDS.get(one.outcome, one.outcome)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")[:300]


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def annotation(one: Ran, *, line: int = 1) -> str:
    """The workflow command that puts a failure beside its scenario's file."""
    file = one.nodeid.partition("::")[0]
    message = _escape(one.why[-4000:] or "failed")
    return f"::error file={_escape(file, value=True)},line={line},title={_escape(one.nodeid.rpartition('::')[2], value=True)}::{message}"


def _escape(text: str, *, value: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if value else text


def append_summary(environment: Mapping[str, str], ran: Sequence[Ran]) -> None:
    """Write the table where GitHub asks for it."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(summary(ran))
