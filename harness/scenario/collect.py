"""pytest collects `*.scenario.yaml` anywhere: each file is one test that runs on the `stack` fixture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.versions import ClientVersion, parse_versions

if TYPE_CHECKING:
    from harness.scenario.loader import LoadedScenario
    from harness.stack import Stack

SUFFIX = ".scenario.yaml"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Scenario files wherever pytest looks."""
    if file_path.name.endswith(SUFFIX):
        collected: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
        return collected
    return None


class ScenarioFile(pytest.File):
    """One scenario file. A mistake in it is an error of collection: nothing was started."""

    def collect(self) -> Iterator[pytest.Item]:
        from harness.scenario.loader import load  # noqa: PLC0415 - runs without scenario files do not pay for it

        loaded = load(self.path)
        if not loaded.scenario.versions:
            yield ScenarioItem.make(self, loaded)
        for version in loaded.scenario.versions:
            yield ScenarioItem.make(self, loaded, ClientVersion.of(version))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]  # pytest's own type is narrower
        if isinstance(excinfo.value, HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class ScenarioItem(pytest.Function):
    """The test that a scenario file is."""

    loaded: LoadedScenario
    #: the client generation that this item runs with, if the file names several
    version: ClientVersion | None

    @classmethod
    def make(cls, parent: ScenarioFile, loaded: LoadedScenario, version: ClientVersion | None = None) -> ScenarioItem:
        known = loaded.scenario.known_failure

        def run(stack: Stack) -> None:
            from harness.scenario import runner  # noqa: PLC0415
            from harness.vbox_app import Wrapper  # noqa: PLC0415

            options = {option for app in loaded.scenario.project.apps if app.vm is not None for option in app.vm.options}
            if options and (missing := Wrapper.chosen(stack.rig.wrapper_program).lacks(options)):
                pytest.skip(f"the wrapper under test lacks {', '.join(missing)}")
            if known is not None and (not known.clients or str(stack.version) in known.clients):
                # another trouble than an unmet expectation is not the known one
                item.add_marker(pytest.mark.xfail(reason=known.reason, strict=True, raises=runner.ScenarioFailed))
            runner.run(loaded, stack)

        name = parent.path.name.removesuffix(SUFFIX) + (f"[{version}]" if version else "")
        item: ScenarioItem = cls.from_parent(parent, name=name, callobj=run)
        item.loaded = loaded
        item.version = version
        if version is not None and version not in parse_versions(item.config.getoption("--boinc-client-version")):
            item.add_marker(pytest.mark.skip(reason=f"--boinc-client-version leaves {version} out"))
        scenario = loaded.scenario
        if scenario.real_time:
            item.add_marker(pytest.mark.real_time("the scenario file says so"))
        for name, reason in scenario.invariants_off.items():
            item.add_marker(pytest.mark.invariant_off(name, reason))
        if any(step.steers for step in scenario.steps):
            item.add_marker(pytest.mark.virtual_time("the scenario file steers its clock"))
        if scenario.rate is not None:
            item.add_marker(pytest.mark.time_rate(scenario.rate))
        return item

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.loaded.scenario.scenario

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *more: Any, **named: Any) -> Any:
        """A scenario file's reader wants what was expected and seen, not where the runner stood."""
        if isinstance(excinfo.value, HarnessError):
            return f"{self.loaded.file}\n{excinfo.value}"
        return super().repr_failure(excinfo, *more, **named)


def copy_scenario(item: pytest.Item, folder: Path) -> None:
    """Put the scenario file itself into its evidence."""
    if isinstance(item, ScenarioItem) and folder.is_dir():
        shutil.copyfile(item.loaded.file, folder / item.loaded.file.name)
