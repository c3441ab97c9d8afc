"""What a stack makes of a scenario's name."""

import re

import pytest

from harness.stack import slug


@pytest.mark.parametrize("name", ["a/b.py::test_it[8.2]", "x.scenario.yaml::4711_a_bug[7.20]", "::", "::Ünïcode", f"::{'x' * 80}"])
def test_every_scenario_can_name_a_project(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,23}", slug(name))
