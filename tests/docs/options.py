"""docs/options.md, made from the commands and the plugin themselves: `python -m tests.docs.options` writes it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import click
import pytest

from bench.__main__ import main as bench
from harness import plugin
from harness.cli import cli
from harness.conformance import plugin as conformance_plugin
from harness.invariants import plugin as invariants_plugin
from harness.report import plugin as report_plugin

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "options.md"

#: environment variables that a person may set, and what they do
VARIABLES = {
    "DOCKER_HOST": "the container engine, as for the docker command",
    "BOINC_HARNESS_ADDRESS": "`bridge` or `published`: how containers are reached, if what is found out by itself is wrong",
    "BOINC_HARNESS_CHROMIUM": "the browser for the tests of pages and of the Manager",
    "BOINC_HARNESS_DOCKERD_LOG": "where `./run` lets the engine that it starts write its log",
    "BOINC_HARNESS_PYTHON": "the Python that `./run` makes its environment with",
    "BOINC_HARNESS_HTTP_PORT": "compose.test.yml: the port of the project's pages on this host (8080)",
    "BOINC_HARNESS_MAIL_PORT": "compose.test.yml: the port of the mails' page on this host (1080)",
}
#: set by the harness itself: for its own processes, for the bench, and in `.env` for compose.test.yml
OWN_VARIABLES = {"BOINC_HARNESS_RUN", "BOINC_HARNESS_PROBE", "BOINC_HARNESS_CONTROL_TOKEN", "BOINC_HARNESS_GUI_RPC_PASSWORD"}


class _Recorder:
    """What a plugin's pytest_addoption talks to."""

    def __init__(self) -> None:
        self.options: list[tuple[str, str, str]] = []

    def getgroup(self, *_: object) -> _Recorder:
        return self

    def addini(self, *_: object, **__: object) -> None:
        pass

    def addoption(self, name: str, *, help: str = "", metavar: str = "", default: object = None, **more: Any) -> None:  # noqa: A002
        if more.get("choices"):
            metavar = "|".join(more["choices"])
        value = "" if more.get("action") == "store_true" else f" {metavar or 'VALUE'}"
        known = "" if default in (None, "", False) or "default" in help or str(default) in help else f" (default {default})"
        self.options.append((name, value, help + known))


def pytest_options() -> list[tuple[str, str, str]]:
    """(name, value, help) of each option of pytest that is the harness's own."""
    recorder = _Recorder()
    for one in (plugin, report_plugin, invariants_plugin, conformance_plugin):
        add = getattr(one, "pytest_addoption", None)
        if add is not None:
            add(cast(pytest.Parser, recorder))
    return recorder.options


def _command(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name, parent=None)
    usage = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
    lines = [f"### `{f'{name} {usage}'.strip()}`", "", inspect.cleandoc(command.help or ""), ""]
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        lines += ["| option | |", "|---|---|"]
        for option in options:
            record = option.get_help_record(context)
            if record is not None and option.name != "help":
                lines.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
        lines.append("")
    return lines


def _cell(text: str) -> str:
    return " ".join(text.replace(" RANGE", "").split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def text() -> str:
    """The whole document."""
    lines = [
        "# Every option",
        "",
        "Made from the commands themselves (`python -m tests.docs.options`); a test compares.",
        "",
        "## `./run`",
        "",
        "| | |",
        "|---|---|",
        "| `./run` | set up what is missing, then run all scenarios, shared among workers (one more than cores, four at most) |",
        "| `./run PYTEST ARGUMENTS` | the same with the scenarios that the arguments name, or all, in one process (`-n` shares them) |",
        "| `./run tests [PYTEST ARGUMENTS]` | the same with the harness's own tests, and reports/junit.xml |",
        "| `./run setup` | set up only |",
        "| `./run COMMAND ...` | set up, then the `harness` command of that name |",
        "| `./run help` | says so |",
        "",
        "## pytest",
        "",
        "For `./run`, `./run tests`, `./run run FILE` and pytest itself, beside pytest's own (`-k upload`, `-n 2`, `-x`, `--lf`).",
        "",
        "| option | |",
        "|---|---|",
        *(f"| `{_cell(name + value)}` | {_cell(words)} |" for name, value, words in pytest_options()),
        "",
        "## `harness`",
        "",
        "As `.venv/bin/harness COMMAND` or `./run COMMAND`. Exit codes: 0 done; 1 a scenario failed, or doctor found something missing;",
        "2 words that the command does not know; 64 a wrong value or file; 69 a part (the engine, a port, a container) is not to be had;",
        "70 something else went wrong; 130 interrupted.",
        "",
    ]
    for name, command in sorted(cli.commands.items()):
        lines += _command(name, command)
    lines += ["## `python -m bench`", "", *_command("bench", bench)[2:]]
    lines += ["## Environment variables", "", "| variable | |", "|---|---|"]
    lines += [f"| `{name}` | {words} |" for name, words in VARIABLES.items()]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
