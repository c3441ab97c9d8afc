"""`python -m bench`: measure, and print a table of medians beside the targets."""

from __future__ import annotations

import fnmatch
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.measures import all_measures
from bench.model import Measure, Outcome, interleaved
from bench.world import World
from harness.errors import HarnessError


def chosen(measures: list[Measure], only: tuple[str, ...]) -> list[Measure]:
    """The measures that patterns name; by default all that do not take minutes. Raises `click.BadParameter`."""
    if not only:
        return [measure for measure in measures if measure.default]
    for pattern in only:
        if not any(fnmatch.fnmatchcase(measure.name, pattern) for measure in measures):
            names = ", ".join(measure.name for measure in measures)
            raise click.BadParameter(f"no measure is called {pattern!r}; there are {names}", param_hint="--only")
    return [measure for measure in measures if any(fnmatch.fnmatchcase(measure.name, pattern) for pattern in only)]


def table_of(outcomes: list[Outcome], runs: int) -> Table:
    table = Table(title=f"boinc-harness, medians of up to {runs} runs, {os.cpu_count()} cores")
    for heading, justify in (("measure", "left"), ("", "left"), ("median", "right"), ("min - max", "right"), ("target", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for outcome in outcomes:
        measure, median = outcome.measure, outcome.median
        style = {True: "green", False: "bold red", None: ""}[outcome.met]
        value = "failed" if outcome.error and median is None else "-" if median is None else f"{median:.2f} {measure.unit}"
        spread = f"{min(outcome.samples):.2f} - {max(outcome.samples):.2f}" if outcome.samples else outcome.error.splitlines()[0][:40]
        target = "" if measure.target is None else f"<= {measure.target:g} {measure.unit}"
        table.add_row(measure.name, measure.what, f"[{style}]{value}[/]" if style else value, spread, target)
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="NAME", help="measure only this (may be a pattern: 'fast-*'; may be repeated)")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 1000), help="samples of each measure")
@click.option("--rates", default="", metavar="LIST", help="also compare these rates of the stack's clock: 10,20,30,60 (as rate-10, ...)")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="write all samples to this file")
@click.option("--list", "list_only", is_flag=True, help="name the measures and stop")
def main(only: tuple[str, ...], runs: int, rates: str, json_file: Path | None, list_only: bool) -> None:
    """Measure the harness on this machine. Exit code 1 if a median is over its target or a measure failed."""
    try:
        extra = [float(word) for word in rates.split(",") if word.strip()]
    except ValueError:
        raise click.BadParameter(f"expected numbers with commas between, not {rates!r}", param_hint="--rates") from None
    measures = chosen(all_measures(extra), only)
    console = Console(width=None if sys.stdout.isatty() else 130)
    if list_only:
        for measure in measures:
            console.print(f"{measure.name:16} {measure.what}", highlight=False)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is removed
    outcomes = {measure.name: Outcome(measure) for measure in measures}
    started = time.time()
    order = interleaved(measures, runs)
    with World() as world, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(order))
        for measure in order:
            progress.update(task, description=measure.name)
            outcome = outcomes[measure.name]
            try:
                outcome.samples.append(measure.sample(world))
            except HarnessError as error:
                outcome.error = str(error)
            progress.advance(task)
    done = list(outcomes.values())
    console.print(table_of(done, runs))
    for outcome in done:
        if outcome.error:
            console.print(f"{outcome.measure.name}: {outcome.error}", style="red", highlight=False, markup=False)
    if json_file is not None:
        host = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version(), "load": os.getloadavg()}
        record = {"started": started, "runs": runs, "host": host, "measures": [outcome.record() for outcome in done]}
        json_file.write_text(json.dumps(record, indent=1), encoding="utf-8")
    if any(outcome.error or outcome.met is False for outcome in done):
        sys.exit(1)


if __name__ == "__main__":
    main()
