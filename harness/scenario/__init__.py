"""Scenario files (`*.scenario.yaml`): a lifecycle written as data, which anybody can attach to a bug report and anybody can replay.

A scenario file is somebody else's: loading one runs no code, and nothing it names lies outside its own folder and the stack.

values.py        durations, sizes, names, paths: the words of the language
model.py         a scenario: stack, project, jobs; steps.py: its timeline; expectations.py: what shall come of it
text.py          YAML under limits, with the position of every value
loader.py        text + models + references = a scenario, or errors with file, line, column and the nearest valid name
runner.py        a scenario on a Stack
collect.py       pytest collects scenario files
record.py reduce.py   from a history to a file; from a failing file to a smaller one
"""

from harness.scenario.loader import LoadedScenario, load
from harness.scenario.model import Scenario
from harness.scenario.problems import Problem, ScenarioFileError

__all__ = ["LoadedScenario", "Problem", "Scenario", "ScenarioFileError", "load"]
