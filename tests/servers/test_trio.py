"""When a project will not come up any more, by its container's state and by what supervisord says of the start program."""

import pytest

from harness.project.upstream.trio import start_failure

SPAWNED = "2026-01-01 10:00:00,000 INFO spawned: 'start' with pid 8\n"
RUNNING = "2026-01-01 10:00:01,000 INFO success: start entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)\n"
EXITED = "2026-01-01 10:00:02,000 INFO exited: start (exit status 1; not expected)\n"
FATAL = "2026-01-01 10:00:09,000 INFO gave up: start entered FATAL state, too many start retries too quickly\n"


@pytest.mark.parametrize("log", ["", SPAWNED, SPAWNED + RUNNING + "Project startup complete.\n"], ids=range(3))
def test_a_start_that_goes_on_is_waited_for(log: str) -> None:
    assert start_failure("running", 0, log) == ""


@pytest.mark.parametrize("log", [SPAWNED + EXITED, SPAWNED + FATAL, SPAWNED + RUNNING + "addgroup: no\n" + EXITED], ids=range(3))
def test_a_start_program_that_gave_up_is_told(log: str) -> None:
    assert "gave up" in start_failure("running", 0, log)


def test_a_container_that_ended_is_told_with_its_exit_code() -> None:
    assert "exit code 3" in start_failure("exited", 3, "")
