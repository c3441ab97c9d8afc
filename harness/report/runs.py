"""index.html: all scenarios of a run with outcome and duration, and how they did in earlier runs on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from harness.report.page import NAME, WORDS, asset, fill

INDEX = "index.html"
#: one JSON object a line and run: {"when": unix seconds, "scenarios": {nodeid: [outcome, seconds]}}
EARLIER = "runs.jsonl"
MOST_RUNS = 20
_ORDER = {"failed": 0, "xfailed": 1, "passed": 2, "skipped": 3}


@dataclass(frozen=True, slots=True)
class Ran:
    """One scenario of a run; `folder` is its evidence, if any was kept."""

    nodeid: str
    outcome: str
    seconds: float
    why: str = ""
    folder: Path | None = None


def write_run(root: Path, ran: Sequence[Ran], *, title: str = "BOINC scenarios") -> Path:
    """Write index.html for a run into the evidence folder, and remember the run for later pages."""
    root.mkdir(parents=True, exist_ok=True)
    earlier = _earlier(root)
    path = root / INDEX
    path.write_text(render(root, ran, earlier, title), encoding="utf-8")
    this = {"when": round(time.time()), "scenarios": {one.nodeid: [one.outcome, round(one.seconds, 2)] for one in ran}}
    lines = [json.dumps(run) for run in [*earlier, this][-MOST_RUNS:]]
    (root / EARLIER).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _earlier(root: Path) -> list[dict[str, object]]:
    path = root / EARLIER
    found: list[dict[str, object]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                run = json.loads(line)
            except ValueError:
                continue
            if isinstance(run, dict) and isinstance(run.get("scenarios"), dict):
                found.append(run)
    return found


def render(root: Path, ran: Sequence[Ran], earlier: Iterable[Mapping[str, object]], title: str) -> str:
    """The page as text."""
    counts = {outcome: sum(1 for one in ran if one.outcome == outcome) for outcome in _ORDER}
    words = [f"{number} {WORDS[outcome].lower()}" for outcome, number in counts.items() if number]
    history: dict[str, list[tuple[str, float]]] = {}
    for run in earlier:
        scenarios = run["scenarios"]
        assert isinstance(scenarios, dict)
        for nodeid, entry in scenarios.items():
            if isinstance(entry, list) and len(entry) == 2:
                history.setdefault(nodeid, []).append((str(entry[0]), float(entry[1])))
    facts = [("total", f"{sum(one.seconds for one in ran):.0f} s"), ("written", datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"))]
    ordered = sorted(ran, key=lambda one: (_ORDER.get(one.outcome, 0), one.nodeid))
    return fill(
        asset("run.html"),
        {
            "title": escape(f"{title}: {', '.join(words)}"),
            "css": asset("page.css"),
            "heading": escape(f"{title}: {', '.join(words) or 'nothing ran'}"),
            "facts": "".join(f"<li><b>{name}</b> {escape(value)}</li>" for name, value in facts),
            "rows": "".join(_row(root, one, history.get(one.nodeid, [])) for one in ordered),
        },
    )


def _row(root: Path, one: Ran, history: Sequence[tuple[str, float]]) -> str:
    name = escape(one.nodeid)
    if one.folder is not None and (one.folder / NAME).is_file():
        name = f'<a href="{escape((one.folder / NAME).relative_to(root).as_posix())}">{name}</a>'
    why = f'<br><small class="mono">{escape(one.why[:400])}</small>' if one.why else ""
    return (
        f'<tr><td class="{escape(one.outcome)}">{WORDS.get(one.outcome, one.outcome)}</td><td>{name}{why}</td>'
        f'<td class="n">{one.seconds:.1f}</td><td>{_spark([*history[-9:], (one.outcome, one.seconds)])}</td></tr>'
    )


def _spark(runs: Sequence[tuple[str, float]]) -> str:
    """The durations of the last runs as small bars, newest on the right; failures in their colour."""
    if len(runs) < 2:
        return ""
    top = max(seconds for _, seconds in runs) or 1.0
    bars = []
    for index, (outcome, seconds) in enumerate(runs):
        height = max(1.5, 17 * seconds / top)
        colour = {"failed": "var(--bad)", "passed": "var(--info)"}.get(outcome, "var(--line)")
        bars.append(f'<rect x="{index * 9}" y="{18 - height:.1f}" width="7" height="{height:.1f}" fill="{colour}"/>')
    words = ", ".join(f"{seconds:.1f} s {outcome}" for outcome, seconds in runs)
    title = f"<title>{escape(words)}</title>"
    return f'<svg class="spark" viewBox="0 0 90 18" role="img" aria-label="{escape(words)}">{title}{"".join(bars)}</svg>'
