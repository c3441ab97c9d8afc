"""pydantic's errors in a person's words: where in the file, which field, what was expected."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.scenario.expectations import EXPECTATIONS, Expectation
from harness.scenario.faults import FAULTS, FaultModel
from harness.scenario.model import Scenario
from harness.scenario.problems import Problem, nearest, one_of
from harness.scenario.steps import STEPS, Step
from harness.scenario.text import Document
from harness.scenario.values import TAG

_CHOICES: dict[str, tuple[type[Step] | type[Expectation] | type[FaultModel], ...]] = {
    "step": STEPS,
    "expectation": EXPECTATIONS,
    "fault": FAULTS,
}
_WORDS = {
    "string_type": "expected a text",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "missing": "missing",
}


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """The mistakes that a validation found; of several readings of one value the closest is kept."""
    best: dict[tuple[str | int, ...], list[str]] = {}
    for details in error.errors(include_url=False):
        path = _in_document(details["loc"], document)
        if details["type"] == "missing":
            path = (*path[:-1], path[-1]) if path else path
        best.setdefault(path, []).append(_words(details))
    found = []
    for path, texts in best.items():
        line, column = document.place(path)
        found.append(Problem(line, column, dotted(path), " or ".join(dict.fromkeys(texts))))
    return found


def dotted(path: tuple[str | int, ...]) -> str:
    """`clients[0].version`"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _in_document(location: tuple[int | str, ...], document: Document) -> tuple[str | int, ...]:
    """Leave out of a location what names a kind of thing or a type instead of a key of the file."""
    path: tuple[str | int, ...] = ()
    for index, part in enumerate(location):
        if isinstance(part, str) and part.startswith(TAG):
            continue
        last = index == len(location) - 1
        inside = _at(document.value, path)
        # A field that a list of one was made for has no index in the file; a union of types names the type.
        if isinstance(part, int) and not isinstance(inside, list):
            continue
        if isinstance(part, str) and not (isinstance(inside, dict) and (part in inside or last)):
            continue
        path = (*path, part)
    return path


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _words(details: ErrorDetails) -> str:
    kind, message, value = details["type"], details["msg"], details.get("input")
    if kind == "extra_forbidden":
        known = _fields_at(details["loc"][:-1])
        word = str(details["loc"][-1])
        return f"unknown field{nearest(word, known) or '; expected one of: ' + one_of(known)}"
    if kind == "literal_error":
        expected = str(details.get("ctx", {}).get("expected", ""))
        choices = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
        return f"{_shown(value)}; expected one of: {', '.join(choices)}{nearest(str(value), choices)}"
    if kind in _WORDS:
        return _WORDS[kind] if kind == "missing" else f"{_WORDS[kind]}, got {_shown(value)}"
    if kind in _CHOICES and isinstance(value, dict):
        known = {one.verb for one in _CHOICES[kind]}
        hints = (nearest(str(key), known) for key in value)
        return message + next((hint for hint in hints if hint), "")
    message = message.removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}" + ("" if kind in ("value_error", "content") else f", got {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(location: tuple[int | str, ...]) -> set[str]:
    """The field names of the model that stands at a location."""
    models: list[type[BaseModel]] = [Scenario]
    for part in location:
        if isinstance(part, int):
            continue
        if part.startswith(TAG):
            models = [model for model in models if part.removeprefix(TAG) in model.model_fields] or models
            continue
        inner = [
            model for outer in models if part in outer.model_fields for model in _models_in(outer.model_fields[part].rebuild_annotation())
        ]
        models = inner or models
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _models_in(part)
