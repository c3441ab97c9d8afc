"""The documents' examples load, compile and run; their links and commands exist."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.scenario.loader import loads

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / name
        for name in (
            *("first-scenario.md", "report-a-bug.md", "how-it-works.md", "look-around.md"),
            *("ci.md", "test-your-own.md", "containers.md", "README.md"),
        )
    ),
]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: real seconds that all examples together may take, images present
EXAMPLES_DEADLINE = 420


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(name, text) of each example in that language."""
    for document in DOCUMENTS:
        number = 0
        for match in _BLOCK.finditer(document.read_text(encoding="utf-8")):
            if match[1] == language:
                number += 1
                yield f"{document.stem.lower().replace('-', '_')}_{number}", match[2]


SCENARIOS, MODULES = dict(blocks("yaml")), dict(blocks("python"))


def test_there_are_examples() -> None:
    assert len(SCENARIOS) >= 6
    assert len(MODULES) >= 2


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_example_loads(name: str, tmp_path: Path) -> None:
    assert loads(SCENARIOS[name], tmp_path / f"{name}.scenario.yaml").scenario.expect


@pytest.mark.parametrize("name", MODULES)
def test_a_python_example_compiles(name: str) -> None:
    compile(MODULES[name], name, "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_commands_exist() -> None:
    words = {match for _, text in blocks("console") for match in re.findall(r"^\$ \./run (\w+)", text, re.MULTILINE)}
    assert {"check", "run", "record", "reduce"} <= words
    for word in words - {"tests", "setup", "help", "scenarios"}:
        assert CliRunner().invoke(cli, [word, "--help"]).exit_code == 0, word


def test_every_action_and_fault_of_the_schema_is_named() -> None:
    schema = json.loads((ROOT / "docs" / "scenario.schema.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "first-scenario.md").read_text(encoding="utf-8")
    for definition in schema["$defs"]:
        for suffix in ("Step", "Fault"):
            if definition.endswith(suffix) and definition not in ("HttpFault", "LossFault", "ReadOnlyFault"):
                verb = re.sub(r"(?<!^)(?=[A-Z])", "_", definition.removesuffix(suffix)).lower().replace("v_box", "vbox")
                assert f"`{verb}`" in text, definition


@pytest.mark.engine
@pytest.mark.timeout(EXAMPLES_DEADLINE + 60)
def test_every_example_runs(tmp_path: Path) -> None:
    for name, text in SCENARIOS.items():
        (tmp_path / f"{name}.scenario.yaml").write_text(text, encoding="utf-8")
    for name, text in MODULES.items():
        (tmp_path / f"test_{name}.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--boinc-client-version", "8.2", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BOINC_HARNESS_RUN", "PYTEST_"))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=EXAMPLES_DEADLINE, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    summary = done.stdout.strip().splitlines()[-1]
    assert f"{len(SCENARIOS) + len(MODULES) - 1} passed" in summary, summary
    assert "1 xfailed" in summary, "the known failure of docs/report-a-bug.md"
