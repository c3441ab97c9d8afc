"""Clients without a stack: a container of the image, and GUI RPC."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from docker.models.containers import Container

from harness import bases, containers, engine, images, labels
from harness.guirpc import GuiRpc

PASSWORD = "secret-of-the-tests"


class Hosts:
    """Starts clients and removes them at the end. `suite` is the Debian suite of the image."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, suite: str, *, image: str = "client", options: Mapping[str, Any] | None = None, **environment: str) -> Container:
        name = f"client-image-{secrets.token_hex(4)}"
        settings: dict[str, Any] = {
            "labels": labels.owner_labels(role="client"),
            "environment": {"BOINC_GUI_RPC_PASSWORD": PASSWORD, **environment},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "ports": engine.publish([31416, 2222, 6080]),
            **(options or {}),
        }
        self._stack.callback(containers.remove_quietly, name)
        container = engine.connect().containers.create(images.ensure(image, suite), name=name, **settings)
        container.start()
        container.reload()
        return container

    def rpc(self, container: Container, *, password: str | None = PASSWORD, within: float = 10.0) -> GuiRpc:
        container.reload()
        host, port = engine.address(container, 31416)
        rpc = GuiRpc.connect(host, port, password=password, within=within)
        self._stack.callback(rpc.close)
        return rpc


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(stack)


@pytest.fixture(params=bases.SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(container: Container, *words: str) -> str:
    done = containers.execute(container, words)
    assert done.exit_code == 0, done.text
    return done.text
