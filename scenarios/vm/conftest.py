"""VM jobs: what their scenarios share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from harness.client import Client
from harness.stack import Stack
from harness.vbox_app import FEATURES, VmApp, Wrapper

#: seconds for a VM job on a slow machine
VM_DEADLINE = 180.0


#: for a command: go on when `let_go` says so. A fixed time would be too long mostly, and too short on a busy machine
UNTIL_LET_GO = "until [ -e go ]"


def let_go(client: Client, *slots: int) -> None:
    """Let the guests in these slots (default: the first) go on that wait for it (see `UNTIL_LET_GO`)."""
    client.exec(["touch", *(f"{client.DATA_DIRECTORY}/slots/{slot}/shared/go" for slot in slots or (0,))])


class InstallVmApp(Protocol):
    """Installs a VM application, with options of vbox_job.xml."""

    def __call__(self, **options: object) -> VmApp: ...


@pytest.fixture
def wrapper(request: pytest.FixtureRequest) -> Wrapper:
    """The wrapper under test: ours, or the one of --vboxwrapper."""
    path = request.config.getoption("--vboxwrapper")
    return Wrapper.chosen(Path(path) if path else None)


@pytest.fixture
def volunteer(stack: Stack) -> Client:
    """A host with VirtualBox, attached to the project."""
    return stack.client(vbox=True, attach=True)


@pytest.fixture
def vm_app(stack: Stack, wrapper: Wrapper) -> InstallVmApp:
    """Installs a VM application with options of vbox_job.xml."""

    def install(**options: object) -> VmApp:
        return VmApp.install(stack.project, wrapper=wrapper, **options)  # type: ignore[arg-type]

    return install


@pytest.fixture(autouse=True)
def can_and_cleans_up(request: pytest.FixtureRequest, wrapper: Wrapper) -> Iterator[None]:
    """Skip what the wrapper under test cannot do; after a scenario that passed, nothing of VirtualBox may be left on its hosts."""
    mark = request.node.get_closest_marker("wrapper_features")
    needs = set(mark.args) if mark else set()
    assert needs <= set(FEATURES), f"wrapper_features: {needs} are not all among {FEATURES}"
    if missing := wrapper.lacks(needs):
        pytest.skip(f"the wrapper under test lacks {', '.join(missing)}")
    stack: Stack = request.getfixturevalue("stack")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        return
    for client in stack.clients:
        if client.has_virtualbox and client.is_running:
            client.virtualbox.wait_clean(within=30)
