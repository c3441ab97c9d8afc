"""pytest fails a scenario whose history breaks an invariant, unless the scenario says why it does."""

import pytest

pytest_plugins = ("pytester",)

SCENARIOS = """
import pytest
from types import SimpleNamespace
from harness.clock import Clock
from harness.history import History


@pytest.fixture
def stack():
    clock = Clock.real()
    history = History(clock)
    return SimpleNamespace(history=history, clock=clock, projects=[], faults=SimpleNamespace(heal=lambda: None))


def breaks_it(stack):
    stack.history.add("job.created", "server", project="p", workunit=1, name="wu")
    stack.history.add("job.validated", "server", project="p", workunit=1, name="wu")


def test_fine(stack):
    stack.history.add("job.created", "server", project="p", workunit=1, name="wu")


def test_broken(stack):
    breaks_it(stack)


@pytest.mark.invariant_off("job_states", "the server is made to lie")
def test_on_purpose(stack):
    breaks_it(stack)


@pytest.mark.invariant_off("credit_sums", "of something else")
def test_another_one_is_off(stack):
    breaks_it(stack)


def test_that_fails_anyway(stack):
    breaks_it(stack)
    assert False, "its own reason"


def test_without_a_stack():
    pass
"""


def test_what_happens_to_scenarios(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SCENARIOS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*FAILED*::test_broken*",
            "*FAILED*::test_another_one_is_off*",
            "*FAILED*::test_that_fails_anyway - AssertionE*",
        ]
    )
    result.stdout.no_fnmatch_line("*invariants/plugin.py*")
    result.stdout.fnmatch_lines(["*job_states: wu: job.validated before any result was reported*"])


@pytest.mark.parametrize("mark", ['"job_states"', '"job_state", "a reason"', '"job_states", ""', ""])
def test_a_mark_without_a_reason_or_a_name_is_told_before_anything_starts(mark: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.invariant_off({mark})\ndef test_it():\n    print('it began')\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-s")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*write @pytest.mark.invariant_off("name", "reason")*'])
    result.stdout.no_fnmatch_line("*it began*")
