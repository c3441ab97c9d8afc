"""The pytest plugin: options, fixtures and marks of scenarios.

A scenario asks for `stack` (one BOINC world) and, if it shall run once for each client generation, for `client_version`.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from harness.clock import FAST_RATE, Clock
from harness.errors import HarnessError, UsageError
from harness.live import Live, Workers, newest_event
from harness.project.upstream.imageset import parse_server
from harness.report.plugin import EVIDENCE_PROPERTY, write_report
from harness.server_plugin import stands_elsewhere
from harness.versions import NEWEST, ClientVersion, parse_versions
from harness.waiting import WaitTimeout

if TYPE_CHECKING:
    from harness.history import History
    from harness.rig import Rig
    from harness.stack import Stack

pytest_plugins = (
    "harness.conformance.plugin",
    "harness.server_plugin",
    "harness.scenario.collect",
    "harness.invariants.plugin",
    "harness.report.plugin",
)
#: where the issues of the mark `issue` are
ISSUES = "https://github.com/BOINC/boinc/issues"
_report = pytest.StashKey[dict[str, pytest.TestReport]]()
_versions = pytest.StashKey[list[ClientVersion]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("boinc-harness", "BOINC scenarios")
    group.addoption(
        "--boinc-client-version",
        metavar="LIST",
        default="all",
        help="client generations to run scenarios with: 7.20, 8.0, 8.2, a comma-separated list, or all (default)",
    )
    group.addoption("--boinc-client", metavar="PATH", help="a BOINC client (the program) to put in the place of Debian's, in all scenarios")
    group.addoption(
        "--server",
        default="embedded",
        metavar="NAME",
        help="project server: embedded (default), upstream (boinc-server-docker's published images), or upstream:IMAGE-SET "
        "(PREFIX, PREFIX:TAG, or the makeproject, mysql and apache image separated by commas)",
    )
    group.addoption(
        "--mail-sink", default="maildev", choices=("maildev", "mailpit"), help="mail sink: maildev (built here) or Mailpit (pulled)"
    )
    group.addoption("--vboxwrapper", metavar="PATH", help="a VirtualBox wrapper to put in the place of ours, in all VM scenarios")
    group.addoption(
        "--docker-wrapper", metavar="PATH", help="BOINC's docker_wrapper in the place of our container wrapper, in all container scenarios"
    )
    group.addoption(
        "--docker-socket",
        metavar="PATH",
        help="run the container scenarios on the docker engine of this socket in place of podman (its jobs' programs get "
        "no socket, but the clients do: who has one is root on the engine's machine)",
    )
    group.addoption("--real-time", action="store_true", help="run every scenario by the clock on the wall")
    group.addoption(
        "--time-rate",
        type=float,
        default=FAST_RATE,
        metavar="X",
        help=f"how fast the stack's clock runs where a scenario does not need real time (default {FAST_RATE:g})",
    )
    group.addoption("--chaos", default="", metavar="SEEDS", help="run random fault schedules of these seeds, too: 7, 1-50, 3,9,20-22")
    group.addoption("--crowd", default=0, type=int, metavar="CLIENTS", help="run the scenarios of so many clients at once, too: 25")
    group.addoption("--keep", action="store_true", help="leave the containers of every scenario running (remove: harness down)")
    group.addoption("--keep-on-failure", action="store_true", help="leave the containers of failed scenarios running")
    group.addoption("--evidence", default="evidence", metavar="DIR", help="where the evidence of failed scenarios goes (default: evidence)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time(reason): the scenario needs the clock on the wall, and why")
    config.addinivalue_line("markers", "virtual_time(reason): the scenario steers its clock, even with --real-time, and why")
    config.addinivalue_line("markers", "time_rate(rate): how fast the scenario's clock runs, whatever --time-rate says")
    config.addinivalue_line("markers", "project(**options): options of config.xml that the scenario's project is made with")
    config.addinivalue_line("markers", "issue(*numbers): the issues of BOINC on GitHub that the scenario is about")
    config.addinivalue_line(
        "markers",
        "known_failure(*versions, reason, raises=(AssertionError, WaitTimeout), sometimes=False): it fails so with these client "
        "generations (none named: all), always or `sometimes`; one that always fails and passes is reported",
    )
    config.addinivalue_line("markers", "client_versions(*versions, reason): the generations that the scenario is about, and why only these")
    config.addinivalue_line("markers", "container_features(*names): what a container scenario needs of the container wrapper under test")
    config.addinivalue_line("markers", "wrapper_features(*names): what a VM scenario needs of the vboxwrapper under test")
    try:
        config.stash[_versions] = parse_versions(config.getoption("--boinc-client-version"))
        Clock.fast(config.getoption("--time-rate"))
        _program(config, "--boinc-client")
        _program(config, "--vboxwrapper")
        _program(config, "--docker-wrapper")
        _socket(config)
        parse_server(config.getoption("--server"))
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
    # A CI runner ends a job with SIGTERM; as KeyboardInterrupt it unwinds the fixtures, and they remove the containers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _program(config: pytest.Config, option: str) -> Path | None:
    """The program that an option names. Raises `UsageError` for what is none."""
    given = config.getoption(option)
    if not given:
        return None
    path = Path(given).resolve()
    runs_as_it_is = option == "--boinc-client"
    if not path.is_file() or (runs_as_it_is and not os.access(path, os.X_OK)):
        expected = "a file that can be executed" if runs_as_it_is else "a file"
        raise UsageError(f"no program for {option}", thing=str(path), expected=expected)
    return path


def _socket(config: pytest.Config) -> Path | None:
    """The docker socket that the user has named. Raises `UsageError` for what is none."""
    given = config.getoption("--docker-socket")
    if not given:
        return None
    path = Path(given).resolve()
    if not path.is_socket():
        raise UsageError("no socket for --docker-socket", thing=str(path), expected="the unix socket of a docker engine on this machine")
    return path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chaos_seed" in metafunc.fixturenames:
        from harness.faults.chaos import parse_seeds  # noqa: PLC0415

        try:
            seeds = metafunc.config.getoption("--chaos")
            skip = pytest.mark.skip(reason="no seed was asked for (--chaos SEEDS)")
            metafunc.parametrize("chaos_seed", parse_seeds(seeds) if seeds else [pytest.param(0, marks=skip)])
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
    if "crowd" in metafunc.fixturenames:
        crowd = metafunc.config.getoption("--crowd")
        skip = pytest.mark.skip(reason="no crowd was asked for (--crowd CLIENTS)")
        metafunc.parametrize("crowd", [crowd] if crowd > 0 else [pytest.param(0, marks=skip)])
    if "client_version" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.stash[_versions]
    mark = metafunc.definition.get_closest_marker("client_versions")
    if mark is None:
        metafunc.parametrize("client_version", chosen, ids=str)
        return
    wanted = [ClientVersion.of(text) for text in mark.args]
    parameters = [
        pytest.param(
            version,
            id=str(version),
            marks=() if version in chosen else pytest.mark.skip(reason=f"--boinc-client-version leaves {version} out"),
        )
        for version in wanted
    ]
    metafunc.parametrize("client_version", parameters)


def version_of(item: pytest.Item) -> ClientVersion:
    """The client generation that a scenario runs with: its own, or the newest that was chosen."""
    callspec = getattr(item, "callspec", None)
    own = callspec.params.get("client_version") if callspec else getattr(item, "version", None)
    chosen = item.config.stash[_versions]
    return own if isinstance(own, ClientVersion) else max(chosen, key=list(ClientVersion).index)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in list(item.iter_markers("known_failure")):
            item.add_marker(_expected_failure(item, mark))


def _expected_failure(item: pytest.Item, mark: pytest.Mark) -> pytest.MarkDecorator:
    """The xfail of a `known_failure`, strict unless it is one that shows only sometimes; it says which issue it shows."""
    unknown = set(mark.kwargs) - {"reason", "raises", "sometimes"}
    if unknown or not mark.kwargs.get("reason"):
        raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.known_failure("8.0", "8.2", reason="..."); got {mark}')
    try:
        versions = [ClientVersion.of(text) for text in mark.args]
    except HarnessError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None
    issues = "".join(f" ({ISSUES}/{number})" for issue in item.iter_markers("issue") for number in issue.args)
    return pytest.mark.xfail(
        not versions or version_of(item) in versions,
        reason=mark.kwargs["reason"] + issues,
        strict=not mark.kwargs.get("sometimes", False),
        raises=mark.kwargs.get("raises", (AssertionError, WaitTimeout)),
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    item.stash.setdefault(_report, {})[report.when] = report


def pytest_report_header(config: pytest.Config) -> str:
    rate = "real time" if config.getoption("--real-time") else f"{config.getoption('--time-rate'):g} x real time"
    versions = ", ".join(str(version) for version in config.stash[_versions])
    return f"boinc-harness: {config.getoption('--server')} server, clients {versions}, {rate}"


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """What the scenarios of this process share: networks, the warm server, the mail sink."""
    from harness import sweep  # noqa: PLC0415 - unit tests do not pay for what only scenarios need
    from harness.rig import Rig  # noqa: PLC0415

    sweep.sweep()
    worker = getattr(request.config, "workerinput", {}).get("workerid", "")
    keep = request.config.getoption("--keep") or request.config.getoption("--keep-on-failure")
    rig = Rig(
        name=worker,
        keep=keep,
        mail_sink=request.config.getoption("--mail-sink"),
        client_program=_program(request.config, "--boinc-client"),
        wrapper_program=_program(request.config, "--vboxwrapper"),
        docker_socket=_socket(request.config),
        docker_wrapper=_program(request.config, "--docker-wrapper"),
        server=request.config.getoption("--server"),
    )
    try:
        rig.project_server.check()
        yield rig
    finally:
        if not request.config.getoption("--keep") and not rig.kept_stacks:
            rig.keep = False
        rig.close()


@pytest.fixture
def client_version() -> ClientVersion:
    """The generation of the scenario's clients: each chosen one in turn (see `pytest_generate_tests`)."""
    return NEWEST  # pragma: no cover - always parametrized


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Clock:
    """The stack's clock: fast, or real where the scenario or the command line says so."""
    virtual = request.node.get_closest_marker("virtual_time")
    if request.node.get_closest_marker("real_time") or (request.config.getoption("--real-time") and not virtual):
        return Clock.real()
    mark = request.node.get_closest_marker("time_rate")
    rate = mark.args[0] if mark else request.config.getoption("--time-rate")
    return Clock.fast(min(rate, request.getfixturevalue("rig").project_server.max_rate) if stands_elsewhere(request.config) else rate)


