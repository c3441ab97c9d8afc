"""The mails that a stack's project server sent, as a mail sink with a REST interface received them."""

from __future__ import annotations

import abc
import email.utils
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from harness.errors import HarnessError
from harness.history import History
from harness.waiting import Deadline, wait_until

MAIL_DEADLINE = 20.0


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, as it arrived."""

    id: str
    sender: str
    to: Sequence[str]
    subject: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


class MailSinkGone(HarnessError):
    """The mail sink does not answer."""

    exit_code = 69


class MailSink(abc.ABC):
    """A mail sink's REST interface."""

    #: the port of its page and of its REST interface
    web_port: int

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.Client(base_url=base_url, timeout=10.0, trust_env=False)

    def ready(self) -> bool:
        """Does it answer?"""
        try:
            return self._http.get(self._ready_path).is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str) -> Any:
        try:
            answer = self._http.get(path)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            expected = f"its list of mails; got {error}"
            raise MailSinkGone("the mail sink does not answer", thing=f"{self.base_url}{path}", expected=expected) from error

    _ready_path: str

    @abc.abstractmethod
    def all(self) -> list[Mail]:
        """Every mail it holds, oldest first."""


class Maildev(MailSink):
    """maildev (GET /email), the sink that the project builds."""

    web_port = 1080
    _ready_path = "/healthz"

    def all(self) -> list[Mail]:
        return [
            Mail(
                id=str(record["id"]),
                sender=str(record["from"][0]["address"]) if record.get("from") else "",
                to=[str(entry["address"]) for entry in record["envelope"]["to"]],  # who it was delivered to, whatever its headers say
                subject=str(record.get("subject") or ""),
                text=str(record.get("text") or ""),
                headers={str(name).lower(): str(value) for name, value in (record.get("headers") or {}).items()},
            )
            for record in self._get("/email")
        ]


class Mailpit(MailSink):
    """Mailpit (GET /api/v1/messages, newest first), from a registry."""

    web_port = 8025
    _ready_path = "/readyz"
    image = "axllent/mailpit:latest"

    def all(self) -> list[Mail]:
        records = self._get("/api/v1/messages?limit=1000")["messages"]
        return [self._mail(str(record["ID"])) for record in reversed(records)]

    def _mail(self, message: str) -> Mail:
        record = self._get(f"/api/v1/message/{message}")
        headers = self._get(f"/api/v1/message/{message}/headers")
        return Mail(
            id=message,
            sender=str((record.get("From") or {}).get("Address") or ""),
            to=[str(entry["Address"]) for entry in record.get("To") or []],
            subject=str(record.get("Subject") or ""),
            text=str(record.get("Text") or ""),
            headers={str(name).lower(): ", ".join(values) for name, values in headers.items()},
        )


SINKS: Mapping[str, type[MailSink]] = {"maildev": Maildev, "mailpit": Mailpit}


class Mailbox:
    """`stack.mail`: the mails to people of this stack's projects; each becomes a `mail.received` event when first seen."""

    def __init__(self, sink: MailSink, history: History, domains: Sequence[str]) -> None:
        self._sink = sink
        self._history = history
        self._domains = domains
        self._seen: set[str] = set()

    @property
    def url(self) -> str:
        """The sink's page for a person to look at."""
        return self._sink.base_url

    def _ours(self, mail: Mail) -> bool:
        return any(address.rpartition("@")[2].lower() in self._domains for address in mail.to)

    def all(self) -> list[Mail]:
        """All mails so far, oldest first."""
        mails = [mail for mail in self._sink.all() if self._ours(mail)]
        for mail in mails:
            if mail.id not in self._seen:
                self._seen.add(mail.id)
                self._history.add("mail.received", "mail", to=list(mail.to), subject=mail.subject)
        return mails

    def to(self, address: str) -> list[Mail]:
        """The mails to one address."""
        wanted = email.utils.parseaddr(address)[1].lower()
        return [mail for mail in self.all() if wanted in (to.lower() for to in mail.to)]

    def wait_for(self, to: str, *, subject: str = "", within: Deadline | float = MAIL_DEADLINE) -> Mail:
        """The first mail to an address whose subject contains `subject`."""

        def arrived() -> Mail | None:
            return next((mail for mail in self.to(to) if subject.lower() in mail.subject.lower()), None)

        def seen() -> str:
            return ", ".join(f"{mail.subject!r} to {', '.join(mail.to)}" for mail in self.all()) or "no mail at all"

        return wait_until(
            arrived,
            f"a mail to {to}" + (f" about {subject!r}" if subject else ""),
            within=within,
            last_state=seen,
            evidence=self._history.evidence,
        )
