"""A reader for what BOINC calls XML.

GUI RPC replies are printed piece by piece: user names are escaped but project names and URLs are not, files are pasted in as they
are, and text that a project sent comes through raw. An XML parser refuses the whole reply for one stray `&`. This reader takes
everything, and is bounded: it makes one pass, knows no entities but the five of XML and character numbers, no DTDs, and refuses
to nest deeper than `MAX_DEPTH`.

Rules, in the spirit of the client's own parser (lib/parse.cpp): `<` begins a tag only if a tag follows; an end tag closes the
nearest open element of its name, with everything left open inside it, or is ignored if there is none; CDATA is text; comments,
processing instructions and declarations are skipped; attributes are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_DEPTH = 64

_TOKEN = re.compile(
    r"<!\[CDATA\[(?P<cdata>.*?)(?:\]\]>|\Z)"
    r"|<!--.*?(?:-->|\Z)"
    r"|<\?.*?(?:\?>|\Z)"
    r"|<![A-Za-z][^<>]*>"
    r"|<(?P<end>/?)(?P<tag>[A-Za-z_][\w.:-]*)(?:\s[^<>]*|/)?>",
    re.DOTALL | re.ASCII,
)
_ENTITY = re.compile(r"&(?:#x(?P<hex>[0-9A-Fa-f]{1,6})|#(?P<dec>[0-9]{1,7})|(?P<name>lt|gt|amp|quot|apos));")
_NAMES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class NearXmlError(ValueError):
    """The text cannot be read even leniently: it nests too deep."""


@dataclass
class Node:
    """An element: its tag, the text directly in it (surrounding white space removed), its child elements in order."""

    tag: str
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def find(self, tag: str) -> Node | None:
        """The first child of that name."""
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, tag: str) -> Iterator[Node]:
        """The children of that name, in order."""
        return (child for child in self.children if child.tag == tag)

    def get(self, tag: str, default: str = "") -> str:
        """The text of the first child of that name."""
        child = self.find(tag)
        return default if child is None else child.text


def unescape(text: str) -> str:
    """Replace XML's five entities and character numbers; leave every other `&` as it is."""

    def one(match: re.Match[str]) -> str:
        if match["name"]:
            return _NAMES[match["name"]]
        number = int(match["hex"], 16) if match["hex"] else int(match["dec"])
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            return match[0]
        return chr(number)

    return _ENTITY.sub(one, text) if "&" in text else text


def escape(text: str) -> str:
    """Text as an element's content. The client's parser undoes exactly these."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def parse(text: str) -> Node:
    """Read a document. The result is a nameless root whose children are the top-level elements. Raises `NearXmlError`."""
    root = Node("")
    stack = [root]
    texts: list[list[str]] = [[]]
    position = 0

    def close() -> None:
        stack.pop().text = "".join(texts.pop()).strip()

    for match in _TOKEN.finditer(text):
        if match.start() > position:
            texts[-1].append(unescape(text[position : match.start()]))
        position = match.end()
        if match["cdata"] is not None:
            texts[-1].append(match["cdata"])
        elif match["tag"] is None:
            continue
        elif match["end"]:
            for depth in range(len(stack) - 1, 0, -1):
                if stack[depth].tag == match["tag"]:
                    while len(stack) > depth:
                        close()
                    break
        else:
            node = Node(match["tag"])
            stack[-1].children.append(node)
            if not match[0].endswith("/>"):
                if len(stack) > MAX_DEPTH:
                    raise NearXmlError(f"elements nest deeper than {MAX_DEPTH}: ... {'/'.join(n.tag for n in stack[-5:])}")
                stack.append(node)
                texts.append([])
    texts[-1].append(unescape(text[position:]))
    while stack:
        close()
    return root
