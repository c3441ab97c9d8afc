"""A registry in a temporary directory, one project on it, and a way to send requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from boinc_server.mail import Mailer
from boinc_server.project import Project
from boinc_server.public import make_app
from boinc_server.registry import Registry

BASE = "http://boinc.test/"


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path, BASE, Mailer())
    yield registry
    registry.close()


@pytest.fixture
def project(registry: Registry) -> Project:
    return registry.create("p", "Project P")


class Http:
    """A synchronous client of the ASGI application, no sockets involved."""

    def __init__(self, runner: asyncio.Runner, registry: Registry) -> None:
        self._runner = runner
        self._transport = httpx.ASGITransport(make_app(registry), client=("10.0.0.9", 4242))

    def __call__(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://boinc.test") as client:
                return await client.request(method, url, **options)

        return self._runner.run(send())

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self("GET", url, **options)

    def post(self, url: str, content: bytes | str, **options: Any) -> httpx.Response:
        return self("POST", url, content=content, **options)


@pytest.fixture
def http(runner: asyncio.Runner, registry: Registry) -> Http:
    return Http(runner, registry)
