"""`python -m bench.server_load`: the project server under load, alone, without containers or real clients.

Simulated volunteers speak the real scheduler protocol over real sockets: each RPC reports one result and asks
for the next. Optionally there are a million stored results, uploads of a gigabyte, and a crowd of hostile
requests beside the honest ones. Server, volunteers and strangers are a process each. To load a server from several
machines see bench/locustfile.py.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

PACKAGE = Path(__file__).parents[1] / "images/server"
sys.path.insert(0, str(PACKAGE))

from boinc_server import accounts, models, simulate, templates, work  # noqa: E402
from boinc_server.mail import Mailer  # noqa: E402
from boinc_server.registry import Registry  # noqa: E402
from sqlalchemy import insert, select  # noqa: E402

from bench import volunteers  # noqa: E402

WU_TEMPLATE = "<file_info>\n</file_info>\n<workunit>\n<file_ref>\n<open_name>in</open_name>\n</file_ref>\n</workunit>\n"
RESULT_TEMPLATE = (
    "<file_info>\n<name><OUTFILE_0/></name>\n<max_nbytes>2000000000</max_nbytes>\n<url><UPLOAD_URL/></url>\n</file_info>\n<result>\n"
    "<file_ref>\n<file_name><OUTFILE_0/></file_name>\n<open_name>out</open_name>\n</file_ref>\n</result>\n"
)
VERSION = (
    "<file_info>\n<name>u_1</name>\n<nbytes>3</nbytes>\n</file_info>\n<app_version>\n<app_name>uppercase</app_name>\n"
    "<version_num>100</version_num>\n<file_ref>\n<file_name>u_1</file_name>\n<main_program/>\n</file_ref>\n</app_version>\n"
)
CHUNK = 20_000


def prepare(data: Path, base: str, users: int, stored: int, jobs: int) -> list[str]:
    """A project with accounts, stored results that are over, and jobs to send; the account keys."""
    registry = Registry(data, base, Mailer())
    project = registry.create("p", "Load", {"validator": "trivial", "max_wus_to_send": 1, "dont_delete_files": True, "next_rpc_delay": 0})
    with project.transaction() as tx:
        platform = tx.one(select(models.platform.c.id).where(models.platform.c.name == simulate.PLATFORM))
        assert platform is not None
        app_id = tx.insert(insert(models.app), name="uppercase", user_friendly_name="Upper case", create_time=tx.now)
        version = {"appid": app_id, "version_num": 100, "platformid": platform.id, "plan_class": "", "xml_doc": VERSION}
        tx.insert(insert(models.app_version), **version, create_time=tx.now)
    project.path("templates", "uppercase_in").write_text(WU_TEMPLATE)
    project.path("templates", "uppercase_out").write_text(RESULT_TEMPLATE)
    project.catalog.invalidate()
    work.stage_file(project, "in_1", b"hello")
    keys = [
        str(accounts.create(project, f"u{number}@load.test", accounts.passwd_hash("x", "y"), f"User {number}x").authenticator)
        for number in range(users)
    ]
    for start in range(0, stored, CHUNK):
        _store_old(project, range(start, min(start + CHUNK, stored)), app_id)
    for _ in range(0, jobs, CHUNK):
        with project.transaction() as tx:
            for _ in range(min(CHUNK, jobs)):
                work.create_work(tx, "uppercase", [templates.InputFile("in_1")], work.WorkOptions())
    registry.close()
    return keys


def _store_old(project: Any, numbers: range, app_id: int) -> None:
    """Finished workunits with one result each, as they are before a purge."""
    xml = "<file_info>\n<name>x</name>\n</file_info>\n" * 4
    with project.transaction() as tx:
        base = {"appid": app_id, "create_time": tx.now, "mod_time": tx.now, "xml_doc": xml}
        done = {"canonical_resultid": 1, "assimilate_state": 2, "file_delete_state": 2, "transition_time": 2**31 - 1, "min_quorum": 1}
        tx.execute(insert(models.workunit), [base | done | {"name": f"old_{n}", "target_nresults": 1} for n in numbers])
        over = {"server_state": 5, "outcome": 1, "validate_state": 1, "appid": app_id, "create_time": tx.now, "xml_doc_in": xml}
        over |= {"xml_doc_out": xml, "stderr_out": "x" * 300, "file_delete_state": 2, "granted_credit": 1.0, "userid": 1}
        rows = [over | {"name": f"old_{n}_0", "workunitid": n + 1, "hostid": n % 10_000 + 1} for n in numbers]
        tx.execute(insert(models.result), rows)


class Connection:
    """One keep-alive connection; just enough HTTP for what this server answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """(status, body of the answer)"""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        assert self._reader is not None
        try:
            self._writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answer = await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, IndexError):
            self.close()
            raise ConnectionError("the server closed the connection") from None
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split()[1]), answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass
class Tally:
    """What was measured."""

    latencies: list[float] = field(default_factory=list)
    tasks: int = 0
    reports: int = 0
    hostile: int = 0
    crashes: int = 0
    tracebacks: int = 0

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Load:
    """Who sends how much: see the options of the command."""

    seconds: float
    connections: int
    rate: float
    hostile: int
    hostile_count: int


