"""The guest's log: every line once, in order, and bounded."""

from __future__ import annotations

import signal

from .conftest import Task

DONE = {"write": ["done", "0\n"]}


def test_ten_thousand_lines_arrive_whole(task: Task) -> None:
    task.guest({"flood": 10000}, DONE)
    assert task.run() == 0
    assert task.guest_log == [f"flood {number}" for number in range(10000)]
    # What goes to the project is bounded: the client cuts stderr.txt to its last 63 KiB.
    assert len(task.stderr) < 60000
    assert "Guest Log: flood 0\n" in task.stderr
    assert "Guest Log: flood 9999\n" in task.stderr
    assert "lines" in task.stderr.partition("---")[2]
    assert task.stderr.splitlines()[0].endswith("is needed.")


def test_lines_after_the_trigger_and_half_lines_are_kept(task: Task) -> None:
    task.guest({"say": "one"}, DONE, {"say": "after the trigger"}, {"raw": "STAMP VMMDev: Guest Log: half a li"})
    assert task.run() == 0
    assert task.guest_log[:2] == ["one", "after the trigger"]
    assert task.guest_log[2].startswith("half a li")


def test_a_half_line_at_the_moment_of_a_look_is_completed(task: Task) -> None:
    task.guest({"raw": "STAMP VMMDev: Guest Log: first "}, {"wait": 0.4}, {"raw": "half and second\n"}, {"say": "next"}, DONE)
    assert task.run() == 0
    assert task.guest_log == ["first half and second", "next"]


def test_pieces_of_a_long_line_are_put_together(task: Task) -> None:
    task.guest({"say": "a" * 499 + "\x1e"}, {"say": "boinc-guest: a line of init"}, {"say": "b" * 499 + "\x1e"}, {"say": "end"}, DONE)
    assert task.run() == 0
    assert task.guest_log == ["boinc-guest: a line of init", "a" * 499 + "b" * 499 + "end"]


def test_rotation_loses_nothing(task: Task) -> None:
    steps: list[dict[str, object]] = []
    for number in range(6):
        steps += [{"flood": 300}, {"say": f"before rotation {number}"}, {"rotate": True}, {"wait": 0.2 * (number % 2)}]
    task.guest(*steps, {"say": "end"}, DONE)
    assert task.run() == 0
    assert len(task.guest_log) == 6 * 301 + 1
    assert task.guest_log[-1] == "end"


def test_a_flood_is_bounded_and_said(task: Task) -> None:
    task.options["guest_log_limit_mb"] = 0.5
    task.guest({"flood": 40000}, DONE)
    assert task.run() == 0
    assert (task.slot / "vm_guest.log").stat().st_size < 600000
    assert "has reached its limit of 0.5 MiB" in task.stderr
    assert "of all 40000" in task.stderr
    assert "Guest Log: flood 39999\n" in task.stderr


def test_no_line_twice_after_the_wrapper_was_killed(task: Task) -> None:
    task.guest({"flood": 500}, {"say": "mark"}, {"wait": 1.5}, {"flood": 5}, DONE)
    task.start()
    task.wait_guest("mark")
    assert task.process is not None
    task.process.send_signal(signal.SIGKILL)
    task.process.wait()
    assert task.run() == 0
    assert task.guest_log == [f"flood {number}" for number in range(500)] + ["mark"] + [f"flood {number}" for number in range(5)]
