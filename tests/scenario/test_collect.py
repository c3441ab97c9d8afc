"""pytest and the command line with scenario files: what is said before anything is started."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.scenario.kinds import SERVER_KINDS

pytest_plugins = ("pytester",)
GOOD = "scenario: a good one\njobs: [{name: j, app: uppercase}]\nexpect: [{job: j, reaches: validated}]\n"
BAD = GOOD.replace("uppercase", "upercase")
ROOT = Path(__file__).parents[2]


def collected(pytester: pytest.Pytester, content: str) -> pytest.RunResult:
    pytester.makefile(".scenario.yaml", story=content)
    return pytester.runpytest_subprocess("--collect-only", "-q", "-p", "no:cacheprovider")


def test_a_scenario_file_is_a_test(pytester: pytest.Pytester) -> None:
    result = collected(pytester, GOOD)
    result.stdout.fnmatch_lines(["story.scenario.yaml::story"])
    assert result.ret == 0


def test_a_mistake_is_an_error_of_collection(pytester: pytest.Pytester) -> None:
    result = collected(pytester, BAD)
    result.stdout.fnmatch_lines(['*story.scenario.yaml:2:18: jobs*0*.app: no such application: *did you mean "uppercase"?'])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_check_names_each_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.scenario.yaml", tmp_path / "bad.scenario.yaml"
    good.write_text(GOOD, encoding="utf-8")
    bad.write_text(BAD, encoding="utf-8")
    fine = CliRunner().invoke(cli, ["check", str(good)])
    assert fine.exit_code == 0
    assert "good" in fine.output
    wrong = CliRunner().invoke(cli, ["check", str(good), str(bad)])
    assert wrong.exit_code == 64
    assert f"{bad}:2:18: jobs[0].app" in wrong.output


def test_report_and_record_need_evidence(tmp_path: Path) -> None:
    for command in ("report", "record"):
        refused = CliRunner().invoke(cli, [command, str(tmp_path)])
        assert refused.exit_code != 0
        assert "history.jsonl" in str(refused.exception)


def test_every_event_that_the_server_tells_is_known() -> None:
    """A kind that the server has and scenario files may not name would be a trap."""
    emitted: set[str] = set()
    for source in (ROOT / "images" / "server" / "boinc_server").rglob("*.py"):
        emitted |= set(re.findall(r'emit\(\s*"([a-z]+\.[a-z_]+)"', source.read_text(encoding="utf-8")))
    assert emitted <= set(SERVER_KINDS)


def test_a_file_may_run_with_several_generations(pytester: pytest.Pytester) -> None:
    pytester.makefile(".scenario.yaml", story=GOOD + 'versions: ["7.20", "8.2"]\n')
    result = pytester.runpytest_subprocess("--collect-only", "-q", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["story.scenario.yaml::story?7.20?", "story.scenario.yaml::story?8.2?"])
