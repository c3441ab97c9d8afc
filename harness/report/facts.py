"""What a report says about a scenario beside its history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

FILE = "facts.json"
Outcome = Literal["passed", "failed", "skipped", "xfailed", "running"]


@dataclass(frozen=True, slots=True)
class Facts:
    """One scenario's run.

    name        what it shows; `nodeid` what pytest calls it
    outcome     passed, failed, skipped, xfailed (a known failure), or running (a stack that is looked at)
    seconds     real seconds it took
    why         pytest's words about a failure
    properties  versions and images, pairs of name and value
    again       the command that runs it again
    started     unix seconds; 0 if unknown
    """

    name: str
    nodeid: str = ""
    outcome: Outcome = "passed"
    seconds: float = 0.0
    why: str = ""
    properties: Sequence[tuple[str, str]] = field(default_factory=list)
    again: str = ""
    started: float = 0.0

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """The facts of an evidence folder; only its name if it has none."""
        path = folder / FILE
        if not path.is_file():
            return cls(folder.name)
        record = json.loads(path.read_text(encoding="utf-8"))
        record["properties"] = [(str(name), str(value)) for name, value in record.get("properties", [])]
        return cls(**record)
