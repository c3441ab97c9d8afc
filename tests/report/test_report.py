"""The pages: what stands in them, how large they are, that nothing of a scenario gets to be code in them."""

import base64
import gzip
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from harness.report import Facts, github, timeline
from harness.report import write as write_report
from harness.report.page import fill, read_history
from harness.report.runs import Ran, write_run
from tests.report.fabricated import evidence, record, write

MB = 1_000_000


def data_of(page: str) -> dict[str, Any]:
    packed = re.search(r'id="data"[^>]*>([^<]+)<', page)
    assert packed is not None
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    return data


def test_a_page_holds_every_event_and_links_it_to_its_line(tmp_path: Path) -> None:
    records = evidence(tmp_path)
    page = write_report(tmp_path, Facts("made up", outcome="failed", why="it failed", seconds=9.5)).read_text(encoding="utf-8")
    data = data_of(page)
    assert [event[0] for event in data["events"]] == list(range(1, len(records) + 1))
    lanes = [lane["name"].strip() for lane in data["lanes"]]
    assert lanes[:4] == ["scenario", "faults", "server", "host1"]
    assert lanes[4] == "uppercase_1795_0_0", "a task stands below its client"
    assert data["logs"] == {"server": "server.log", "host1": "host1/client.log"}
    styles = {(data["lanes"][bar[0]]["name"].strip(), bar[3]) for bar in data["bars"]}
    assert {("faults", "fault"), ("uppercase_1795_0_0", "run"), ("uppercase_1795_0_0", "move")} <= styles


def test_what_was_expected_and_seen_is_on_top(tmp_path: Path) -> None:
    evidence(tmp_path)
    page = write_report(tmp_path, Facts("made up", outcome="failed")).read_text(encoding="utf-8")
    assert page.index("job1 wrote") < page.index("job1 gets validated") < page.index("What happened when"), "what failed comes first"


def test_nothing_that_a_scenario_says_becomes_code(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{script}}"
    write(
        tmp_path,
        [record("client.message", 0, evil, client=evil, text=evil), record("expect.failed", 1, "scenario", text=evil, seen=evil, line=1)],
    )
    page = write_report(tmp_path, Facts(evil, nodeid=evil, why=evil, properties=[(evil, evil)], again=evil)).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("</script>") == 2


def test_a_page_needs_no_network(tmp_path: Path) -> None:
    evidence(tmp_path)
    page = write_report(tmp_path, Facts("made up")).read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page)
    assert "@import" not in page


def test_ten_thousand_events_fit_into_two_megabytes(tmp_path: Path) -> None:
    records = evidence(tmp_path, jobs=300, messages=7300)
    assert len(records) >= 10_000
    began = time.monotonic()
    page = write_report(tmp_path, Facts("large"))
    assert page.stat().st_size <= 2 * MB
    assert time.monotonic() - began < 10


def test_what_is_too_much_for_a_page_is_left_to_the_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timeline, "MOST_EVENTS", 30)
    records = evidence(tmp_path, jobs=2, messages=50)
    drawn = timeline.build(records)
    assert len(drawn.events) == 30
    assert drawn.left_out == len(records) - 30
    kinds = {drawn.kinds[event[2]] for event in drawn.events}
    assert {"fault.injected", "job.validated", "expect.failed"} <= kinds, "messages go first"


def test_a_page_can_be_made_again_from_its_folder(tmp_path: Path) -> None:
    evidence(tmp_path)
    first = write_report(tmp_path, Facts("made up", outcome="failed", seconds=2, properties=[("server", "x")])).read_text(encoding="utf-8")
    again = write_report(tmp_path).read_text(encoding="utf-8")
    assert re.sub(r"<li>.*?</li>", "", again) == re.sub(r"<li>.*?</li>", "", first)


