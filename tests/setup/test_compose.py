"""compose.test.yml and its `.env`; the last test brings the world up."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import compose, engine, images, labels
from harness.waiting import wait_until

FILE = images.ROOT / "compose.test.yml"


def test_own_lines_passwords_and_ports_are_kept() -> None:
    old = "# mine\nBOINC_HARNESS_HTTP_PORT=9000\nTAG=old\nPASSWORD=first\n"
    assert compose.merge(old, {"TAG": "new"}, {"PASSWORD": "second", "OTHER": "x"}) == (
        "# mine\nBOINC_HARNESS_HTTP_PORT=9000\nTAG=new\nPASSWORD=first\nOTHER=x\n"
    )


_NAMES = st.sampled_from(["A", "B", "C"])
_VALUES = st.text("xyz", max_size=3)


@given(st.dictionaries(_NAMES, _VALUES), st.dictionaries(_NAMES, _VALUES), st.dictionaries(_NAMES, _VALUES))
def test_merging_twice_is_merging_once(old: dict[str, str], values: dict[str, str], defaults: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in old.items())
    once = compose.merge(text, values, defaults)
    assert compose.merge(once, values, defaults) == once
    found = dict(line.split("=", 1) for line in once.splitlines() if line)
    assert found == {**defaults, **old, **values}


def test_every_variable_that_the_file_needs_is_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    compose.write_env(path)
    written = {line.partition("=")[0] for line in path.read_text(encoding="utf-8").splitlines()}
    needed = set(re.findall(r"\$\{(\w+):\?", FILE.read_text(encoding="utf-8")))
    assert needed
    assert needed <= written
    assert path.stat().st_mode & 0o077 == 0


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    compose.write_env(path)
    before = path.stat().st_mtime_ns
    compose.write_env(path)
    assert path.stat().st_mtime_ns == before


class World:
    """The stack of compose.test.yml under a name and on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.env = folder / ".env"
        self.env.write_text("BOINC_HARNESS_HTTP_PORT=0\nBOINC_HARNESS_MAIL_PORT=0\n", encoding="utf-8")
        compose.write_env(self.env)
        self.project = f"boinc-harness-compose-{labels.run_id()}"

    def __call__(self, *arguments: str, within: float = 120) -> str:
        command = ["docker", "compose", "--project-name", self.project, "--file", str(FILE), "--env-file", str(self.env), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=within, check=False)
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stderr}\n{done.stdout}"
        return done.stdout

    def address(self, service: str, port: int) -> str:
        return self("port", service, str(port)).strip()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    try:
        yield found
    finally:
        found("down", "--volumes", "--remove-orphans", "--timeout", "2")


@pytest.mark.engine
def test_the_file_is_valid(world: World) -> None:
    services = json.loads(world("config", "--format", "json"))["services"]
    assert set(services) == {"server", "mail", "world", "host1", "attach"}
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges"], name


@pytest.mark.engine
def test_the_world_comes_up_and_its_volunteer_computes(world: World) -> None:
    engine.connect()
    for name, variant in (("server", ""), ("mail", ""), ("client", "sid")):
        images.ensure(name, variant)
    world("up", "--detach", "--quiet-pull")
    wait_until(
        lambda: "http://boinc.test/world/" in world("exec", "-T", "host1", "boinccmd", "--get_project_status"),
        "the volunteer to be attached",
        within=60,
        every=0.5,
        last_state=lambda: world("logs", "--tail", "20"),
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"http://{world.address('server', 80)}/world/", timeout=10
    ) as answer:
        assert answer.status == 200
    wait_until(
        lambda: "Computation for task" in world("exec", "-T", "host1", "boinccmd", "--get_messages", "0"),
        "a job to be computed",
        within=90,
        every=1.0,
        last_state=lambda: world("logs", "--tail", "40"),
    )
