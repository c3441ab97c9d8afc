"""The build command, and what its failures mean. A fake `docker` in PATH stands in for an engine that is full, gone, or old."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import build, engine, settings
from harness.errors import EngineUnavailable, HarnessError, ImageBuildFailed

Capable = Callable[..., engine.Capabilities]

TAG = "boinc-harness/x:0123456789ab"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_apt_proxy", lambda: "")
    for name in settings.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def _docker_that(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `docker` into PATH that runs this shell text; the folder where it may leave things."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "docker"
    command.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture(autouse=True)
def able_engine(capabilities: Capable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "capabilities", capabilities)


def _build(tmp_path: Path, within: float = 20) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    build.build(TAG, [("Dockerfile", tmp_path / "Dockerfile")], suite="trixie", target="core", args={"BASE": "b:1"}, within=within)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("ERROR: failed to solve: write /var/lib/docker/x: no space left on device", HarnessError, ["disk is full", TAG, "harness sweep"]),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x. Is it running?", EngineUnavailable, ["stopped answering", TAG]),
        ("docker: unknown command: docker buildx", HarnessError, ["buildx", "docker-buildx"]),
        (
            "#7 1.2 E: Unable to locate package nonsense\\nERROR: failed to solve: exit code: 100",
            ImageBuildFailed,
            [TAG, "nonsense", "http_proxy"],
        ),
        ("#9 cc: error: no such file: main.c\\nERROR: failed to solve: exit code: 1", ImageBuildFailed, [TAG, "main.c"]),
    ],
)
def test_a_failed_build_names_the_image_the_reason_and_the_remedy(
    said: str, kind: type[HarnessError], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _docker_that(f"cat >/dev/null; printf '{said}\\n' >&2; exit 1", tmp_path, monkeypatch)
    with pytest.raises(kind) as caught:
        _build(tmp_path)
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy
    assert caught.value.exit_code != 0


def test_a_build_that_never_reads_its_context_still_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _docker_that("echo 'ERROR: broken early'; exit 1", tmp_path, monkeypatch)
    with pytest.raises(ImageBuildFailed, match="broken early"):
        build.build(TAG, [("big", _big(tmp_path))], suite="sid", args={}, within=20)


def _big(folder: Path) -> Path:
    path = folder / "big"
    path.write_bytes(b"0" * (1 << 20))
    return path


def test_a_build_that_hangs_is_stopped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _docker_that("cat >/dev/null; echo '#5 [core 2/9] RUN sleep'; exec sleep 60", tmp_path, monkeypatch)
    started = time.monotonic()
    with pytest.raises(ImageBuildFailed, match="took too long"):
        _build(tmp_path, within=0.5)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("changes", "words"), [({"buildx": ""}, "apt install docker-cli docker-buildx"), ({"version": "20.10.24+dfsg1"}, "23.0 or later")]
)
def test_an_engine_that_cannot_build_is_refused_before_anything_starts(
    changes: dict[str, object], words: str, capabilities: Capable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _docker_that("", tmp_path, monkeypatch)
    monkeypatch.setattr(engine, "capabilities", lambda: capabilities(**changes))
    with pytest.raises(HarnessError, match=words):
        _build(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["docker"]


def test_without_a_docker_command_the_remedy_is_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match="docker-buildx"):
        _build(tmp_path)


def test_secrets_are_files_that_are_gone_after_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _docker_that('cat >/dev/null; echo "$@" >"$(dirname "$0")/arguments"', tmp_path, monkeypatch)
    _build(tmp_path)
    arguments = (folder / "arguments").read_text(encoding="utf-8").split()
    sources = [Path(word.split("src=")[1]) for word in arguments if word.startswith("id=") and "id=ca," not in word]
    assert sources
    assert not any(path.exists() for path in sources)
    assert arguments[-1] == "-"
    assert "BASE=b:1" in arguments
    assert arguments[arguments.index("--target") + 1] == "core"


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_is_passed_on_by_name_so_that_its_password_is_in_no_process_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")
    command = build.command_line(TAG, "sid", "", {}, {})
    assert "https_proxy" in command
    assert "HTTPS_PROXY" in command
    assert not any("secret" in word for word in command)
    assert build.build_environment()["HTTPS_PROXY"] == "http://me:secret@proxy.example:3128"
    assert "--network" not in command


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("proxy", ["http://localhost:3128", "http://127.0.0.1:3128/", "http://u:p@127.0.0.1:8080"])
def test_a_proxy_on_this_machines_loopback_is_reachable_from_a_build(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    command = build.command_line(TAG, "sid", "", {}, {})
    assert command[command.index("--network") + 1] == "host"


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_that_only_apt_knows_is_used_unless_the_environment_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_apt_proxy", lambda: "http://cache.example:3142")
    assert settings.proxies() == {"http_proxy": "http://cache.example:3142", "HTTP_PROXY": "http://cache.example:3142"}
    monkeypatch.setenv("HTTP_PROXY", "http://other.example:1")
    assert settings.proxies()["http_proxy"] == "http://other.example:1"


def test_a_build_goes_to_the_engine_that_the_harness_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2375")
    monkeypatch.setenv("BUILDX_BUILDER", "somebody-elses")
    environment = build.build_environment()
    assert environment["DOCKER_HOST"] == engine.host() == "tcp://engine.example:2375"
    assert "BUILDX_BUILDER" not in environment
