"""`./run` itself, in a folder of its own with stand-ins for Python, the engine and apt."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: the only real commands that `./run` may find
TOOLS = ("bash", "cat", "sha256sum", "dirname", "readlink", "mkdir", "sleep", "tail", "rm", "sed", "setsid", "env", "sh", "grep", "nproc")


class Checkout:
    """A checkout with `./run`, a Python environment that only notes how it was called, and a PATH that we control."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.said = folder / "said"
        self.bin.mkdir(parents=True)
        shutil.copy(ROOT / "run", folder / "run")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self.bin / tool).symlink_to(found)
        for name in ("requirements.lock", "pyproject.toml"):
            (folder / name).write_text(name, encoding="utf-8")
        self.command("id", "echo ${FAKE_UID:-0}")
        (folder / ".venv/bin").mkdir(parents=True)
        self.python("exit 0")
        self.stamp()

    def command(self, name: str, does: str, where: Path | None = None) -> None:
        path = (where or self.bin) / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.said}"\n{does}\n', encoding="utf-8")
        path.chmod(0o755)

    def python(self, does: str) -> None:
        """What the environment's python (and its `harness`) does."""
        for name in ("python", "harness"):
            self.command(name, does, self.folder / ".venv/bin")

    def starter(self, does: str) -> None:
        """What starts the engine here: dockerd, or systemd, which starts that."""
        self.command("dockerd", does)
        self.command("systemctl", does)

    def outdated(self) -> None:
        """The Python environment was not made from this lock file, and has no stamp that says from which."""
        (self.folder / "requirements.lock").write_text("changed", encoding="utf-8")
        (self.folder / ".venv/.stamp").unlink()
        self.command("python3", "echo 3.11")

    def stamp(self) -> None:
        digest = hashlib.sha256(b"requirements.lockpyproject.toml").hexdigest()
        (self.folder / ".venv/.stamp").write_text(f"{digest}  -\n", encoding="utf-8")

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": str(self.folder), "BOINC_HARNESS_DOCKERD_LOG": str(self.folder / "dockerd.log")}
        return subprocess.run(
            [self.folder / "run", *arguments], env={**environment, **variables}, capture_output=True, text=True, timeout=60, check=False
        )

    def calls(self) -> list[str]:
        return self.said.read_text(encoding="utf-8").splitlines() if self.said.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_with_everything_there_it_only_looks_and_runs_the_scenarios(checkout: Checkout) -> None:
    done = checkout.run("-k", "two words")
    assert done.returncode == 0
    assert checkout.calls() == ["python -m harness.engine --quiet", "python -m harness.images", "python -m pytest -k two words"]
    assert done.stdout + done.stderr == ""


WORKERS = f"-n {len(os.sched_getaffinity(0)) + 1} --maxprocesses 4 --dist loadfile --no-loadscope-reorder"


def test_without_a_word_all_scenarios_are_shared_among_workers(checkout: Checkout) -> None:
    assert checkout.run().returncode == 0
    assert checkout.calls()[-1] == f"python -m pytest scenarios {WORKERS}"


def test_tests_are_one_pytest_invocation_with_a_report(checkout: Checkout) -> None:
    checkout.run("tests", "-x")
    usual = f"python -m pytest tests images/server/tests scenarios {WORKERS} --junit-xml=reports/junit.xml"
    assert checkout.calls()[-1] == f"{usual} -x", "what is asked for comes last, so that it wins"
    assert (checkout.folder / "reports").is_dir()


def test_other_words_are_the_harness_commands(checkout: Checkout) -> None:
    checkout.run("up", "--clients", "2")
    assert checkout.calls()[-1] == "harness up --clients 2"


def test_doctor_works_where_no_engine_does(checkout: Checkout) -> None:
    checkout.python('case "$*" in *harness.engine*) exit 69;; esac')
    done = checkout.run("doctor")
    assert done.returncode == 0
    assert checkout.calls() == ["harness doctor"]


def test_the_exit_code_of_pytest_is_that_of_run(checkout: Checkout) -> None:
    checkout.python('case "$*" in *pytest*) exit 5;; esac')
    assert checkout.run().returncode == 5


def test_an_image_that_cannot_be_built_ends_it(checkout: Checkout) -> None:
    checkout.python('case "$*" in *harness.images*) echo "the disk is full" >&2; exit 69;; esac')
    done = checkout.run()
    assert done.returncode == 69
    assert "the disk is full" in done.stderr
    assert not any("pytest" in call for call in checkout.calls())


NO_ENGINE = 'case "$*" in *harness.engine*) exit 69;; esac'


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FAKE_UID": "1000"}, ["needs root", "apt install docker.io", "harness doctor"]),
        ({"DOCKER_HOST": "tcp://far.example:2375"}, ["DOCKER_HOST (tcp://far.example:2375) does not answer"]),
        ({}, ["no Debian", "Docker's own packages"]),  # root, but there is no apt-get in PATH
    ],
)
def test_where_no_engine_can_be_set_up_it_says_what_to_install(checkout: Checkout, variables: dict[str, str], words: list[str]) -> None:
    checkout.python(NO_ENGINE)
    done = checkout.run(**variables)
    assert done.returncode == 69
    for word in words:
        assert word in done.stderr
    assert checkout.calls()[-1] == "python -m harness.engine --quiet" or checkout.calls()[-1].startswith("id ")


