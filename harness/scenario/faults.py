"""Faults in a scenario file: data that `harness.faults` carries out."""

from __future__ import annotations

from pydantic import ConfigDict

from harness.scenario.steps import Trigger
from harness.scenario.values import Name


class FaultModel(Trigger):
    """A fault; its own fields are those of the fault (docs/faults.md)."""

    model_config = ConfigDict(extra="allow")

    name: Name | None = None
    start: bool = True
