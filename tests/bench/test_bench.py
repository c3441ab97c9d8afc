"""The bench's own arithmetic and options; nothing is measured here."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import server_load
from bench.__main__ import chosen, main
from bench.measures import all_measures
from bench.model import Measure, Outcome, interleaved

ROOT = Path(__file__).parents[2]


def measure(name: str, target: float | None = 1.0, at_most: int | None = None) -> Measure:
    return Measure(name, "", "s", target, lambda _world: 0.0, at_most=at_most)


def test_the_median_decides() -> None:
    outcome = Outcome(measure("a"), samples=[0.5, 9.0, 0.7])
    assert outcome.median == 0.7
    assert outcome.met is True
    assert Outcome(measure("a"), samples=[0.5, 2.0, 3.0]).met is False
    assert Outcome(measure("a")).met is None
    assert Outcome(measure("a", target=None), samples=[1.0]).met is None


def test_samples_are_interleaved() -> None:
    order = [one.name for one in interleaved([measure("a"), measure("b", at_most=1)], 3)]
    assert order == ["a", "b", "a", "a"]


def test_names_are_unique_and_patterns_choose_them() -> None:
    measures = all_measures([10.0])
    names = [one.name for one in measures]
    assert len(names) == len(set(names))
    assert [one.name for one in chosen(measures, ("fast-*",))] == ["fast-7.20", "fast-8.0", "fast-8.2"]
    assert [one.name for one in chosen(measures, ("suite-2",))] == ["suite-2"], "what takes minutes can be named"
    assert "suite-2" not in [one.name for one in chosen(measures, ())]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--only", "speed"], "speed"), (["--runs", "0"], "runs"), (["--rates", "fast"], "numbers"), (["--list", "--only", "x*"], "x*")],
)
def test_wrong_options_are_refused_by_name(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_the_measures_can_be_listed() -> None:
    result = CliRunner().invoke(main, ["--list"])
    assert result.exit_code == 0
    assert "fast-8.2" in result.output


def test_locust_loads_a_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    base = f"http://127.0.0.1:{port}/"
    server_load.prepare(tmp_path, base, users=1, stored=0, jobs=500)
    server = server_load.start_server(tmp_path, base, port)
    try:
        words = ["-f", "bench/locustfile.py", "--host", f"{base}p", "--headless", "--users", "6", "--spawn-rate", "6", "--run-time", "3s"]
        done = subprocess.run(
            [sys.executable, "-m", "locust", *words, "--json"],
            cwd=ROOT,
            env=os.environ | {"BOINC_LOAD_HOSTS": "3"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = {entry["name"]: (entry["num_requests"], entry["num_failures"]) for entry in json.loads(done.stdout)}
    assert set(counts) == {"create_account.php", "scheduler", "hostile"}
    assert all(requests > 0 and failures == 0 for requests, failures in counts.values()), counts
