"""Fault rules: which exchanges they are for, and what happens to those. No mitmproxy in here.

An endpoint is what BOINC people call it, found from the stock server's URLs of a project P:
``scheduler`` (/P_cgi/cgi), ``upload`` (/P_cgi/file_upload_handler), ``download`` (/P/download/...), ``config``
(/P/get_project_config.php), ``account`` (/P/{create,lookup}_account.php), ``master`` (/P/), ``web`` (all else).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

ENDPOINTS = ("scheduler", "upload", "download", "config", "account", "master", "web")
DIRECTIONS = ("request", "reply")

#: what a rule may do, and the direction(s) in which that makes sense
ACTIONS: dict[str, tuple[str, ...]] = {
    "status": ("reply",),  # answer with this HTTP status instead of asking the server
    "reset": ("request", "reply"),  # reset the connection: before the server sees the request, or after it has answered
    "cut": ("request", "reply"),  # pass on this many bytes of the body, then reset (a client whose request is cut gets a 502)
    "truncate": ("request", "reply"),  # only this many bytes of the body, with a Content-Length that agrees
    "alter": ("request", "reply"),  # flip a bit of the body's byte at this offset (negative: from the end)
    "replace": ("request", "reply"),  # this text instead of the body
    "rate": ("reply",),  # so many bytes a second
    "delay": ("request", "reply"),  # wait so many seconds before passing it on
    "length": ("reply",),  # a Content-Length that is wrong by so many bytes
    "redirect": ("reply",),  # HTTP 302 to this location ("loop": to itself)
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path belongs to: a project's short name ("" if none) and an endpoint."""

    project: str
    endpoint: str


def target_of(path: str) -> Target:
    """From the path of a URL."""
    path = path.partition("?")[0]
    first, _, rest = path.lstrip("/").partition("/")
    if first.endswith("_cgi"):
        endpoint = "scheduler" if rest == "cgi" else "upload" if rest.startswith("file_upload_handler") else "web"
        return Target(first.removesuffix("_cgi"), endpoint)
    if rest.startswith("download/"):
        return Target(first, "download")
    if rest == "get_project_config.php":
        return Target(first, "config")
    if rest in ("create_account.php", "lookup_account.php"):
        return Target(first, "account")
    return Target(first, "master" if rest in ("", "index.php") else "web")


class BadRule(ValueError):
    """A rule that makes no sense; the text says why."""


@dataclass(slots=True)
class Rule:
    """One fault. Counts how often it fired; `times` (None: always) and `skip` (let so many pass first) bound that."""

    id: int
    project: str
    endpoint: str
    action: str
    value: Any
    direction: str
    times: int | None = None
    skip: int = 0
    client: str = ""
    name: str = ""
    fired: int = 0
    seen: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def wants(self, target: Target, client: str, path: str, length: int) -> bool:
        """Whether it fires for this exchange, whose request's body is `length` bytes long; counts it if so.

        A request that has nothing to cut off (a question for a file's size, say) passes uncounted.
        """
        if self.project != target.project or self.endpoint not in ("any", target.endpoint):
            return False
        if (self.client and self.client != client) or (self.name and not re.search(self.name, path)):
            return False
        if self.direction == "request" and self.action in ("cut", "truncate") and length <= self.value:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.fired += 1
        return True


class Rules:
    """The rules in force, oldest first. The first that wants an exchange has it."""

    def __init__(self) -> None:
        self._rules: dict[int, Rule] = {}
        self._numbers = itertools.count(1)

    def __iter__(self) -> Any:
        return iter(list(self._rules.values()))

    def add(self, record: dict[str, Any]) -> Rule:
        """From the control interface's JSON. Raises `BadRule`."""
        unknown = set(record) - {"project", "endpoint", "action", "value", "direction", "times", "skip", "client", "name", "extra"}
        if unknown:
            raise BadRule(f"unknown fields: {', '.join(sorted(unknown))}")
        action = record.get("action")
        if action not in ACTIONS:
            raise BadRule(f"action: expected one of {', '.join(ACTIONS)}, not {action!r}")
        endpoint = record.get("endpoint", "any")
        if endpoint != "any" and endpoint not in ENDPOINTS:
            raise BadRule(f"endpoint: expected any or one of {', '.join(ENDPOINTS)}, not {endpoint!r}")
        direction = record.get("direction") or ACTIONS[action][-1]
        if direction not in ACTIONS[action]:
            raise BadRule(f"direction: {action} is for {' or '.join(ACTIONS[action])}, not {direction!r}")
        value = record.get("value")
        if action not in ("reset", "replace", "redirect") and not isinstance(value, int | float):
            raise BadRule(f"value: {action} needs a number, not {value!r}")
        rule = Rule(
            id=next(self._numbers),
            project=str(record.get("project", "")),
            endpoint=endpoint,
            action=action,
            value=value,
            direction=direction,
            times=None if record.get("times") is None else int(record["times"]),
            skip=int(record.get("skip") or 0),
            client=str(record.get("client") or ""),
            name=str(record.get("name") or ""),
            extra=dict(record.get("extra") or {}),
        )
        self._rules[rule.id] = rule
        return rule

    def remove(self, number: int) -> Rule | None:
        return self._rules.pop(number, None)

    def drop_project(self, project: str) -> None:
        self._rules = {number: rule for number, rule in self._rules.items() if rule.project != project}

    def choose(self, target: Target, client: str, path: str, length: int = 0) -> Rule | None:
        """The rule for an exchange, if any."""
        return next((rule for rule in self._rules.values() if rule.wants(target, client, path, length)), None)


def altered(body: bytes, offset: int) -> bytes:
    """`body` with the lowest bit of one byte flipped."""
    if not body:
        return body
    at = min(offset, len(body) - 1) if offset >= 0 else max(0, len(body) + offset)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
