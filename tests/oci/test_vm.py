"""What a virtual machine runs a container job from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.oci import Image, Store, load, vm
from harness.oci.work import ContainerJob

from .build import Entry, config, layer, oci_layout

LAYERS = [layer([Entry("a")]), layer([Entry("b")])]


def image(tmp_path: Path, **settings: object) -> Image:
    return load(str(oci_layout(tmp_path / "image", LAYERS, conf=config(LAYERS, config=settings))), Store(tmp_path / "store"))


def filled_in(content: bytes) -> dict[str, Any]:
    """The configuration as the guest completes it."""
    values = {"@USER@": '"user":{"uid":0,"gid":0},', "@CAPS@": '"effective":[],', "@HOME@": '"HOME=/",'}
    found: dict[str, Any] = json.loads("\n".join(values.get(line, line) for line in content.decode().splitlines()))
    return found


@pytest.mark.parametrize(
    ("settings", "job", "words"),
    [
        ({"Cmd": ["a", "b"]}, {}, ["a", "b"]),
        ({"Cmd": ["a"]}, {"command": ["c"]}, ["c"]),
        ({"Entrypoint": ["e"], "Cmd": ["a"]}, {}, ["e", "a"]),
        ({"Entrypoint": ["e"], "Cmd": ["a"]}, {"command": ["c", "d"]}, ["e", "c", "d"]),
        ({"Entrypoint": ["e"], "Cmd": ["a"]}, {"entrypoint": ["f"]}, ["f"]),
        ({"Entrypoint": ["e"], "Cmd": ["a"]}, {"entrypoint": [], "command": ["c"]}, ["c"]),
    ],
)
def test_the_words_are_those_of_an_engine(tmp_path: Path, settings: Mapping[str, object], job: Mapping[str, Any], words: list[str]) -> None:
    assert filled_in(vm.config(image(tmp_path, **settings), ContainerJob(**job)))["process"]["args"] == words


def test_nothing_to_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to run"):
        vm.words(image(tmp_path), ContainerJob())


def test_what_a_job_says_wins_over_the_image(tmp_path: Path) -> None:
    one = image(tmp_path, Cmd=["x"], Env=["A=1", "B=2", "PATH=/bin"], WorkingDir="/w", User="worker")
    made = filled_in(vm.config(one, ContainerJob(environment={"B": "3", "C": "@HOME@\n@USER@"}, memory_bytes=5e7, cpus=0.5)))
    variables = dict(pair.split("=", 1) for pair in made["process"]["env"])
    assert variables["A"] == "1"
    assert variables["B"] == "3"
    assert variables["C"] == "@HOME@\n@USER@", "only whole lines are the guest's to fill in"
    assert variables["PATH"] == "/bin"
    assert variables["SHARED"] == "/shared"
    assert variables["HOME"] == "/"
    assert made["process"]["cwd"] == "/w"
    assert made["linux"]["resources"]["memory"] == {"limit": 50_000_000}
    assert made["linux"]["resources"]["cpu"] == {"period": 100_000, "quota": 50_000}
    lines = vm.conf(one, ContainerJob(outputs=["out"], memory_bytes=5e7)).decode().splitlines()
    assert lines[2:] == ["user worker", "output out", "memory 50000000"]
    assert lines[:2] == [f"layer {found.digest.replace(':', '-')}" for found in one.layers], "from the lowest on"
    assert "HOME=/h" in filled_in(vm.config(one, ContainerJob(environment={"HOME": "/h"})))["process"]["env"]


@pytest.mark.parametrize("user", ["a b", "$(x)\n", "x" * 300, "ä"])
def test_odd_users_are_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(UsageError, match="name of a user"):
        vm.conf(image(tmp_path, Cmd=["x"]), ContainerJob(user=user))


def test_machines_come_in_few_sizes() -> None:
    sizes = [vm.memory_mb(ContainerJob(memory_bytes=wanted)) for wanted in (0, 1, 64e6, 512 * 2**20)]
    assert sizes == [320, 128, 128, 576]
    assert all(size - wanted / 2**20 <= 2 * vm.STEP_MB for size, wanted in zip(sizes[2:], (64e6, 512 * 2**20), strict=True))
