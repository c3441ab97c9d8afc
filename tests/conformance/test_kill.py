"""A SIGKILL at any moment loses no acknowledged upload and no acknowledged report.

BOINC_TEST_KILLS says how often the server is killed; the default keeps the suite quick.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from boinc_server import accounts, models, simulate, storage, templates, work
from boinc_server.mail import Mailer
from boinc_server.project import Project
from boinc_server.registry import Registry
from sqlalchemy import func, insert, select

from harness.waiting import wait_until

from .conftest import EMAIL, PASSWORD_HASH, RESULT_TEMPLATE, WU_TEMPLATE

KILLS = int(os.environ.get("BOINC_TEST_KILLS", "4"))
HOSTS = 3
JOBS_AHEAD = 60
PACKAGE = Path(__file__).parents[2] / "images/server"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Volunteer(threading.Thread):
    """Works until told to stop, and writes down what the server acknowledged."""

    def __init__(self, host: simulate.SimulatedHost, base: str, ledger: Ledger, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.host, self.base, self.ledger, self.stopping = host, base, ledger, stop
        self.failure = ""

    def run(self) -> None:
        with httpx.Client(timeout=20) as http:
            while not self.stopping.is_set():
                try:
                    self.turn(http)
                except httpx.HTTPError:
                    # Killed in the middle: what was not acknowledged may be lost.
                    continue
                except simulate.BadReplyError as error:
                    self.failure = str(error)
                    return

    def turn(self, http: httpx.Client) -> None:
        reply = self.host.accept(http.post(f"{self.base}p_cgi/cgi", content=self.host.request(100.0)).content)
        finished = []
        for task in reply.tasks:
            content = task.name.encode() * random.randint(1, 2000)
            output = task.outputs[0]
            text = http.post(output.urls[0], content=simulate.upload_request(output, content)).text
            if "<status>0</status>" in text:
                self.ledger.uploads[output.name] = content
                finished.append(simulate.Finished(task.name, outputs=[(output, content)]))
        if finished:
            body = self.host.request(0.0, finished)
            reply = self.host.accept(http.post(f"{self.base}p_cgi/cgi", content=body).content, finished)
            self.ledger.reports.update(reply.acks)


class Ledger:
    """What the server said it has."""

    def __init__(self) -> None:
        self.uploads: dict[str, bytes] = {}
        self.reports: set[str] = set()

    def wait_for_a_report(self) -> None:
        """On a busy machine a fixed time may end before anything was acknowledged, and a kill then shows nothing."""
        known = len(self.reports)
        wait_until(lambda: len(self.reports) > known, "another acknowledged report", within=60)

    def check(self, project: Project) -> None:
        for name, content in self.uploads.items():
            assert storage.upload_path(project, name).read_bytes() == content, name
        with project.transaction() as tx:
            rows = tx.all(select(models.result.c.name, models.result.c.server_state, models.result.c.outcome))
            users = tx.all(select(models.user.c.total_credit))
            granted = tx.one(select(func.sum(models.result.c.granted_credit).label("n")))
        over = {row.name for row in rows if row.server_state == 5 and row.outcome == 1}
        assert self.reports <= over
        assert granted is not None
        # Credit is granted with the report or not at all.
        assert abs(sum(row.total_credit for row in users) - (granted.n or 0.0)) < 1e-6


@contextmanager
def opened(data: Path, base: str, url: str | None = None) -> Iterator[Registry]:
    """The server's data while it is not running; `url`: of a database server, None for SQLite."""
    registry = Registry(data, base, Mailer(), url)
    registry.load()
    try:
        yield registry
    finally:
        registry.close()


def prepare(project: Project) -> str:
    """An app, and Ann's account key."""
    with project.transaction() as tx:
        platform = tx.one(select(models.platform.c.id).where(models.platform.c.name == simulate.PLATFORM))
        assert platform is not None
        app_id = tx.insert(insert(models.app), name="uppercase", user_friendly_name="Upper case", create_time=tx.now)
        xml = (
            "<file_info>\n<name>u_1</name>\n<nbytes>3</nbytes>\n</file_info>\n<app_version>\n<app_name>uppercase</app_name>\n"
            "<version_num>100</version_num>\n<file_ref>\n<file_name>u_1</file_name>\n<main_program/>\n</file_ref>\n</app_version>\n"
        )
        version = {"appid": app_id, "version_num": 100, "platformid": platform.id, "plan_class": "", "xml_doc": xml}
        tx.insert(insert(models.app_version), **version, create_time=tx.now)
    project.path("templates", "uppercase_in").write_text(WU_TEMPLATE)
    project.path("templates", "uppercase_out").write_text(RESULT_TEMPLATE)
    project.catalog.invalidate()
    work.stage_file(project, "in_1", b"hello")
    return str(accounts.create(project, EMAIL, PASSWORD_HASH, "Ann").authenticator)


def add_jobs(project: Project, count: int) -> None:
    with project.transaction() as tx:
        for _ in range(count):
            work.create_work(tx, "uppercase", [templates.InputFile("in_1")], work.WorkOptions(max_error_results=9, max_total_results=9))


def start(data: Path, base: str, port: int, url: str | None = None) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "BOINC_DATA": str(data),
        "BOINC_URL_BASE": base,
        "BOINC_PORT": str(port),
        "BOINC_CONTROL_PORT": "0",
        "BOINC_CONTROL_TOKEN": "token",
        "PYTHONPATH": str(PACKAGE),
        "BOINC_DATABASE_URL": url or "",
    }
    log = data / "server.stderr"
    with log.open("ab") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "boinc_server"], env=environment, stderr=stderr)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, f"the server ended with {process.returncode}: {log.read_text()[-2000:]}"
            time.sleep(0.02)
        else:
            return process
    process.kill()
    raise AssertionError("the server did not come up within 60 s")


@pytest.mark.timeout(300 + 10 * KILLS)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, KILLS)


def kill_again_and_again(tmp_path: Path, kills: int, url: str | None = None) -> None:
    """Fails when the server loses what it acknowledged, by kills at random moments."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/"
    with opened(tmp_path, base, url) as registry:
        project = registry.create("p", "P", {"dont_delete_files": True, "validator": "trivial"})
        key = prepare(project)
    hosts = [simulate.SimulatedHost(key, name=f"host-{number}", ip_addr=f"10.0.0.{number}") for number in range(HOSTS)]
    ledger = Ledger()
    for _ in range(kills):
        with opened(tmp_path, base, url) as registry:
            ledger.check(registry["p"])
            add_jobs(registry["p"], JOBS_AHEAD)
        process = start(tmp_path, base, port, url)
        stop = threading.Event()
        volunteers = [Volunteer(host, base, ledger, stop) for host in hosts]
        try:
            for volunteer in volunteers:
                volunteer.start()
            ledger.wait_for_a_report()
            time.sleep(random.uniform(0.0, 1.0))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            stop.set()
        for volunteer in volunteers:
            volunteer.join(30)
            assert not volunteer.failure
    with opened(tmp_path, base, url) as registry:
        ledger.check(registry["p"])
    assert ledger.reports
    assert ledger.uploads
