"""Faults of HTTP between volunteers and the project server, by endpoint.

    stack.faults.http("upload", status=503, times=2)
    stack.faults.http("download", cut=4000, name="jf_.*", times=1)
    stack.faults.http("scheduler", lose_reply=True, times=1)       # the server has committed, the client never hears of it

The first fault of a stack puts the recording proxy (`harness.proxy`) in front of the server, for clients that run already, too.
Endpoints: scheduler, upload, download, config, account, master, web, any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.faults.base import Fault

if TYPE_CHECKING:
    from harness.client import Client
    from harness.project.base import Project
    from harness.stack import Stack

ENDPOINTS = ("scheduler", "upload", "download", "config", "account", "master", "web", "any")


class HttpFaults:
    """Part of `Faults`."""

    stack: Stack
    add: Callable[..., Fault]

    def http(
        self,
        endpoint: str = "any",
        *,
        status: int | None = None,
        redirect: str | None = None,
        reset: bool = False,
        lose_reply: bool = False,
        cut: int | None = None,
        truncate: int | None = None,
        alter: int | None = None,
        replace: str | None = None,
        wrong_length: int | None = None,
        rate: float | None = None,
        delay: float | None = None,
        direction: str | None = None,
        times: int | None = None,
        after: int = 0,
        client: Client | None = None,
        name: str = "",
        project: Project | None = None,
    ) -> Fault:
        """Spoil exchanges with an endpoint: exactly one of

        status        the server is not asked, the client gets this HTTP status
        redirect      likewise, HTTP 302 to this location; "loop": to itself
        reset         the connection is reset before the server sees the request
        lose_reply    the connection is reset when the server has answered
        cut           the body ends after so many bytes, with a reset; direction "request" (the client gets a 502) or "reply" (default)
        truncate      the body is so many bytes long, and its Content-Length says so, too
        alter         the lowest bit of the body's byte at this offset is flipped (negative: from the end)
        replace       another body
        wrong_length  the reply's Content-Length is wrong by so many bytes
        rate          the reply comes with so many bytes a second
        delay         it comes so many (real) seconds later

        For the first `times` exchanges (default: all until healed), `after` so many were let through; only those of one `client`, or
        whose path matches the regular expression `name`. Each one is recorded as http.fault.
        """
        if endpoint not in ENDPOINTS:
            raise UsageError("unknown endpoint", thing=endpoint, expected=f"one of {', '.join(ENDPOINTS)}")
        asked = {
            "status": status,
            "redirect": redirect,
            "reset": True if reset or lose_reply else None,
            "cut": cut,
            "truncate": truncate,
            "alter": alter,
            "replace": replace,
            "length": wrong_length,
            "rate": rate,
            "delay": delay,
        }
        chosen = {action: value for action, value in asked.items() if value is not None}
        if len(chosen) != 1 or (reset and lose_reply):
            raise UsageError("an HTTP fault is one thing", thing=", ".join(chosen) or "nothing", expected="exactly one kind of fault")
        [(action, value)] = chosen.items()
        if action == "reset":
            direction = "reply" if lose_reply else "request"
        target = project or self.stack.project
        proxy = self.stack.use_proxy()
        rule = {
            "project": target.name,
            "endpoint": endpoint,
            "action": action,
            "value": value,
            "direction": direction,
            "times": times,
            "skip": after,
            "client": client.address() if client is not None else "",
            "name": name,
        }
        number = proxy.add_rule(rule)
        facts = {key: item for key, item in rule.items() if item not in (None, "", 0) and key not in ("endpoint", "project")}
        return self.add("http", endpoint, lambda: {"fired": proxy.remove_rule(number)}, project=target.name, rule=number, **facts)

    def close_http(self) -> None:
        """Drop the rules and records of the stack's projects."""
        if self.stack.proxy is not None:
            for project in self.stack.projects:
                self.stack.proxy.forget(project.name)
