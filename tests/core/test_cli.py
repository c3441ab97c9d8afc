"""The `harness` command on wrong words: one clear message, an exit code, no traceback."""

import json
import socket
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
        (["run", "README.md"], USAGE, "NAME.scenario.yaml"),
        (["up", "--vm", "9"], 2, "9"),
        (["up", "--vm", "1", "--client-version", "7.20"], USAGE, "the newest client only"),
        (["report", "no/such/folder"], USAGE, "no/such/folder"),
        (["record", "no/such/folder"], USAGE, "no/such/folder"),
        (["check", "no/such.scenario.yaml"], USAGE, "no/such.scenario.yaml"),
        (["check", "/bin/true"], USAGE, "/bin/true"),
        (["check", "/"], USAGE, "/"),
        (["logs"], 2, "NAME"),
        (["shell"], 2, "CLIENT"),
    ],
)
def test_wrong_words_are_named(words: list[str], code: int, named: str) -> None:
    done = harness(*words)
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["up"],
        ["down"],
        ["top", "--once"],
        ["logs", "server"],
        ["shell", "host1"],
        ["gui", "host1"],
        ["container_images"],
        ["reduce", "scenarios/files/lost_reply.scenario.yaml"],
        ["sweep"],
    ],
)
def test_without_an_engine_every_command_says_so(words: list[str], tmp_path: Path) -> None:
    done = harness(*words, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.returncode == UNAVAILABLE, done.stderr
    assert "engine" in done.stderr
    assert str(tmp_path) in done.stderr, "the address that does not answer"
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = harness("up", "--port", str(other.getsockname()[1]), DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.returncode == UNAVAILABLE
    assert "choose another with --port" in done.stderr
    assert "engine" not in done.stderr


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    event = {"kind": "client.started", "real": 1.0, "virtual": 1.0, "source": "host1", "client": "host1"}
    (tmp_path / "history.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")
    done = harness("record", str(tmp_path), "-o", str(tmp_path / "no" / "such" / "folder.scenario.yaml"))
    assert done.returncode not in (0, 1)
    assert "folder.scenario.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_as_data(tmp_path: Path) -> None:
    done = harness("doctor", "--json", DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.returncode == 1
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert (found["container engine"]["state"], found["container engine"]["required"]) == ("missing", True)
    assert "harness doctor" not in found["container engine"]["remedy"]


def test_help_names_every_command() -> None:
    done = harness("--help")
    assert done.returncode == 0
    for command in ("check", "doctor", "down", "logs", "reduce", "run", "shell", "sweep", "top", "up"):
        assert f"  {command} " in done.stdout, command
