"""A browser for the Manager's screen."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stack import Stack
from scenarios.gui.screen import SIZE

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("BOINC_HARNESS_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium; or name one in BOINC_HARNESS_CHROMIUM)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab with a window of the size of the Manager's screen."""
    context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
    yield context.new_page()
    context.close()


@pytest.fixture
def pictures(stack: Stack) -> Path:
    """Where the pictures of each step go: the scenario's evidence."""
    assert stack.history.evidence is not None
    return stack.history.evidence / "screens"
