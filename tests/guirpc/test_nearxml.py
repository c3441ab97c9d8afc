"""The near-XML reader: what BOINC prints, and anything else without falling over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guirpc.nearxml import MAX_DEPTH, NearXmlError, Node, escape, parse, unescape


def test_elements_text_and_order() -> None:
    root = parse("<a>\n <b>1</b>\n <c/>\n <b> two </b>\n</a>")
    a = root.find("a")
    assert a is not None
    assert [(child.tag, child.text) for child in a.children] == [("b", "1"), ("c", ""), ("b", "two")]
    assert [node.text for node in a.all("b")] == ["1", "two"]
    assert (a.get("b"), a.get("nothing", "default")) == ("1", "default")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<u>http://h/?a=1&b=2</u>", "http://h/?a=1&b=2"),
        ("<u>a &lt; b &amp;&amp; c</u>", "a < b && c"),
        ("<u>&#65;&#x42;&#55296;&#x110000;&bogus;</u>", "AB&#55296;&#x110000;&bogus;"),
        ("<u>1 < 2 and 3 > 2</u>", "1 < 2 and 3 > 2"),
        ("<u><![CDATA[\n<b>not a tag</b> &amp;\n]]></u>", "<b>not a tag</b> &amp;"),
        ("<u>a<!-- <x> -->b<?pi <y> ?>c</u>", "abc"),
        ("<u>Gr\u00fc\u00dfe \U0001f600</u>", "Gr\u00fc\u00dfe \U0001f600"),
        ('<u one="1" two="<">text</u>', ""),
    ],
)
def test_text(text: str, expected: str) -> None:
    node = parse(text).find("u")
    if expected:
        assert node is not None
        assert node.text == expected


def test_wrong_nesting_is_mended() -> None:
    root = parse("<a><b>1<c>2</b></x><d>3</d></a><e>4</e>")
    assert [child.tag for child in root.children] == ["a", "e"]
    a = root.children[0]
    assert [child.tag for child in a.children] == ["b", "d"]
    assert a.children[0].get("c") == "2"


def test_unclosed_elements_end_with_the_text() -> None:
    assert parse("<a><b>1").children[0].get("b") == "1"
    assert parse("<a><![CDATA[x").children[0].text == "x"


def test_nesting_is_bounded() -> None:
    assert parse("<a>" * MAX_DEPTH).children
    with pytest.raises(NearXmlError, match="nest deeper"):
        parse("<a>" * (MAX_DEPTH + 1))


def test_no_entity_bomb() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "0123456789"><!ENTITY y "&x;&x;">]><a>&y;</a>'
    node = parse(bomb).find("a")
    assert node is not None
    assert node.text == "&y;"


def test_many_stray_brackets_take_linear_time() -> None:
    assert parse("<" * 200_000).text == "<" * 200_000
    assert parse("<a " * 50_000).children == []
    assert parse("<a" + " " * 200_000).children == []
    assert parse("<!--" * 50_000 + "<![CDATA[" * 50_000).children == []


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    try:
        assert isinstance(parse(text), Node)
    except NearXmlError:
        assert text.count("<") > MAX_DEPTH


@given(st.text(alphabet="<>/&;![]CDATA-?x \n1", max_size=200))
def test_any_markup_is_read(text: str) -> None:
    try:
        parse(text)
    except NearXmlError:
        assert text.count("<") > MAX_DEPTH


@given(st.text())
def test_escaped_text_comes_back(text: str) -> None:
    assert unescape(escape(text)) == text
    node = parse(f"<t>{escape(text)}</t>").find("t")
    assert node is not None
    assert node.text == text.strip()


names = st.text(alphabet="abc_", min_size=1, max_size=5)
trees = st.recursive(
    st.builds(Node, names, st.text(alphabet="x<>&\u00e9", max_size=8)),
    lambda children: st.builds(Node, names, st.just(""), st.lists(children, max_size=3)),
    max_leaves=12,
)


def write(node: Node) -> str:
    return f"<{node.tag}>{escape(node.text)}{''.join(write(child) for child in node.children)}</{node.tag}>"


@given(trees)
def test_what_is_written_is_read(tree: Node) -> None:
    assert parse(write(tree)).children == [tree]