@pytest.fixture
def stack(rig: Rig, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One BOINC world for one scenario."""
    from harness.stack import Stack  # noqa: PLC0415

    folder = _evidence_folder(request)
    mark = request.node.get_closest_marker("project")
    stack = Stack(
        rig,
        request.node.nodeid,
        clock=clock,
        version=version_of(request.node),
        evidence_folder=folder,
        project_options=dict(mark.kwargs) if mark else {},
    )
    request.node.user_properties.append((EVIDENCE_PROPERTY, str(folder)))
    request.node.user_properties.append(("boinc-clock", "real" if clock.is_real else f"{clock.rate:g}x"))
    live = _live(request.config, stack.history)
    try:
        yield stack
    finally:
        if live is not None:
            live.stop()
        reports = request.node.stash.get(_report, {})
        failed = [report for report in reports.values() if report.failed]
        for name, value in stack.properties():
            request.node.user_properties.append((name, value))
        if failed or request.config.getoption("--report-all"):
            stack.collect_evidence(folder, why="\n\n".join(report.longreprtext for report in failed))
            write_report(request.node, list(reports.values()), folder)
        keep = request.config.getoption("--keep") or (failed and request.config.getoption("--keep-on-failure"))
        if keep:
            rig.kept_stacks.append(stack.name)
        else:
            stack.close()


def _terminal(config: pytest.Config) -> tuple[TextIO, Callable[[], int]] | None:
    """The terminal that pytest writes to, if it does, and the column where it is at."""
    if config.pluginmanager.getplugin("terminalreporter") is None or hasattr(config, "workerinput"):
        return None
    writer = config.get_terminal_writer()
    stream = writer._file  # noqa: SLF001 - the terminal itself, from behind pytest's capturing
    return (stream, lambda: writer.width_of_current_line) if stream.isatty() else None


def _live(config: pytest.Config, history: History) -> Live | None:
    """Live progress of a scenario in this process, if a person watches."""
    terminal = _terminal(config)
    if terminal is None:
        return None
    stream, column = terminal
    live = Live(newest_event(history), stream, column=column)
    live.start()
    return live


def pytest_sessionstart(session: pytest.Session) -> None:
    """Live progress of what workers do, if a person watches."""
    terminal = _terminal(session.config)
    if terminal is not None and session.config.getoption("dist", "no") != "no":
        stream, column = terminal
        session.config.pluginmanager.register(Workers(stream, column=column), "boinc-harness-workers")


def _evidence_folder(request: pytest.FixtureRequest) -> Path:
    root = Path(request.config.getoption("--evidence"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", request.node.nodeid.removeprefix("scenarios/")).strip("_")
    return (request.config.rootpath / root / name).resolve()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    failed = terminalreporter.stats.get("failed", [])
    root = (config.rootpath / config.getoption("--evidence")).resolve()
    if failed and root.is_dir():
        terminalreporter.write_line(f"evidence of failed scenarios: {root}")
