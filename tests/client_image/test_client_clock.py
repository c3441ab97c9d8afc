"""The clock of a client: the stack's formula, to the microsecond or nearly, at any rate, through jumps and restarts."""

from __future__ import annotations

import time

import pytest
from docker.models.containers import Container

from harness import engine
from harness.clock import Clock
from harness.guirpc import Connection
from tests.client_image.conftest import Hosts, run

pytestmark = pytest.mark.engine

#: real seconds that a client's clock may differ from the formula
TOLERANCE = 0.01


def difference(container: Container, clock: Clock) -> float:
    """How far the client's clock is from `clock`, in real seconds: the least of some readings, since a busy machine answers late."""
    host, port = engine.address(container, 31416)
    found = []
    for _ in range(10):
        with Connection.open(host, port) as connection:
            before = time.time()
            shown = float(connection.call("auth1").element("nonce").text)
            after = time.time()
        early, late = shown - clock.at(after), shown - clock.at(before)
        found.append(0.0 if early <= 0 <= late else min(abs(early), abs(late)) / clock.rate)
    return min(found)


@pytest.mark.parametrize("rate", [1, 10, 60])
def test_the_client_shows_the_formulas_time(hosts: Hosts, suite: str, rate: float) -> None:
    now = time.time()
    clock = Clock(now - 1000, now + 7 * 86400, rate)
    container = hosts.start(suite, HARNESS_CLOCK=clock_words(clock))
    hosts.rpc(container)
    assert difference(container, clock) < TOLERANCE
    assert "libfaketime" in run(container, "sh", "-c", "cat /proc/$(pidof boinc)/maps")


def test_without_a_clock_there_is_no_libfaketime(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    hosts.rpc(container)
    assert difference(container, Clock.real()) < TOLERANCE
    assert "libfaketime" not in run(container, "sh", "-c", "cat /proc/$(pidof boinc)/maps")


def test_a_jump(hosts: Hosts, suite: str) -> None:
    now = time.time()
    clock = Clock(now, now, 30)
    container = hosts.start(suite, HARNESS_CLOCK=clock_words(clock))
    hosts.rpc(container)
    now = time.time()
    later = Clock(now, clock.at(now) + 86400, 5)
    run(container, "boinc-clock", clock_words(later))
    assert difference(container, later) < TOLERANCE
    container.restart(timeout=20)
    hosts.rpc(container)
    assert difference(container, later) < TOLERANCE


def clock_words(clock: Clock) -> str:
    return " ".join(f"{number:.6f}" for number in clock.spec())
