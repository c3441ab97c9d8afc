"""The HTTP level, spoken by hand where a library would tidy it up (client/http_curl.cpp)."""

from __future__ import annotations

import contextlib
import gzip
import socket

import pytest
from boinc_server import protocol, simulate

from harness.waiting import Deadline

from .conftest import World


def exchange(world: World, request: bytes, *, half_close: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, read one answer: (status, headers, body)."""
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return 0, {}, data
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            data = body
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        while len(body) < int(headers.get("content-length", "0")):
            body += connection.recv(65536)
        return int(lines[0].split()[1]), headers, body


def scheduler_post(world: World, extra: str = "", version: str = "1.1") -> bytes:
    body = world.host.request()
    path = f"/{world.project.name}_cgi/cgi"
    return (
        f"POST {path} HTTP/{version}\r\nHost: 127.0.0.1\r\nUser-Agent: BOINC client (x86_64-pc-linux-gnu 8.2.15)\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    ).encode() + body


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: text/xml\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "",
        "Accept: */*\r\nAccept-Language: de\r\n",
        "Connection: close\r\n",
    ],
)
def test_headers_as_the_generations_of_clients_send_them(world: World, headers: str) -> None:
    status, _, body = exchange(world, scheduler_post(world, headers))
    assert status == 200
    assert simulate.read_reply(body).values["userid"] == "1"


def test_http_1_0(world: World) -> None:
    status, _, body = exchange(world, scheduler_post(world, version="1.0"))
    assert status == 200
    assert b"</scheduler_reply>" in body


def test_compressed_replies(world: World) -> None:
    status, headers, body = exchange(world, scheduler_post(world, "Accept-Encoding: deflate, gzip, br, zstd\r\n"))
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert simulate.read_reply(gzip.decompress(body)).values["userid"] == "1"


def test_expect_100_continue(world: World) -> None:
    status, _, body = exchange(world, scheduler_post(world, "Expect: 100-continue\r\n"))
    assert status == 200
    assert simulate.read_reply(body).values["userid"] == "1"


def test_a_chunked_body(world: World) -> None:
    content = world.host.request()
    head = f"POST /{world.project.name}_cgi/cgi HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(content[i : i + 100]), content[i : i + 100]) for i in range(0, len(content), 100))
    status, _, body = exchange(world, head + chunks + b"0\r\n\r\n")
    assert status == 200
    assert simulate.read_reply(body).values["userid"] == "1"


def test_keep_alive_serves_request_after_request(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        for _ in range(3):
            connection.sendall(scheduler_post(world))
            data = b""
            while b"</scheduler_reply>" not in data:
                piece = connection.recv(65536)
                assert piece
                data += piece


def test_the_master_url_without_slash_redirects_relatively(world: World) -> None:
    status, headers, _ = exchange(world, f"GET /{world.project.name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (status, headers["location"]) == (301, f"/{world.project.name}/")


WRONG: list[tuple[str, bytes, set[int]]] = [
    ("unknown path", b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
    ("unknown method", b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405, 200}),
    ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {400, 0}),
    ("negative length", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", {400, 0}),
    ("length is no number", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", {400, 0}),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400, 0}),
    ("bad chunk", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400, 0, 200, 404}),
    ("escape tricks", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
    ("long path", b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
    ("NUL in the path", b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 0}),
]


@pytest.mark.parametrize(("name", "request_bytes", "statuses"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong_requests_get_a_status_and_the_server_goes_on(world: World, name: str, request_bytes: bytes, statuses: set[int]) -> None:
    status, _, body = exchange(world, request_bytes, half_close=True)
    assert status in statuses, name
    assert b"Traceback" not in body
    assert world.rpc().values["userid"] == "1"


def test_a_body_that_is_cut_off_harms_nobody(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        connection.sendall(scheduler_post(world)[:-100])
    assert world.rpc().values["userid"] == "1"


def test_a_scheduler_request_that_is_too_big_is_413(world: World) -> None:
    head = f"POST /{world.project.name}_cgi/cgi HTTP/1.1\r\nHost: x\r\nContent-Length: {40 * 2**20}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        connection.sendall(head)
        answer = b""
        block = b"x" * 2**20
        try:
            for _ in range(40):
                connection.sendall(block)
            answer = connection.recv(65536)
        except OSError:
            # It stopped listening in the middle, which is its good right.
            answer = answer or b"HTTP/1.1 413"
    assert b" 413" in answer.split(b"\r\n")[0]
    assert world.rpc().values["userid"] == "1"


@pytest.mark.parametrize("open_connections", [50])
def test_idle_connections_do_not_keep_others_out(world: World, open_connections: int) -> None:
    held = []
    try:
        for _ in range(open_connections):
            connection = socket.create_connection(("127.0.0.1", world.server.port), timeout=20)
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
            held.append(connection)
        assert world.rpc().values["userid"] == "1"
    finally:
        for connection in held:
            connection.close()


def closed_by_the_server(connection: socket.socket) -> bytes:
    """What is still sent until the server closes; a time-out fails the test."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionError:
        pass
    return answer


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n"])
def test_headers_that_never_end_are_given_up(world: World, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.3)
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        connection.sendall(start)
        assert b" 400 " in closed_by_the_server(connection)[:20]


def test_a_byte_now_and_then_does_not_keep_a_connection_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.5)
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=0.1) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        deadline = Deadline.of(20)
        closed = False
        while not closed and not deadline.expired:
            try:
                connection.sendall(b"y")
                closed = connection.recv(65536) is not None
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
        assert closed


@pytest.mark.parametrize("endless", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n"])
def test_endless_headers_are_refused(world: World, endless: bytes) -> None:
    more = b"X: y\r\n" if endless.endswith(b"\n") else b"x" * 6
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(endless + more * (10 * protocol.MAX_HEAD // 6))
        closed_by_the_server(connection)
    assert world.rpc().values["userid"] == "1"


def test_trailers_of_a_chunked_body_are_dropped(world: World) -> None:
    content = world.host.request()
    head = f"POST /{world.project.name}_cgi/cgi HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    status, _, body = exchange(world, head + b"%x\r\n%s\r\n0\r\n" % (len(content), content) + b"Host: evil\r\n" * 5000 + b"\r\n")
    assert status == 200
    assert simulate.read_reply(body).values["userid"] == "1"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length : 4\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused(world: World, headers: bytes) -> None:
    """Else what one side takes for a body is a request for the other."""
    smuggled = f"POST /{world.project.name}/nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
    exchange(world, smuggled, half_close=True)
    assert len(world.events("http.error")) == 1
    status, _, _ = exchange(world, b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n0\r\n\r\n" + smuggled, half_close=True)
    assert status in {0, 400}
    assert len(world.events("http.error")) == 1
