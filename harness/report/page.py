"""report.html: everything about one scenario on a page of its own, without a network."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.report import timeline
from harness.report.facts import Facts

NAME = "report.html"
WORDS: Mapping[str, str] = {"passed": "Passed", "failed": "Failed", "skipped": "Skipped", "xfailed": "Known failure", "running": "Running"}
#: files beside the page that are listed one by one; deeper ones are only counted
_MOST_FILES = 60


def asset(name: str) -> str:
    """The text of a file of assets/."""
    return files("harness.report").joinpath("assets", name).read_text(encoding="utf-8")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into a template's {{names}}; what they hold is not looked at again."""
    parts = template.split("{{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}}")
        filled += [values[name], rest]
    return "".join(filled)


def write(folder: Path, facts: Facts | None = None) -> Path:
    """Write report.html (and facts.json, from which it can be made again) into an evidence folder and return its path."""
    if facts is None:
        facts = Facts.read(folder)
    else:
        facts.write(folder)
    path = folder / NAME
    path.write_text(render(folder, facts), encoding="utf-8")
    return path


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The events of an evidence folder; a line that a killed process left incomplete is left out."""
    path = folder / "history.jsonl"
    records: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and {"kind", "real", "virtual", "source"} <= set(record):
                records.append(record)
    return records


def as_data(drawn: timeline.Timeline) -> dict[str, Any]:
    """What assets/page.js draws, and what it is given when a page follows along."""
    lanes = [asdict(lane) for lane in drawn.lanes]
    return {"lanes": lanes, "kinds": drawn.kinds, "events": drawn.events, "bars": drawn.bars, "zero": drawn.zero}


def render(folder: Path, facts: Facts, *, follow: str = "") -> str:
    """The page as text. `follow` is where it asks for newer events while it is looked at; a page of its own asks nobody."""
    records = read_history(folder)
    logs = _logs(folder)
    drawn = timeline.build(records, logs)
    data = {**as_data(drawn), "logs": logs}
    packed = gzip.compress(json.dumps(data, separators=(",", ":"), ensure_ascii=False, default=str).encode(), 9, mtime=0)
    return fill(
        asset("page.html"),
        {
            "title": escape(f"{WORDS[facts.outcome]}: {facts.name}"),
            "css": asset("page.css"),
            "outcome": facts.outcome,
            "outcome_word": WORDS[facts.outcome],
            "name": escape(facts.name),
            "facts": _facts(facts, [] if follow else records, drawn.left_out),
            "follow": escape(follow),
            "expected": _expected(records),
            "why": f'<section><h2>What failed</h2><pre tabindex="0">{escape(facts.why[-20_000:])}</pre></section>' if facts.why else "",
            "files": _files(folder),
            "data": base64.b64encode(packed).decode("ascii"),
            "script": asset("page.js"),
        },
    )


def _facts(facts: Facts, records: Sequence[Mapping[str, Any]], left_out: int) -> str:
    items = [("took", f"{facts.seconds:.1f} s")] if facts.seconds else []
    if facts.started:
        items.append(("started", datetime.fromtimestamp(facts.started, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")))
    if records:
        items.append(("events", f"{len(records)}" + (f", {left_out} of them only in history.jsonl" if left_out else "")))
    items += [(name, value) for name, value in facts.properties]
    shown = "".join(f"<li><b>{escape(name)}</b> {escape(value)}</li>" for name, value in items)
    again = f"<li><b>again</b> <code>{escape(facts.again)}</code></li>" if facts.again else ""
    return shown + again


def _expected(records: Sequence[Mapping[str, Any]]) -> str:
    """What was expected and what was seen, from the record itself."""
    rows = []
    for line, record in enumerate(records, start=1):
        kind = record["kind"]
        if kind in ("expect.met", "expect.failed"):
            met = kind == "expect.met"
            rows.append((record.get("line") or 0, met, str(record.get("text")), str(record.get("seen")), line))
        elif kind == "invariant.violated":
            rows.append((10**9, False, f"the invariant {record.get('invariant')} holds", str(record.get("what")), line))
    if not rows:
        return ""
    cells = "".join(
        f'<tr><td class="{"met" if met else "failed"}">{"held" if met else "failed"}</td><td>{escape(text)}</td><td>{escape(seen)}</td>'
        f'<td class="n"><a href="#line-{line}" data-line="{line}">event {line}</a></td></tr>'
        for _, met, text, seen, line in sorted(rows, key=lambda row: (row[1], row[0]))
    )
    head = '<thead><tr><th style="width:5rem">Outcome</th><th>Expected</th><th>Seen</th><th class="n">Shown by</th></tr></thead>'
    return f'<section><h2>Expected and seen</h2><table class="stack expected">{head}<tbody>{cells}</tbody></table></section>'


def _logs(folder: Path) -> dict[str, str]:
    """A part's name -> its log beside the page."""
    found = {"server": "server.log"} if (folder / "server.log").is_file() else {}
    for client in sorted(folder.glob("*/client.log")):
        found[client.parent.name] = client.relative_to(folder).as_posix()
    return found


def _files(folder: Path) -> str:
    items = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != NAME:
            items.append(f'<li><a href="{escape(path.name)}">{escape(path.name)}</a> ({_size(path.stat().st_size)})</li>')
        elif path.is_dir():
            inside = [Path(where) / name for where, _, names in os.walk(path) for name in names]
            items.append(f'<li><a href="{escape(path.name)}/">{escape(path.name)}/</a> ({len(inside)} files)</li>')
    return "".join(items[:_MOST_FILES]) or "<li>none</li>"


def _size(nbytes: int) -> str:
    return f"{nbytes} bytes" if nbytes < 10_000 else f"{nbytes / 1000:.0f} kB" if nbytes < 10_000_000 else f"{nbytes / 1e6:.0f} MB"
