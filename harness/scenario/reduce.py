"""Delta debugging of a failing scenario: the smallest one that still fails in the same way.

The core knows nothing of stacks: it is given a document (the plain values of a scenario file) and a question, `fails(document)`.
It removes list entries in halves, quarters, ... down to single ones (ddmin, Zeller & Hildebrandt 2002), then optional fields one
by one, cuts long texts short, and starts again until nothing more can go. An entry that refers to something that was removed goes
with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.scenario import references
from harness.scenario.model import Scenario

Document = dict[str, Any]
Keys = tuple[str | int, ...]
#: what is thinned out, in this order: what causes most waiting first
_LISTS: tuple[Keys, ...] = (
    ("faults",),
    ("steps",),
    ("jobs",),
    ("clients",),
    ("expect",),
    ("project", "apps"),
    ("project", "accounts"),
)
#: fields that every entry needs
_NEEDED = frozenset({"scenario", "expect", "name", "app", "jobs", "clients", "faults", "steps"})
#: characters of a text that is tried instead of a longer one
_SHORT = 8


class Reducer:
    """Shrinks one document.

    fails     does this document fail in the way that is looked for? Asked only of documents that are valid.
    stop      has it taken long enough? Asked before each question.
    valid     is this a scenario that could be run?
    """

    def __init__(
        self,
        fails: Callable[[Document], bool],
        *,
        valid: Callable[[Document], Document | None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._fails = fails
        self._valid = valid or pruned
        self._stop = stop
        self._asked: dict[str, bool] = {}
        self.questions = 0

    def reduce(self, document: Document) -> Document:
        """The smallest document found; `document` itself must fail."""
        smallest = copy.deepcopy(document)
        while True:
            before = repr(smallest)
            for path in _LISTS:
                smallest = self._thin_out(smallest, path)
            for path in sorted(_optional(smallest), key=len):
                smallest = self._try(smallest, _without(smallest, path))
            for path in _long_texts(smallest):
                smallest = self._try(smallest, _cut_short(smallest, path))
            if repr(smallest) == before or self._stop():
                return smallest

    def _try(self, smallest: Document, candidate: Document | None) -> Document:
        """The candidate if it is a smaller scenario that fails, too."""
        checked = self._valid(candidate) if candidate is not None else None
        if checked is None or _size(checked) >= _size(smallest) or self._stop():
            return smallest
        key = repr(checked)
        if key not in self._asked:
            self.questions += 1
            self._asked[key] = self._fails(copy.deepcopy(checked))
        return checked if self._asked[key] else smallest

    def _thin_out(self, smallest: Document, path: Keys) -> Document:
        chunk = len(_list_at(smallest, path) or [])
        while chunk >= 1:
            start = 0
            while start < len(_list_at(smallest, path) or []):
                shorter = self._try(smallest, _cut(smallest, path, start, start + chunk))
                if shorter is smallest:
                    start += chunk
                smallest = shorter
            chunk //= 2
        return smallest


def pruned(document: Document) -> Document | None:
    """The document without entries that refer to what is not there any more; None if no scenario is left."""
    document = copy.deepcopy(document)
    for path in _LISTS:
        holder = _at(document, path[:-1])
        if isinstance(holder, dict) and holder.get(path[-1]) == []:
            del holder[path[-1]]
    if document.get("project") == {}:
        del document["project"]
    _wait_for_no_more_faults_than_there_are(document)
    while True:
        try:
            scenario = Scenario.model_validate(document)
        except ValueError:
            return None
        wrong = references.check(scenario)
        if not wrong:
            return document
        dangling = {path[:2] for path, _ in wrong if len(path) >= 2 and path[0] in ("steps", "expect", "faults")}
        if not dangling or len(dangling) < len({path[:2] for path, _ in wrong}):
            return None
        for name, index in sorted(dangling, key=lambda pair: -int(pair[1])):
            del document[str(name)][int(index)]


def _wait_for_no_more_faults_than_there_are(document: Document) -> None:
    """A step that comes when so many faults have begun or ended would never come with fewer of them."""
    there_are = len(document.get("faults") or [])
    for step in document.get("steps") or []:
        pattern = _at(step, ("on",))
        if _at(pattern, ("event",)) in ("fault.injected", "fault.healed") and isinstance(pattern.get("count", 1), int):
            if there_are:
                pattern["count"] = min(pattern.get("count", 1), there_are)
            else:
                del step["on"]


def _size(document: Mapping[str, Any]) -> int:
    return len(repr(document))


def _at(document: Any, path: Keys) -> Any:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _list_at(document: Document, path: Keys) -> list[Any] | None:
    found = _at(document, path)
    return found if isinstance(found, list) else None


def _cut(document: Document, path: Keys, start: int, end: int) -> Document:
    shorter = copy.deepcopy(document)
    entries = _list_at(shorter, path)
    assert entries is not None
    del entries[start:end]
    return shorter


def _without(document: Document, path: Keys) -> Document | None:
    shorter = copy.deepcopy(document)
    holder = _at(shorter, path[:-1])
    if not isinstance(holder, dict) or path[-1] not in holder:
        return None
    del holder[path[-1]]
    return shorter


def _long_texts(value: Any, path: Keys = ()) -> list[Keys]:
    """The paths of all texts that could be shorter."""
    if isinstance(value, str):
        return [path] if len(value) > _SHORT and path[-1] not in _NEEDED else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in inner for found in _long_texts(one, (*path, key))]


def _cut_short(document: Document, path: Keys) -> Document | None:
    shorter = copy.deepcopy(document)
    holder, text = _at(shorter, path[:-1]), _at(shorter, path)
    if not isinstance(text, str):
        return None  # something that went took its place
    holder[path[-1]] = text[:_SHORT]
    return shorter


def _optional(value: Any, path: Keys = ()) -> Iterator[Keys]:
    """The paths of all fields of mappings that might go."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _NEEDED:
                yield (*path, key)
            yield from _optional(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _optional(inner, (*path, index))
