"""What a person sees in the terminal while tests run."""

import io

import pytest

from harness.live import Live
from harness.waiting import Deadline, wait_until

pytest_plugins = ["pytester"]

SLOW = """
import pathlib
from harness.waiting import wait_until

def test_quick():
    pass

def test_slow():
    wait_until(pathlib.Path({go!r}).exists, "the word to go on", within=60)
"""


#: nothing in the line below, and back to column 10 of this one
NOTHING = "\r\n\x1b[2m\x1b[0m\x1b[K\x1b[A\r\x1b[10C"


def test_workers_say_which_tests_they_are_at(pytester: pytest.Pytester) -> None:
    go = pytester.path / "go"
    pytester.makepyfile(SLOW.format(go=str(go)))
    run = pytester.spawn_pytest("-n 2")
    run.expect(r"test_slow \d s", timeout=60)
    go.touch()
    run.expect("2 passed", timeout=60)
    assert run.wait() == 0


def test_where_nobody_watches_nothing_moves(pytester: pytest.Pytester) -> None:
    (pytester.path / "go").touch()
    pytester.makepyfile(SLOW.format(go=str(pytester.path / "go")))
    run = pytester.runpytest_subprocess("-n", "2")
    run.assert_outcomes(passed=2)
    assert "\x1b" not in run.stdout.str()
    assert "test_slow" not in run.stdout.str()


def test_it_is_cut_to_the_terminal_and_leaves_it_to_others_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    terminal = io.StringIO()
    live = Live(lambda: "what is\x1b[31m going on, at some length", terminal, column=lambda: 10)
    assert live.line() == "what is[31m going on, at some"
    live.start()
    wait_until(lambda: "what is" in terminal.getvalue(), "the first words", within=10)
    with live.hidden():
        shown = terminal.getvalue()
        assert shown.endswith(NOTHING)
        Deadline(0.6).pause(0.6)
        assert terminal.getvalue() == shown
    live.stop()
    assert terminal.getvalue().endswith(NOTHING)
