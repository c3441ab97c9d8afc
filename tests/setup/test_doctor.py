"""What the doctor finds, and how it says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import doctor, engine
from harness.doctor import Check
from harness.errors import EngineUnavailable


def _no_engine() -> engine.Capabilities:
    raise EngineUnavailable("no container engine answers", thing="unix:///x", remedy="start it")


def test_without_an_engine_everything_else_is_still_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "capabilities", _no_engine)
    checks = {check.name: check for check in doctor.run_checks()}
    assert checks["container engine"].state == "missing"
    assert checks["container engine"].remedy == "start it"
    assert {"Python", "CPU", "VirtualBox", "memory", "netem", "Debian packages"} <= set(checks)
    assert "does not work here yet: container engine" in doctor.summary(list(checks.values()))


@pytest.mark.parametrize(
    ("check", "changes", "state"),
    [
        (doctor._engine_version, {}, "ok"),
        (doctor._engine_version, {"version": "20.10.24+dfsg1"}, "missing"),
        (doctor._buildx, {}, "ok"),
        (doctor._buildx, {"buildx": ""}, "missing"),
        (doctor._compose, {"compose": ""}, "limited"),
        (doctor._addresses, {"local": False}, "limited"),
        (doctor._cgroup, {"cgroup_version": "1"}, "limited"),
        (doctor._cgroup, {}, "ok"),
    ],
)
def test_what_the_engine_lacks_is_found(
    check: Callable[[engine.Capabilities], Check], changes: dict[str, object], state: str, capabilities: Callable[..., engine.Capabilities]
) -> None:
    found = check(capabilities(**changes))
    assert found.state == state
    assert found.state == "ok" or (found.consequence and found.remedy)


@pytest.mark.parametrize(
    ("flags", "device", "driver", "image", "mode", "why"),
    [
        ({"vmx"}, True, "7.2.22_Debian r170000", "7.2.22_Debianr170000", "hardware", "7.2.22"),
        ({"svm", "hypervisor"}, True, "7.2.22", "7.2.22", "hardware", "7.2.22"),
        ({"vmx"}, True, "7.1.4", "7.2.22", "driverless", "7.1.4"),
        ({"vmx"}, True, "7.2.22", "", "driverless", "unknown"),
        ({"vmx"}, False, "7.2.22", "7.2.22", "driverless", "not loaded"),
        (set(), True, "7.2.22", "7.2.22", "driverless", "neither vmx nor svm"),
    ],
)
def test_virtualbox_uses_hardware_only_with_the_cpu_and_the_very_driver(
    flags: set[str], device: bool, driver: str, image: str, mode: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vboxdrv"
    if device:
        path.touch()
    monkeypatch.setattr(doctor, "cpu_flags", lambda: frozenset(flags))
    found = doctor.virtualbox_mode(image, device=path, driver=driver)
    assert found.mode == mode
    assert why in found.why


@pytest.mark.parametrize(("flags", "state"), [({"vmx"}, "ok"), ({"svm"}, "ok"), ({"hypervisor"}, "limited"), (set(), "limited")])
def test_a_cpu_without_virtualization_is_a_limit_and_not_an_obstacle(flags: set[str], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cpu_flags", lambda: frozenset(flags))
    found = doctor._cpu()
    assert found.state == state
    assert not found.required


def test_a_proxys_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy.example:3128")
    detail = doctor._proxy().detail
    assert "secret" not in detail
    assert "http://me:***@proxy.example:3128" in detail


def test_the_table_names_state_consequence_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.render([Check("one", "ok", "fine [really]"), Check("two", "limited", "so so", "it is slow", "make it fast")])
    shown = capsys.readouterr().out
    for words in ("fine [really]", "limited", "it is slow", "make it fast", "The harness works here, with 1 limit as above."):
        assert words in shown


def test_all_is_well_is_said_in_one_sentence() -> None:
    assert doctor.summary([Check("one", "ok", "fine", required=True)]) == "\nThe harness works here."