def test_an_engine_that_is_installed_is_started_and_waited_for(checkout: Checkout) -> None:
    up = checkout.folder / "up"
    checkout.python(f'case "$*" in *harness.engine*) [ -e {up} ] || exit 69;; esac')
    checkout.starter(f"echo listening; : >{up}")
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert "starting Docker's engine" in done.stderr
    if Path("/run/systemd/system").is_dir():
        assert "systemctl start docker" in checkout.calls()
    else:
        assert "dockerd " in checkout.calls()
        assert "listening" in (checkout.folder / "dockerd.log").read_text(encoding="utf-8")


def test_a_changed_lock_brings_the_python_environment_up_to_date(checkout: Checkout) -> None:
    checkout.outdated()
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    installs = [call for call in checkout.calls() if "pip install" in call]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--editable ." in installs[1]
    checkout.said.unlink()
    checkout.run("setup")
    assert not any("pip" in call for call in checkout.calls())


def test_a_failed_install_is_not_taken_for_a_finished_one(checkout: Checkout) -> None:
    checkout.outdated()
    checkout.python('case "$*" in *"pip install"*) echo "hashes do not match" >&2; exit 1;; esac')
    done = checkout.run("setup")
    assert done.returncode == 69
    assert "hashes do not match" in done.stderr
    assert "this failed with exit code 1" in done.stderr
    checkout.said.unlink()
    assert checkout.run("setup").returncode != 0
    assert any("pip install" in call for call in checkout.calls())


def test_packages_are_installed_beside_the_engine(checkout: Checkout) -> None:
    """Each waits here for the other to have begun."""
    up, begun = checkout.folder / "up", checkout.folder / "begun"
    wait_for_dockerd = f"n=0; until [ -e {up} ] || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done; [ -e {up} ]"
    checkout.python(
        f'case "$*" in *harness.engine*) [ -e {up} ] || exit 69;; *require-hashes*) : >{begun}; {wait_for_dockerd};;'
        f" *harness.images*) [ -e {checkout.folder}/.venv/.stamp ];; esac"
    )
    checkout.starter(f"until [ -e {begun} ]; do sleep 0.1; done; : >{up}")
    checkout.outdated()
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert checkout.calls()[-1] == "python -m harness.images"


def test_packages_that_fail_beside_the_engine_end_it(checkout: Checkout) -> None:
    up = checkout.folder / "up"
    checkout.python(
        f'case "$*" in *harness.engine*) [ -e {up} ] || exit 69;; *"pip install"*) echo "hashes do not match" >&2; exit 1;; esac'
    )
    checkout.starter(f": >{up}")
    checkout.outdated()
    done = checkout.run("setup")
    assert done.returncode == 69
    assert "hashes do not match" in done.stderr
    assert not any("harness.images" in call for call in checkout.calls())


def test_no_engine_is_told_when_the_packages_are_there(checkout: Checkout) -> None:
    """What it says names `harness doctor`, which needs them."""
    checkout.python('case "$*" in *harness.engine*) exit 69;; *require-hashes*) sleep 1;; esac')
    checkout.outdated()
    done = checkout.run("setup", FAKE_UID="1000")
    assert done.returncode == 69
    assert "harness doctor" in done.stderr
    assert (checkout.folder / ".venv/.stamp").exists()


@pytest.mark.parametrize("module", ["harness.engine", "harness.apt"])
def test_what_sets_up_the_engine_needs_no_packages(module: str) -> None:
    """They are being installed meanwhile."""
    words = [sys.executable, "-S", "-c", f"import {module}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_no_suitable_python_is_named_with_what_to_install(checkout: Checkout) -> None:
    (checkout.folder / ".venv/.stamp").unlink()
    (checkout.folder / ".venv/bin/python").unlink()
    checkout.command("python3", "exit 1")
    done = checkout.run(FAKE_UID="1000", BOINC_HARNESS_PYTHON=str(checkout.bin / "python3"))
    assert done.returncode == 69
    assert "no Python 3.11" in done.stderr
    assert "python3-venv" in done.stderr


def test_help_is_the_comment_at_its_top(checkout: Checkout) -> None:
    done = checkout.run("help")
    assert done.returncode == 0
    assert "./run tests" in done.stdout
    assert "set -euo" not in done.stdout
    assert checkout.calls() == []


def test_it_can_be_called_from_anywhere_and_through_a_link(checkout: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(checkout.folder / "run")
    done = subprocess.run(
        [link, "setup"], cwd="/", env={"PATH": str(checkout.bin)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert checkout.calls()[-1] == "python -m harness.images"


def test_the_ci_command_is_run_tests() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert text.rstrip().endswith("exec ./run tests")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert os.access(ROOT / "run", os.X_OK)
