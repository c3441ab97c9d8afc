"""A browser for the Manager's screen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stack import Stack
from scenarios.gui.screen import SIZE


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
