"""The mitmproxy addon: records every exchange, and applies the fault that a rule has for it."""

from __future__ import annotations

import asyncio
from typing import Any

from mitmproxy.http import HTTPFlow, Response

from boinc_proxy import wire
from boinc_proxy.record import Record
from boinc_proxy.rules import Rule, Rules, Target, altered, target_of

_RULE, _TARGET, _LEFT = "rule", "target", "left"


class Faults:
    """One for the whole proxy."""

    def __init__(self, rules: Rules, record: Record) -> None:
        self.rules = rules
        self.record = record

    # --- mitmproxy's hooks, in the order in which they are called

    async def requestheaders(self, flow: HTTPFlow) -> None:
        target = target_of(flow.request.path)
        client = flow.client_conn.peername[0].removeprefix("::ffff:")
        flow.metadata[_TARGET] = target
        # a compressed reply could not be cut, altered or read where a scenario says
        flow.request.headers.pop("accept-encoding", None)
        length = flow.request.headers.get("content-length", "")
        rule = self.rules.choose(target, client, flow.request.path, int(length) if length.isdecimal() else 0)
        if rule is None:
            return
        flow.metadata[_RULE] = rule
        if rule.action == "cut" and rule.direction == "request":
            flow.metadata[_LEFT] = int(rule.value)
            flow.request.stream = lambda data: self._cut_request(flow, data)
        await self.record.add(
            "http.fault",
            target.project,
            rule=rule.id,
            fault=rule.action,
            value=rule.value,
            direction=rule.direction,
            endpoint=target.endpoint,
            path=flow.request.path,
            address=client,
        )

    async def request(self, flow: HTTPFlow) -> None:
        rule = self._rule(flow)
        if rule is None:
            return
        if rule.action == "status":
            body = rule.extra.get("body", f"the scenario asked for HTTP {int(rule.value)}\n")
            flow.response = Response.make(int(rule.value), body, {"content-type": "text/plain", **rule.extra.get("headers", {})})
        elif rule.action == "redirect":
            location = flow.request.path if rule.value in (None, "loop") else str(rule.value)
            flow.response = Response.make(302, b"", {"location": location})
        elif rule.direction == "request":
            await self._spoil(flow, rule, flow.request)

    async def response(self, flow: HTTPFlow) -> None:
        rule = self._rule(flow)
        assert flow.response is not None
        # On a connection that it uses again, libcurl repeats a request quietly after a reset: the fault would not be seen.
        flow.response.headers["connection"] = "close"
        if rule is not None and rule.direction == "reply" and rule.action not in ("status", "redirect"):
            self.record.keep(self._target(flow).project, flow)
            await self._spoil(flow, rule, flow.response)
        await self._done(flow)

    async def error(self, flow: HTTPFlow) -> None:
        await self._done(flow)

    # --- faults

    async def _spoil(self, flow: HTTPFlow, rule: Rule, message: Any) -> None:
        body: bytes = message.raw_content or b""
        match rule.action:
            case "delay":
                await asyncio.sleep(float(rule.value))
            case "reset":
                wire.reset(flow, server=rule.direction == "request")
                flow.kill()
            case "truncate":
                message.raw_content = body[: int(rule.value)]
                message.headers["content-length"] = str(len(message.raw_content))
            case "alter":
                message.raw_content = altered(body, int(rule.value))
            case "replace":
                message.raw_content = str(rule.value or "").encode()
                message.headers["content-length"] = str(len(message.raw_content))
            case "cut":
                await wire.send(flow, message, cut=int(rule.value))
            case "rate":
                await wire.send(flow, message, rate=float(rule.value))
            case "length":
                await wire.send(flow, message, length=max(0, len(body) + int(rule.value)))

    def _cut_request(self, flow: HTTPFlow, data: bytes) -> bytes:
        left: int = flow.metadata[_LEFT]
        flow.metadata[_LEFT] = left - len(data)
        if left <= 0:
            return b""
        if len(data) >= left:
            # what is returned here is written to the server only afterwards: break the connection a little later
            asyncio.get_running_loop().call_later(0.05, lambda: wire.reset(flow, client=False, server=True))
        return data[:left]

    # --- record

    def _rule(self, flow: HTTPFlow) -> Rule | None:
        return flow.metadata.get(_RULE)

    def _target(self, flow: HTTPFlow) -> Target:
        target: Target = flow.metadata.get(_TARGET) or target_of(flow.request.path)
        return target

    async def _done(self, flow: HTTPFlow) -> None:
        target, rule = self._target(flow), self._rule(flow)
        reply = flow.response
        peer = flow.client_conn.peername[0].removeprefix("::ffff:") if flow.client_conn.peername else ""
        end = (reply.timestamp_end if reply else None) or flow.request.timestamp_end or flow.request.timestamp_start
        if rule is None or rule.direction == "request" or rule.action in ("status", "redirect"):
            self.record.keep(target.project, flow)
        await self.record.add(
            "http.exchange",
            target.project,
            endpoint=target.endpoint,
            method=flow.request.method,
            path=flow.request.path,
            status=reply.status_code if reply else None,
            request_bytes=len(flow.request.raw_content or b""),
            reply_bytes=len(reply.raw_content or b"") if reply else 0,
            seconds=round(end - flow.request.timestamp_start, 4),
            address=peer,
            rule=rule.id if rule else None,
            error=flow.error.msg if flow.error else None,
        )
