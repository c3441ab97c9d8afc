"""VM jobs: what their scenarios share."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from harness.client import Client
from harness.stack import Stack
from harness.vbox_app import VmApp, Wrapper

#: seconds for a VM job on a slow machine
VM_DEADLINE = 180.0


class InstallVmApp(Protocol):
    """Installs a VM application, with options of vbox_job.xml."""

    def __call__(self, **options: object) -> VmApp: ...


@pytest.fixture
def wrapper(request: pytest.FixtureRequest) -> Wrapper:
    """The wrapper under test: ours, or the one of --vboxwrapper."""
    path = request.config.getoption("--vboxwrapper")
    return Wrapper.at(Path(path)) if path else Wrapper.ours()


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
