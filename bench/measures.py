"""The measures. Names are what --only takes; targets are those the project set itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from bench.containers import container_measures
from bench.model import Measure
from bench.vm_measures import vm_measures
from bench.world import World, resident_megabytes
from harness import engine, images, manager
from harness.clock import FAST_RATE, Clock
from harness.errors import HarnessError
from harness.jobs import JobState, Outcome
from harness.versions import NEWEST, ClientVersion
from harness.waiting import Deadline, wait_until

ROOT = Path(__file__).resolve().parent.parent
#: seconds that a whole run of the scenarios may take
SUITE_WITHIN = 3600.0
CROWD, JOBS_EACH = 25, 20


def _run(command: list[str], within: float, environment: dict[str, str] | None = None) -> tuple[float, str]:
    """Run a command of the repository; seconds it took and what it printed. A failure raises `HarnessError`."""
    start = time.monotonic()
    # an environment of its own: a run id that we share would make the child part of our run
    clean = {name: value for name, value in os.environ.items() if name not in ("BOINC_HARNESS_RUN", "PYTEST_XDIST_TESTRUNUID")}
    done = subprocess.run(
        command, cwd=ROOT, env={**clean, **(environment or {})}, capture_output=True, text=True, timeout=within, check=False
    )
    if done.returncode != 0:
        raise HarnessError("a command that is measured failed", thing=" ".join(command), details=(done.stdout + done.stderr)[-3000:])
    return time.monotonic() - start, done.stdout


def _probe(point: str) -> Callable[[World], float]:
    def sample(_world: World) -> float:
        with tempfile.TemporaryDirectory(prefix="boinc-harness-bench-") as folder:
            report = Path(folder, "probe.json")
            start = time.time()
            _run(["./run", "bench/probe.py", "-q", "-p", "no:cacheprovider"], 300.0, {"BOINC_HARNESS_PROBE": str(report)})
            reached: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
        return reached[point] - start

    return sample


def _warm_stack(world: World) -> float:
    rig = world.new_rig()
    try:
        start = time.monotonic()
        assert rig.server
        return time.monotonic() - start
    finally:
        rig.close()


def _overhead(version: ClientVersion) -> Callable[[World], float]:
    def sample(world: World) -> float:
        assert world.rig.server  # warm
        start = time.monotonic()
        with world.stack(Clock.fast(), version) as stack:
            stack.client(attach=True)
            return time.monotonic() - start

    return sample


def submit_to_validated(version: ClientVersion, rate: float) -> Callable[[World], float]:
    """Seconds from the submission of a job to its validation, with a client that is attached and idle."""

    def sample(world: World) -> float:
        _, project, client = world.attached(version, rate)
        if not project.workunits():  # the first job also brings the application
            project.submit("uppercase", input=b"warm").wait_for(JobState.ASSIMILATED)
        start = time.monotonic()
        job = project.submit("uppercase", input=f"{start}".encode())
        client.update(project)
        job.wait_for(JobState.VALIDATED)
        return time.monotonic() - start

    return sample


def _crowd(world: World) -> float:
    """Seconds from the submission of 20 jobs for each of 25 attached clients until the last one is validated."""
    with world.stack(Clock.fast(), NEWEST) as stack:
        clients = stack.start_clients(CROWD, attach=True)
        start = time.monotonic()
        jobs = stack.project.submit_many("uppercase", [f"job {number}".encode() for number in range(CROWD * JOBS_EACH)])
        for client in clients:
            client.update(stack.project)
        for job in jobs:
            job.wait_for(JobState.VALIDATED, within=Deadline(600.0))
        taken = time.monotonic() - start
        results = stack.project.results()
        if len(results) != len(jobs) or {result.outcome for result in results} != {Outcome.SUCCESS}:
            raise HarnessError("jobs went wrong", thing=f"{len(results)} results of {len(jobs)} jobs", expected="a success of each")
        return taken


def _suite(workers: int) -> Callable[[World], float]:
    def sample(_world: World) -> float:
        workers_option = ["-n", str(workers)] if workers > 1 else []
        return _run([sys.executable, "-m", "pytest", "scenarios", "-q", "-p", "no:cacheprovider", *workers_option], SUITE_WITHIN)[0]

    return sample


def _server_memory(world: World) -> float:
    return resident_megabytes(world.rig.server.container)


def _client_memory(world: World) -> float:
    return resident_megabytes(world.attached(NEWEST, FAST_RATE)[2].container)


def _mail_memory(world: World) -> float:
    assert world.rig.mail_sink()
    return resident_megabytes(engine.connect().containers.get(f"{world.rig.name}-mail"))


def _up(_world: World) -> float:
    """Seconds from `harness up` to the first answer of its start page; it is interrupted then, and has to leave in good order."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if name not in ("BOINC_HARNESS_RUN", "PYTEST_XDIST_TESTRUNUID")}
    command = [sys.executable, "-c", "from harness.cli import main; main()", "up", "--port", str(port)]
    start = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(port), "the start page", within=120, every=0.02)
            took = time.monotonic() - start
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=60)
        finally:
            process.kill()
    if process.returncode not in (0, 130):
        raise HarnessError("harness up failed", thing=" ".join(command[3:]), expected="exit code 0", details=words[-2000:])
    return took


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=2.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _gui(world: World) -> float:
    """Seconds until BOINC Manager is on a screen beside a client that runs."""
    client = world.attached(NEWEST, FAST_RATE)[2]
    start = time.monotonic()
    try:
        client.open_manager()
        return time.monotonic() - start
    finally:
        client.close_manager()


