"""A task's ways through the wrapper: done, failed, suspended, quit, aborted, lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from harness.waiting import wait_until

from .conftest import CONTROL, STATUS, Task

DONE = {"write": ["done", "0\n"]}


def test_a_task_runs_to_its_end_and_leaves_nothing(task: Task) -> None:
    task.guest({"say": "hello"}, DONE)
    assert task.run() == 0
    assert task.finished()[0] == "0"
    assert task.guest_log == ["hello"]
    assert task.nothing_left()
    assert task.stderr.splitlines()[0].endswith("no hardware support is needed.")
    # Each call costs a process and a round trip: no more than needed.
    assert [call.split()[0] for call in task.calls] == [
        "createvm", "modifyvm", "storagectl", "storageattach", "sharedfolder", "startvm", "controlvm", "unregistervm", "closemedium",
    ]  # fmt: skip


def test_it_takes_no_time_of_its_own(task: Task) -> None:
    task.guest(DONE)
    task.start()
    began = time.monotonic()
    assert task.end() == 0
    assert time.monotonic() - began < 4, "nine calls of a Python script and no fixed sleeps"


@pytest.mark.parametrize(
    ("text", "code", "message"), [("3\n", 3, None), ("4\n1\nout of luck\n", 4, "out of luck"), ("0\n0\nquiet\n", 0, None)]
)
def test_the_guest_decides_the_exit_code(task: Task, text: str, code: int, message: str | None) -> None:
    task.guest({"write": ["done", text]})
    assert task.run() == code
    assert task.finished()[0] == str(code)
    assert task.finished()[1:] == ([message, "notice"] if message else [])
    assert task.nothing_left()


def test_a_guest_that_goes_off_without_completion_has_failed(task: Task) -> None:
    task.guest({"off": True})
    assert task.run() == 195
    assert "without a completion file" in task.finished()[1]
    assert task.nothing_left()


def test_a_crashed_machine_is_an_error_with_a_picture(task: Task) -> None:
    task.guest({"guru": True})
    assert task.run() == 195
    assert "guru meditation" in task.finished()[1]
    assert (task.slot / "vbox_screenshot.png").exists()
    assert task.nothing_left()


def test_job_duration_ends_the_task_with_success(task: Task) -> None:
    task.options["job_duration"] = 1
    task.guest({"wait": 60})
    assert task.run() == 0
    assert task.nothing_left()


def test_a_guest_without_heartbeat_hangs(task: Task) -> None:
    task.options.update(heartbeat_filename="beat", minimum_heartbeat_interval=1)
    task.guest({"beat": "beat", "wait": 1.5}, {"say": "now it hangs"}, {"wait": 60})
    assert task.run() == 195
    assert "has not changed for 1 seconds" in task.finished()[1]
    assert task.guest_log == ["now it hangs"]
    assert (task.slot / "vbox_screenshot.png").exists()


def test_suspend_pauses_and_resume_goes_on(task: Task) -> None:
    task.guest({"say": "up"}, {"await": "go"}, DONE)
    task.start()
    task.wait_guest("up")
    task.send(CONTROL, "<suspend/>\n")
    task.wait_calls(f"controlvm {task.name} pause")
    time.sleep(0.5)
    task.let_go()
    time.sleep(0.5)
    assert task.process is not None
    assert task.process.poll() is None
    task.send(CONTROL, "<resume/>\n")
    assert task.end() == 0
    assert task.called(f"controlvm {task.name} resume") == 1


def test_quit_saves_the_state_and_leaves_virtualbox_without_a_trace(task: Task) -> None:
    task.guest({"say": "before"}, {"await": "go"}, {"say": "after"}, DONE)
    task.start()
    task.wait_guest("before")
    task.send(CONTROL, "<quit/>\n")
    assert task.end() == 0
    assert not (task.slot / "boinc_finish_called").exists()
    assert task.machines == {}
    assert task.processes() == []
    task.let_go()
    assert task.run() == 0
    assert task.guest_log == ["before", "after"]
    assert task.nothing_left()


def test_quit_without_any_checkpoints_starts_from_the_beginning(task: Task) -> None:
    task.options["disable_automatic_checkpoints"] = 1
    task.guest({"say": "first"}, {"await": "go"}, DONE)
    task.start()
    task.wait_guest("first")
    task.send(CONTROL, "<quit/>\n")
    assert task.end() == 0
    assert task.nothing_left()
    task.let_go()
    assert task.run() == 0
    assert task.guest_log == ["first", "first"]


def test_abort_leaves_nothing(task: Task) -> None:
    task.guest({"say": "up"}, {"wait": 60})
    task.start()
    task.wait_guest("up")
    task.send(CONTROL, "<abort/>\n")
    task.end()
    assert task.nothing_left()


def test_a_lost_client_is_as_a_quit(task: Task) -> None:
    task.guest({"say": "up"}, {"wait": 60})
    client = os.fork()
    if client == 0:
        time.sleep(60)
        os._exit(0)
    task.client["client_pid"] = client
    task.start()
    task.wait_guest("up")
    os.kill(client, signal.SIGKILL)
    os.waitpid(client, 0)
    assert task.end() == 0
    assert task.machines == {}
    assert task.processes() == []


def test_a_checkpoint_is_made_and_told(task: Task) -> None:
    task.options["minimum_checkpoint_interval"] = 1
    task.client["checkpoint_period"] = 1
    task.guest({"wait": 3}, DONE)
    task.start()
    seen = set()
    while task.process is not None and task.process.poll() is None:
        text = task.receive(STATUS)
        if text:
            seen.add(text.partition("<checkpoint_cpu_time>")[2].partition("<")[0])
        time.sleep(0.02)
    assert task.called(f"snapshot {task.name} take") >= 2
    assert task.called(f"snapshot {task.name} delete") >= 1
    assert len(seen) >= 2
    assert task.nothing_left()


def test_a_machine_that_is_killed_goes_on_from_the_checkpoint(task: Task) -> None:
    task.options["minimum_checkpoint_interval"] = 1
    task.client["checkpoint_period"] = 1
    task.guest({"say": "one"}, {"await": "go"}, {"say": "two"}, DONE)
    task.start()
    task.wait_calls(f"snapshot {task.name} take")
    os.kill(task.machine_pid(), signal.SIGKILL)
    task.let_go()
    assert task.end() == 0
    assert task.called(f"snapshot {task.name} restorecurrent") == 1
    assert "has died" in task.stderr
    assert task.nothing_left()


def test_a_machine_that_always_dies_ends_the_task(task: Task) -> None:
    task.options["max_restarts"] = 2
    (task.fake / "guest.json").write_text('[{"wait": 0.2}, {"die": 9}]')
    assert task.run() == 195
    assert "died 3 times" in task.finished()[1]
    assert task.nothing_left()


def test_a_killed_wrapper_finds_its_machine_again(task: Task) -> None:
    task.guest({"say": "one"}, {"await": "go"}, {"say": "two"}, DONE)
    task.start()
    task.wait_guest("one")
    time.sleep(1.2)  # its position in the log is on disk by then
    assert task.process is not None
    task.process.kill()
    task.process.wait()
    task.let_go()
    assert task.run() == 0
    assert "still running" in task.stderr
    assert task.guest_log == ["one", "two"]
    assert task.called("startvm") == 1
    assert task.nothing_left()


def test_everything_killed_starts_again(task: Task) -> None:
    task.guest({"say": "one"}, {"await": "go"}, DONE)
    task.start()
    task.wait_guest("one")
    assert task.process is not None
    task.process.kill()
    task.process.wait()
    os.kill(task.machine_pid(), signal.SIGKILL)
    task.let_go()
    assert task.run() == 0
    assert task.nothing_left()


def test_two_wrappers_do_not_share_a_slot(task: Task) -> None:
    task.guest({"say": "up"}, {"await": "go"}, DONE)
    task.start()
    task.wait_guest("up")
    first = task.process
    assert first is not None
    task.start()
    task.let_go()
    wait_until(lambda: first.poll() is not None, "the first to end", within=20)
    assert first.returncode == 0


def test_an_intermediate_temporary_exit(task: Task) -> None:
    task.options["temporary_exit_trigger_file"] = "later"
    task.guest({"write": ["later", "120\n1\nno network\n"]}, {"wait": 60})
    assert task.run() == 0
    assert task.postponed() == ["120", "no network", "notice"]
    assert task.nothing_left()
    task.guest(DONE)
    assert task.run() == 0
    assert task.finished()[0] == "0"
