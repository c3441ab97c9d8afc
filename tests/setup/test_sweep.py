"""Who owns a thing, and what a sweep removes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import docker.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import engine, labels, sweep
from harness.sweep import Owner, Swept, Thing

NOW = 2_000_000_000.0
HERE = {"machine": "m1", "boot": "b1", "namespace": "pid:[1]"}


def _labels(**changes: str) -> dict[str, str]:
    found = {"run": "r1", "pid": "100", "start": "777", "boot": "b1", "machine": "m1", "pidns": "pid:[1]", **changes}
    return {f"{labels.PREFIX}.{name}": value for name, value in found.items() if value}


def _start_time(pid: int) -> str | None:
    return {100: "777", 200: "888"}.get(pid)


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({}, Owner.ALIVE),
        ({"start": "778"}, Owner.GONE),  # another process has its number now
        ({"pid": "101"}, Owner.GONE),
        ({"boot": "b0"}, Owner.GONE),  # this machine has been restarted
        ({"boot": "b2", "machine": "m2"}, Owner.UNKNOWN),
        ({"pidns": "pid:[2]"}, Owner.UNKNOWN),  # a process in another container of this machine
        ({"pid": ""}, Owner.UNKNOWN),
        ({"pid": "-1"}, Owner.UNKNOWN),
        ({"machine": ""}, Owner.UNKNOWN),
    ],
)
def test_the_owner_is_judged_only_where_its_pid_means_something(changes: dict[str, str], owner: Owner) -> None:
    assert sweep.owner_of(_labels(**changes), **HERE, start_time=_start_time) is owner


@given(st.dictionaries(st.sampled_from(["pid", "start", "boot", "machine", "pidns", "keep"]), st.text(max_size=8)), st.booleans())
def test_whatever_the_labels_say_a_living_owner_keeps_its_things(changes: dict[str, str], kept: bool) -> None:
    found = _labels(**changes)
    owner = sweep.owner_of(found, **HERE, start_time=_start_time)
    thing = Thing("container", "i", "n", found, NOW - 10 * sweep.FOREIGN_AGE)
    if owner is Owner.ALIVE:
        assert not sweep.is_left_over(thing, owner, kept=kept, now=NOW)
    if sweep.is_left_over(thing, owner, kept=False, now=NOW):
        assert sweep.is_left_over(thing, owner, kept=True, now=NOW)


@pytest.mark.parametrize(
    ("owner", "keep", "age", "kept", "removed"),
    [
        (Owner.GONE, "", 0, False, True),
        (Owner.GONE, "1", 0, False, False),
        (Owner.GONE, "1", 0, True, True),
        (Owner.ALIVE, "", 1e9, True, False),
        (Owner.UNKNOWN, "", 3600, True, False),
        (Owner.UNKNOWN, "", sweep.FOREIGN_AGE + 1, False, True),
    ],
)
def test_what_is_left_over(owner: Owner, keep: str, age: float, kept: bool, removed: bool) -> None:
    thing = Thing("network", "i", "n", _labels(keep=keep), NOW - age)
    assert sweep.is_left_over(thing, owner, kept=kept, now=NOW) is removed


def test_a_thing_without_a_date_and_an_owner_to_look_up_stays() -> None:
    assert not sweep.is_left_over(Thing("volume", "i", "n", {}, 0.0), Owner.UNKNOWN, kept=True, now=NOW)


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.123456789Z", 60.123456),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T01:00:00.5+01:00", 0.5),
        ("", 0.0),
        (None, 0.0),
        ("yesterday", 0.0),
    ],
)
def test_the_engines_time_stamps_are_read(stamp: str | None, seconds: float) -> None:
    assert sweep._seconds(stamp) == pytest.approx(seconds)


class FakeApi:
    """The docker SDK's low-level client, as far as a sweep uses it."""

    def __init__(self, refuse: dict[str, docker.errors.APIError]) -> None:
        self.calls: list[str] = []
        self._refuse = refuse

    def _remove(self, name: str) -> None:
        self.calls.append(name)
        if name in self._refuse:
            raise self._refuse[name]

    def remove_container(self, name: str, **options: bool) -> None:
        assert options == {"v": True, "force": True}
        self._remove(name)

    def remove_network(self, name: str) -> None:
        self._remove(name)

    def remove_volume(self, name: str, **_: bool) -> None:
        self._remove(name)

    def remove_image(self, name: str) -> None:
        self._remove(name)


def test_containers_go_before_networks_and_volumes_and_refusals_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi(
        {
            "c2": docker.errors.NotFound("gone"),
            "c3": docker.errors.APIError("409", explanation="removal of container c3 is already in progress"),
            "n1": docker.errors.APIError("403", explanation="network n1 has active endpoints"),
        }
    )
    monkeypatch.setattr(engine, "connect", lambda: _Client(api))
    things = [Thing("image", "i1", "i1", {}, 0), Thing("volume", "v1", "v1", {}, 0), Thing("network", "n1", "n1", {}, 0)]
    things += [Thing("container", name, name, {}, 0) for name in ("c1", "c2", "c3")]
    found = sweep.remove(things)
    assert sorted(api.calls[:3]) == ["c1", "c2", "c3"]
    assert api.calls[3:] == ["n1", "v1", "i1"]
    assert found.containers == ["c1"]
    assert found.volumes == ["v1"]
    assert found.networks == []
    assert found.failed == {"network n1": "network n1 has active endpoints"}
    assert found.describe().splitlines() == [
        "removed 1 container, 1 volume, 1 image",
        "  could not remove network n1: network n1 has active endpoints",
    ]


def test_images_of_jobs_go_when_nothing_else_of_their_run_stays() -> None:
    def image(run: str) -> Thing:
        return Thing("image", f"localhost/boinc-harness/{run}/c/k:t", "", {labels.RUN: run}, 0.0)

    living = Thing("network", "n1", "n1", _labels(run="living"), NOW)
    dead = Thing("container", "c1", "c1", _labels(run="dead", start="1"), NOW)
    found = [living, dead, image("living"), image("dead"), image("long ago")]
    assert sweep.images_without_run(found, [dead]) == [image("dead"), image("long ago")]
    assert not any(sweep.is_left_over(one, Owner.UNKNOWN, kept=True, now=NOW) for one in found if one.kind == "image")


class _Client:
    def __init__(self, api: Any) -> None:
        self.api = api


def test_nothing_to_do_is_said_so() -> None:
    assert not Swept()
    assert Swept().describe() == "nothing was left behind"


def test_a_process_is_known_by_its_start_time() -> None:
    own = labels.owner_labels(role="server", keep=True)
    assert sweep._owner(own) is Owner.ALIVE
    assert own[labels.ROLE] == "server"
    assert own[labels.KEEP] == "1"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        start = labels.start_time(other.pid)
        assert start is not None
        theirs = {**own, labels.PID: str(other.pid), labels.START: start}
        assert sweep._owner(theirs) is Owner.ALIVE
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # a zombie now: it has ended, nobody has asked how
        assert sweep._owner(theirs) is Owner.GONE
    assert sweep._owner(theirs) is Owner.GONE


def test_the_workers_of_one_run_share_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "0123456789abcdef")
    monkeypatch.delenv("BOINC_HARNESS_RUN", raising=False)
    labels.run_id.cache_clear()
    try:
        assert labels.run_id() == "0123456789ab"
    finally:
        labels.run_id.cache_clear()
