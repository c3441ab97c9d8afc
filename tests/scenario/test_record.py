"""A scenario file from a history."""

import base64
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scenario.loader import loads
from harness.scenario.record import record

FILE = Path("x.scenario.yaml")


def events(*entries: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "real": 1000.0 + 10 * index, "virtual": 1000.0, "source": "x", **fields}
        for index, (kind, fields) in enumerate(entries)
    ]


def submitted(number: int, content: bytes = b"hello", **options: object) -> tuple[str, dict[str, Any]]:
    inputs = [{"content_b64": base64.b64encode(content).decode()}]
    fields = {
        "project": "p",
        "workunit": number,
        "name": f"wu{number}",
        "app": "uppercase",
        "command_line": "",
        "options": options,
        "inputs": inputs,
    }
    return ("scenario.submitted", fields)


def recorded(history: list[dict[str, Any]]) -> Any:
    return loads(record(history, name="a test"), FILE).document.value


def about(number: int) -> dict[str, Any]:
    return {"project": "p", "workunit": number, "name": f"wu{number}_0"}


def test_a_whole_story() -> None:
    document = recorded(
        events(
            ("scenario.configured", {"options": {"one_result_per_user_per_wu": 0}}),
            ("fault.injected", {"fault": "http", "target": "upload", "number": 7, "action": "status", "value": 503, "times": 2}),
            submitted(1, min_quorum=1, wu_template=None),
            ("job.created", about(1)),
            ("client.started", {"client": "host1", "version": "8.2.15"}),
            ("result.sent", about(1)),
            ("task.state", {"client": "host1", "result": "wu1_0", "state": "FILES_DOWNLOADED", "active_state": "EXECUTING"}),
            ("client.stopped", {"client": "host1", "how": "SIGKILL"}),
            ("client.started", {"client": "host1", "version": "8.2.15"}),
            ("clock.skipped", {"seconds": 3600.2}),
            submitted(2),
            ("result.reported", {**about(1), "exit_status": 0}),
            ("job.validated", about(1)),
            ("client.stopped", {"client": "host1", "how": "removed"}),
        )
    )
    assert document["project"] == {"config": {"one_result_per_user_per_wu": 0}}
    assert document["clients"] == [{"name": "host1", "version": "8.2"}]
    assert document["jobs"][0] == {"name": "job1", "app": "uppercase", "input": "hello", "min_quorum": 1}
    assert document["faults"] == [{"name": "fault1", "http": "upload", "status": 503, "times": 2}]
    executing = {"event": "task.state", "client": "host1", "fields": {"active_state": "EXECUTING"}, "job": "job1"}
    assert document["steps"] == [{"on": executing, "kill": "host1"}, {"start": "host1"}, {"skip": 3600}, {"submit": "job2"}]
    assert document["expect"][0] == {"job": "job1", "reaches": "validated", "results": 0}
    assert document["expect"][1] == {"in_order": ["result.sent", "result.reported", "job.validated"], "job": "job1"}
    assert document["expect"][2] == {"job": "job2", "reaches": "unsent"}


def test_a_kill_that_a_fault_did_is_not_told_twice() -> None:
    history = events(
        ("client.started", {"client": "host1", "version": "7.20.5"}),
        ("client.stopped", {"client": "host1", "how": "SIGKILL"}),
        ("fault.injected", {"fault": "kill", "target": "host1", "number": 1, "signal": "SIGKILL"}),
    )
    history[2]["real"] = history[1]["real"] + 0.1
    document = recorded(history)
    assert document["steps"] == [{"inject": "fault1"}]
    assert document["faults"] == [{"name": "fault1", "start": False, "kill": "host1", "signal": "SIGKILL"}]


def test_an_input_that_is_no_text_and_one_that_was_too_large() -> None:
    history = events(submitted(1, b"\xff\x00"), submitted(2))
    history[1]["inputs"] = [{"nbytes": 9_000_000}]
    jobs = recorded(history)["jobs"]
    assert jobs[0]["input"] == {"base64": "/wA="}
    assert jobs[1]["input"] == {"repeat": "x", "size": 9_000_000}


kinds = st.sampled_from(
    [
        ("client.started", {"client": "host1", "version": "8.2.15"}),
        ("client.started", {"client": "host2", "version": "8.0.4"}),
        ("client.stopped", {"client": "host1", "how": "quit"}),
        ("result.sent", about(1)),
        ("result.timed_out", about(2)),
        ("job.validated", about(1)),
        ("job.error", about(2)),
        ("task.state", {"client": "host1", "result": "wu1_0", "active_state": "EXECUTING"}),
        ("clock.skipped", {"seconds": 99.0}),
        ("clock.skipped", {"seconds": -99.0}),
        ("scenario.configured", {"options": {"sched_stopped": True}}),
        ("fault.injected", {"fault": "http", "target": "any", "number": 1, "action": "reset", "direction": "reply", "value": True}),
        ("fault.injected", {"fault": "something new", "target": "x", "number": 2}),
        ("fault.healed", {"fault": "http", "target": "any", "number": 1}),
        ("client.message", {"client": "host1", "text": "x"}),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(kinds, max_size=12), st.integers(0, 3))
def test_whatever_happened_gives_a_file_that_loads(happened: list[tuple[str, dict[str, Any]]], place: int) -> None:
    started = [("client.started", {"client": "host1", "version": "8.2.15"})]
    jobs = [submitted(1), submitted(2)]
    history = events(*started, *happened[:place], *jobs, *happened[place:])
    assert recorded(history)["expect"]
