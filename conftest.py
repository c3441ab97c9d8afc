"""Loads the plugin where the project is used from its folder without being installed (installed, its entry point loads it)."""

from importlib.metadata import entry_points

_installed = any(entry.value == "harness.plugin" for entry in entry_points(group="pytest11"))
pytest_plugins = () if _installed else ("harness.plugin",)
