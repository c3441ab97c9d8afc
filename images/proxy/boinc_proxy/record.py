"""What passed through: events for the harness's history, and flows for a HAR file."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import defaultdict
from typing import Any

from mitmproxy.addons.savehar import SaveHar
from mitmproxy.http import HTTPFlow

#: bodies beyond this are left out of the record (bytes)
MAX_BODY = 256 * 1024
MAX_FLOWS = 5000


class Record:
    """Events and flows of each project. Lives on the proxy's event loop."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._changed = asyncio.Condition()
        self._flows: dict[str, list[HTTPFlow]] = defaultdict(list)

    async def add(self, kind: str, project: str, **fields: Any) -> None:
        async with self._changed:
            self._events.append({"seq": next(self._numbers), "kind": kind, "project": project, "real": time.time(), **fields})
            self._changed.notify_all()

    def keep(self, project: str, flow: HTTPFlow) -> None:
        """Remember a finished exchange, without a large body."""
        flow = flow.copy()
        for message in (flow.request, flow.response):
            if message is not None and len(message.raw_content or b"") > MAX_BODY:
                message.headers["x-harness-left-out"] = f"a body of {len(message.raw_content or b'')} bytes"
                message.raw_content = b""
        flows = self._flows[project]
        flows.append(flow)
        del flows[:-MAX_FLOWS]

    async def after(self, seq: int) -> list[dict[str, Any]]:
        """The events after number `seq`; waits up to 5 s for one."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: bool(self._events) and self._events[-1]["seq"] > seq), 5.0)
            except TimeoutError:
                return []
            return [event for event in self._events if event["seq"] > seq]

    def har(self, project: str) -> bytes:
        """A HAR file of a project's exchanges."""
        har = SaveHar().make_har(self._flows.get(project, []))
        return json.dumps(har, default=str).encode()

    def forget(self, project: str) -> None:
        self._flows.pop(project, None)
        self._events = [event for event in self._events if event["project"] != project]
