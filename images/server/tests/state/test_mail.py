"""Mails over real SMTP, and what no mail may contain."""

from __future__ import annotations

import asyncio
import email
import socketserver
import threading
import time

import pytest
from boinc_server import accounts, mail
from boinc_server.mail import Mailer, check_address, one_line
from boinc_server.registry import Registry


class Sink(socketserver.StreamRequestHandler):
    """As much of an SMTP server as smtplib needs."""

    def handle(self):
        def say(text):
            self.wfile.write(f"{text}\r\n".encode())

        say("220 sink")
        recipients = []
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                recipients.append(line)
            if verb == "DATA":
                say("354 go on")
                body = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part
                self.server.mails.append((recipients, email.message_from_bytes(body)))
                recipients = []
            if verb == "QUIT":
                say("221 bye")
                return
            say("250 ok")


@pytest.fixture
def sink():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink) as server:
        server.mails = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def project(tmp_path, sink):
    registry = Registry(tmp_path, "http://boinc.test/", Mailer("127.0.0.1", sink.server_address[1]))
    yield registry.create("p", "The Project", {"admin_email": "admin@boinc.test"})
    registry.close()


def test_a_new_account_gets_a_link(project, sink):
    accounts.create(project, "ann@boinc.test", accounts.passwd_hash("ann@boinc.test", "secret"), "Ann")
    [(recipients, message)] = sink.mails
    assert recipients == ["rcpt TO:<ann@boinc.test>"]
    assert message["To"] == "ann@boinc.test"
    assert "The Project" in message["Subject"]
    assert project.master_url in message.get_payload()
    assert b'"mail.sent"' in b"".join(project.events.since(0))


def test_a_failed_job_is_told_to_the_admin(project, sink):
    mail.job_failed(project, "wu\r\nBcc: everybody@else.test", "too many errors", ["wu_0: over, client_error"])
    [(recipients, message)] = sink.mails
    assert len(recipients) == 1
    assert message["Bcc"] is None
    assert "wu Bcc: everybody@else.test" in " ".join(message["Subject"].split())
    assert "too many errors" in message.get_payload()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@b.test",
        "a@",
        "a@b.test\nBcc: c@d.test",
        "a@b.test,c@d.test",
        "a b@c.test",
        "<a@b.test>",
        "a@b@c.test",
        "a@.test",
        "ä@b.test",
        "x" * 250 + "@b.test",
    ],
)
def test_bad_addresses_are_refused(project, sink, address):
    with pytest.raises(mail.BadAddressError):
        mail.account_verification(project, address, "name", "link")
    assert sink.mails == []


def test_names_cannot_add_lines():
    assert one_line("a\r\nb\0c\td") == "a b c d"
    assert check_address("a.b+c@d-e.test") == "a.b+c@d-e.test"


def test_a_mail_waits_for_its_server(tmp_path, monkeypatch):
    monkeypatch.setattr(mail, "PAUSE", 0.02)

    async def main():
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink) as reserved:
            port = reserved.server_address[1]
        registry = Registry(tmp_path, "http://boinc.test/", Mailer("127.0.0.1", port))
        project = registry.create("p")
        mail.account_verification(project, "ann@boinc.test", "Ann", "link")
        await asyncio.sleep(0.1)
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        with socketserver.ThreadingTCPServer(("127.0.0.1", port), Sink) as server:
            server.mails = []
            threading.Thread(target=server.serve_forever, daemon=True).start()
            end = time.monotonic() + 10
            while not server.mails and time.monotonic() < end:
                await asyncio.sleep(0.02)
            server.shutdown()
            registry.close()
            return len(server.mails)

    assert asyncio.run(main()) == 1


def test_without_a_server_mails_are_only_recorded(world):
    mail.account_verification(world.project, "ann@boinc.test", "Ann", "link")
    assert world.events("mail.sent")[0]["delivered"] is False
