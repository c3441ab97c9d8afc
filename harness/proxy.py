"""The recording proxy that stands between volunteers and the project server in stacks that break HTTP or want it on record.

It is boinc.test on a network of its own (`Rig.proxied_network`); stacks that do not ask for it never meet it. One for each process,
started on first use; each stack sees only its own projects' rules and exchanges. What runs inside is images/proxy/.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import httpx

from harness.errors import HarnessError
from harness.history import History

CONTROL_PORT = 8081
TIMEOUT = 15.0
#: the proxy sends at least a blank line every 5 s
SILENCE = 12.0
#: events that the scenario caused, and those that merely happened
SOURCE = "proxy"


class ProxyRefused(HarnessError):
    """The proxy does not take a rule, or does not answer."""


class ProxyHandle:
    """The proxy's control interface."""

    def __init__(self, base_url: str, token: str, address: str) -> None:
        #: where clients that were not started behind it reach it
        self.address = address
        self._base_url = base_url
        self._http = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT, trust_env=False)
        self._histories: dict[str, History] = {}
        self._closed = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="events of the proxy", daemon=True)

    def ready(self) -> bool:
        try:
            return self._http.get("/health", timeout=2.0).is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._closed.set()
        self._http.close()

    def watch(self, project: str, history: History) -> None:
        """Write a project's exchanges into a history from now on."""
        self._histories[project] = history
        if not self._follower.is_alive() and not self._closed.is_set():
            self._follower.start()

    def forget(self, project: str) -> None:
        """Drop a project's rules and record."""
        self._histories.pop(project, None)
        self._call("DELETE", f"/projects/{project}")

    def add_rule(self, rule: Mapping[str, object]) -> int:
        """Put a rule in force and return its number (fields: images/proxy/boinc_proxy/rules.py)."""
        return int(self._call("POST", "/rules", rule)["id"])

    def remove_rule(self, number: int) -> int:
        """End a rule; how often it fired."""
        return int(self._call("DELETE", f"/rules/{number}")["fired"])

    def har(self, project: str) -> bytes:
        """The project's exchanges so far as a HAR file."""
        return self._request("GET", f"/har/{project}").content

    def _call(self, method: str, path: str, body: object = None) -> Any:
        return self._request(method, path, **({} if body is None else {"json": body})).json()

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise ProxyRefused(
                "the recording proxy does not answer",
                thing=f"{method} {self._base_url}{path}",
                expected=f"an answer within {TIMEOUT:g} s; got {type(error).__name__}: {error}",
                remedy="look at its log (harness logs proxy)",
            ) from error
        if answer.is_error:
            raise ProxyRefused("the recording proxy refused", thing=f"{method} {path}", expected=answer.text[:500])
        return answer

    def _follow(self) -> None:
        seq = 0
        while not self._closed.is_set():
            try:
                timeout = httpx.Timeout(TIMEOUT, read=SILENCE)
                with self._http.stream("GET", f"/events?since={seq}", timeout=timeout) as answer:
                    for line in answer.iter_lines():
                        if self._closed.is_set():
                            return
                        if line:
                            seq = self._take(json.loads(line))
            except (httpx.HTTPError, httpx.StreamError, RuntimeError):
                # It restarts with the rig only; whoever waits for an exchange has a deadline of their own.
                self._closed.wait(0.25)

    def _take(self, event: dict[str, Any]) -> int:
        seq, kind, real = int(event.pop("seq")), str(event.pop("kind")), float(event.pop("real"))
        history = self._histories.get(str(event["project"]))
        if history is not None:
            history.add(kind, SOURCE, real=real, **event)
        return seq
