"""The record of events, and the waits on it."""

import json
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clock import Clock
from harness.errors import HarnessError
from harness.history import History, WaitFailed
from harness.waiting import WaitTimeout

kinds = st.sampled_from(["a", "b", "c", "d"])


@pytest.fixture
def history() -> History:
    return History(Clock.real())


@given(happened=st.lists(kinds), wanted=st.lists(kinds))
def test_in_order_is_the_subsequence_relation(happened: list[str], wanted: list[str]) -> None:
    history = History(Clock.real())
    for kind in happened:
        history.add(kind, "test")
    position = 0
    for kind in happened:
        if position < len(wanted) and kind == wanted[position]:
            position += 1
    assert history.in_order(*wanted) == (position == len(wanted))
    assert history.of(lambda event: True).in_order(*wanted) == history.in_order(*wanted)


def test_a_wait_finds_what_happened_before_it(history: History) -> None:
    history.add("job.created", "server", workunit=1)
    history.add("job.created", "server", workunit=2)
    assert history.wait("job.created", within=0, workunit=2).get("workunit") == 2


def test_a_wait_wakes_up_as_soon_as_it_happens(history: History) -> None:
    began = time.monotonic()
    threading.Timer(0.05, lambda: history.add("host.created", "server")).start()
    history.wait("host.created", within=5)
    assert time.monotonic() - began < 1


def test_an_event_that_rules_it_out_ends_the_wait(history: History) -> None:
    history.add("job.error", "server", error_mask=2)
    with pytest.raises(WaitFailed) as caught:
        history.wait_for(
            lambda event: event.kind == "job.validated", "validation", within=5, fail_on=lambda event: event.kind == "job.error"
        )
    assert caught.value.event.get("error_mask") == 2
    assert "error_mask=2" in str(caught.value)


def test_a_wait_in_vain_tells_the_last_events(history: History) -> None:
    history.add("rpc.scheduler", "server", host=7)
    with pytest.raises(WaitTimeout, match="host=7"):
        history.wait("job.validated", within=0.05)


def test_a_broken_source_fails_the_wait_instead_of_waiting_it_out(history: History) -> None:
    began = time.monotonic()
    threading.Timer(0.05, lambda: history.break_off(HarnessError("the server is gone"))).start()
    with pytest.raises(HarnessError, match="the server is gone"):
        history.wait("job.validated", within=30)
    assert time.monotonic() - began < 5


def test_what_has_happened_counts_even_if_the_source_broke_later(history: History) -> None:
    history.add("job.validated", "server")
    history.break_off(HarnessError("the server is gone"))
    assert history.wait("job.validated", within=0).kind == "job.validated"


def test_a_prefix_stands_for_all_that_begin_so(history: History) -> None:
    history.add("result.sent", "server")
    history.add("result.reported", "server")
    history.add("results", "server")
    assert [event.kind for event in history.find("result.")] == ["result.sent", "result.reported"]


def test_events_of_many_threads_are_all_kept(history: History) -> None:
    def add(source: str) -> None:
        for number in range(200):
            history.add("event", source, number=number)

    threads = [threading.Thread(target=add, args=(f"thread {index}",)) for index in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history) == 1000
    for index in range(5):
        own = [event.get("number") for event in history if event.source == f"thread {index}"]
        assert own == list(range(200)), "one source's events stay in their order"


def test_it_is_written_as_json_lines(history: History, tmp_path: Path) -> None:
    history.add("client.message", "host1", text='say "hi"\n', real=10.0)
    history.write(tmp_path / "history.jsonl")
    [line] = (tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"kind": "client.message", "real": 10.0, "virtual": 10.0, "source": "host1", "text": 'say "hi"\n'}
