"""Frames, deadlines and authorization, against a port that behaves in every way."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.guirpc import (
    BadReply,
    ConnectFailed,
    ConnectionLost,
    GuiRpc,
    RequestTooLarge,
    RpcRefused,
    RpcTimeout,
    Unauthorized,
)
from harness.guirpc.transport import Connection
from tests.guirpc.fake import NONCE, fake_client, frame, op_of, scripted

NAME = "Gr\u00fc\u00dfe \u2603 \U0001f600"


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_a_reply_may_come_in_pieces_of_any_size(chunk: int) -> None:
    with fake_client(scripted({"x": f"<name>{NAME}</name>"}), chunk=chunk) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        assert rpc.call("x").element("name").text == NAME


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet=st.characters(blacklist_characters="\x03", blacklist_categories=["Cs"])), split=st.integers(1, 40))
def test_any_text_at_any_split(text: str, split: int) -> None:
    body = text.replace("&", "").replace("<", "").replace(">", "")
    with fake_client(scripted({"x": f"<t>{body}</t>"}), chunk=split) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        assert rpc.call("x").element("t").text == body.strip()


def test_bytes_that_are_no_utf8_are_replaced_not_refused() -> None:
    raw = b"<boinc_gui_rpc_reply>\n<name>caf\xe9</name>\n</boinc_gui_rpc_reply>\n\x03"
    with fake_client(lambda _: raw) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        assert rpc.call("x").element("name").text == "caf\ufffd"


def test_the_request_is_framed_as_the_client_wants_it() -> None:
    with fake_client(scripted({"x": "<success/>"})) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        rpc.call("x")
        rpc.call("x", "<a>1</a>")
    assert fake.requests == [
        "<boinc_gui_rpc_request>\n<x/>\n</boinc_gui_rpc_request>\n",
        "<boinc_gui_rpc_request>\n<x>\n<a>1</a>\n</x>\n</boinc_gui_rpc_request>\n",
    ]


def test_authorization() -> None:
    with fake_client(scripted({"x": "<ok/>"}, password="secret")) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        with pytest.raises(Unauthorized, match="password first"):
            rpc.call("x")
        assert rpc.authorize("secret") == float(NONCE)
        rpc.call("x").element("ok")


def test_a_wrong_password_names_the_thing() -> None:
    with fake_client(scripted({}, password="secret")) as fake:
        with pytest.raises(Unauthorized, match="password is wrong") as caught:
            GuiRpc.connect("127.0.0.1", fake.port, password="guess")
        assert caught.value.op == "auth2"
        assert caught.value.address == f"127.0.0.1:{fake.port}"
        assert "gui_rpc_auth.cfg" in str(caught.value)


def test_a_refusal_carries_the_reason() -> None:
    with fake_client(scripted({"x": "<error>No such project</error>"})) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        with pytest.raises(RpcRefused) as caught:
            rpc.call("x")
        assert (caught.value.reason, caught.value.op) == ("No such project", "x")
        assert rpc.is_open


def test_closed_without_a_reply() -> None:
    with fake_client(lambda _: None) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        with pytest.raises(ConnectionLost, match="without a reply"):
            rpc.call("x")
        with pytest.raises(ConnectionLost, match="connection is closed"):
            rpc.call("x")


def test_closed_in_the_middle_of_a_reply() -> None:
    calls = 0

    def answer(request: str) -> bytes | None:
        nonlocal calls
        calls += 1
        return frame("<a/>")[:20] if calls == 1 else None

    with fake_client(answer) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        # the second request makes the fake hang up while the first reply is still incomplete
        assert rpc._socket is not None
        timer = threading.Timer(0.1, rpc._socket.sendall, [b"\x03"])
        timer.start()
        with pytest.raises(ConnectionLost, match="in the middle") as caught:
            rpc.call("x", within=5)
        timer.join()
        assert caught.value.reply.startswith("<boinc_gui_rpc_reply")


def test_no_reply_in_time_closes_the_connection() -> None:
    with fake_client(lambda _: frame("<a/>")[:10]) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        with pytest.raises(RpcTimeout, match="10 bytes") as caught:
            rpc.call("get_state", within=0.2)
        assert caught.value.op == "get_state"
        assert not rpc.is_open


def test_a_slow_trickle_does_not_stretch_the_deadline() -> None:
    with (
        fake_client(lambda _: frame("<a>" + "x" * 500), chunk=1, pause=0.02) as fake,
        Connection.open("127.0.0.1", fake.port) as rpc,
        pytest.raises(RpcTimeout),
    ):
        rpc.call("x", within=0.3)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x03", "not a GUI RPC reply"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n\x03", "not a GUI RPC reply"),
        (b"\x00\xff\xfe\x03", "not a GUI RPC reply"),
        (frame("<a/>") + b"more", "bytes after the end"),
        (frame("<a>" * 100), "cannot be read"),
        (frame(""), "lacks an element"),
    ],
)
def test_garbage(raw: bytes, why: str) -> None:
    with fake_client(lambda _: raw) as fake, Connection.open("127.0.0.1", fake.port) as rpc, pytest.raises(BadReply, match=why):
        rpc.call("x").element("a")


def test_a_number_that_is_none_names_its_element() -> None:
    with fake_client(
        scripted({"get_message_count": "<seqno>7</seqno>", "get_cc_status": "<cc_status><task_mode>soon</task_mode></cc_status>"})
    ) as fake:
        rpc = GuiRpc.connect("127.0.0.1", fake.port)
        assert rpc.get_message_count() == 7
        with pytest.raises(BadReply, match="<task_mode> is 'soon'"):
            rpc.get_cc_status()
        rpc.close()


def test_requests_the_client_would_hang_up_on_are_not_sent() -> None:
    with fake_client(scripted({"x": "<success/>"})) as fake, Connection.open("127.0.0.1", fake.port) as rpc:
        with pytest.raises(RequestTooLarge, match="100000"):
            rpc.call("x", "y" * 100_000)
        with pytest.raises(ValueError, match="byte 3"):
            rpc.call("x", "\x03")
        rpc.call("x")
        assert len(fake.requests) == 1


def test_nobody_there() -> None:
    with fake_client(lambda _: None) as fake:
        port = fake.port
    with pytest.raises(ConnectFailed, match="allow_remote_gui_rpc") as caught:
        Connection.open("127.0.0.1", port, within=0.1)
    assert caught.value.address == f"127.0.0.1:{port}"
    with pytest.raises(ConnectFailed):
        Connection.open("no-such-host.invalid", 1, within=30)
    with pytest.raises(ConnectFailed):
        Connection.open_unix(Path("/nonexistent/boinc_socket"))


def test_connecting_waits_for_a_client_that_is_starting() -> None:
    with fake_client(lambda _: None) as fake:
        port = fake.port
    started: list[object] = []

    def start() -> None:
        started.append(socket.create_server(("127.0.0.1", port)))

    timer = threading.Timer(0.2, start)
    timer.start()
    Connection.open("127.0.0.1", port, within=5).close()
    timer.join()
    assert started


def test_threads_take_turns() -> None:
    def answer(request: str) -> bytes:
        return frame(f"<op>{op_of(request)}</op>")

    wrong: list[str] = []
    with fake_client(answer, chunk=5) as fake, Connection.open("127.0.0.1", fake.port) as rpc:

        def ask(name: str) -> None:
            answers = [rpc.call(name).element("op").text for _ in range(20)]
            wrong.extend(answer for answer in answers if answer != name)

        threads = [threading.Thread(target=ask, args=(f"op{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(fake.requests) == 80
