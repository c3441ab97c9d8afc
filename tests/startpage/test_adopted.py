"""`harness page`: the start page of a stack that somebody else brought up, which it leaves as it is."""

from collections.abc import Iterator
from typing import cast

import pytest

from harness import engine, running, up
from harness.clock import Clock
from harness.errors import UsageError
from harness.rig import Rig
from harness.stack import Stack
from harness.startpage import Site
from harness.startpage.adopted import AdoptedStack
from harness.waiting import wait_until


def test_without_a_stack_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "stacks", list)
    with pytest.raises(UsageError, match=r"docker compose -f compose.test.yml up"):
        up.serve_page(None, port=0, say=print)
    with pytest.raises(UsageError, match="no such stack is running: nowhere"):
        up.serve_page("nowhere", port=0, say=print)


@pytest.fixture
def other() -> Iterator[Stack]:
    """A stack as another process would have it."""
    with Rig(name="other") as rig, Stack(rig, "other", clock=Clock.real()) as stack:
        assert stack.mail.url
        stack.client(attach=True)
        yield stack


@pytest.mark.engine
def test_the_page_of_another_stack(other: Stack) -> None:
    # not by `running.stacks`: other rigs of this process are of the same run
    containers = engine.connect().containers
    host = running.RunningClient("host1", containers.get(other.clients[0].container_name))
    server, mail = (containers.get(f"{other.rig.name}-{part}") for part in ("server", "mail"))
    stack = AdoptedStack(running.RunningStack("other", [host], server, mail))
    site = Site(cast(Stack, stack), stack.project, stack.account())
    try:
        assert stack.project.master_url == other.project.master_url
        assert "host1" in site.index()
        assert other.mail.url in site.index()
        site.press({"action": ["submit"]})
        site.press({"action": ["update"], "client": ["host1"]})
        stack.history.wait("job.validated", within=60)
        assert "job.validated" in site.newer(0)["kinds"]
        site.press({"action": ["break-network"], "client": ["host1"]})
        assert other.clients[0].status().network_mode.name == "NEVER"
        site.press({"action": ["heal"]})
        assert other.clients[0].status().network_mode.name == "AUTO"
        site.press({"action": ["kill"], "client": ["host1"]})
        wait_until(lambda: "Start again" in site.index(), "the client gone", within=20)
        site.press({"action": ["start"], "client": ["host1"]})
        wait_until(lambda: "Start again" not in site.index(), "the client back", within=20)
    finally:
        stack.close()
    assert other.server.healthy()
    assert containers.get(other.clients[0].container_name).status == "running"
    assert len(other.project.workunits()) == 1
