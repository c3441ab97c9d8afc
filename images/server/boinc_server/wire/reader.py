"""A tolerant, linear-time reader for BOINC's near-XML (lib/parse.cpp is the reference).

The client's output is not XML: stderr is raw text up to a literal end tag, trickles are copied
verbatim, encodings are whatever the application printed. A real XML parser would refuse honest
requests and expand hostile ones; this reader knows tags and texts and nothing else: no DTD, no
entities beyond the five of XML and ``&#N;`` with N < 256, no recursion, no backtracking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from boinc_server.wire import limits


class WireError(Exception):
    """What a client sent cannot be read.

    Args:
        what: a short sentence for the log and, where BOINC has a place for it, for the client.
        status: the HTTP status for the places where BOINC has no error of its own.
    """

    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.what = what
        self.status = status


# One match is a whole leaf element (<x>text</x>), a start tag, an empty tag or an end tag.
# A comment counts as one token up to its end, whatever stands in it.
_TOKEN: Final = re.compile(r"<!--|<(/?)([^<>/\s]{1,255})(?:\s[^<>]*?)?(/?)>(?:([^<]*)(</\2>))?")
_FLAT: Final = re.compile(r"<([^<>/\s!?]{1,255})>([^<]*)</\1>")
_FLAT_LIMIT: Final = 65536
_ENTITY: Final = re.compile(r"&(?:(lt|gt|quot|apos|amp)|#(\d{1,3})|#[xX]([0-9a-fA-F]{1,2}));")
_NAMED: Final = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}
_INT: Final = re.compile(r"[+-]?[0-9]{1,19}\Z")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")


class Token(NamedTuple):
    """``text`` is the content of a leaf element, "" of an empty tag, None of a start or end tag."""

    name: str
    text: str | None
    is_end: bool


def _entity(match: re.Match[str]) -> str:
    named, decimal, hexadecimal = match.groups()
    if named:
        return _NAMED[named]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code == 0:
        return ""
    return chr(code) if code < 256 else match.group()


def unescape(text: str) -> str:
    """Resolve the entities that lib/str_util.cpp's xml_unescape knows."""
    return _ENTITY.sub(_entity, text) if "&" in text else text


def string(text: str, maximum: int = limits.MAX_STRING) -> str:
    """A trimmed, unescaped text of at most `maximum` characters.

    Raises ValueError when longer (upstream: overlong strings lose the element).
    """
    value = unescape(text.strip())
    if len(value) > maximum:
        raise ValueError("too long")
    return value


def long_string(text: str) -> str:
    return string(text, limits.MAX_LONG_STRING)


def integer(text: str) -> int:
    """A 32-bit decimal integer; empty is 0. Raises ValueError otherwise."""
    text = text.strip()
    if not text:
        return 0
    if not _INT.match(text):
        raise ValueError("not an integer")
    value = int(text)
    if not limits.INT_MIN <= value <= limits.INT_MAX:
        raise ValueError("integer out of range")
    return value


def double(text: str) -> float:
    """A finite number; empty is 0. Raises ValueError for NaN, infinities, hex and overflow."""
    text = text.strip()
    if not text:
        return 0.0
    if not _DOUBLE.match(text):
        raise ValueError("not a number")
    value = float(text)
    if value - value != 0.0:
        raise ValueError("number out of range")
    return value


def not_negative(text: str) -> float:
    """A finite number >= 0; a negative one becomes 0."""
    return max(0.0, double(text))


def boolean(text: str) -> bool:
    """``<x/>`` and ``<x>1</x>`` are true, ``<x>0</x>`` is false (lib/parse.cpp: parse_bool)."""
    text = text.strip()
    return integer(text) != 0 if text else True


def decode(body: bytes) -> str:
    """Text of a request: UTF-8, with NUL bytes and what is not UTF-8 replaced by U+FFFD.

    No declaration can change the encoding. No C client can mean a NUL, and not every database can
    store one.
    """
    text = body.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text


Converter = Callable[[str], object]
Fields = Mapping[str, tuple[str, Converter]]
"""Tag -> (attribute, converter): how the leaf elements of a container are stored."""


class Reader:
    """Walks over a text; every method moves forward only."""

    __slots__ = ("_count", "_end", "_scan", "pos", "text")

    def __init__(self, text: str, pos: int = 0, end: int | None = None) -> None:
        self.text = text
        self.pos = pos
        self._end = len(text) if end is None else end
        self._scan = _TOKEN.search
        self._count = limits.MAX_ELEMENTS

    def next(self) -> Token | None:
        """The next tag or leaf element, or None at the end. Raises WireError beyond the limit."""
        match = self._scan(self.text, self.pos, self._end)
        while match is not None and match.group(2) is None:
            end = self.text.find("-->", match.end(), self._end)
            self.pos = end + 3 if end >= 0 else self._end
            match = self._scan(self.text, self.pos, self._end)
        if match is None:
            self.pos = self._end
            return None
        self._count -= 1
        if self._count < 0:
            raise WireError("too many elements")
        self.pos = match.end()
        slash, name, empty, text, close = match.groups()
        if slash:
            # An end tag that swallowed a following text would hide the next leaf; it never does,
            # since "</x>text</x>" is malformed anyway: go back to just behind the tag.
            if close:
                self.pos = match.start(4)
            return Token(name, None, True)
        if close and not empty:
            return Token(name, text, False)
        if empty:
            if close:
                self.pos = match.start(4)
            return Token(name, "", False)
        return Token(name, None, False)

    def raw(self, name: str) -> str:
        """Everything up to the literal end tag of `name`, whose start tag was just read.

        Raises WireError when there is no such end tag.
        """
        end_tag = f"</{name}>"
        end = self.text.find(end_tag, self.pos, self._end)
        if end < 0:
            raise WireError(f"no {end_tag} after <{name}>")
        contents = self.text[self.pos : end]
        self.pos = end + len(end_tag)
        return contents

    def contents(self, token: Token) -> str:
        """The raw contents of the element that `token` is or starts."""
        return token.text if token.text is not None else self.raw(token.name)

    def fill(self, target: object, container: str, fields: Fields) -> None:
        """Store the known leaf elements up to ``</container>`` as attributes of `target`.

        Unknown elements are skipped with their contents, unreadable values keep the default.
        """
        fill(target, self.raw(container), fields)


def fill(target: object, contents: str, fields: Fields) -> None:
    """Store the known leaf elements of `contents` as attributes of `target`."""
    if len(contents) <= _FLAT_LIMIT:
        leaves = _FLAT.findall(contents)
        # Every "<" belongs to one of these leaves: nothing is nested, and no tag is empty or odd.
        if contents.count("<") == 2 * len(leaves):
            for name, text in leaves:
                known = fields.get(name)
                if known is not None:
                    _set(target, known, text)
            return
    reader = Reader(contents)
    while (token := reader.next()) is not None:
        if not token.is_end:
            store(reader, token, target, fields)


def store(reader: Reader, token: Token, target: object, fields: Fields) -> bool:
    """Store one leaf element; True when it was a known and readable one."""
    known = fields.get(token.name)
    if token.text is None:
        contents = reader.raw(token.name)
        if known is None:
            return False
    else:
        contents = token.text
        if known is None:
            return False
    return _set(target, known, contents)


def _set(target: object, known: tuple[str, Converter], text: str) -> bool:
    try:
        setattr(target, known[0], known[1](text))
    except ValueError:
        return False
    return True
