"""What is wrong with a scenario file, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

#: more problems than this help nobody
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: `line` and `column` count from 1 (0 = the file as a whole), `field` is a path like `clients[0].version`."""

    line: int
    column: int
    field: str
    what: str

    def render(self, file: Path | str) -> str:
        place = f"{file}:{self.line}:{self.column}" if self.line else f"{file}"
        return f"{place}: {self.field}: {self.what}" if self.field else f"{place}: {self.what}"


class ScenarioFileError(UsageError):
    """A scenario file that cannot be run; nothing was started. Fields: `file`, `problems` (in the order of the file)."""

    def __init__(self, file: Path | str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems: Sequence[Problem] = sorted(problems)
        shown = [problem.render(file) for problem in self.problems[:MOST_PROBLEMS]]
        if len(self.problems) > MOST_PROBLEMS:
            shown.append(f"... and {len(self.problems) - MOST_PROBLEMS} more")
        number = len(self.problems)
        super().__init__(
            f"{number} mistake{'s' if number != 1 else ''} in a scenario file",
            thing=str(file),
            remedy="docs/first-scenario.md shows how one is written; docs/scenario.schema.json lists every field",
            details="\n".join(shown),
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "..."?` for the known word most like `word`, or "" if none is."""
    words = sorted(set(known))
    lower = {candidate.lower(): candidate for candidate in words}
    found = difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=0.6)
    return f'; did you mean "{lower[found[0]]}"?' if found else ""


def one_of(known: Iterable[str]) -> str:
    """The known words for a message."""
    return ", ".join(sorted(set(known))) or "(there are none)"
