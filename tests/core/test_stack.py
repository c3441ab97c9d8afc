"""What a stack makes of a scenario's name."""

import re

import pytest

from harness.clock import Clock
from harness.errors import UsageError
from harness.rig import Rig
from harness.stack import Stack, slug


@pytest.mark.parametrize("name", ["a/b.py::test_it[8.2]", "x.scenario.yaml::4711_a_bug[7.20]", "::", "::Ünïcode", f"::{'x' * 80}"])
def test_every_scenario_can_name_a_project(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,23}", slug(name))


@pytest.mark.parametrize("name", ["8.2", "Host1", "a_b", "../up", "x" * 32])
def test_a_client_is_not_called_by_what_names_no_host(name: str) -> None:
    """A generation in the place of the name would be another client of the usual generation."""
    stack = Stack(Rig(), "::names", clock=Clock.real())
    with pytest.raises(UsageError, match=r"said with version=") as caught:
        stack.client(name)
    assert repr(name) in str(caught.value)
    assert stack.clients == []
