"""BOINC Manager on a screen that a browser can open: with the password, and with something on it."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from docker.models.containers import Container

from harness import engine
from harness.waiting import Deadline, wait_until
from tests.client_image.conftest import PASSWORD, Hosts, run
from tests.client_image.rfb import Picture, Screen, ScreenRefused

pytestmark = pytest.mark.engine

VNC_PASSWORD = "v-secret"


def screen(container: Container, password: str | None = VNC_PASSWORD, *, within: float = 20) -> Screen:
    host, port = engine.address(container, 6080)

    def opened() -> Screen | None:
        try:
            return Screen(host, port, password)
        except OSError:  # not there yet
            return None

    return wait_until(opened, "the screen", within=within)


def wait_for_colours(page: Screen, count: int, *, within: Deadline | float = 40) -> Picture:
    """A picture with at least so many colours: an empty screen has two, and the Manager's pictures have thousands."""
    seen: list[int] = []

    def drawn() -> Picture | None:
        picture = page.picture()
        seen.append(picture.colours())
        return picture if seen[-1] >= count else None

    return wait_until(drawn, f"{count} colours on the screen", within=within, every=0.2, last_state=lambda: f"{seen[-1]} colours")


def test_the_manager_is_drawn(hosts: Hosts, suite: str, tmp_path: Path) -> None:
    container = hosts.start(suite, image="client-gui", VNC_PASSWORD=VNC_PASSWORD)
    assert container.image is not None
    assert int(container.image.attrs["Size"]) <= 700e6
    with screen(container) as page:
        assert (page.width, page.height) == (1280, 800)
        wait_for_colours(page, 500).save(tmp_path / "manager.png")
    assert hosts.rpc(container).get_cc_status()
    status = run(container, "sh", "-c", "grep -h ^CapEff /proc/[0-9]*/status | sort -u")
    assert status.split() == ["CapEff:", "0000000000000000"]


def test_the_page_is_there_and_the_screen_asks_for_the_password(hosts: Hosts) -> None:
    container = hosts.start("sid", image="client-gui", VNC_PASSWORD=VNC_PASSWORD, VNC_GEOMETRY="800x600")
    with screen(container) as page:
        assert (page.width, page.height) == (800, 600)
    host, port = engine.address(container, 6080)
    with urllib.request.urlopen(f"http://{host}:{port}/vnc.html", timeout=10) as reply:
        assert b"noVNC" in reply.read()
    for wrong in ("guess", None):
        with pytest.raises(ScreenRefused):
            screen(container, wrong)
    assert VNC_PASSWORD not in run(container, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_another_containers_client(hosts: Hosts, tmp_path: Path) -> None:
    client = hosts.start("bookworm")
    hosts.rpc(client)
    address = client.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    manager = hosts.start("sid", image="client-gui", VNC_PASSWORD=VNC_PASSWORD, BOINC_MANAGER_HOST=address, BOINC_GUI_RPC_PASSWORD=PASSWORD)
    with screen(manager) as page:
        wait_for_colours(page, 500).save(tmp_path / "manager.png")
    assert "boinc " not in run(manager, "ps", "-A", "-o", "comm")
    connected = wait_until(lambda: established(client), "the Manager's connection", within=20)
    assert connected


def established(client: Container) -> bool:
    """Whether somebody holds a connection to the client's GUI RPC port."""
    lines = [line.split() for line in run(client, "cat", "/proc/net/tcp").splitlines()[1:]]
    return any(line[1].endswith(":7AB8") and line[3] == "01" for line in lines)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "there is no screen without a password"),
        ({"VNC_PASSWORD": "x", "VNC_GEOMETRY": "big"}, "expected WIDTHxHEIGHT"),
        ({"VNC_PASSWORD": "x", "BOINC_MANAGER_VIEW": "pretty"}, "expected advanced or simple"),
    ],
)
def test_wrong_settings(hosts: Hosts, environment: dict[str, str], complaint: str) -> None:
    container = hosts.start("sid", image="client-gui", options=None, **environment)
    assert container.wait(timeout=15)["StatusCode"] == 64
    assert complaint in container.logs().decode()
