"""What several tests of the set-up use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import engine


@pytest.fixture
def capabilities() -> Callable[..., engine.Capabilities]:
    """A function that makes what a good engine says of itself, with changes."""

    def make(**changes: object) -> engine.Capabilities:
        values: dict[str, object] = {
            "host": "unix:///x",
            "version": "26.1.5",
            "operating_system": "Debian",
            "architecture": "x86_64",
            "cgroup_version": "2",
            "storage_driver": "overlay2",
            "rootless": False,
            "cpus": 2,
            "memory": 1,
            "local": True,
            "buildx": "0.13",
            "compose": "2.26",
        }
        return engine.Capabilities(**{**values, **changes})  # type: ignore[arg-type]

    return make
