"""The server as a process: starts, stops, and loses nothing it acknowledged however it is killed."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from boinc_server import simulate

PACKAGE = Path(simulate.__file__).parents[1]
KILLS = int(os.environ.get("BOINC_SERVER_KILLS", "6"))
"""How often test_nothing_acknowledged_is_lost kills the server; 200 takes some minutes."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, data, **environment):
        self.public, self.control_port = free_port(), free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PACKAGE),
            "BOINC_DATA": str(data),
            "BOINC_PORT": str(self.public),
            "BOINC_CONTROL_PORT": str(self.control_port),
            "BOINC_CONTROL_TOKEN": "token",
            "BOINC_URL_BASE": f"http://127.0.0.1:{self.public}",
        } | environment
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.public}", timeout=20, trust_env=False)
        self.control = httpx.Client(
            base_url=f"http://127.0.0.1:{self.control_port}", headers={"Authorization": "Bearer token"}, timeout=20, trust_env=False
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "boinc_server"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if self.control.get("/health").is_success:
                    return self
            if self.process.poll() is not None:
                raise AssertionError(self.process.stderr.read())
            time.sleep(0.05)
        raise AssertionError("the server did not start within 60 s")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process.stderr.close()
        return code

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.http.close()
        self.control.close()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.close()


WU = "<file_info>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
OUT = "<file_info>\n<name><OUTFILE_0/></name>\n<max_nbytes>1000</max_nbytes>\n<url><UPLOAD_URL/></url>\n</file_info>\n<result>\n"
OUT += "<file_ref>\n<file_name><OUTFILE_0/></file_name>\n<open_name>out</open_name>\n</file_ref>\n</result>\n"


def make_project(server, **config):
    assert server.control.post("/projects", json={"name": "p", "config": config}).status_code == 201
    assert server.control.post("/projects/p/apps", json={"name": "a"}).status_code == 201
    for path, content in (("apps/a/1.0/x86_64-pc-linux-gnu/a_1", "x"), ("templates/a_in", WU), ("templates/a_out", OUT)):
        assert server.control.put(f"/projects/p/tree/{path}", content=content).status_code == 201
    assert server.control.post("/projects/p/update_versions").json()["app_versions"]
    return server.control.post("/projects/p/users", json={"email": "a@b.test", "password": "secret"}).json()["authenticator"]


def test_it_starts_serves_and_stops_in_good_order(server):
    server.start()
    make_project(server)
    assert "<scheduler>" in server.http.get("/p/").text
    with server.control.stream("GET", "/projects/p/events?follow=1") as followed:
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for _ in followed.iter_lines():
            pass
    assert server.process.wait(20) == 0
    assert time.monotonic() - begun < 10
    server.start()
    assert server.control.get("/projects/p").json()["apps"] == ["a"]
    assert server.end() == 0


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"BOINC_CONTROL_TOKEN": ""}, "BOINC_CONTROL_TOKEN is not set"),
        ({"BOINC_PORT": "eighty"}, "BOINC_PORT must be a port number"),
        ({"BOINC_CONTROL_HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path, environment, text):
    server = Server(tmp_path, **environment)
    done = subprocess.run(
        [sys.executable, "-m", "boinc_server"], env=server.environment, capture_output=True, text=True, timeout=60, check=False
    )
    server.close()
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_acknowledged_is_lost(server):
    """Killed at random moments while jobs are made, sent, uploaded and reported."""
    generator = random.Random(1)
    server.start()
    key = make_project(server, next_rpc_delay=0)
    host = simulate.SimulatedHost(key, "h", ncpus=64)
    created, reported, tasks, uploaded = [], [], {}, {}

    def work_until(end):
        while time.monotonic() < end:
            number = len(created)
            answer = server.control.post("/projects/p/work", json={"app": "a", "name": f"j{number}", "inputs": [{"content_b64": "YQ=="}]})
            if answer.status_code == 201:
                created.append(f"j{number}")
            elif answer.status_code == 422 and "already" in answer.text:
                # Created just before the kill, the answer was lost.
                created.append(f"j{number}")
            finished = [simulate.Finished(name, outputs=[(tasks[name].outputs[0], b"A")]) for name in uploaded if name in host.held]
            reply = host.accept(server.http.post("/p_cgi/cgi", content=host.request(1000.0, finished)).content, finished)
            reported.extend(reply.acks)
            for task in reply.tasks:
                tasks[task.name] = task
            for name in host.held:
                if name not in uploaded:
                    file = tasks[name].outputs[0]
                    if "<status>0</status>" in server.http.post(file.urls[0], content=simulate.upload_request(file, b"A")).text:
                        uploaded[name] = file.name

    for _ in range(KILLS):
        delay = generator.uniform(0.1, 0.8)
        subprocess.Popen(["sh", "-c", f"sleep {delay:.3f}; kill -9 {server.process.pid}"])
        with suppress(httpx.TransportError):
            work_until(time.monotonic() + 30)
        server.process.wait(30)
        server.process.stderr.close()
        server.start()
        # Whether an RPC whose answer was lost had its effect is for the client to find out: it asks again.
    with suppress(httpx.TransportError):
        work_until(time.monotonic() + 1)
    everything = {wu["name"]: wu for wu in server.control.get("/projects/p/workunits").json()}
    assert set(created) <= set(everything)
    results = {result["name"]: result for result in server.control.get("/projects/p/results").json()}
    assert reported
    for name in reported:
        assert (results[name]["server_state"], results[name]["outcome"]) == (5, 1), name
        assert everything[name.rpartition("_")[0]]["assimilate_state"] == 2
        assert server.control.get(f"/projects/p/results/{results[name]['id']}/outputs/out").content == b"A"
    lines = [httpx.Response(200, content=line).json() for line in server.control.get("/projects/p/events").text.splitlines()]
    granted = [event["result"] for event in lines if event["kind"] == "credit.granted"]
    assert len(granted) == len(set(granted))
    host_row = server.control.get("/projects/p/hosts").json()[0]
    assert host_row["total_credit"] == pytest.approx(sum(result["granted_credit"] for result in results.values()))
    assert server.end() == 0
