"""The JSON Schema of scenario files, for editors: `python -m harness.scenario.schema > docs/scenario.schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from harness.scenario.model import Scenario


def schema() -> dict[str, Any]:
    """The schema of a whole scenario file."""
    found = Scenario.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "boinc-harness scenario file", **_without_titles(found)}


def render() -> str:
    """The schema as the text of docs/scenario.schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _without_titles(node: Any) -> Any:
    """Leave out the titles that repeat a field's own name: they make up a third of the file."""
    if isinstance(node, dict):
        return {
            name: _without_titles(value)
            for name, value in node.items()
            if not (name == "title" and isinstance(value, str)) and name != "discriminator"
        }
    if isinstance(node, list):
        return [_without_titles(value) for value in node]
    return node


if __name__ == "__main__":
    sys.stdout.write(render())
