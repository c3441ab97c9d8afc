"""From a file to a scenario, or to a list of mistakes with their places. Nothing is started and nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.scenario import explain, references, text
from harness.scenario.model import Scenario
from harness.scenario.problems import Problem, ScenarioFileError
from harness.scenario.values import FOLDER

SUFFIX = ".scenario.yaml"


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario and where it came from."""

    scenario: Scenario
    file: Path
    document: text.Document

    @property
    def folder(self) -> Path:
        return self.file.parent

    def line(self, *path: str | int) -> int:
        """The line in which a part of the scenario stands, from 1."""
        return self.document.place(path)[0]


def load(file: Path) -> LoadedScenario:
    """Load a scenario file. Raises `ScenarioFileError` that lists every mistake."""
    if not file.is_file():
        raise ScenarioFileError(file, [Problem(0, 0, "", "no such file" if not file.exists() else "not a file")])
    return _checked(text.read(file), file)


def loads(content: str, file: Path) -> LoadedScenario:
    """Load a scenario from a text as if it stood in `file`, beside which its files lie."""
    return _checked(text.parse(content, file), file)


def _checked(document: text.Document, file: Path) -> LoadedScenario:
    if not isinstance(document.value, dict):
        raise ScenarioFileError(file, [Problem(1, 1, "", "not a mapping; expected `scenario: what is shown` and further fields")])
    try:
        scenario = Scenario.model_validate(document.value, context={FOLDER: file.parent})
    except ValidationError as error:
        raise ScenarioFileError(file, explain.problems(error, document)) from None
    wrong = references.check(scenario)
    if wrong:
        problems = [Problem(*document.place(path), explain.dotted(path), what) for path, what in wrong]
        raise ScenarioFileError(file, problems)
    return LoadedScenario(scenario, file, document)
