"""The mailbox of a stack, against a small stand-in for the sink's REST interface."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.clock import Clock
from harness.history import History
from harness.mail import Mailbox, Maildev, Mailpit, MailSink, MailSinkGone
from harness.waiting import WaitTimeout

#: what Mailpit says of one mail (its API, version 1)
PITS: dict[str, object] = {
    "/api/v1/messages?limit=1000": {"messages": [{"ID": "b"}, {"ID": "a"}]},
    "/api/v1/message/a": {"From": {"Address": "admin@p1.test"}, "To": [{"Address": "ada@p1.test"}], "Subject": "One", "Text": "first"},
    "/api/v1/message/b": {"From": {"Address": "admin@p1.test"}, "To": [{"Address": "ada@p1.test"}], "Subject": "Two", "Text": "second"},
    "/api/v1/message/a/headers": {"X-Project": ["p1"]},
    "/api/v1/message/b/headers": {},
}


def _record(number: int, to: str, subject: str) -> dict[str, object]:
    envelope = {"to": [{"address": to}]}
    return {"id": str(number), "from": [{"address": "admin@p1.test"}], "envelope": envelope, "subject": subject, "text": "hello"}


@pytest.fixture
def mails() -> list[dict[str, object]]:
    return []


@pytest.fixture
def sink(mails: list[dict[str, object]]) -> Iterator[MailSink]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(PITS.get(self.path, mails)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    sink = Maildev(f"http://127.0.0.1:{server.server_address[1]}")
    yield sink
    sink.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def history() -> History:
    return History(Clock.real())


def test_only_mails_to_this_stacks_projects_are_seen(sink: MailSink, mails: list[dict[str, object]], history: History) -> None:
    mails += [_record(1, "Ada@P1.test", "Welcome"), _record(2, "ada@p2.test", "Welcome"), _record(3, "ada@xp1.test", "Welcome")]
    box = Mailbox(sink, history, ["p1.test"])
    assert [mail.id for mail in box.all()] == ["1"]
    assert [mail.id for mail in box.to("Ada <ada@p1.test>")] == ["1"]
    assert box.to("ada@p2.test") == []


def test_each_mail_is_recorded_once(sink: MailSink, mails: list[dict[str, object]], history: History) -> None:
    mails.append(_record(1, "ada@p1.test", "Welcome"))
    box = Mailbox(sink, history, ["p1.test"])
    box.all()
    box.all()
    assert [event.get("subject") for event in history.find("mail.received")] == ["Welcome"]


def test_waiting_for_a_mail(sink: MailSink, mails: list[dict[str, object]], history: History) -> None:
    box = Mailbox(sink, history, ["p1.test"])
    mails.append(_record(1, "ada@p1.test", "Your password"))
    threading.Timer(0.1, lambda: mails.append(_record(2, "ada@p1.test", "Welcome, Ada"))).start()
    assert box.wait_for("ada@p1.test", subject="welcome", within=5).id == "2"


def test_a_mail_that_never_comes(sink: MailSink, mails: list[dict[str, object]], history: History) -> None:
    mails.append(_record(1, "ada@p1.test", "Your password"))
    with pytest.raises(WaitTimeout, match=r"'Your password' to ada@p1.test"):
        Mailbox(sink, history, ["p1.test"]).wait_for("grace@p1.test", within=0.1)


def test_a_sink_that_is_gone_is_named() -> None:
    sink = Maildev("http://127.0.0.1:9")
    assert not sink.ready()
    with pytest.raises(MailSinkGone, match=r"127\.0\.0\.1:9"):
        sink.all()


def test_mailpit_tells_the_same(sink: MailSink, history: History) -> None:
    pit = Mailpit(sink.base_url)
    first, second = Mailbox(pit, history, ["p1.test"]).all()
    pit.close()
    assert (first.subject, first.text, first.sender, first.to) == ("One", "first", "admin@p1.test", ["ada@p1.test"])
    assert first.headers == {"x-project": "p1"}
    assert second.subject == "Two"
