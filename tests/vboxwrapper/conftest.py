"""The real wrapper program, driven by a pretended client and a pretended VirtualBox: no engine, no VirtualBox, no BOINC."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness import images
from harness.errors import EngineUnavailable
from harness.vbox_app import Wrapper
from harness.vm import vm_name
from harness.waiting import Deadline, wait_until

SOURCE = Path(__file__).resolve().parents[2] / "images" / "apps" / "vboxwrapper"
FAKE = Path(__file__).with_name("fake_vboxmanage.py")
CHANNEL = 1024
CONTROL, HEARTBEAT, STATUS, TRICKLE_UP, TRICKLE_DOWN = 0, 4, 5, 6, 7


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wrapper: the one in its image if that is there or there is no compiler, else built here."""
    path = tmp_path_factory.mktemp("vboxwrapper") / "vboxwrapper"
    if named := os.environ.get("VBOXWRAPPER"):
        return Path(named)
    if can_build := shutil.which("g++") and shutil.which("make"):
        try:
            has_image = images.tag("vboxwrapper") in images.present()
        except EngineUnavailable:
            has_image = False
    if can_build and not has_image:
        subprocess.run(["make", "-s", "-j2", f"BUILD={path.parent}", "CXXFLAGS=-O1", path], cwd=SOURCE, check=True, timeout=600)
    else:
        path.write_bytes(Wrapper.ours().program)
        path.chmod(0o755)
    return path


def vdi(blocks: int = 8) -> bytes:
    """A small, empty disk image (header version 1.1, dynamic, blocks of 1 MiB)."""
    header = bytearray(2 << 20)
    struct.pack_into("<II", header, 0x40, 0xBEDA107F, 0x00010001)
    struct.pack_into("<I", header, 0x4C, 1)
    struct.pack_into("<II", header, 0x154, 1 << 20, 2 << 20)
    struct.pack_into("<Q", header, 0x170, blocks << 20)
    struct.pack_into("<IIII", header, 0x178, 1 << 20, 0, blocks, 0)
    header[0x188:0x198] = b"U" * 16
    struct.pack_into(f"<{blocks}I", header, 1 << 20, *[0xFFFFFFFF] * blocks)
    return bytes(header)


