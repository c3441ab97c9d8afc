"""Base images: a registry's if it answers, else bootstrapped; with stand-ins for docker and mmdebstrap."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import apt, bases
from harness.errors import HarnessError, ImageBuildFailed

ENTRIES = list(apt.parse_one_line("deb http://mirror.example/debian bookworm main"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a command into PATH that notes its arguments and environment in a file, then runs some shell text."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, does: str) -> Path:
        said = folder / f"{name}.said"
        path = folder / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "epoch=$SOURCE_DATE_EPOCH" >>{said}\n{does}\n', encoding="utf-8")
        path.chmod(0o755)
        return said

    return make


@pytest.fixture
def root_with_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    real = apt.for_suite
    monkeypatch.setattr(apt, "for_suite", lambda suite: real(suite, ENTRIES))


@pytest.mark.usefixtures("root_with_mirror")
def test_a_base_is_bootstrapped_without_documentation_and_leaves_no_mirror(command: Callable[[str, str], Path]) -> None:
    made = command("mmdebstrap", "echo 'I: working' >&2")
    imported = command("docker", "")
    bases.bootstrap("sid", "boinc-harness/base:sid-1")
    words = made.read_text(encoding="utf-8").splitlines()
    assert "--variant=minbase" in words
    assert "--dpkgopt=path-exclude=/usr/share/man/*" in words
    assert f"epoch={bases.SOURCE_DATE_EPOCH}" in words
    assert any("sources.list.d" in word and word.startswith("--customize-hook=rm") for word in words)
    assert "boinc-harness/base:sid-1" in imported.read_text(encoding="utf-8").splitlines()


@pytest.mark.usefixtures("root_with_mirror")
def test_bases_made_at_the_same_time_install_mmdebstrap_once(
    command: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As dpkg, the stand-in fails for whoever comes while another is at it."""
    folder = tmp_path / "bin"
    installs = "mkdir busy || exit 100; sleep 0.3; printf '#!/bin/sh\\n' >mmdebstrap; chmod +x mmdebstrap; rmdir busy"
    asked = command("apt-get", f"cd {folder} && {{ {installs}; }}")
    command("docker", "")
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ThreadPoolExecutor() as pool:
        for made in [pool.submit(bases.bootstrap, suite, "boinc-harness/base:1") for suite in ("trixie", "sid")]:
            made.result()
    assert asked.read_text(encoding="utf-8").count("install\n") == 1


@pytest.mark.usefixtures("root_with_mirror")
def test_a_bootstrap_that_fails_shows_its_last_lines(command: Callable[[str, str], Path]) -> None:
    command("mmdebstrap", "echo 'E: Unable to find suite' >&2; exit 25")
    command("docker", "echo imported anyway >&2; exit 1")
    with pytest.raises(ImageBuildFailed, match="Unable to find suite") as caught:
        bases.bootstrap("trixie", "boinc-harness/base:1")
    assert "mirror" in caught.value.remedy


@pytest.mark.usefixtures("root_with_mirror")
def test_a_full_disk_while_importing_is_named(command: Callable[[str, str], Path]) -> None:
    command("mmdebstrap", "")
    command("docker", "echo 'write layer: no space left on device' >&2; exit 1")
    with pytest.raises(HarnessError, match="disk is full"):
        bases.bootstrap("trixie", "boinc-harness/base:1")


def test_without_root_and_registry_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(apt, "for_suite", lambda suite: ENTRIES)
    with pytest.raises(HarnessError, match="registry") as caught:
        bases.bootstrap("trixie", "boinc-harness/base:1")
    assert "root" in caught.value.remedy


def test_without_a_mirror_the_registry_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "for_suite", lambda suite: None)
    with pytest.raises(HarnessError, match="Debian mirror in apt's settings"):
        bases.bootstrap("trixie", "boinc-harness/base:1")


def test_a_registry_that_says_nothing_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "silent.sock"
    monkeypatch.setattr(bases, "PROBE_WITHIN", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        assert not bases.registry_answers("debian:trixie-slim")


def test_the_recipe_decides_the_key_of_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bases.recipe()
    monkeypatch.setattr(bases, "SOURCE_DATE_EPOCH", 1)
    assert bases.recipe() != before
