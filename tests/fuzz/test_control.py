"""The control interface against its own description: anything it may be sent is done or refused as described, and nothing breaks it.

BOINC_TEST_EXAMPLES says how many requests are made up for each operation.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from boinc_server.control.app import make_app
from boinc_server.control.openapi import OPERATIONS, description
from boinc_server.mail import Mailer
from boinc_server.registry import Registry
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from starlette.applications import Starlette
from starlette.routing import Route

EXAMPLES = int(os.environ.get("BOINC_TEST_EXAMPLES", "5"))
TOKEN = {"Authorization": "Bearer token"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Control:
    """The control interface on a real port, in a thread of this process."""

    def __init__(self, data: Path) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.registry = Registry(data, "http://boinc.test/", Mailer())
        self.app: Any = make_app(self.registry, "token")
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="critical", access_log=False, lifespan="off"))
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve(sockets=[listener]),), daemon=True)
        self._thread.start()
        self.http = httpx.Client(base_url=self.url, headers=TOKEN, timeout=30)

    def prepare(self) -> None:
        """A project p with an app, a user and a job, if the last request removed it."""
        if self.http.get("/projects/p").status_code != 404:
            return
        made = [
            self.http.post("/projects", json={"name": "p"}),
            self.http.post("/projects/p/apps", json={"name": "app"}),
            self.http.post("/projects/p/users", json={"email": "ann@boinc.test", "password": "secret"}),
            self.http.put("/projects/p/tree/templates/app_in", content=b"<workunit>\n</workunit>\n"),
            self.http.put("/projects/p/tree/templates/app_out", content=b"<result>\n</result>\n"),
            self.http.post("/projects/p/work", json={"app": "app"}),
        ]
        assert all(answer.status_code == 201 for answer in made), [answer.text for answer in made]

    def stop(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(10)
        self.registry.close()


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    control = Control(tmp_path_factory.mktemp("control"))
    yield control
    control.stop()


schema = schemathesis.openapi.from_dict(description())
if EXAMPLES < 100:  # its list of values at the edges is long
    schema.config.phases.update(phases=["fuzzing"])


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_request_is_done_or_refused_as_described(case: Any, control: Control) -> None:
    control.prepare()
    if "project" in case.path_parameters:
        case.path_parameters["project"] = "p"  # what is made up is never there
    if "id" in case.path_parameters and len(str(case.path_parameters["id"])) % 2:
        case.path_parameters["id"] = 1
    if case.query:
        case.query.pop("follow", None)
    case.call_and_validate(base_url=control.url, headers=TOKEN, checks=CHECKS, timeout=30)
    assert control.http.get("/health").json()["status"] == "ok"


def test_every_route_is_described(control: Control) -> None:
    app = control.app
    while not isinstance(app, Starlette):
        app = app.app
    routes = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path != "/openapi.json"
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert routes == {(operation.method, operation.path) for operation in OPERATIONS}
