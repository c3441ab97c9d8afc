"""The control interface: JSON over HTTP with a bearer token, on an address that volunteers cannot reach.

GET /health              no token needed
GET, POST /rules         the rules in force; a new one (see `rules.Rules.add`)
DELETE /rules/ID         the rule as it was, with how often it fired
GET /events?since=N      NDJSON, one event a line as they happen; a blank line at least every 5 s
GET /har/PROJECT         the project's exchanges as a HAR file
DELETE /projects/PROJECT its rules and records
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from typing import Any

import tornado.web
from tornado.iostream import StreamClosedError

from boinc_proxy.record import Record
from boinc_proxy.rules import BadRule, Rules


class _Handler(tornado.web.RequestHandler):
    def initialize(self, token: str, rules: Rules, record: Record) -> None:
        self.token, self.rules, self.recorded = token, rules, record

    def prepare(self) -> None:
        given = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            self.refuse(401, "unauthorized", "expected the bearer token of this proxy")

    def refuse(self, status: int, kind: str, text: str) -> None:
        self.set_status(status)
        self.finish({"error": {"kind": kind, "message": text}})

    def answer(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))


class _Health(tornado.web.RequestHandler):
    def get(self) -> None:
        self.finish({"status": "ok"})


class _Rules(_Handler):
    def get(self) -> None:
        self.answer([dataclasses.asdict(rule) for rule in self.rules])

    def post(self) -> None:
        try:
            record = json.loads(self.request.body)
            if not isinstance(record, dict):
                raise BadRule("expected a JSON object")
            rule = self.rules.add(record)
        except (ValueError, TypeError) as error:
            self.refuse(422, "bad_rule", str(error))
            return
        self.answer(dataclasses.asdict(rule))


class _Rule(_Handler):
    def delete(self, number: str) -> None:
        rule = self.rules.remove(int(number))
        if rule is None:
            self.refuse(404, "no_such_rule", number)
            return
        self.answer(dataclasses.asdict(rule))


class _Events(_Handler):
    async def get(self) -> None:
        seq = int(self.get_query_argument("since", "0"))
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            while True:
                events = await self.recorded.after(seq)
                self.write("".join(json.dumps(event) + "\n" for event in events) or "\n")
                seq = events[-1]["seq"] if events else seq
                await self.flush()
        except StreamClosedError:
            return


class _Har(_Handler):
    def get(self, project: str) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(self.recorded.har(project))


class _Project(_Handler):
    def delete(self, project: str) -> None:
        self.rules.drop_project(project)
        self.recorded.forget(project)
        self.answer({})


def application(token: str, rules: Rules, record: Record) -> tornado.web.Application:
    parts = {"token": token, "rules": rules, "record": record}
    name = r"([A-Za-z][A-Za-z0-9_-]*)"
    return tornado.web.Application(
        [
            (r"/health", _Health),
            (r"/rules", _Rules, parts),
            (r"/rules/(\d+)", _Rule, parts),
            (r"/events", _Events, parts),
            (rf"/har/{name}", _Har, parts),
            (rf"/projects/{name}", _Project, parts),
        ],
        log_function=lambda _handler: None,
    )
