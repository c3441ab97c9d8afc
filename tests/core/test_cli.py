"""The `harness` command on wrong words: one clear message, an exit code, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

USAGE = 64
UNAVAILABLE = 69


def harness(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from harness.cli import main; sys.argv[0] = 'harness'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
    )


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["dance"], 2, "dance"),
        (["up", "--clients", "many"], 2, "many"),
        (["up", "--clients", "1000"], 2, "1000"),
        (["up", "--client-version", "6.12"], USAGE, "6.12"),
        (["up", "--port", "70000"], 2, "70000"),
        (["run", "no/such/file.scenario.yaml"], USAGE, "no/such/file.scenario.yaml"),
        (["logs"], 2, "NAME"),
        (["shell"], 2, "CLIENT"),
    ],
)
def test_wrong_words_are_named(words: list[str], code: int, named: str) -> None:
    done = harness(*words)
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["up"], ["down"], ["top", "--once"], ["logs", "server"], ["shell", "host1"], ["sweep"]])
def test_without_an_engine_every_command_says_so(words: list[str], tmp_path: Path) -> None:
    done = harness(*words, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.returncode == UNAVAILABLE, done.stderr
    assert "engine" in done.stderr
    assert str(tmp_path) in done.stderr, "the address that does not answer"
    assert "Traceback" not in done.stderr


def test_help_names_every_command() -> None:
    done = harness("--help")
    assert done.returncode == 0
    for command in ("check", "doctor", "down", "logs", "reduce", "run", "shell", "sweep", "top", "up"):
        assert f"  {command} " in done.stdout, command