async def volunteer(
    port: int, hosts: deque[simulate.SimulatedHost], tally: Tally, until: float, rate: float, over: Callable[[], bool]
) -> None:
    """Take the host that has waited longest, let it report and fetch, put it back; at most `rate` times a second, until `over()`."""
    connection = Connection(port)
    due = time.monotonic() - (random.random() / rate if rate else 0)
    while time.monotonic() < until and hosts and not over():
        if rate:
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(due - time.monotonic())
        host = hosts.popleft()
        finished = [simulate.Finished(name) for name in host.held]
        body = host.request(1.0, finished)
        begun = time.perf_counter()
        status, answer = await connection.post("/p_cgi/cgi", body)
        tally.latencies.append(time.perf_counter() - begun)
        assert status == 200, answer[:200]
        _accept(host, answer, tally)
        hosts.append(host)
    connection.close()


def _accept(host: simulate.SimulatedHost, answer: bytes, tally: Tally) -> None:
    acked, sent = volunteers.accept(host, answer.decode())
    tally.reports += acked
    tally.tasks += sent


async def stranger(port: int, sample: bytes, tally: Tally, until: float, count: float) -> None:
    """Send one hostile request after another until the time is over, or `count` were sent by all."""
    connection = Connection(port)
    while time.monotonic() < until and tally.hostile < count:
        path, body = volunteers.hostile_request(sample)
        tally.hostile += 1
        try:
            status, answer = await connection.post(path, body)
        except ConnectionError:
            tally.crashes += 1
            continue
        tally.tracebacks += b"Traceback" in answer or status >= 500


def strangers(port: int, sample: bytes, options: Load) -> Tally:
    """All of them, in a process of their own: what they cost must not count as the server's slowness to others."""
    tally = Tally()
    until = math.inf if options.hostile_count else time.monotonic() + options.seconds

    async def send() -> None:
        count = options.hostile_count or math.inf
        await asyncio.gather(*(stranger(port, sample, tally, until, count) for _ in range(options.hostile)))

    asyncio.run(send())
    return tally


def _exchange(port: int, head: bytes, length: int, send: Callable[[socket.socket], bool]) -> bytes:
    """POST to the upload handler; `send` writes the rest and says whether to wait for the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"POST /p_cgi/file_upload_handler HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode() + head)
        answer = b""
        while send(connection) and b"</data_server_reply>" not in answer and (piece := connection.recv(4096)):
            answer += piece
        return answer


def upload_speed(port: int, size: int) -> float:
    """MB/s of one upload of `size` bytes, cut after a third and resumed; certificates must be off."""
    block = os.urandom(2**20)
    position, begun = 0, time.perf_counter()

    def send_until(end: int) -> Callable[[socket.socket], bool]:
        def send(connection: socket.socket) -> bool:
            nonlocal position
            while position < end:
                piece = block[: end - position]
                connection.sendall(piece)
                position += len(piece)
            return end == size

        return send

    for end in (size // 3, size):
        head = (
            "<data_server_request>\n<file_upload>\n<file_info>\n<name>big_1</name>\n<max_nbytes>2e9</max_nbytes>\n</file_info>\n"
            f"<nbytes>{size}</nbytes>\n<offset>{position}</offset>\n<data>\n"
        ).encode()
        answer = _exchange(port, head, len(head) + size - position, send_until(end))
        if end < size:
            query = b"<data_server_request>\n<get_file_size>big_1</get_file_size>\n"
            while b"<file_size>" not in (answer := _exchange(port, query, len(query), lambda _: True)):
                time.sleep(0.01)
            position = int(answer.split(b"<file_size>")[1].split(b"<")[0])
    assert b"<status>0</status>" in answer, answer
    return size / 1e6 / (time.perf_counter() - begun)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[float, float]:
    """(resident now, largest so far) in MB."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return float(status["VmRSS"].split()[0]) / 1000, float(status["VmHWM"].split()[0]) / 1000


