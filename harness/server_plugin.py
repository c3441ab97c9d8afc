"""pytest leaves out scenarios that need what the chosen project server has not, with that reason."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from harness.capabilities import UPSTREAM_LACKS, Capability, Unsupported, needs_of
from harness.project.upstream.imageset import NoImages, parse_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*capabilities): what only some project servers have (harness/capabilities.py)")


def stands_elsewhere(config: pytest.Config) -> bool:
    """Is it another server than the embedded one, which has everything?"""
    return parse_server(config.getoption("--server")) is not None


def needs(item: pytest.Item) -> frozenset[Capability]:
    """What a scenario needs of its project server, as far as that is known before it runs."""
    marked = [name for mark in item.iter_markers("needs") for name in mark.args]
    if item.get_closest_marker("virtual_time") is not None:
        marked.append(Capability.VIRTUAL_TIME.value)
    try:
        return needs_of(getattr(item, "function", None), marked)
    except ValueError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scenarios that need what the server has not are skipped with that reason; a wrong mark is told before anything starts."""
    elsewhere = stands_elsewhere(config)
    for item in items:
        missing = needs(item) & UPSTREAM_LACKS
        if elsewhere and missing:
            names = ", ".join(sorted(one.value for one in missing))
            item.add_marker(pytest.mark.skip(reason=f"needs {names}, which the upstream server has not"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skipping())


def _skipping() -> Generator[None, object, object]:
    """What a server has not got is a skip, with the reason."""
    try:
        return (yield)
    except (Unsupported, NoImages) as lacking:
        pytest.skip(lacking.reason)
