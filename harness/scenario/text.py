"""YAML text to plain values under limits, with the position of each value.

A scenario file is somebody else's, so this refuses what data does not need: tags (no type but YAML's own), aliases (no
document that grows when it is read), depth, size; and duplicated keys, of which one would be lost silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from harness.scenario.problems import Problem, ScenarioFileError

MAX_BYTES = 1_000_000
MAX_DEPTH = 12
MAX_NODES = 50_000

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file, and where they stand: {path of keys and indexes: (line, column)}, both from 1."""

    value: Any
    places: Mapping[Keys, tuple[int, int]] = field(default_factory=dict)
    keys: Mapping[Keys, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Keys) -> tuple[int, int]:
        """Where a value stands; for one that is missing, the nearest thing around it that is there."""
        for length in range(len(path), -1, -1):
            found = self.keys.get(path[:length]) or self.places.get(path[:length])
            if found:
                return found
        return (0, 0)


def read(file: Path) -> Document:
    """Read and parse a file. Raises `ScenarioFileError`."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioFileError(file, [Problem(0, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    if len(raw) > MAX_BYTES:
        raise ScenarioFileError(file, [Problem(0, 0, "", f"larger than {MAX_BYTES} bytes; put contents into files beside it")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ScenarioFileError(file, [Problem(line, 1, "", "not UTF-8 text; a scenario file is a YAML document")]) from error
    return parse(text, file)


def parse(text: str, file: Path | str = "scenario") -> Document:
    """Parse a text. Raises `ScenarioFileError` with the place of what is wrong."""
    yaml = YAML(typ="safe", pure=True)
    try:
        _check_events(yaml, text, file)
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise ScenarioFileError(file, [Problem(line, column, "", f"not YAML: {error.problem or error.context}")]) from error
    except YAMLError as error:
        raise ScenarioFileError(file, [Problem(0, 0, "", f"not YAML: {str(error).splitlines()[0]}")]) from error
    if node is None:
        raise ScenarioFileError(file, [Problem(0, 0, "", "empty; expected a mapping that begins with `scenario: what is shown`")])
    reader = _Reader(yaml)
    value = reader.value(node, ())
    if reader.problems:
        raise ScenarioFileError(file, reader.problems)
    return Document(value, reader.places, reader.keys)


def _check_events(yaml: Any, text: str, file: Path | str) -> None:
    """Look at the stream of events before anything is built of it."""
    depth = count = documents = 0
    for event in yaml.parse(text):
        what = ""
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if isinstance(event, NodeEvent):
            count += 1
            documents += depth == (1 if isinstance(event, CollectionStartEvent) else 0)
        if isinstance(event, AliasEvent):
            what = "an alias (*name); write the value out"
        elif getattr(event, "anchor", None):
            what = "an anchor (&name); write the value out where it is needed"
        elif isinstance(event, ScalarEvent | CollectionStartEvent) and _explicit_tag(event):
            what = f"a tag ({_explicit_tag(event)}); expected plain values"
        elif depth > MAX_DEPTH:
            what = f"nested more than {MAX_DEPTH} levels deep"
        elif count > MAX_NODES:
            what = f"more than {MAX_NODES} values"
        elif documents > 1:
            what = "a second document; expected one"
        if what:
            mark = event.start_mark
            raise ScenarioFileError(file, [Problem(mark.line + 1, mark.column + 1, "", what)])


def _explicit_tag(event: Any) -> str:
    return "" if event.tag is None or (event.tag == "!" and not event.implicit) else str(event.tag)


class _Reader:
    """Builds plain values of a node graph and notes where each stood."""

    def __init__(self, yaml: Any) -> None:
        self._constructor = yaml.constructor
        self.places: dict[Keys, tuple[int, int]] = {}
        self.keys: dict[Keys, tuple[int, int]] = {}
        self.problems: list[Problem] = []

    def value(self, node: Any, path: Keys) -> Any:
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        assert isinstance(node, ScalarNode)
        return self._scalar(node)

    def _scalar(self, node: Any) -> Any:
        kind = str(node.tag).rpartition(":")[2]
        makers = {
            "int": self._constructor.construct_yaml_int,
            "float": self._constructor.construct_yaml_float,
            "bool": self._constructor.construct_yaml_bool,
            "null": lambda _node: None,
        }
        if kind not in makers:
            return node.value
        try:
            return makers[kind](node)
        except (ValueError, OverflowError):  # a number with more digits than Python reads
            return node.value

    def _mapping(self, node: Any, path: Keys) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, ScalarNode):
                self.problems.append(Problem(line, column, "", "a key that is no plain word"))
                continue
            key = str(key_node.value)
            if key in found:
                first = self.keys[(*path, key)][0]
                self.problems.append(Problem(line, column, "", f"{key!r} again; it stands in line {first} already"))
                continue
            self.keys[(*path, key)] = (line, column)
            found[key] = self.value(value_node, (*path, key))
        return found
