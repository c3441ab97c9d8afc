"""The `harness` commands about scenario files and reports. What they do is imported when they are called."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UsageError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
def check(files: tuple[Path, ...]) -> None:
    """Look for mistakes in scenario FILES; starts nothing."""
    from harness.scenario.loader import load  # noqa: PLC0415
    from harness.scenario.problems import ScenarioFileError  # noqa: PLC0415

    wrong = 0
    for file in files:
        try:
            load(file)
        except ScenarioFileError as error:
            wrong += 1
            click.echo("\n".join(problem.render(file) for problem in error.problems), err=True)
        else:
            click.echo(f"{file}: good")
    if wrong:
        raise SystemExit(ScenarioFileError.exit_code)


@click.command()
@click.argument("evidence", type=_PATH)
@click.option("-o", "--output", type=_PATH, help="the scenario file to write (default: standard output)")
def record(evidence: Path, output: Path | None) -> None:
    """Turn what happened in a stack into a scenario file.

    EVIDENCE is the evidence folder of a scenario (pytest --report-all keeps those of passing ones, too).
    """
    from harness.report.facts import Facts  # noqa: PLC0415
    from harness.report.page import read_history  # noqa: PLC0415
    from harness.scenario.record import record as recorded  # noqa: PLC0415

    history = read_history(evidence)
    if not history:
        raise UsageError("no history to make a scenario of", thing=str(evidence), expected="a folder with history.jsonl")
    text = recorded(history, name=Facts.read(evidence).name)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output} (look it over, then: harness run {output})")


@click.command()
@click.argument("file", type=_PATH)
@click.option(
    "--budget", default=600, show_default=True, type=click.IntRange(10, 86_400), help="seconds after which the smallest so far is kept"
)
@click.option(
    "--tries", default=1, show_default=True, type=click.IntRange(1, 50), help="runs of each candidate, for failures that come and go"
)
@click.option("--client-version", default=None, help="generation of clients that name none: 7.20, 8.0 or 8.2")
def reduce(file: Path, budget: int, tries: int, client_version: str | None) -> None:
    """Make a failing scenario FILE as small as it can be while it still fails in the same way."""
    from harness.rig import Rig  # noqa: PLC0415
    from harness.scenario.loader import load  # noqa: PLC0415
    from harness.scenario.replay import reduce_file  # noqa: PLC0415
    from harness.versions import NEWEST, ClientVersion  # noqa: PLC0415

    loaded = load(file)
    version = ClientVersion.of(client_version) if client_version else NEWEST
    with Rig(name="reduce") as rig:
        path = reduce_file(rig, loaded, seconds=budget, tries=tries, version=version, say=click.echo)
    click.echo(path)


@click.command()
@click.argument("file", type=_PATH)
@click.option("--times", default=50, show_default=True, type=click.IntRange(2, 10_000))
@click.option("--client-version", default=None, help="generation of clients that name none: 7.20, 8.0 or 8.2")
def repeat(file: Path, times: int, client_version: str | None) -> None:
    """Run a scenario FILE many times, and tell whether it ended in the same way and its events had the same order each time.

    Exit code 1 if not. Compared are the server's events of each job, each client's messages about each task, and what the scenario did;
    `races` in the file names what is left open, and why.
    """
    from harness.rig import Rig  # noqa: PLC0415
    from harness.scenario.loader import load  # noqa: PLC0415
    from harness.scenario.replay import repeat as repeated  # noqa: PLC0415
    from harness.versions import NEWEST, ClientVersion  # noqa: PLC0415

    loaded = load(file)
    version = ClientVersion.of(client_version) if client_version else NEWEST
    with Rig(name="repeat") as rig:
        done = repeated(rig, loaded, times, version=version, say=click.echo)
    for outcome, count in done.outcomes.most_common():
        click.echo(f"{count} of {times}: {outcome}")
    for race in done.declared:
        click.echo(f"{race.lane}: {len(race.variants)} orders, as declared: {done.races[race.subject]}")
    for difference in done.differences:
        click.echo(difference)
    if not done.is_steady:
        raise SystemExit(1)
    click.echo(f"{times} equal outcomes, {times} equal orders of events" + (", but for what is declared" if done.declared else ""))


@click.command()
@click.argument("evidence", type=_PATH)
def report(evidence: Path) -> None:
    """Make the page of an EVIDENCE folder again."""
    from harness.report import write  # noqa: PLC0415

    if not (evidence / "history.jsonl").is_file():
        raise UsageError("no evidence folder", thing=str(evidence), expected="a folder with history.jsonl")
    click.echo(write(evidence))


COMMANDS = (check, record, reduce, repeat, report)