def start_server(data: Path, base: str, port: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"BOINC_DATA": str(data), "BOINC_URL_BASE": base, "BOINC_PORT": str(port), "PYTHONPATH": str(PACKAGE)}
    environment |= {"BOINC_CONTROL_PORT": "0", "BOINC_CONTROL_TOKEN": "load"}
    process = subprocess.Popen([sys.executable, "-m", "boinc_server"], env=environment, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process
    raise click.ClickException("the server did not come up within 30 s")


async def drive(port: int, hosts: deque[simulate.SimulatedHost], options: Load) -> tuple[Tally, float]:
    """Volunteers and strangers at work."""
    tally = Tally()
    sample = hosts[0].request(1.0, [simulate.Finished("x_0")])
    begun = time.monotonic()
    until = math.inf if options.hostile_count else begun + options.seconds
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        crowd = pool.submit(strangers, port, sample, options) if options.hostile else None

        def over() -> bool:
            return crowd is not None and crowd.done()

        each = options.rate / options.connections
        await asyncio.gather(*(volunteer(port, hosts, tally, until, each, over) for _ in range(options.connections)))
        elapsed = time.monotonic() - begun
        if crowd is not None:
            sent = crowd.result()
            tally.hostile, tally.crashes, tally.tracebacks = sent.hostile, sent.crashes, sent.tracebacks
    return tally, elapsed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", default=10_000, show_default=True, help="simulated volunteers")
@click.option("--stored", default=0, show_default=True, help="results in the database beforehand")
@click.option("--jobs", default=40_000, show_default=True, help="jobs to hand out")
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--connections", default=8, show_default=True)
@click.option("--rate", default=0.0, show_default=True, help="honest RPCs a second, for comparing latencies; 0: as many as it takes")
@click.option("--hostile", default=0, show_default=True, help="connections that send hostile requests meanwhile")
@click.option("--hostile-count", default=0, show_default=True, help="go on until so many of them were sent, however long that takes")
@click.option("--upload", default=0, show_default=True, help="also upload so many MiB, cut and resumed")
def main(hosts: int, stored: int, jobs: int, upload: int, **options: Any) -> None:
    """Measure the project server."""
    load = Load(**options)
    data = Path(tempfile.mkdtemp(prefix="server-load-"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    base = f"http://127.0.0.1:{port}/"
    process = None
    try:
        begun = time.monotonic()
        keys = prepare(data, base, min(hosts, 100), stored, jobs)
        click.echo(f"prepared {stored} stored results and {jobs} jobs in {time.monotonic() - begun:.0f} s")
        process = start_server(data, base, port)
        crowd = deque(
            simulate.SimulatedHost(keys[n % len(keys)], name=f"host-{n}", ip_addr=f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")
            for n in range(hosts)
        )
        # First contacts make the host records and fetch the first job; they are not what is measured.
        first, took = asyncio.run(meet(port, crowd, load.connections))
        click.echo(f"{hosts} first contacts with work in {took:.0f} s ({hosts / took:.0f}/s), {first.tasks} tasks sent")
        before = cpu_seconds(process.pid)
        tally, elapsed = asyncio.run(drive(port, crowd, load))
        used = cpu_seconds(process.pid) - before
        count = len(tally.latencies)
        resident, largest = memory(process.pid)
        click.echo(
            f"{count / elapsed:.0f} RPC/s, p50 {tally.percentile(0.5):.1f} ms, p99 {tally.percentile(0.99):.1f} ms, "
            f"mean {1000 * statistics.fmean(tally.latencies):.1f} ms; {tally.tasks} tasks sent, {tally.reports} reports; "
            f"server {1000 * used / max(1, count + tally.hostile):.2f} ms CPU per request; RSS {resident:.0f} MB, at most {largest:.0f} MB"
        )
        if tally.hostile:
            click.echo(f"{tally.hostile} hostile requests: {tally.crashes} connections lost, {tally.tracebacks} tracebacks or 5xx")
        if process.poll() is not None:
            raise click.ClickException(f"the server ended with {process.returncode}")
        if upload:
            _without_certificates(data, base, process)
            process = start_server(data, base, port)
            speed = upload_speed(port, upload * 2**20)
            click.echo(f"upload of {upload} MiB: {speed:.0f} MB/s, RSS at most {memory(process.pid)[1]:.0f} MB")
    finally:
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


async def meet(port: int, hosts: deque[simulate.SimulatedHost], connections: int) -> tuple[Tally, float]:
    """Let each host contact the project once."""
    tally = Tally()
    waiting, begun = deque(hosts), time.monotonic()

    async def greet() -> None:
        connection = Connection(port)
        while waiting:
            host = waiting.popleft()
            _, answer = await connection.post("/p_cgi/cgi", host.request(1.0))
            _accept(host, answer, tally)
        connection.close()

    await asyncio.gather(*(greet() for _ in range(connections)))
    return tally, time.monotonic() - begun


def _without_certificates(data: Path, base: str, process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    registry = Registry(data, base, Mailer())
    registry.load()
    registry["p"].configure({"ignore_upload_certificates": True})
    registry.close()


if __name__ == "__main__":
    main()
