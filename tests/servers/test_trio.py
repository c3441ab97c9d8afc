"""When a project will not come up any more, by its container's state and by what supervisord says of the start program."""

import pytest

from harness.errors import HarnessError
from harness.project.upstream.trio import Trio, start_failure

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


class _Loses(Trio):
    """Its engine loses the output of the first commands."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.scripts: list[str] = []

    def tool(self, script: str, *, user: str = "") -> str:
        assert not user
        self.scripts.append(script)
        return "" if len(self.scripts) <= self.lost else "1000\n(end of answer)\n"


def test_a_question_whose_answer_the_engine_lost_is_asked_again() -> None:
    assert _Loses(2).ask("id -u") == "1000\n"
    with pytest.raises(HarnessError, match="loses"):
        _Loses(5).ask("id -u")
