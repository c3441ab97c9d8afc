"""From near-XML to typed, frozen dataclasses.

A model is a dataclass whose field names are BOINC's element names. What a field's element becomes follows from its type: text,
number, flag (`<x/>`, `<x>1</x>`), enum, another model, or a tuple of any of them (every element of that name, in order). A missing
element leaves the field's default, so a model fits clients of all versions.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import IntEnum
from typing import Any, TypeVar

from harness.guirpc.nearxml import Node

T = TypeVar("T")
Plan = tuple[tuple[str, str, Any, bool], ...]


class FieldError(ValueError):
    """An element's text is not of its type. Fields: `tag`, `text`, `expected`."""

    def __init__(self, tag: str, text: str, expected: str) -> None:
        self.tag = tag
        self.text = text
        self.expected = expected
        super().__init__(f"<{tag}>: expected {expected}, got {text[:80]!r}")


def build(model: type[T], node: Node) -> T:
    """Make a `model` of an element. Raises `FieldError`."""
    values: dict[str, Any] = {}
    for name, tag, kind, many in _plan(model):
        if many:
            values[name] = tuple(_value(kind, child) for child in node.all(tag))
        else:
            child = node.find(tag)
            if child is not None:
                values[name] = _value(kind, child)
    return model(**values)


_plans: dict[Any, Plan] = {}


def _plan(model: Any) -> Plan:
    """The model's fields as (name, tag, type, whether many), worked out once."""
    if model not in _plans:
        _plans[model] = _make_plan(model)
    return _plans[model]


def _make_plan(model: Any) -> Plan:
    hints = typing.get_type_hints(model)
    plan = []
    for item in dataclasses.fields(model):
        if item.metadata.get("derived"):
            continue
        kind = hints[item.name]
        many = typing.get_origin(kind) is tuple
        if many:
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, types.UnionType):
            kind = next(one for one in typing.get_args(kind) if one is not type(None))
        plan.append((item.name, item.metadata.get("tag", item.name), kind, many))
    return tuple(plan)


def _value(kind: Any, node: Node) -> Any:
    if kind is str:
        return node.text
    if kind is bool:
        return flag(node)
    if kind is int:
        return integer(node)
    if kind is float:
        return number(node)
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return kind(integer(node))
    return build(kind, node)


def flag(node: Node) -> bool:
    """`<x/>` and any number but 0 are true (XML_PARSER::parse_bool in lib/parse.cpp)."""
    if not node.text:
        return True
    return integer(node) != 0


def integer(node: Node) -> int:
    try:
        return int(node.text)
    except ValueError:
        pass
    try:
        return int(float(node.text))  # some whole numbers are printed with %f
    except (ValueError, OverflowError):
        raise FieldError(node.tag, node.text, "a whole number") from None


def number(node: Node) -> float:
    try:
        return float(node.text)
    except ValueError:
        raise FieldError(node.tag, node.text, "a number") from None
