"""Mails a project sends, by real SMTP: account verification, forgotten password, failed jobs."""

from __future__ import annotations

import asyncio
import smtplib
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boinc_server.project import Project

TIMEOUT: Final = 10.0
GIVE_UP: Final = 900.0
"""Seconds for which a mail is tried again; the mail server may be started only when somebody looks."""
PAUSE: Final = 0.5
MAX_ADDRESS: Final = 254


class BadAddressError(ValueError):
    """Not a mail address that anything may be sent to."""


def check_address(address: str) -> str:
    """A single plain address, as it came. Raises BadAddressError.

    Control characters, blanks, lists and quoting are refused, so that a name or address can never
    add a header or a second recipient.
    """
    local, at, domain = address.rpartition("@")
    plain = address.isascii() and address.isprintable() and not set(address) & set(' ,;:<>()[]\\"\t\r\n')
    if not (plain and at and local and domain and len(address) <= MAX_ADDRESS) or "@" in local or domain.startswith("."):
        raise BadAddressError(f"not a mail address: {address[:80]!r}")
    return address


def one_line(text: str, limit: int = 200) -> str:
    """`text` without line breaks and other control characters, fit for a header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]


class Mailer:
    """Sends mails in the background; without a server it only records that it would have.

    Args:
        host, port: the SMTP server, None for no sending.
        sender: the From address.
    """

    def __init__(self, host: str | None = None, port: int = 25, sender: str = "boinc@boinc.test") -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, project: Project, to: str, subject: str, body: str) -> None:
        """Send one mail; the event mail.sent (or mail.failed) follows when the server took it.

        Raises BadAddressError before anything is sent.
        """
        check_address(to)
        message = EmailMessage()
        message["From"] = formataddr((one_line(project.long_name), self._sender))
        message["To"] = to
        message["Subject"] = one_line(subject)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="boinc.test")
        message["X-BOINC-Project"] = project.name
        message.set_content(body)
        fields = {"to": to, "subject": str(message["Subject"])}
        if self._host is None:
            project.emit("mail.sent", **fields, delivered=False)
            return
        self._in_background(lambda: self._deliver(message), project, fields)

    def _in_background(self, deliver: Callable[[], None], project: Project, fields: dict[str, str]) -> None:
        async def run() -> None:
            until = time.monotonic() + GIVE_UP
            while not project.closed:
                try:
                    await asyncio.to_thread(deliver)
                except (OSError, smtplib.SMTPException) as error:
                    if isinstance(error, smtplib.SMTPRecipientsRefused) or time.monotonic() > until:
                        project.log.warning("mail to %s failed: %s", fields["to"], error)
                        project.emit("mail.failed", **fields, why=str(error))
                        return
                    await asyncio.sleep(PAUSE)
                else:
                    project.emit("mail.sent", **fields, delivered=True)
                    return

        try:
            task = asyncio.get_running_loop().create_task(run())
        except RuntimeError:
            # No loop: a test or a tool; send now.
            deliver()
            project.emit("mail.sent", **fields, delivered=True)
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _deliver(self, message: EmailMessage) -> None:
        assert self._host is not None
        with smtplib.SMTP(self._host, self._port, timeout=TIMEOUT) as server:
            server.send_message(message)

    async def flush(self, timeout: float = 1.0) -> None:
        """Give what was given to `send` at most `timeout` wall seconds to get out, then drop it."""
        if self._tasks:
            _, pending = await asyncio.wait(set(self._tasks), timeout=timeout)
            for task in pending:
                task.cancel()


def account_verification(project: Project, address: str, name: str, link: str) -> None:
    """The mail with which a new account confirms its address."""
    project.mailer.send(
        project,
        address,
        f"{project.long_name}: verify your account",
        f"Hello {one_line(name)},\n\nan account was made for this address at {project.long_name} ({project.master_url}).\n"
        f"To confirm it, open\n\n{link}\n\nIf it was not you, ignore this mail.\n",
    )


def forgotten_password(project: Project, address: str, name: str, link: str) -> None:
    """The mail that lets somebody log in who forgot the password."""
    project.mailer.send(
        project,
        address,
        f"{project.long_name}: log in to your account",
        f"Hello {one_line(name)},\n\nto log in to your account at {project.long_name} and set a new password, open\n\n"
        f"{link}\n\nThe link works for a day. If you did not ask for it, ignore this mail.\n",
    )


def job_failed(project: Project, workunit: str, reason: str, results: list[str]) -> None:
    """Tell the project's admin that a job will not be completed; nothing without an admin_email."""
    address = project.config.admin_email
    if not address or not project.config.mail_job_failures:
        return
    lines = "\n".join(results)
    project.mailer.send(
        project,
        address,
        f"{project.long_name}: job {workunit} failed",
        f"The job {workunit} of {project.long_name} failed: {reason}.\n\nIts results:\n{lines}\n",
    )
