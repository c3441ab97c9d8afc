"""`harness conformance`: the same scenarios on both servers, and the report of what differs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from harness.conformance.compare import compare, read, render
from harness.project.upstream.imageset import KIND, parse_server


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("scenarios", nargs=-1, type=click.UNPROCESSED)
@click.option("--images", default="", metavar="IMAGE-SET", help="the upstream server's images (default: the published ones)")
@click.option("--records", nargs=2, type=click.Path(path_type=Path), help="compare two files of --record-conformance; nothing is run")
@click.option("--out", type=click.Path(path_type=Path), help="write the report there, too")
def conformance(scenarios: Sequence[str], images: str, records: tuple[Path, Path] | None, out: Path | None) -> None:
    """Run SCENARIOS (default: all) on the embedded and on the upstream server, and compare what happened.

    Further options are pytest's. Exit code 1: something differs or failed.
    """
    choice = f"{KIND}:{images}" if images else KIND
    parse_server(choice)
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        if not records:
            records = (Path(folder, "embedded.jsonl"), Path(folder, "upstream.jsonl"))
            for server, record in zip(("embedded", choice), records, strict=True):
                record.touch()
                command = [sys.executable, "-m", "pytest", f"--server={server}", f"--record-conformance={record}"]
                subprocess.run([*command, *(scenarios or ["scenarios"])], check=False)
        compared = compare(*(read(record) for record in records))
    report = render(compared, ("embedded", KIND))
    click.echo(report, nl=False)
    if out is not None:
        out.write_text(report, encoding="utf-8")
    failed = any(record is not None and record.outcome == "failed" for one in compared for record in (one.one, one.other))
    if failed or any(one.differences for one in compared):
        sys.exit(1)
