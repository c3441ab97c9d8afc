"""A person at BOINC Manager: eyes, mouse and keyboard, through noVNC in a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import containers
from harness.client import Client
from harness.manager import ManagerPage
from harness.waiting import Deadline, wait_until

#: the size of the Manager's screen, and of the browser's window, so that a pixel is a pixel
SIZE = (1280, 800)
#: real seconds until something that was done is on the screen
SOON = 45.0
#: real seconds until the page is loaded once more
PATIENCE = 15.0
#: ranges of red, green and blue: what a chosen row and the frame of the field with the cursor are painted in; an enabled button's words
CHOSEN = ((30, 90), (100, 160), (200, 255))
INK = ((0, 100), (0, 100), (0, 100))
#: how many pixels of a box have a colour within such ranges
_COUNT = """
([x, y, width, height, ranges]) => {
  const canvas = document.querySelector("#noVNC_container canvas");
  const data = canvas.getContext("2d").getImageData(x, y, width, height).data;
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (ranges.every(([low, high], channel) => data[i + channel] >= low && data[i + channel] <= high)) count += 1;
  return count;
}
"""
_WINDOW = re.compile(r'"BOINC Manager[^"]*": .*?(\d+)x(\d+)\+-?\d+\+-?\d+ +\+(-?\d+)\+(-?\d+)')
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Box:
    """A part of the screen, in its pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y + self.height // 2

    def part(self, x: int, y: int, width: int, height: int) -> Box:
        """A box inside of this one; negative x and y count from its right and lower edge."""
        return Box(self.x + (x if x >= 0 else self.width + x), self.y + (y if y >= 0 else self.height + y), width, height)


class Screen:
    """The Manager of a client, open in a browser's tab. Each `picture` goes into a folder, numbered."""

    def __init__(self, tab: Any, client: Client, folder: Path) -> None:
        self._tab = tab
        self._page: ManagerPage = client.open_manager()
        self._folder = folder
        self._pictures = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        """Open noVNC's page.

        Chromium gives up what it is loading whenever this machine gets or loses a network, as with each container that starts: so
        Playwright loads the page's parts in its place.
        """
        failed: list[str] = []
        self._tab.route("http://**", lambda route: route.fulfill(response=route.fetch()))
        self._tab.on("requestfailed", lambda request: failed.append(f"{request.url}: {request.failure}"))

        def connected() -> bool:
            deadline = Deadline(PATIENCE)
            self._tab.goto("about:blank")  # the address differs in its fragment only, which loads nothing again
            self._tab.goto(self._page.url, wait_until="commit")
            while not deadline.expired:
                if self._tab.locator("html.noVNC_connected canvas").count() == 1:
                    return True
                deadline.pause(0.2)
            return False

        state = self._tab.locator("html").get_attribute
        wait_until(
            connected,
            "noVNC connected",
            within=3 * SOON,
            last_state=lambda: f"{state('class')}; failed: {failed[-3:]}; see {self.picture('not-connected')}",
        )
        # its own bar and its words of welcome go by themselves
        self._tab.wait_for_selector("#noVNC_status.noVNC_open, #noVNC_control_bar.noVNC_open", state="detached", timeout=SOON * 1000)

    def picture(self, name: str) -> Path:
        """Keep what is on the screen now."""
        self._pictures += 1
        path = self._folder / f"{self._pictures:02}-{name}.png"
        self._tab.screenshot(path=str(path))
        return path

    def windows(self) -> list[Box]:
        """The Manager's windows and dialogs, without their frames; the main window is the largest and comes first."""
        done = containers.execute(self._page.container, ["xwininfo", "-display", ":0", "-root", "-tree"])
        found = [Box(*(int(match[group]) for group in (3, 4, 1, 2))) for match in _WINDOW.finditer(done.text)]
        return sorted(found, key=lambda box: -box.width * box.height)

    def wait_windows(self, count: int) -> list[Box]:
        """Wait until there are that many windows."""
        wait_until(
            lambda: len(self.windows()) == count,
            f"{count} windows of the Manager",
            within=SOON,
            every=0.2,
            last_state=lambda: str(self.windows()),
        )
        return self.windows()

    def count(self, box: Box, ranges: Ranges) -> int:
        """How many pixels of a box have a colour within `ranges`."""
        return int(self._tab.evaluate(_COUNT, [box.x, box.y, box.width, box.height, ranges]))

    def wait_colour(self, box: Box, ranges: Ranges, at_least: int, what: str) -> None:
        """Wait until so many pixels of a box have such a colour."""
        wait_until(
            lambda: self.count(box, ranges) >= at_least,
            f"{what} on the screen",
            within=SOON,
            every=0.2,
            last_state=lambda: f"{self.count(box, ranges)} of {at_least} pixels; see {self.picture('not-what-was-expected')}",
        )

    def click(self, box: Box) -> None:
        """Click in the middle of a box."""
        self._tab.mouse.click(*box.middle)

    def type(self, text: str) -> None:
        self._tab.keyboard.type(text, delay=30)

    def press(self, key: str) -> None:
        self._tab.keyboard.press(key, delay=30)