class Task:
    """One slot with a task in it."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.slot = folder / "slots" / "0"
        self.project = folder / "projects" / "p"
        self.fake = folder / "fake"
        self.shared = self.slot / "shared"
        self.root = folder
        for path in (self.shared, self.project, self.fake, folder / "bin"):
            path.mkdir(parents=True)
        manage = folder / "bin" / "VBoxManage"
        manage.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {FAKE} "$@"\n')
        manage.chmod(0o755)
        (folder / "template.vdi").write_bytes(vdi())
        iso = bytearray(0x9000)
        iso[0x8001:0x8006] = b"CD001"
        (self.slot / "vm_isocontext.iso").write_bytes(iso)
        self.process: subprocess.Popen[bytes] | None = None
        self.options: dict[str, object] = {
            "os_name": "Linux26_64",
            "memory_size_mb": 16,
            "boot_iso": 1,
            "enable_isocontextualization": 1,
            "enable_shared_directory": 1,
            "completion_trigger_file": "done",
        }
        self.name = vm_name("task_0")
        self.client: dict[str, object] = {"result_name": "task_0", "checkpoint_period": 60, "client_pid": os.getpid()}
        self.driverless(True)

    def driverless(self, yes: bool) -> None:
        (self.fake / "home").mkdir(exist_ok=True)
        key = '<ExtraDataItem name="VBoxInternal/EM/IemExecutesAll" value="1"/>' if yes else ""
        (self.fake / "home" / "VirtualBox.xml").write_text(f"<VirtualBox>{key}</VirtualBox>")

    def guest(self, *steps: Mapping[str, object]) -> None:
        (self.fake / "guest.json").write_text(json.dumps(list(steps)))

    def let_go(self) -> None:
        """Let the guest go on at a step {"await": "go"}: where a fixed time would be too short on a busy machine."""
        (self.shared / "go").touch()

    def fault(self, words: str, output: str = "", *, times: int = 1, code: int = 1, sleep: float = 0) -> None:
        path = self.fake / "faults.json"
        one = {"words": words.split(), "times": times, "exit": code, "sleep": sleep, **({"output": output} if output else {})}
        with (self.fake / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a call may be counting down its own faults
            path.write_text(json.dumps([*(json.loads(path.read_text()) if path.exists() else []), one]))

    def start(self, *arguments: str, job_file: str | None = None) -> None:
        xml = "".join(f"<{name}>{value}</{name}>\n" for name, value in self.options.items() if value is not None)
        (self.slot / "vbox_job.xml").write_text(job_file if job_file is not None else f"<vbox_job>\n{xml}</vbox_job>\n")
        values = {"major_version": 8, "project_dir": self.project, "boinc_dir": self.root, "virtualbox_version": "7.2.22", **self.client}
        text = "".join(f"<{name}>{value}</{name}>\n" for name, value in values.items())
        (self.slot / "init_data.xml").write_text(f"<app_init_data>\n{text}</app_init_data>\n")
        if not (self.slot / "boinc_mmap_file").exists():
            (self.slot / "boinc_mmap_file").write_bytes(bytes(8 * CHANNEL))
        environment = {
            **os.environ,
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            "FAKE_VBOX": str(self.fake),
            "FAKE_VDI": str(self.root / "template.vdi"),
            "VBOX_USER_HOME": str(self.fake / "home"),
        }
        for stale in ("boinc_temporary_exit", "boinc_finish_called"):
            (self.slot / stale).unlink(missing_ok=True)
        with (self.slot / "stderr.txt").open("ab") as stderr:
            self.process = subprocess.Popen([str(self.program), *arguments], cwd=self.slot, stderr=stderr, env=environment)

    def end(self, within: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(within)

    def run(self, *arguments: str, job_file: str | None = None) -> int:
        self.start(*arguments, job_file=job_file)
        return self.end()

    # --- the client's side of the channels

    def send(self, channel: int, text: str) -> None:
        with (self.slot / "boinc_mmap_file").open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            wait_until(lambda: memory[channel * CHANNEL] == 0, "the channel to be empty", within=10)
            encoded = text.encode() + b"\0"
            memory[channel * CHANNEL + 1 : channel * CHANNEL + 1 + len(encoded)] = encoded
            memory[channel * CHANNEL] = 1

    def receive(self, channel: int) -> str:
        """The message in a channel, taking it; "" if there is none."""
        with (self.slot / "boinc_mmap_file").open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            start = channel * CHANNEL
            if not memory[start]:
                return ""
            text = bytes(memory[start + 1 : start + CHANNEL]).split(b"\0", 1)[0].decode()
            memory[start] = 0
            return text

    # --- what can be seen

    @property
    def stderr(self) -> str:
        return (self.slot / "stderr.txt").read_text(errors="replace")

    @property
    def calls(self) -> list[str]:
        path = self.fake / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def called(self, words: str) -> int:
        return sum(call.startswith(words) for call in self.calls)

    @property
    def machines(self) -> dict[str, dict[str, object]]:
        path = self.fake / "machines.json"
        found: dict[str, dict[str, object]] = json.loads(path.read_text()) if path.exists() else {}
        return found

    @property
    def guest_log(self) -> list[str]:
        """The guest's lines in vm_guest.log, without their times; notes of the wrapper's left out."""
        path = self.slot / "vm_guest.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if not line.startswith("---")]

    def wait_guest(self, text: str, within: Deadline | float = 20) -> None:
        wait_until(
            lambda: any(text in line for line in self.guest_log),
            f"{text!r} in the guest's log",
            within=within,
            last_state=lambda: self.stderr,
        )

    def wait_calls(self, words: str, count: int = 1, within: Deadline | float = 20) -> None:
        wait_until(
            lambda: self.called(words) >= count, f"{count} calls of {words}", within=within, last_state=lambda: "\n".join(self.calls)
        )

    def finished(self) -> Sequence[str]:
        """The lines of boinc_finish_called: exit code, message, "notice"."""
        return (self.slot / "boinc_finish_called").read_text().splitlines()

    def postponed(self) -> Sequence[str]:
        """The lines of boinc_temporary_exit: delay, reason, "notice"."""
        return (self.slot / "boinc_temporary_exit").read_text().splitlines()

    def machine_pid(self) -> int:
        return int(str(next(iter(self.machines.values()))["pid"]))

    def processes(self) -> list[int]:
        """Processes of this task's pretended machines."""
        found = []
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    command = (path / "cmdline").read_bytes()
                    state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if str(self.slot).encode() in command and b"--machine" in command and state != "Z":
                    found.append(int(path.name))
        return found

    def nothing_left(self) -> bool:
        """No machine in VirtualBox's list, no process, no folder of a machine in the slot."""
        assert self.machines == {}
        assert self.processes() == []
        assert [path.name for path in self.slot.iterdir() if path.is_dir()] == ["shared"]
        return True

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def task(program: Path, tmp_path: Path) -> Iterator[Task]:
    task = Task(program, tmp_path)
    yield task
    task.close()