@pytest.mark.parametrize("content", ["", "not json\n", '{"kind": "x"}\n', '{"kind": "a", "real": 1, "virtual": 1, "source": "s"}\n{"kin'])
def test_a_history_that_was_cut_off(content: str, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(content, encoding="utf-8")
    assert len(read_history(tmp_path)) == content.count('"source"')
    assert write_report(tmp_path, Facts("cut")).is_file()


def test_a_folder_without_anything(tmp_path: Path) -> None:
    assert "Passed" in write_report(tmp_path).read_text(encoding="utf-8")


def test_values_are_not_templates() -> None:
    assert fill("a {{x}} b {{y}}", {"x": "{{y}}", "y": "1"}) == "a {{y}} b 1"


def test_a_run_lists_its_scenarios_failures_first_and_remembers_them(tmp_path: Path) -> None:
    evidence(tmp_path / "b")
    write_report(tmp_path / "b", Facts("b", outcome="failed"))
    ran = [
        Ran("a.py::a", "passed", 1.0),
        Ran("b.py::b", "failed", 2.0, "<b>why</b>", tmp_path / "b"),
        Ran("c.py::c", "skipped", 0.0, "no VM"),
    ]
    page = write_run(tmp_path, ran).read_text(encoding="utf-8")
    assert page.index("b.py::b") < page.index("a.py::a") < page.index("c.py::c")
    assert 'href="b/report.html"' in page
    assert "<b>why" not in page
    assert "<svg" not in page
    again = write_run(tmp_path, ran).read_text(encoding="utf-8")
    assert "1.0 s passed, 1.0 s passed" in again
    for _ in range(30):
        write_run(tmp_path, ran[:1])
    assert len((tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()) == 20


def test_what_github_shows(tmp_path: Path) -> None:
    failed = Ran("scenarios/test_x.py::test_y[8.2]", "failed", 2.0, "first | line\nsecond: 100%")
    summary = tmp_path / "summary.md"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert github.is_github(environment)
    assert not github.is_github({})
    github.append_summary(environment, [Ran("a", "passed", 1.0), failed])
    lines = summary.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "### BOINC scenarios: 1 failed, 0 known failure, 1 passed, 0 skipped"
    assert lines[4].startswith("| Failed | `scenarios/test_x.py::test_y[8.2]` | 2.0 | first \\| line")
    assert github.annotation(failed) == "::error file=scenarios/test_x.py,line=1,title=test_y[8.2]::first | line%0Asecond: 100%25"


def test_times_count_from_the_first_event() -> None:
    drawn = timeline.build([record("client.started", 3, "host1", client="host1"), record("rpc.scheduler", 1, host=1)])
    assert [event[3] for event in drawn.events] == [2000, 0]
    assert [event[4] for event in drawn.events] == [40_000, 0]


def test_faults_at_the_same_time_have_rows_of_their_own() -> None:
    def fault(kind: str, time: float, number: int) -> dict[str, Any]:
        return record(f"fault.{kind}", time, "faults", fault="kill", target="host1", number=number)

    times = [("injected", 1, 1), ("injected", 2, 2), ("healed", 3, 1), ("injected", 4, 3), ("healed", 5, 2), ("healed", 6, 3)]
    drawn = timeline.build([fault(*one) for one in times])
    assert sum(lane.kind == "faults" for lane in drawn.lanes) == 2
    rows = {bar[1][0]: bar[0] for bar in drawn.bars}
    assert rows == {0: 0, 1000: 1, 3000: 0}


def test_a_client_that_stops_ends_the_bars_of_its_own_tasks_only() -> None:
    def task(client: str, name: str) -> dict[str, Any]:
        return record(
            "task.state", 1, client, client=client, result=name, state="FILES_DOWNLOADED", active_state="EXECUTING", exit_status=0
        )

    started = [record("client.started", 0, host, client=host, version="8.2.15") for host in ("host1", "host2")]
    drawn = timeline.build(
        [*started, task("host1", "a_0"), task("host2", "b_0"), record("client.stopped", 2, "host1", client="host1", how="SIGKILL")]
    )
    ends = {drawn.lanes[bar[0]].name.strip(): bar[2] for bar in drawn.bars}
    assert ends == {"a_0": (2000, 40_000), "b_0": None}
