"""How errors read, how long steps are shown, and locks between processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness import engine, locks
from harness.errors import HarnessError, UsageError
from harness.progress import Step


def test_an_error_says_what_which_expected_and_what_to_do() -> None:
    error = HarnessError("a port is taken", thing="8080", expected="a free one", remedy="choose another", details="line 1\nline 2\n")
    assert str(error).splitlines() == [
        "a port is taken: 8080",
        "  expected: a free one",
        "  to do:    choose another",
        "  | line 1",
        "  | line 2",
    ]


def test_fields_that_are_not_set_take_no_line() -> None:
    assert str(HarnessError("it broke")) == "it broke"
    assert UsageError("x").exit_code == 64


def test_a_step_says_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with Step("building") as step:
        step.now("1/2")
    with pytest.raises(ValueError, match="x"), Step("breaking"):
        raise ValueError("x")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "==> building ..."
    assert lines[1].startswith("==> building: done after ")
    assert lines[-1].startswith("==> breaking: failed after ")


HOLDER = "import sys; from harness import locks\nwith locks.held(sys.argv[1], within=5): print('held', flush=True); sys.stdin.read()"


def test_a_lock_is_held_by_one_process_and_freed_when_it_is_killed() -> None:
    name = f"test-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", HOLDER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HarnessError, match=f"held by process {holder.pid}"), locks.held(name, within=0.3):
            pytest.fail("two processes held it")
        holder.kill()
    with locks.held(name, within=2):
        pass
    (locks.lock_folder() / f"{name}.lock").unlink()


def test_a_full_disk_names_what_was_being_done() -> None:
    assert "while building x" in str(engine.disk_full("building x"))
