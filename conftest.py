"""What the project's own suite needs: the plugin, a browser, an order.

The plugin is loaded here where the project is used from its folder without being installed; installed, its entry point loads it.
"""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

_installed = any(entry.value == "harness.plugin" for entry in entry_points(group="pytest11"))
pytest_plugins = ("tests.chromium",) if _installed else ("harness.plugin", "tests.chromium")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the tests file by file: scenarios first, with the slow files spread evenly among them, then the rest.

    One worker would end alone with a slow file that comes last; and virtual machines, which make a file slow, would have to share the
    processors if they came all at once. A file says with `pytest.mark.timeout` that it is slow.
    """
    if not hasattr(config, "workerinput"):
        return
    files: dict[Path, float] = {}
    for item in items:
        files[item.path] = max([files.get(item.path, 0.0), *(mark.args[0] for mark in item.iter_markers("timeout"))])
    slow = sorted((path for path in files if files[path]), key=lambda path: -files[path])
    others = [path for path in files if not files[path]]
    scenarios = [path for path in others if "scenarios" in path.parts]
    others = scenarios + [path for path in others if path not in scenarios]
    place: dict[Path, float] = {path: number for number, path in enumerate(others)}
    place |= {path: number * len(scenarios) / len(slow) for number, path in enumerate(slow)}
    items.sort(key=lambda item: place[item.path])
