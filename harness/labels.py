"""The labels that every container, network, volume and image layer of ours carries, and the identity of a run.

A *run* is one invocation of pytest (with all of its xdist workers) or of the `harness` command. Everything a run makes carries
the run's id and the identity of the process that owns it, so that `harness.sweep` can remove what a killed process left behind
without touching what a living one uses. A process is identified by (machine, boot, process-id namespace, pid, start time): pids are
reused, several machines may share one engine, and so may several containers on one machine (CI with the engine's socket mounted).
"""

from __future__ import annotations

import os
import platform
import secrets
from functools import cache
from pathlib import Path

PREFIX = "org.boinc-harness"
RUN = f"{PREFIX}.run"
PID = f"{PREFIX}.pid"
START = f"{PREFIX}.start"
BOOT = f"{PREFIX}.boot"
#: the machine and the process-id namespace in which PID means something
MACHINE = f"{PREFIX}.machine"
NAMESPACE = f"{PREFIX}.pidns"
#: "1" on things that shall outlive their process (`--keep`, `harness up`); only an explicit sweep removes them
KEEP = f"{PREFIX}.keep"
#: what a container is: server, client, mail, ...
ROLE = f"{PREFIX}.role"
#: a client's name, which becomes its container's host name and a part of its own
HOST_NAME = r"[a-z][a-z0-9-]{0,30}"

_PROC = Path("/proc")


@cache
def run_id() -> str:
    """The id of this run: 8 hex digits or more, the same in all xdist workers of one pytest invocation.

    pytest-xdist gives its workers PYTEST_XDIST_TESTRUNUID; a controller or a plain process makes an id of its own, which child
    processes take over through BOINC_HARNESS_RUN.
    """
    for variable in ("BOINC_HARNESS_RUN", "PYTEST_XDIST_TESTRUNUID"):
        value = os.environ.get(variable, "").strip()
        if value:
            return value[:12]
    value = secrets.token_hex(4)
    os.environ["BOINC_HARNESS_RUN"] = value
    return value


@cache
def boot_id() -> str:
    """The kernel's id of this boot; "unknown" where there is no Linux /proc."""
    return _first_line(_PROC / "sys/kernel/random/boot_id") or "unknown"


@cache
def machine_id() -> str:
    """This machine, over its reboots: systemd's machine id, or the host name."""
    return _first_line(Path("/etc/machine-id")) or platform.node() or "unknown"


@cache
def pid_namespace() -> str:
    """The kernel's name of this process's pid namespace, like "pid:[4026531836]"."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return "unknown"


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), or None if there is no such process.

    A zombie counts as gone: it can own nothing any more.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command name before ")" may hold blanks and brackets
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return None
    return fields[19]


def owner_pid() -> int:
    """The process whose end makes our things garbage: the one that calls (an xdist worker, a pytest, a `harness` command)."""
    return os.getpid()


def owner_labels(*, keep: bool = False, role: str = "") -> dict[str, str]:
    """The labels to put on a new container, network or volume."""
    pid = owner_pid()
    found = {
        RUN: run_id(),
        PID: str(pid),
        START: start_time(pid) or "0",
        BOOT: boot_id(),
        MACHINE: machine_id(),
        NAMESPACE: pid_namespace(),
    }
    if keep:
        found[KEEP] = "1"
    if role:
        found[ROLE] = role
    return found
