"""The terminal manager in the client's container."""

from __future__ import annotations

import pexpect
import pytest

from tests.client_image.conftest import Hosts

pytestmark = pytest.mark.engine


def test_boinctui_shows_the_client(hosts: Hosts, suite: str) -> None:
    container = hosts.start(suite)
    hosts.rpc(container)
    terminal = pexpect.spawn(
        "docker", ["exec", "-it", "-e", "TERM=xterm", str(container.name), "boinctui"], dimensions=(40, 140), encoding="utf-8", timeout=15
    )
    try:
        terminal.expect("not attached to any projects")
        assert "unauthorized" not in str(terminal.before)
        terminal.send("q")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
