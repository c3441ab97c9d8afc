"""A scenario as YAML text: one line for each client, job, fault, step and expectation where it fits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

#: longer entries are written over several lines
_WIDTH = 140
#: line breaks to YAML that would be folded away unless they are written as escapes
_UNUSUAL_BREAKS = frozenset("\x85\u2028\u2029")
_INLINE = ("clients", "jobs", "faults", "steps", "expect")


def dump(document: Mapping[str, Any], *, comment: str = "") -> str:
    """The document as text that loads to the same values."""
    top = CommentedMap()
    for key, value in document.items():
        top[key] = _block(key, _kept(value))
    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(top, stream)
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + stream.getvalue()


def _kept(value: Any) -> Any:
    """The same with texts marked that only double quotes keep."""
    if isinstance(value, str):
        return DoubleQuotedScalarString(value) if _UNUSUAL_BREAKS.intersection(value) else value
    if isinstance(value, Mapping):
        return {_kept(name): _kept(inner) for name, inner in value.items()}
    return [_kept(inner) for inner in value] if isinstance(value, list) else value


def _block(key: str, value: Any) -> Any:
    if key in _INLINE and isinstance(value, list):
        items = CommentedSeq()
        for entry in value:
            items.append(_inline(entry) if len(str(entry)) <= _WIDTH else entry)
        return items
    if isinstance(value, dict) and value and len(str(value)) <= _WIDTH:
        return CommentedMap({name: _inline(inner) for name, inner in value.items()})
    return value


def _inline(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = CommentedMap({name: _inline(inner) for name, inner in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        sequence = CommentedSeq([_inline(inner) for inner in value])
        sequence.fa.set_flow_style()
        return sequence
    return value