def _gui_image(_world: World) -> float:
    with engine.guard("looking at the gui image"):
        return float(engine.connect().images.get(images.ensure(manager.IMAGE, variant=NEWEST.suite)).attrs["Size"]) / 1e6


def all_measures(rates: list[float]) -> list[Measure]:
    """Every measure, in the order of the table. `rates`: further clock rates to compare."""
    found = [
        Measure("run", "./run, nothing changed, until the first scenario starts", "s", 5.0, _probe("scenario")),
        Measure("run-world", "./run, nothing changed, until the first scenario has its project", "s", None, _probe("project")),
        Measure("stack", "networks and project server from nothing", "s", None, _warm_stack),
    ]
    found += [
        Measure(f"overhead-{version}", f"fresh project and fresh attached client {version}", "s", 1.5, _overhead(version))
        for version in ClientVersion
    ]
    found += [
        Measure(
            f"fast-{version}", f"submit to validated, client {version}, x{FAST_RATE:g}", "s", 1.0, submit_to_validated(version, FAST_RATE)
        )
        for version in ClientVersion
    ]
    found += [
        Measure(f"real-{version}", f"submit to validated, client {version}, real time", "s", 12.0, submit_to_validated(version, 1.0))
        for version in ClientVersion
    ]
    found += [
        Measure(f"rate-{rate:g}", f"submit to validated, client {NEWEST}, x{rate:g}", "s", None, submit_to_validated(NEWEST, rate))
        for rate in rates
    ]
    found += container_measures()
    found += [
        Measure("server-memory", "resident memory of the project server", "MB", 120.0, _server_memory),
        Measure("client-memory", f"resident memory of a client {NEWEST}", "MB", 40.0, _client_memory),
        Measure("mail-memory", "resident memory of the mail sink", "MB", None, _mail_memory),
        Measure(
            "crowd", f"{CROWD} clients {NEWEST} at once: {CROWD * JOBS_EACH} jobs validated", "s", 60.0, _crowd, at_most=1, default=False
        ),
        Measure("up", "harness up, images present, until the start page answers", "s", 5.0, _up),
        Measure("gui", "harness gui, image present, until the Manager is drawn", "s", 8.0, _gui),
        Measure("gui-image", "size of the image with BOINC Manager", "MB", 700.0, _gui_image, at_most=1),
        Measure("suite-1", "all scenarios, one worker", "s", None, _suite(1), at_most=1, default=False),
        Measure("suite-2", "all scenarios, -n 2", "s", None, _suite(2), at_most=1, default=False),
    ]
    return [*found, *vm_measures()]
